"""Which form a Python object takes as a value.

    bytes, bytearray, memoryview       BYTES                    any language reads them
    None, bool, int, float, str, and   JSON                     any language reads it
      list and dict of them
    plain data beyond JSON             NATIVE "blazen/cbor"     any language reads it
    whatever else pickles              NATIVE "python/pickle"   any language carries it, Python reads it
    the rest: sockets, locks, lambdas  LIVE                     the object itself, in this process alone

Only exact types go as JSON and CBOR, so that all comes back as the type that it was: a tuple or a Counter pickles. A
bytearray comes back as bytes.

Codecs: `blazen/cbor` (version 1; read and written by all languages; reading executes no code), `python/pickle` (protocol 5;
written and read by Python; reading executes code: resume(..., trusted=False) hands it out as Foreign).
"""

import contextvars
import datetime
import enum
import pickle
from dataclasses import dataclass
from typing import Any

from . import _blazen, _cbor

PICKLE = "python/pickle"
_PICKLED_LIVE = "python/object"
_EVENT = "blazen/event"
_EMBEDDED = b"\xd8\x1b"  # CBOR that is one embedded object: its own codec says more
_PLAIN = (list, dict, str, int, float, datetime.datetime, datetime.date)

untrusted: contextvars.ContextVar[bool] = contextvars.ContextVar("blazen: pickles are not read", default=False)


class Tag(enum.IntEnum):
    """The tag of a value."""

    JSON = 1
    BYTES = 2
    NATIVE = 3
    LIVE = 4


@dataclass(frozen=True)
class Foreign:
    """A value of another platform: it may be set, sent and nested again, and comes out bit for bit.

    `isinstance(value, Foreign)` is the test for one.
    """

    tag: Tag
    codec: str
    data: bytes


class NotStorable(TypeError):
    """An object that has no stored form: it does not pickle, or its pickle cannot be read again."""


_known_to_unpickle: set[type] = set()
_CONTAINERS = (list, dict, tuple, set, frozenset)


def dump_pickle(thing: Any) -> bytes:
    """Pickles, and sees that the pickle can be read again: once for each class."""
    try:
        data = pickle.dumps(thing, protocol=5)
        if type(thing) not in _known_to_unpickle:
            pickle.loads(data)
    except Exception as failure:
        raise NotStorable(f"{type(thing).__qualname__} object: {failure!r}") from failure
    if not isinstance(thing, _CONTAINERS):
        _known_to_unpickle.add(type(thing))
    return data


def load(codec: str, data: bytes) -> Any:
    """What NATIVE bytes say; Foreign where they are another platform's."""
    if codec == _cbor.CODEC:
        return _cbor.load(data, load)
    if codec == PICKLE and not untrusted.get():
        return pickle.loads(data)
    return Foreign(Tag.NATIVE, codec, data)


def _embed(thing: Any) -> tuple[str, bytes]:
    if isinstance(thing, Foreign):
        return thing.codec, thing.data
    return PICKLE, dump_pickle(thing)


Packed = tuple[int, bytes | None, str]


def pack(thing: Any) -> Packed:
    """Tag, bytes and codec of an object that is neither JSON nor bytes; LIVE has no bytes, and a label."""
    if isinstance(thing, Foreign):
        return thing.tag, thing.data, thing.codec
    if type(thing) in (bytes, bytearray, memoryview):
        return Tag.BYTES, bytes(thing), ""
    try:
        if type(thing) in _PLAIN:
            try:
                data = _cbor.dump(thing, _embed)
                if not data.startswith(_EMBEDDED):
                    return Tag.NATIVE, data, _cbor.CODEC
            except _cbor.NotPlain:
                pass
        return Tag.NATIVE, dump_pickle(thing), PICKLE
    except NotStorable:
        return Tag.LIVE, None, label_of(thing)


def stored(thing: Any) -> Packed:
    """As pack, of any object."""
    if type(thing) is bytes:
        return Tag.BYTES, thing, ""
    text = _blazen.json(thing)
    return pack(thing) if text is None else (Tag.JSON, text, "")


# ---- LIVE ----


def label_of(thing: Any) -> str:
    """Who makes it again: of a class with __blazen_serialize__, its __blazen_type__ or its name."""
    kind = type(thing)
    if not hasattr(kind, "__blazen_serialize__"):
        return _PICKLED_LIVE
    label = getattr(kind, "__blazen_type__", kind.__name__)
    return str(label)


class LiveFields(dict[str, Any]):
    """The fields of an event that was LIVE in a snapshot."""


def serialize(thing: Any) -> Packed:
    """What a snapshot keeps of a LIVE object."""
    if isinstance(thing, _blazen.EventBase):
        return Tag.NATIVE, _cbor.dump(_Fields(thing).kept(), _embed), _cbor.CODEC
    if hasattr(type(thing), "__blazen_serialize__"):
        return Tag.BYTES, _serialized(thing), ""
    return Tag.NATIVE, dump_pickle(thing), PICKLE


def _serialized(thing: Any) -> bytes:
    data = thing.__blazen_serialize__()
    if not isinstance(data, (bytes, bytearray)):
        raise TypeError(f"__blazen_serialize__ of {type(thing).__qualname__} gives bytes, not {data!r}")
    return bytes(data)


class _Fields:
    """Of an event with a live field: each of those as [label, bytes]."""

    def __init__(self, event: Any) -> None:
        self._fields = event.to_dict()

    def kept(self) -> dict[str, Any]:
        return {name: self._keep(name, thing) for name, thing in self._fields.items()}

    def _keep(self, name: str, thing: Any) -> Any:
        try:
            if hasattr(type(thing), "__blazen_serialize__"):
                return Foreign(Tag.NATIVE, label_of(thing), _serialized(thing))
            _cbor.dump(thing, _embed)
        except Exception as failure:
            raise NotStorable(f"the field {name!r}: {failure}") from failure
        return thing


def pack_event(event: Any) -> Packed:
    """The fields of an event that JSON does not hold."""
    fields = event.to_dict()
    if not any(hasattr(type(thing), "__blazen_serialize__") for thing in fields.values()):
        try:
            return Tag.NATIVE, _cbor.dump(fields, _embed), _cbor.CODEC
        except NotStorable:
            pass
        except _cbor.NotPlain as failure:
            raise ValueError(f"{event!r} cannot be sent: {failure}") from failure
    return Tag.LIVE, None, _EVENT


def deserializers(by_label: dict[str, Any]) -> dict[str, Any]:
    """What resume gives the library: {label: function}, with those of this package."""
    loads: dict[str, Any] = {_PICKLED_LIVE: None, _EVENT: by_label}
    for label, function in by_label.items():
        if not callable(function):
            raise TypeError(f"deserializers[{label!r}] is a function of bytes, not {function!r}")
        if label in loads:
            raise ValueError(f"deserializers[{label!r}]: this label is the package's own")
        loads[label] = function
    return loads


def deserialize(function: Any, label: str, tag: int, data: bytes, codec: str) -> tuple[Any, str | None]:
    """A LIVE object made again; or why it cannot be, which a resume may leave out."""
    if label == _EVENT:

        def extract(codec: str, data: bytes) -> Any:
            return function[codec](data) if codec in function else load(codec, data)

        return _event_of_fields(_cbor.load(data, extract)), None
    if function is not None:
        return function(data), None
    try:
        return load(codec, data), None
    except Exception as failure:
        return None, f"it does not unpickle here: {failure!r}".encode(errors="replace").decode()


def _event_of_fields(fields: dict[str, Any]) -> Any:
    from .events import Event

    return _blazen.make_event(Event, "", fields, False)
