"""Runtimes: who runs the steps."""

import ctypes

from . import _make
from ._c import RunOptions, RuntimeOptions, c
from ._calls import lib
from ._handles import Handle, owned
from .run import Run

_MODES = {"threads": 0, "pump": 1}


class Runtime:
    """mode "threads": threads of the engine (0: one for each processor); "pump": whoever waits or polls.

    Closed by a `with` block, or when nothing uses it any more: every run that has not ended is then cancelled.
    """

    def __init__(self, mode="threads", threads=0):
        options = RuntimeOptions(ctypes.sizeof(RuntimeOptions), _MODES[mode], threads)
        self._handle = Handle(lib.runtime_create(options), _close_and_release)

    def run(self, workflow, input=None, *, metadata=None):
        """A run, started with its input."""
        run = self.create(workflow, metadata=metadata)
        run.start(input)
        return run

    def create(self, workflow, *, metadata=None):
        """A run, not started yet: time to take its stream."""
        with _make.value(metadata) as made:
            options = RunOptions(ctypes.sizeof(RunOptions), None if metadata is None else made, 0)
            return Run(self, lib.run_create(self._handle.pointer, workflow.pointer, options))

    def resume(self, workflow, snapshot, *, allow_changed_workflow=False):
        """A run as it stood in a snapshot (bytes), not started yet."""
        options = RunOptions(ctypes.sizeof(RunOptions), None, allow_changed_workflow)
        with owned(lib.snapshot_parse(snapshot, len(snapshot)), c.snapshot_release) as parsed:
            return Run(self, lib.run_resume(self._handle.pointer, workflow.pointer, parsed, options))

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


def _close_and_release(pointer):
    """Before the interpreter goes away, the engine's threads must be gone: they call into it."""
    c.runtime_close(pointer, None)
    c.runtime_release(pointer)
