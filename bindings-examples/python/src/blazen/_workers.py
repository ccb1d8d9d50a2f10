"""Threads for steps that are no coroutines. They never keep the interpreter from its exit, and never block a loop."""

import os
import queue
import threading
from collections.abc import Callable

_MOST = 256
_IDLE_SECONDS = 10.0


class _Pool:
    """Begins a thread where none is idle, as long as there are few; the rest waits, first in, first out.

    Each function in the queue is that of an idle thread, of a new one, or one of the backlog: so none is left behind.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._work: "queue.SimpleQueue[Callable[[], None]]" = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._threads = 0
        self._backlog = 0

    def submit(self, function: Callable[[], None]) -> None:
        with self._lock:
            begins = self._idle == 0 and self._threads < _MOST
            if self._idle > 0:
                self._idle -= 1
            elif begins:
                self._threads += 1
            else:
                self._backlog += 1
        self._work.put(function)
        if begins:
            threading.Thread(target=self._serve, name="blazen step", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                function = self._work.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._idle == 0:  # what is on its way is for this thread
                        continue
                    self._idle -= 1
                    self._threads -= 1
                    return
            function()
            del function
            with self._lock:
                if self._backlog > 0:
                    self._backlog -= 1
                else:
                    self._idle += 1


_pool = _Pool()


def submit(function: Callable[[], None]) -> None:
    """Calls a function, which raises nothing, on a thread of this process."""
    global _pool
    if _pool.pid != os.getpid():
        _pool = _Pool()
    _pool.submit(function)
