"""Streams: what a run publishes, as an iterator."""

from . import _waiting
from ._c import c
from ._calls import lib
from ._handles import Handle, owned
from .events import STREAM_END, read_event


class Stream:
    """Yields Events with their sequence, in order, until the run has ended or the stream is closed."""

    def __init__(self, pointer, is_stuck):
        self._handle = Handle(pointer, c.stream_release)
        self._is_stuck = is_stuck

    def __iter__(self):
        return self

    def __next__(self):
        event = self.next()
        if event.type == STREAM_END:
            raise StopIteration
        return event

    def next(self, timeout=None):
        """The next item, blazen::StreamEnd included; BlazenTimeout after so many seconds, or as run.wait() says."""
        return _waiting.wait(
            lambda slice_ms: _read(*lib.stream_next(self._handle.pointer, slice_ms)), timeout, self._is_stuck
        )

    def close(self):
        lib.stream_close(self._handle.pointer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _read(item, sequence):
    with owned(item, c.event_release):
        return read_event(item, sequence)
