"""Waiting in slices, so that Ctrl-C gets through: Python sees a signal only between two calls."""

import time

from . import errors
from ._c import has_feature

FOREVER_MS = -1
_SLICE_MS = 100
_SLICED = has_feature("threads")  # without them, a wait that times out early has said that it would never end


def wait(call, timeout_s):
    """Answers call(timeout_ms) as soon as it does not time out; None: without a deadline."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left_ms = FOREVER_MS if deadline is None else max(0, round((deadline - time.monotonic()) * 1000))
        is_last = not _SLICED or 0 <= left_ms <= _SLICE_MS
        try:
            return call(left_ms if is_last else _SLICE_MS)
        except errors.BlazenTimeout:
            if is_last:
                raise
