"""From Python to handles: values and events, each owned during a `with` block."""

import contextlib
import math
from ctypes import byref

from . import _live, _objects, errors, tiers
from ._c import HANDLE, EventOptions, SendOptions, c
from ._calls import lib
from ._handles import owned
from .events import STOP_EVENT


def value(thing, pack=tiers.pack):
    """A value of an object, in the tier that `pack` chooses; what that leaves over is LIVE."""
    return owned(_create(thing, pack(thing)), c.value_release)


def _create(thing, stored):
    if stored is None:
        return _create_live(thing)
    if stored.tag == tiers.Tag.JSON:
        return lib.value_json(stored.data, len(stored.data))
    if stored.tag == tiers.Tag.BYTES:
        return lib.value_bytes(stored.data, len(stored.data))
    codec = stored.codec.encode()
    return lib.value_native(stored.data, len(stored.data), codec, len(codec))


def _create_live(thing):
    made, error = HANDLE(), HANDLE()
    status = _live.create(_objects.keep(thing), _live.label_of(thing), byref(made), byref(error))
    if status != errors.Status.OK:
        raise errors.failure(status, error)
    return made.value


@contextlib.contextmanager
def event(given):
    """An event. The result of a run keeps its identity, unless it is plain data."""
    kind = given.type.encode()
    pack = tiers.pack_plain if given.type == STOP_EVENT else tiers.pack
    with value(given.value, pack) as carried:
        made = lib.event_create(kind, len(kind), carried, _event_options(given.correlation))
    with owned(made, c.event_release):
        yield made


def _event_options(correlation):
    if correlation is None:
        return None
    text = correlation.encode()
    return EventOptions(correlation=text, correlation_length=len(text))


def send_options(step, delay=0):
    """The options that send to one step (None: to all that accept), so many seconds later."""
    if step is None and not delay:
        return None
    text = None if step is None else step.encode()
    return SendOptions(step=text, step_length=len(text or b""), delay_ms=milliseconds(delay))


def milliseconds(seconds):
    """A time for the library, rounded up: nothing comes too early."""
    return math.ceil(seconds * 1000)
