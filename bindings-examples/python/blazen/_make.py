"""From Python to handles: values and events, each owned during a `with` block."""

import contextlib
import ctypes

from . import _objects, _read, tiers
from ._c import EventOptions, SendOptions, c
from ._calls import lib
from ._handles import owned
from .events import STOP_EVENT


def value(thing, pack=tiers.pack):
    """A value of an object, in the tier that `pack` chooses; what that leaves over is LIVE."""
    return owned(_create(thing, pack(thing)), c.value_release)


def _create(thing, stored):
    if stored is None:
        label = _read.LIVE_LABEL.encode()
        return lib.value_live(_objects.keep(thing), label, len(label), _objects.drop)
    if stored.tag == tiers.Tag.JSON:
        return lib.value_json(stored.data, len(stored.data))
    if stored.tag == tiers.Tag.BYTES:
        return lib.value_bytes(stored.data, len(stored.data))
    codec = stored.codec.encode()
    return lib.value_native(stored.data, len(stored.data), codec, len(codec))


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
    return EventOptions(ctypes.sizeof(EventOptions), text, len(text))


def send_options(step):
    """The options that send to one step; None: to all that accept."""
    if step is None:
        return None
    text = step.encode()
    return SendOptions(ctypes.sizeof(SendOptions), text, len(text))
