"""The end of the interpreter: no thread may be in a callback of the library then.

CPython ends every other thread where that next needs the interpreter, by pthread_exit. In a callback this would unwind the
frames of the library, which no exception leaves: the process aborts. So, before that, everything is cancelled; a body that
looks at ctx.is_cancelled has `_GRACE_S` to return. In one that does not, SystemExit is raised, as at the end of a program;
until all have returned, or `_LIMIT_S` have passed. What waits in C for longer than that is said on stderr.

It runs after the threads that are no daemons have ended, and before modules are taken apart.
"""

import atexit
import ctypes
import os
import sys
import threading
import time

from ._c import c

_GRACE_S = 1.0
_LIMIT_S = 10.0
_SLICE_MS = 100

_open = []  # the handles of runtimes
_inside = {}  # by thread, how many callbacks with code of the host are under way


class inside:
    """A `with` block around a callback: its thread is in Python."""

    def __enter__(self):
        self._thread = threading.get_ident()
        _inside[self._thread] = _inside.get(self._thread, 0) + 1

    def __exit__(self, *_):
        count = _inside.pop(self._thread) - 1
        if count:
            _inside[self._thread] = count


def opened(runtime):
    _open.append(runtime)


def close_and_release(runtime):
    """When nothing uses a runtime any more. In a child of fork there is nothing to close."""
    if runtime in _open:
        _open.remove(runtime)
        c.runtime_close(runtime, None)
    c.runtime_release(runtime)


@atexit.register
def _close_all():
    begun = time.monotonic()
    while not all([_is_closed(runtime) for runtime in list(_open)]):
        passed = time.monotonic() - begun
        if passed > _LIMIT_S:
            print(f"blazen: at exit, {sum(_inside.values())} callbacks are still under way", file=sys.stderr)
            return
        if passed > _GRACE_S:
            _raise_in_callbacks()


def _is_closed(runtime):
    return c.runtime_close_within(runtime, _SLICE_MS, None) == 0


def _raise_in_callbacks():
    """Nothing runs between the look and the raise: this thread has the interpreter."""
    for thread in list(_inside):
        if thread != threading.get_ident():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(SystemExit))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open.clear)  # a child has none of the threads
