"""Runs: start, wait, result, snapshot, stream."""

import enum

from . import _make, _objects, _read, _waiting, errors
from ._c import c
from ._calls import lib
from ._handles import Handle, owned
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


class Run:
    """One run of a workflow. It goes on without this object, for as long as its runtime is open."""

    def __init__(self, runtime, pointer):
        self._runtime = runtime  # stays open while there is a run to ask
        self._handle = Handle(pointer, c.run_release)
        self._exceptions = _objects.Holder(pointer)

    @property
    def id(self):
        return _read.text(c.run_id, self._handle.pointer)

    @property
    def state(self):
        return errors.known(RunState, c.run_state_now(self._handle.pointer))

    def start(self, input=None):
        """Starts it; a resumed run has had its input."""
        if input is None:
            lib.run_start(self._handle.pointer, None)
            return
        with _make.value(input) as made:
            lib.run_start(self._handle.pointer, made)

    def wait(self, timeout=None):
        """Waits until it has ended or parked elsewhere, and answers the state; BlazenTimeout after so many seconds."""
        state = _waiting.wait(lambda slice_ms: lib.run_wait(self._handle.pointer, slice_ms), timeout)
        return errors.known(RunState, state)

    def result(self, timeout=None):
        """Waits, and answers the value of the StopEvent; raises BlazenError where there is none."""
        return self._result(timeout, _read.value)

    def stored_result(self, timeout=None):
        """The result in its stored form."""
        return self._result(timeout, _read.stored)

    def _result(self, timeout, read):
        self.wait(timeout)
        with owned(lib.run_result(self._handle.pointer), c.value_release) as value:
            return read(value)

    def elsewhere(self):
        """The names of the steps elsewhere that have events queued."""
        with owned(lib.run_elsewhere(self._handle.pointer), c.value_release) as names:
            return _read.value(names)

    def send_event(self, event, step=None):
        """Sends an event from outside. step: to that one alone."""
        with _make.event(event) as made:
            lib.run_send_event(self._handle.pointer, made, _make.send_options(step))

    def snapshot(self):
        """The whole run as bytes, at any instant, without stopping it."""
        with owned(lib.run_snapshot(self._handle.pointer), c.snapshot_release) as snapshot:
            return read_snapshot(snapshot)

    def stream(self):
        """What the run publishes from now on; taken before the start, it misses nothing."""
        return Stream(lib.run_subscribe(self._handle.pointer))

    def close(self):
        """Cancels it where it has not ended, and waits until no step of it runs any more."""
        lib.run_close(self._handle.pointer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
