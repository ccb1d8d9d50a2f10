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
    """A text that a callback, or a view, is lent."""
    return ctypes.string_at(pointer, length).decode()


def string_or_none(pointer, length):
    """As string; NULL gives None."""
    return None if pointer is None else string(pointer, length)


def text(function, handle):
    """The text that a getter hands out; None where it answers NULL."""
    found = data(function, handle)
    return None if found is None else found.decode()


def stored(value):
    """A value in its stored form."""
    tag = tiers.Tag(c.value_tag(value))
    return tiers.Stored(tag, data(c.value_data, value) or b"", text(c.value_codec, value) or "")


def stored_in(view):
    """As stored: the value that a view shows."""
    data = b"" if view.data is None else ctypes.string_at(view.data, view.data_length)
    return tiers.Stored(tiers.Tag(view.tag), data, string(view.codec, view.codec_length))


def value(handle):
    """The object in a value: for a LIVE one of ours, the very same."""
    return _object_of(stored(handle), handle)


def value_in(view):
    """As value: the one that a view shows."""
    return _object_of(stored_in(view), view.value)


def _object_of(found, handle):
    if found.tag == tiers.Tag.LIVE and _live.is_ours(found.codec):
        return _objects.find(c.value_object(handle))
    return tiers.unpack(found)


def value_or_none(handle):
    """As value; NULL gives None."""
    return None if handle is None else value(handle)
