"""Runtimes: who runs the steps."""

import enum
import inspect
import os
import threading
import uuid

from . import _exit, _interrupts, _live, _make, _objects, _read, _waiting, errors
from ._arguments import choice, flag, function, text, text_or_null, whole
from ._c import INPUT_FN, LOG_FN, POST_FN, RunOptions, RuntimeCounters, RuntimeOptions, c
from ._calls import lib
from ._handles import Handle
from .clock import READ_CLOCK, Clock
from .events import read_event
from .pipeline_runs import PipelineHandler
from .run import ENDED, Run, when
from .snapshots import parsed
from .workflow import pointer_of

_MODES = {"threads": 0, "pump": 1, "executor": 2}
_UNKNOWN_LABELS = {"error": 0, "skip": 1}


class LogLevel(enum.IntEnum):
    """How much a log is told, and how grave a message is, as in blazen.h."""

    NONE = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    DEBUG = 4


@LOG_FN
def _call_log(user_data, level, message, length):
    """The blazen_log_fn of every runtime. ctypes reports an exception to sys.unraisablehook."""
    text = _read.string(message, length)
    _objects.find(user_data).log(errors.known(LogLevel, level), text)


@POST_FN
def _call_post(user_data, task):
    """The blazen_post_fn of every runtime. A task that the executor does not take stays the library's."""
    try:
        _objects.find(user_data).post(task)
        return errors.Status.OK
    except BaseException:
        return errors.Status.HOST


class _Callbacks:
    """The user_data of a runtime."""

    def __init__(self, executor, clock, log):
        self._executor = executor
        self.log = log
        self.number = _objects.keep(self)
        if clock is not None:
            clock.begin(self, self.number)

    def post(self, task):
        """The executor runs the task; or, where it is shut down or cannot, the task is cancelled: one of both."""

        def done(future):
            if future.cancelled() or future.exception() is not None:
                c.task_cancel(task)

        self._executor.submit(c.task_run, task).add_done_callback(done)


@INPUT_FN
def _call_input_handler(user_data, run, request, answer_out, error_out):
    """The blazen_input_fn of every handler. No exception leaves it."""
    try:
        with _exit.inside():
            answer = _objects.find(user_data)(run, read_event(request))
            if answer is not None:
                with _make.value(answer) as made:
                    answer_out[0] = c.value_retain(made)
        return errors.Status.OK
    except BaseException as exception:
        _interrupts.note(exception)
        return errors.report(exception, error_out)


class Answering:
    """The input handler of one run, until that ends: the handler may lead to the run, and the run keeps it."""

    def __init__(self, handler):
        self._handler = handler

    def __call__(self, run, request):
        """The answer to a question; None: it is not for this handler, or comes later."""
        handler = self._handler
        answer = None if handler is None else handler(request)
        return self._await(run, request, answer) if inspect.isawaitable(answer) else answer

    def _await(self, _run, _request, answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError("the input_handler is async: it answers runs on a blazen.aio.Runtime alone")

    def end(self, _state):
        self._handler = None


class Runtime:
    """Runs the steps of runs.

    mode       who does: "threads", of the engine; "pump", whoever waits or polls; "executor", a host's
    threads    how many; 0: one for each processor
    executor   a concurrent.futures.Executor with threads, to be shut down after this runtime
    clock      a Clock, on which this runtime's time-outs, delays and back-offs go by; None: the system's
    log        function(level, message), on any thread: what the library has to say without being asked
    log_level  the most that it is told
    threads_max  threads in all, with those in place of threads that abandoned steps keep; 0: 64 more than threads

    An input_handler is a function that gets the InputRequestEvent of each question of a run, and returns the answer; or
    None: run.respond() answers later.

    Closed by a `with` block, when nothing uses it any more, or when the interpreter exits: every run that has not ended is
    then cancelled. At exit, SystemExit is raised in a body that does not return within a second.
    """

    def __init__(
        self,
        mode="threads",
        threads=0,
        *,
        executor=None,
        clock=None,
        log=None,
        log_level=LogLevel.WARNING,
        threads_max=0,
    ):
        options = RuntimeOptions(mode=choice("mode", mode, _MODES), threads=whole("threads", threads, 32))
        options.threads_max = whole("threads_max", threads_max, 32)
        if (mode == "executor") != (executor is not None):
            raise ValueError('executor is given in the mode "executor", and there alone')
        if clock is not None and not isinstance(clock, Clock):
            raise TypeError(f"clock is a blazen.Clock, not {clock!r}")
        if executor is not None:
            options.post = _call_post
        if clock is not None:
            options.clock = READ_CLOCK
        if function("log", log) is not None:
            options.log, options.log_level = _call_log, LogLevel(log_level)
        if not (executor is clock is log is None):
            options.user_data = _Callbacks(executor, clock, log).number
            options.drop = _objects.drop
        self.is_pump = mode == "pump"
        self._handle = Handle(lib.runtime_create(options), _exit.close_and_release)
        _exit.opened(self._handle.pointer)

    def run(self, workflow, input=None, *, metadata=None, input_handler=None, run_id=None):
        """A run, started with its input."""
        run = self.create(workflow, metadata=metadata, input_handler=input_handler, run_id=run_id)
        run.start(input)
        return run

    def create(self, workflow, *, metadata=None, input_handler=None, run_id=None):
        """A run, not started yet: time to take its stream, or to write its first run.values.

        run_id  its id, where the host has one: a UUID (uuid.UUID or its 36 characters) that was never given before
        """
        pointer, fields = pointer_of("workflow", workflow), _id_fields(run_id)
        answering = self._answering(input_handler)
        with _make.value_or_null(metadata) as made:
            options = _run_options(answering, metadata=made, **fields)
            return self._run_of(lib.run_create(self._handle.pointer, pointer, options), answering)

    def resume(
        self,
        workflow,
        snapshot,
        *,
        allow_changed_workflow=False,
        deserializers=None,
        unknown_label="error",
        time_has_passed=False,
        keep_paused=False,
        input_handler=None,
        fork=False,
        run_id=None,
    ):
        """A run as it stood in a snapshot (bytes), not started yet.

        deserializers    {type name: function(bytes)}: make objects again that have a __blazen_serialize__
        unknown_label    what becomes of an object for which there is none, or that does not unpickle here: "error", or
                         "skip" (run.dropped() names it)
        time_has_passed  delays, back-offs and deadlines count by the date; else they stood still since the snapshot
        keep_paused      a run that was paused stays so until run.resume_in_place(); else its start lets it go on
        fork             a new run from there, with another id: run_id, or one that is made; else that run goes on
        """
        pointer = pointer_of("workflow", workflow)
        fields = {
            "allow_changed_workflow": flag("allow_changed_workflow", allow_changed_workflow),
            "unknown_label": choice("unknown_label", unknown_label, _UNKNOWN_LABELS),
            "time_has_passed": flag("time_has_passed", time_has_passed),
            "keep_paused": flag("keep_paused", keep_paused),
            "fork": flag("fork", fork),
            **_id_fields(run_id),
        }
        answering = self._answering(input_handler)
        with parsed(snapshot) as handle, _interrupts.raised():
            options = _run_options(answering, deserializers or {}, **fields)
            return self._run_of(lib.run_resume(self._handle.pointer, pointer, handle, options), answering)

    def _answering(self, input_handler):
        return None if function("input_handler", input_handler) is None else Answering(input_handler)

    def _run_of(self, pointer, answering):
        run = self._make_run(pointer)
        if answering is not None:
            when(pointer, ENDED, answering.end)
        return run

    def _make_run(self, pointer):
        return Run(self, pointer)

    def handler_of(self, pipeline, run):
        """The handler of a run of a pipeline that is about to start."""
        return PipelineHandler(pipeline, run)

    def poll(self, steps_max=0):
        """Runs up to so many steps on this thread (0: all that can run), and answers how many it ran."""
        return self._polled(lib.runtime_poll, steps_max)

    def poll_next(self, steps_max=0):
        """As poll, and in how many seconds to poll again, if nobody wakes it: (steps, seconds); 0, at once; None: never."""
        steps, delay_ms = self._polled(lib.runtime_poll_next, steps_max)
        return steps, _seconds(delay_ms)

    def _polled(self, call, steps_max):
        with _interrupts.raised():
            return call(self._handle.pointer, whole("steps_max", steps_max, 64))

    def next_timer(self):
        """In how many seconds a poll has something to do because of the time alone: 0, at once; None: never."""
        return _seconds(lib.runtime_next_timer(self._handle.pointer))

    def set_pool(self, name, permits):
        """How many bodies run at once of all steps with this pool, in all its runs; set again, more or fewer. Runs that wait
        for a permit get one in turn. It is set before a run that uses it is made."""
        lib.runtime_set_pool(self._handle.pointer, *text("name", name), whole("permits", permits, 32, least=1))

    def counters(self):
        """What it does, as a dict: runs by their state (ended ones: so far), events_routed, queued, in_flight; abandoned
        (steps at work that count no more), threads, and threads_kept by those."""
        counters = RuntimeCounters()
        lib.runtime_count(self._handle.pointer, counters)
        return {name: getattr(counters, name) for name in RuntimeCounters.NAMES}

    def close(self, timeout=None):
        """Cancels every run that has not ended, and waits until no step runs any more; no longer than so many seconds: then
        BlazenTimeout, which names the steps that are still at work. It may be closed again."""
        _waiting.wait(lambda slice_ms: lib.runtime_close_within(self._handle.pointer, slice_ms), timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


_defaults = {}  # by process: a fork has its own
_defaults_lock = threading.Lock()


def default():
    """The runtime of whoever names none: made when it is first asked for, closed as the interpreter exits."""
    with _defaults_lock:
        made = _defaults.get(os.getpid())
        if made is None:
            made = _defaults[os.getpid()] = Runtime()
        return made


def _seconds(delay_ms):
    return None if delay_ms < 0 else delay_ms / 1000


def _id_fields(run_id):
    """The fields of the options that say which id a run gets."""
    given = str(run_id) if isinstance(run_id, uuid.UUID) else run_id
    return dict(zip(("run_id", "run_id_length"), text_or_null("run_id", given)))


def _run_options(answering, deserializers=None, **fields):
    """The options of one call, which drops what they keep."""
    options = RunOptions(**fields)
    if deserializers is not None:
        options.deserializers, options.deserializer_count = _live.deserializers(deserializers)
    if answering is not None:
        options.input = _call_input_handler
        options.user_data = _objects.keep(answering)
        options.drop = _objects.drop
    return options
