"""From Python to handles: values and events, each owned during a `with` block."""

import contextlib
import ctypes
from ctypes import byref

from . import _live, _objects, errors, tiers
from ._arguments import milliseconds, text, text_or_null, whole
from ._c import HANDLE, TEXT, EventOptions, SendOptions, c
from ._calls import lib
from ._handles import owned
from .events import STOP_EVENT, Event


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
    if stored.tag != tiers.Tag.NATIVE:
        raise TypeError(f"a value is stored as JSON, BYTES or NATIVE, not as {stored.tag!r}")
    return lib.value_native(stored.data, len(stored.data), *text("codec", stored.codec))


def _create_live(thing):
    made, error = HANDLE(), HANDLE()
    status = _live.create(_objects.keep(thing), _live.label_of(thing), byref(made), byref(error))
    if status != errors.Status.OK:
        raise errors.failure(status, error)
    return made.value


@contextlib.contextmanager
def value_or_null(thing):
    """As value; None gives NULL."""
    if thing is None:
        yield None
        return
    with value(thing) as made:
        yield made


@contextlib.contextmanager
def event(given):
    """An event. The result of a run keeps its identity, unless it is plain data."""
    if not isinstance(given, Event):
        raise TypeError(f"event is an Event, not {given!r}")
    pack = tiers.pack_plain if given.type == STOP_EVENT else tiers.pack
    with value(given.value, pack) as carried:
        made = lib.event_create(*text("event.type", given.type), carried, _event_options(given.correlation))
    with owned(made, c.event_release):
        yield made


def _event_options(correlation):
    if correlation is None:
        return None
    data, length = text("event.correlation", correlation)
    return EventOptions(correlation=data, correlation_length=length)


def send_options(step, delay=0, scope=0):
    """The options that send to one step (None: to all that accept), so many seconds later, into a scope."""
    data, length = text_or_null("step", step)
    delay_ms, scope_id = milliseconds("delay", delay), whole("scope", scope, 64)
    if step is None and delay_ms == scope_id == 0:
        return None
    return SendOptions(step=data, step_length=length, delay_ms=delay_ms, scope=scope_id)


def name_arrays(names):
    """What texts() answers, as the two arrays that calls take."""
    count = len(names)
    return (TEXT * count)(*(name for name, _ in names)), (ctypes.c_size_t * count)(*(length for _, length in names))


@contextlib.contextmanager
def batch(values, remove, expect):
    """A batch that sets, removes, and expects these versions."""
    with owned(lib.batch_create(), c.batch_release) as made:
        for key, version in (expect or {}).items():
            lib.batch_expect(made, *text("key", key), whole("version", version, 64))
        for key in remove:
            lib.batch_remove(made, *text("key", key))
        for key, given in (values or {}).items():
            with value(given) as carried:
                lib.batch_set(made, *text("key", key), carried)
        yield made
