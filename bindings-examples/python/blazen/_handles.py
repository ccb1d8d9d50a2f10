"""Who releases a handle: a `with` block that owns it for a moment, or a Handle, when Python collects it."""

import contextlib
import weakref


@contextlib.contextmanager
def owned(pointer, release):
    """Owns a handle during a `with` block."""
    try:
        yield pointer
    finally:
        release(pointer)


class Handle:
    """Owns a handle for as long as the Python object lives.

    Neither closing nor the exit of the interpreter releases: a call of another thread may still be using the handle.
    """

    def __init__(self, pointer, release):
        self.pointer = pointer
        weakref.finalize(self, release, pointer).atexit = False
