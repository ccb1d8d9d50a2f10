"""LIVE values: Python objects that go by reference, and what a snapshot keeps of them.

    thing                                     label              a snapshot keeps     it is made again by
    has __blazen_serialize__() -> bytes       python/TYPE_NAME   these bytes          deserializers={"TYPE_NAME": ...}
    whatever else                             python/object      its pickle           unpickling

What does not pickle, or does not unpickle, cannot be kept: the session policy of the workflow says what becomes of it. So
a snapshot unpickles what it keeps, to see that it can be done. What still fails to in another process, where a class is
gone, is left out by a resume with unknown_label="skip".
"""

import ctypes

from . import _interrupts, _objects, tiers
from ._arguments import text
from ._c import DESERIALIZE_FN, SERIALIZE_FN, Deserializer, LiveOptions, c
from ._describe import describe

_PREFIX = "python/"
_PICKLED = _PREFIX + "object"
_NOT_SERIALIZABLE = 400  # Status.NOT_SERIALIZABLE; errors is built on this module


def is_ours(label):
    """Whether a LIVE value with this label has an id of _objects in it."""
    return label.startswith(_PREFIX)


def label_of(thing):
    return _PREFIX + type(thing).__qualname__ if hasattr(type(thing), "__blazen_serialize__") else _PICKLED


def create(kept, label, value_out, error_out=None):
    """A value for what _objects has under this id. Answers the status: it is for callbacks too."""
    data = label.encode()
    return c.value_live_with(kept, data, len(data), _OPTIONS, value_out, error_out)


@SERIALIZE_FN
def _serialize(number, value_out, error_out):
    """The blazen_serialize_fn of every object. No exception leaves it."""
    try:
        data, codec = _dump(_objects.find(number))
        if codec is None:
            return c.value_bytes(data, len(data), value_out, error_out)
        return c.value_native(data, len(data), codec, len(codec), value_out, error_out)
    except BaseException as exception:
        return _fail(exception, error_out)


def _dump(thing):
    if label_of(thing) != _PICKLED:
        return bytes(thing.__blazen_serialize__()), None
    data = tiers.dump_pickle(thing)
    try:
        tiers.load_pickle(data)
    except Exception as failure:
        raise TypeError(f"cannot unpickle {type(thing).__qualname__!r} object: {failure!r}") from failure
    return data, tiers.PICKLE_CODEC.encode()


def _fail(exception, error_out):
    _interrupts.note(exception)
    message = describe(exception)
    return c.error_host(0, message, len(message), None, error_out)


_OPTIONS = LiveOptions(drop=_objects.drop, serialize=_serialize)


# ---- making them again ----


def deserializers(by_type_name):
    """What blazen_run_options takes: an array, and its length. Each element is given to one call, which drops it."""
    loads = {_PICKLED: _unpickle}
    for name, load in dict(by_type_name).items():
        text("deserializers", name)
        if not callable(load):
            raise TypeError(f"deserializers[{name!r}] is a function, not {load!r}")
        loads[_PREFIX + name] = load
    array = (Deserializer * len(loads))()
    for element, (label, load) in zip(array, loads.items()):
        element.label, element.label_length = text("deserializers", label)
        element.deserialize = _deserialize
        element.user_data = _objects.keep((label, load))
        element.drop = _objects.drop
    return array, len(loads)


class _CannotUnpickle(Exception):
    """What is left out where the resume may leave things out."""


def _unpickle(data):
    try:
        return tiers.load_pickle(data)
    except Exception as failure:
        raise _CannotUnpickle(repr(failure)) from failure


@DESERIALIZE_FN
def _deserialize(user_data, _label, _label_length, kept, live_out, error_out):
    """The blazen_deserialize_fn of every label. No exception leaves it."""
    try:
        label, load = _objects.find(user_data)
        thing = load(_data(kept))
        return create(_objects.keep(thing), label, live_out, error_out)
    except _CannotUnpickle as exception:
        _fail(exception, error_out)
        return _NOT_SERIALIZABLE
    except BaseException as exception:
        return _fail(exception, error_out)


def _data(value):
    length = ctypes.c_size_t()
    pointer = c.value_data(value, ctypes.byref(length))
    return ctypes.string_at(pointer, length.value)
