"""Runtimes: who runs the steps."""

import contextlib

from . import _live, _make, _objects, errors
from ._c import INPUT_FN, RunOptions, RuntimeOptions, c
from ._calls import lib
from ._handles import Handle, owned
from .events import read_event
from .run import Run

_MODES = {"threads": 0, "pump": 1}
_UNKNOWN_LABELS = {"error": 0, "skip": 1}


@INPUT_FN
def _call_input_handler(user_data, _run, request, answer_out, error_out):
    """The blazen_input_fn of every handler. No exception leaves it."""
    try:
        answer = _objects.find(user_data)(read_event(request))
        if answer is not None:
            with _make.value(answer) as made:
                answer_out[0] = c.value_retain(made)
        return errors.Status.OK
    except BaseException as exception:
        return errors.refuse(exception, error_out)


class Runtime:
    """mode "threads": threads of the engine (0: one for each processor); "pump": whoever waits or polls.

    An input_handler is a function that gets the InputRequestEvent of each question of a run, and returns the answer; or
    None: run.respond() answers later.

    Closed by a `with` block, or when nothing uses it any more: every run that has not ended is then cancelled.
    """

    def __init__(self, mode="threads", threads=0):
        options = RuntimeOptions(mode=_MODES[mode], threads=threads)
        self._handle = Handle(lib.runtime_create(options), _close_and_release)

    def run(self, workflow, input=None, *, metadata=None, input_handler=None):
        """A run, started with its input."""
        run = self.create(workflow, metadata=metadata, input_handler=input_handler)
        run.start(input)
        return run

    def create(self, workflow, *, metadata=None, input_handler=None):
        """A run, not started yet: time to take its stream."""
        pointer = workflow.pointer
        with contextlib.nullcontext() if metadata is None else _make.value(metadata) as made:
            options = _run_options(input_handler, metadata=made)
            return self._run_of(lib.run_create(self._handle.pointer, pointer, options))

    def resume(
        self,
        workflow,
        snapshot,
        *,
        allow_changed_workflow=False,
        deserializers=None,
        unknown_label="error",
        time_has_passed=False,
        input_handler=None,
    ):
        """A run as it stood in a snapshot (bytes), not started yet.

        deserializers    {type name: function(bytes)}: make objects again that have a __blazen_serialize__
        unknown_label    what becomes of an object for which there is none: "error", or "skip" (run.dropped() names it)
        time_has_passed  delays and back-offs count by the date; else they stood still since the snapshot
        """
        pointer = workflow.pointer
        with owned(lib.snapshot_parse(snapshot, len(snapshot)), c.snapshot_release) as parsed:
            array, count = _live.deserializers(deserializers or {})
            options = _run_options(
                input_handler,
                allow_changed_workflow=allow_changed_workflow,
                deserializers=array,
                deserializer_count=count,
                unknown_label=_UNKNOWN_LABELS[unknown_label],
                time_has_passed=time_has_passed,
            )
            return self._run_of(lib.run_resume(self._handle.pointer, pointer, parsed, options))

    def _run_of(self, pointer):
        return Run(self, pointer)

    def poll(self, steps_max=0):
        """Runs up to so many steps on this thread (0: all that can run), and answers how many it ran."""
        return lib.runtime_poll(self._handle.pointer, steps_max)

    def close(self):
        """Cancels every run that has not ended, and waits until no step runs any more."""
        lib.runtime_close(self._handle.pointer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _run_options(input_handler, **fields):
    """The options of one call, which drops what they keep."""
    options = RunOptions(**fields)
    if input_handler is not None:
        options.input = _call_input_handler
        options.user_data = _objects.keep(input_handler)
        options.drop = _objects.drop
    return options


def _close_and_release(pointer):
    """Before the interpreter goes away, the engine's threads must be gone: they call into it."""
    c.runtime_close(pointer, None)
    c.runtime_release(pointer)
