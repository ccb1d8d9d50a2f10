"""Waiting in slices, so that Ctrl-C gets through: Python sees a signal only between two calls, or in a step that the
waiting thread runs."""

import time

from . import _interrupts, errors
from ._arguments import milliseconds
from ._c import has_feature

FOREVER_MS = -1
_SLICE_MS = 100
_EARLY_S = _SLICE_MS / 2000  # a wait that times out so early has said that only the host could end it
_SLICED = has_feature("threads")  # without them, every wait does


def wait(call, timeout_s, is_stuck=lambda: False):
    """Answers call(timeout_ms) as soon as it does not time out; None: without a deadline, for as long as it is not stuck."""
    deadline = None if timeout_s is None else time.monotonic() + milliseconds("timeout", timeout_s) / 1000
    while True:
        begun = time.monotonic()
        left_ms = FOREVER_MS if deadline is None else max(0, round((deadline - begun) * 1000))
        is_last = not _SLICED or 0 <= left_ms <= _SLICE_MS
        try:
            with _interrupts.raised():
                return call(left_ms if is_last else _SLICE_MS)
        except errors.BlazenTimeout:
            if is_last or time.monotonic() - begun < _EARLY_S or (deadline is None and is_stuck()):
                raise
