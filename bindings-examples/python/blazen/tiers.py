"""Which form a Python object takes as a value: the four tiers. Nothing here knows the library.

    bytes, bytearray, memoryview          BYTES                     any language reads them
    None, bool, int, float, str, and      JSON                      any language reads it
      list and dict of them
    whatever else pickles                 NATIVE "python/pickle"    any language carries it, Python reads it
    the rest: sockets, locks, lambdas     LIVE                      the object itself, in this process alone

Only exact types go as JSON, so that everything comes back as the type that it was: a tuple, a Counter, an IntEnum or a
NaN pickles. A bytearray comes back as bytes.
"""

import enum
import json
import pickle
from typing import NamedTuple

PICKLE_CODEC = "python/pickle"
_PICKLE_PROTOCOL = 5  # of Python 3.8 and newer: fixed, so that the same object has the same bytes everywhere
_JSON_DEPTH_MAX = 512  # BLAZEN_JSON_DEPTH_MAX
_JSON_ATOMS = (type(None), bool, int, float, str)


class Tag(enum.IntEnum):
    """The tag of a value, as in blazen.h."""

    NONE = 0
    JSON = 1
    BYTES = 2
    NATIVE = 3
    LIVE = 4


class Stored(NamedTuple):
    """A value as it is stored. Reading gives one for what belongs to another language; written, it goes as it came."""

    tag: Tag
    data: bytes
    codec: str = ""


def pack(thing):
    """The stored form of an object in the first three tiers; None: it is of the fourth."""
    if isinstance(thing, Stored):
        return thing
    return _pack_bytes(thing) or _pack_json(thing) or _pack_pickle(thing)


def pack_plain(thing):
    """As pack, for where an object should keep its identity: only plain data is packed."""
    if isinstance(thing, Stored):
        return thing
    return _pack_bytes(thing) or _pack_json(thing)


def pack_atom(thing):
    """As pack_plain, without lists, dicts and bytearrays: what is left has no identity that one could miss."""
    immutable = isinstance(thing, Stored) or type(thing) in _JSON_ATOMS or type(thing) is bytes
    return pack_plain(thing) if immutable else None


def unpack(stored):
    """The object that was packed; the stored form itself where it is another language's."""
    if stored.tag == Tag.JSON:
        return json.loads(stored.data)
    if stored.tag == Tag.BYTES:
        return stored.data
    if stored.tag == Tag.NATIVE and stored.codec == PICKLE_CODEC:
        return load_pickle(stored.data)
    return stored


def _pack_bytes(thing):
    if isinstance(thing, (bytes, bytearray, memoryview)):
        return Stored(Tag.BYTES, bytes(thing))
    return None


def _pack_json(thing):
    """The dump comes first: it refuses what is circular, or too deep to be walked."""
    try:
        text = json.dumps(thing, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):  # UnicodeEncodeError, of a lone surrogate, is a ValueError
        return None
    return Stored(Tag.JSON, text) if _is_plain(thing) else None


def _is_plain(thing):
    """Whether an object, which is not circular, has only exact types and is not too deep for the library."""
    pending = [(thing, 0)]
    while pending:
        thing, depth = pending.pop()
        if type(thing) in _JSON_ATOMS:
            continue
        if depth == _JSON_DEPTH_MAX:
            return False
        if type(thing) is dict and all(type(key) is str for key in thing):
            pending += ((item, depth + 1) for item in thing.values())
        elif type(thing) is list:
            pending += ((item, depth + 1) for item in thing)
        else:
            return False
    return True


def _pack_pickle(thing):
    """What cannot be pickled says so in many ways: any exception means the fourth tier."""
    try:
        return Stored(Tag.NATIVE, dump_pickle(thing), PICKLE_CODEC)
    except Exception:
        return None


def dump_pickle(thing):
    return pickle.dumps(thing, protocol=_PICKLE_PROTOCOL)


def load_pickle(data):
    return pickle.loads(data)
