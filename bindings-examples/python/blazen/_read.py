"""From handles to Python: texts, and the objects in values."""

import ctypes

from . import _live, _objects, tiers
from ._c import c


def data(function, handle):
    """The bytes that a getter hands out; None where it answers NULL."""
    length = ctypes.c_size_t()
    pointer = function(handle, ctypes.byref(length))
    return None if pointer is None else ctypes.string_at(pointer, length.value)


def string(pointer, length):
    """A text that a callback is lent."""
    return ctypes.string_at(pointer, length).decode()


def text(function, handle):
    """The text that a getter hands out; None where it answers NULL."""
    found = data(function, handle)
    return None if found is None else found.decode()


def stored(value):
    """A value in its stored form."""
    tag = tiers.Tag(c.value_tag(value))
    return tiers.Stored(tag, data(c.value_data, value) or b"", text(c.value_codec, value) or "")


def value(handle):
    """The object in a value: for a LIVE one of ours, the very same."""
    found = stored(handle)
    if found.tag == tiers.Tag.LIVE and _live.is_ours(found.codec):
        return _objects.find(c.value_object(handle))
    return tiers.unpack(found)


def value_or_none(handle):
    """As value; NULL gives None."""
    return None if handle is None else value(handle)
