"""The time of a runtime, told by the host."""

import time
import weakref

from ._arguments import milliseconds
from ._c import CLOCK_FN

# What the engine reads: milliseconds, by the user_data of each runtime that has a Clock. It reads while it holds a lock,
# where no Python code may run: a finalizer or a signal handler in it could call the engine. So the callback is a dict's
# own __getitem__, which is C, and the time is a number and not a function.
_times_ms = {}
READ_CLOCK = CLOCK_FN(_times_ms.__getitem__)


class Clock:
    """A time that stands still until it is set, for Runtime(clock=...). After that, poll: only a poll finds what is due.
    Where steps run on other threads, poll from time to time: they may be about to say what will be due.

        clock = blazen.Clock()
        runtime = blazen.Runtime(mode="pump", clock=clock)
        ...
        clock.advance(3600)
        runtime.poll()
    """

    def __init__(self, now=None):
        """now: seconds since 1970; None: as the system says."""
        self._now_ms = milliseconds("now", time.time() if now is None else now)
        self._runtimes = set()

    @property
    def now(self):
        """Seconds since 1970."""
        return self._now_ms / 1000

    def set(self, now):
        """Sets it to so many seconds since 1970. It never falls."""
        now_ms = milliseconds("now", now)
        if now_ms < self._now_ms:
            raise ValueError(f"now is {now}, and was {self.now} already: a clock never falls")
        self._set_ms(now_ms)

    def advance(self, seconds):
        self._set_ms(self._now_ms + milliseconds("seconds", seconds))

    def _set_ms(self, now_ms):
        self._now_ms = now_ms
        for runtime in list(self._runtimes):
            _times_ms[runtime] = now_ms

    # ---- for the binding itself ----

    def begin(self, owner, runtime):
        """The runtime with this user_data reads this clock from now on, for as long as its owner lives."""
        _times_ms[runtime] = self._now_ms
        self._runtimes.add(runtime)
        weakref.finalize(owner, self._end, runtime).atexit = False

    def _end(self, runtime):
        self._runtimes.discard(runtime)
        del _times_ms[runtime]
