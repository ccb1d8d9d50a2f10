"""Runs: start, wait, result, pause, questions, snapshot, stream; and the runs inside them."""

import ctypes
import enum
import uuid

from . import _interrupts, _make, _objects, _read, _waiting, errors
from ._arguments import flag, text, texts, whole
from ._c import DONE_FN, HANDLE, StreamOptions, c
from ._calls import lib
from ._handles import Handle, owned
from .context import Versioned
from .snapshots import read_snapshot
from .stream import Stream


class RunState(enum.IntEnum):
    """How far a run is, as in blazen.h."""

    NONE = 0
    CREATED = 1
    RUNNING = 2
    WAITING = 3
    ELSEWHERE = 4
    COMPLETED = 5
    FAILED = 6
    CANCELLED = 7
    PAUSED = 8
    ASKING = 9


ENDED = 0  # the `until` of a wait for the end alone
_PAUSE_NOW, _PAUSE_DRAIN = 1, 2
_GAP, _HOLD = 0, 1


def until_bits(states):
    """The `until` of blazen_run_wait_until for some states beside the end."""
    try:
        return sum(1 << RunState(state) for state in set(states))
    except (TypeError, ValueError):
        raise TypeError(f"until is a list of RunStates, not {states!r}") from None


@DONE_FN
def _call_done(user_data, _run, state):
    _objects.find(user_data)(state)


def when(pointer, until, function):
    """Calls function(state), once, when a run ends or comes to one of these states, on whichever thread it does."""
    lib.run_on_state(pointer, until, _call_done, _objects.keep(function), _objects.drop)


def respond(pointer, request_id, answer):
    """Answers an open question of the run with this handle."""
    name = text("request_id", request_id)
    with _make.value(answer) as made:
        lib.run_respond(pointer, *name, made)


def fail_question(pointer, request_id, exception):
    """An open question cannot be answered: the exception comes out of run.result()."""
    name, cause = text("request_id", request_id), HANDLE()
    errors.report(exception, ctypes.byref(cause), pointer)
    with owned(cause, c.error_release):
        lib.run_fail_question(pointer, *name, cause)


class Values(Versioned):
    """The state of a run as others than its steps see it: as ctx.state, at any time. What an atomic step writes is there
    when that has completed. Before the start, it says what the state begins with; after the end, it can be read."""

    _get_call = staticmethod(lib.run_get_value)
    _keys_call = staticmethod(lib.run_keys)
    _apply_call = staticmethod(lib.run_apply)
    _compare_and_set_call = staticmethod(lib.run_compare_and_set)

    def __setitem__(self, key, value):
        self.apply({key: value})

    def __delitem__(self, key):
        if key not in self:
            raise KeyError(key)
        self.apply(remove=[key])

    def __contains__(self, key):
        return isinstance(key, str) and self.version(key) != 0

    def clear(self):
        self.apply(remove=self.names())


class AnyRun:
    """A run, or one inside another."""

    def __init__(self, runtime, pointer):
        self._runtime = runtime  # stays open while there is a run to ask
        self._handle = Handle(pointer, c.run_release)

    @property
    def id(self):
        return _read.text(c.run_id, self._handle.pointer)

    @property
    def state(self):
        return errors.known(RunState, c.run_state_now(self._handle.pointer))

    @property
    def values(self):
        """Its state, as a dict: run.values[key] is what its steps have as ctx.state[key]."""
        return Values(self._handle)

    def describe(self):
        """What it is doing now, as a dict: status, in_flight, queued, retrying, delayed, questions, counters, more. In
        children, each run inside it has the step and the invocation_id that host it, and, as run, a dict like this."""
        return self._ask(lib.run_describe)

    def stages(self):
        """Where the stages of a pipeline stand, as a dict: stages (of each: name, status, round, took_ms and more), current,
        total, percent. Status.WRONG_STATE of a run that is no pipeline."""
        return self._ask(lib.run_stages)

    def send_event(self, event, step=None, *, delay=0, scope=0):
        """Sends an event from outside, to be routed after so many seconds. step: to that one alone. scope: the id of the
        open scope that it belongs to (ctx.scope_id), so that its joins can take it; Status.NOT_FOUND where it is over."""
        with _make.event(event) as made:
            lib.run_send_event(self._handle.pointer, made, _make.send_options(step, delay, scope))

    def cancel_invocation(self, invocation_id, *, retry=False):
        """Its step fails with Status.CANCELLED, and the run goes on; Status.NOT_FOUND where no such one is open.

        retry  it is tried again where the retry policy of the step says so; else it has failed for good
        """
        number = whole("invocation_id", invocation_id, 64)
        lib.run_cancel_invocation(self._handle.pointer, number, flag("retry", retry))

    def _result_now(self, read):
        try:
            return self._ask(lib.run_result, read)
        except errors.BlazenError as failure:
            interrupt = _interrupts.beneath(failure)
            if interrupt is None:
                raise
        raise interrupt

    def _ask(self, call, read=_read.value):
        with owned(call(self._handle.pointer), c.value_release) as value:
            return read(value)


class ChildRun(AnyRun):
    """A run inside another: of a step that is a workflow. What is for all of them at once is the Run's: a pause, a
    snapshot, the end, waiting, streams, questions."""

    def __init__(self, run, pointer):
        super().__init__(run._runtime, pointer)
        self._run = run  # has the exceptions

    def result(self):
        """The value of its StopEvent; Status.WRONG_STATE while it has not ended. Nobody waits here."""
        return self._result_now(_read.value)

    def stored_result(self):
        """The result in its stored form."""
        return self._result_now(_read.stored)


class Run(AnyRun):
    """One run of a workflow. It goes on without this object, for as long as its runtime is open."""

    def __init__(self, runtime, pointer):
        super().__init__(runtime, pointer)
        self._exceptions = _objects.Holder(pointer)

    @property
    def metadata(self):
        """What it was given when it was created, and keeps in its snapshots; None where that was nothing."""
        return _read.value_or_none(c.run_metadata(self._handle.pointer))

    def start(self, input=None):
        """Starts it; a resumed run has had its input."""
        with _make.value_or_null(input) as made:
            lib.run_start(self._handle.pointer, made)

    def wait(self, timeout=None, until=(RunState.ELSEWHERE,)):
        """Waits until it has ended or come to one of these states, such as PAUSED or ASKING, and answers the state;
        BlazenTimeout after so many seconds, or soon where only the host could end the wait, such as by its Clock, or, in
        the mode "pump", by resume_in_place()."""
        bits = until_bits(until)
        state = _waiting.wait(
            lambda slice_ms: lib.run_wait_until(self._handle.pointer, bits, slice_ms), timeout, self._is_stuck
        )
        return errors.known(RunState, state)

    def _is_stuck(self):
        """Whether it is paused, and the thread that waits is the one to let it go on."""
        return self._runtime.is_pump and self.state is RunState.PAUSED and not self.describe()["in_flight"]

    def result(self, timeout=None):
        """Waits, and answers the value of the StopEvent; raises BlazenError where there is none, or the KeyboardInterrupt,
        the SystemExit or whatever else is no Exception that a step has raised."""
        return self._result(timeout, _read.value)

    def stored_result(self, timeout=None):
        """The result in its stored form."""
        return self._result(timeout, _read.stored)

    def _result(self, timeout, read):
        self.wait(timeout)
        return self._result_now(read)

    def elsewhere(self):
        """The names of the steps elsewhere that have events queued."""
        return self._ask(lib.run_elsewhere)

    def dropped(self):
        """The names of what the snapshots that it comes from, or its resume, have left out: "session 'db'"."""
        return self._ask(lib.run_dropped)

    def child(self, run_id):
        """The run of this id inside it, at any depth, as a ChildRun: the id is an event's child_run_id, or in its path, or
        in describe()["children"]. Status.NOT_FOUND where that has ended, or never was."""
        given = str(run_id) if isinstance(run_id, uuid.UUID) else run_id
        return ChildRun(self, lib.run_child(self._handle.pointer, *text("run_id", given)))

    def pause(self, *, drain=False):
        """No step starts any more; wait(until=[RunState.PAUSED]) says when that is so, with drain: when none runs."""
        lib.run_pause(self._handle.pointer, _PAUSE_DRAIN if flag("drain", drain) else _PAUSE_NOW)

    def resume_in_place(self):
        """Goes on after a pause."""
        lib.run_resume_in_place(self._handle.pointer)

    def abort(self):
        """Ends it at once with Status.ABORTED, and tells its steps to cancel; does not wait for them."""
        lib.run_abort(self._handle.pointer)

    def questions(self):
        """The open questions, oldest first, as dicts: request_id, prompt, metadata, step, asked_ms and more. Those of the
        runs inside it too, which have a path; their request_id, by which they are answered, begins with that of the run."""
        return self._ask(lib.run_questions)

    def respond(self, request_id, answer):
        """Answers an open question with any object; Status.NOT_FOUND where there is none of this id."""
        respond(self._handle.pointer, request_id, answer)

    def respond_early(self, request_id, answer):
        """Answers a question that may not be asked yet: whoever asks under this id has the answer at once. Where there is
        one already, Status.CONFLICT."""
        name = text("request_id", request_id)
        with _make.value(answer) as made:
            lib.run_respond_early(self._handle.pointer, *name, made)

    def withdraw_question(self, request_id):
        """Nobody needs to answer an open question any more: for the step that asked it, ctx.ask fails with
        Status.CANCELLED. Status.NOT_FOUND where there is none of this id."""
        lib.run_withdraw_question(self._handle.pointer, *text("request_id", request_id))

    def snapshot(self):
        """The whole run as bytes, at any instant, without stopping it."""
        with _interrupts.raised(), owned(lib.run_snapshot(self._handle.pointer), c.snapshot_release) as snapshot:
            return read_snapshot(snapshot)

    def stream(self, *, own_level=False):
        """What the run publishes from now on; taken before the start, it misses nothing. own_level: as of subscribe()."""
        return self.subscribe(own_level=own_level)

    def subscribe(
        self, *, from_=0, types=None, lifecycle=False, routed=False, hold=False, capacity=0, own_level=False
    ):
        """What the run publishes, and the runs inside it: what comes of those has its path.

        from_      0: from now on; n: from item n on, as far as it is kept
        types      these event types alone; None: all
        lifecycle  what happens to the run itself, and the progress of its steps, too
        routed     every event that is routed, too: the start, what steps send and return, what comes from outside, the stop
        hold       the run waits for this stream while that has `capacity` items to take; else it gets a gap
        own_level  nothing of the runs inside it
        """
        return Stream(self._subscribe(from_, types, lifecycle, routed, hold, capacity, own_level), self._is_stuck)

    def _subscribe(self, from_, types, lifecycle, routed, hold, capacity, own_level):
        options = StreamOptions(
            from_=whole("from_", from_, 64),
            overflow=_HOLD if flag("hold", hold) else _GAP,
            capacity=whole("capacity", capacity, 64),
            lifecycle=flag("lifecycle", lifecycle),
            routed=flag("routed", routed),
            own_level=flag("own_level", own_level),
        )
        if types is not None:
            names = texts("types", types)
            options.types, options.type_lengths = _make.name_arrays(names)
            options.type_count = len(names)
        return lib.run_subscribe_with(self._handle.pointer, options)

    def close(self, timeout=None):
        """Cancels it where it has not ended, and waits until no step of it runs any more; no longer than so many seconds:
        then BlazenTimeout, which names the steps that are still at work."""
        _waiting.wait(lambda slice_ms: lib.run_close_within(self._handle.pointer, slice_ms), timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
