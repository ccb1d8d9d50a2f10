"""Exceptions that are not the run's business: KeyboardInterrupt, SystemExit, and what else is no Exception.

What a callback raises cannot go through the library. Such an exception fails the step, without another attempt, and it is
raised again where somebody can hear it: from the call that has run the callback on this thread (Ctrl-C comes to the main
thread, which runs steps while it waits), and from run.result().

CancelledError and GeneratorExit are none: they are about one coroutine, not about the program.
"""

import asyncio
import threading

HOST_CODE = -(2**63)  # of such a failure; no Retry tries it again


class _Local(threading.local):
    caught = None  # a list while a call of this thread may run callbacks


_local = _Local()


def is_interrupt(exception):
    return not isinstance(exception, (Exception, asyncio.CancelledError, GeneratorExit))


def note(exception):
    """A callback has raised this: if it is an interrupt, the call that runs the callback raises it."""
    if _local.caught is not None and is_interrupt(exception):
        _local.caught.append(exception)


class raised:
    """A `with` block around a call of the library that may run callbacks: it raises the interrupt that one has raised."""

    def __enter__(self):
        self._outer = _local.caught
        _local.caught = self._caught = []

    def __exit__(self, *_):
        _local.caught = self._outer
        if self._caught:
            raise self._caught[0]


def beneath(failure):
    """The interrupt that a BlazenError is about, or None."""
    cause = failure.__cause__
    while isinstance(cause, type(failure)):
        cause = cause.__cause__
    return cause if cause is not None and is_interrupt(cause) else None
