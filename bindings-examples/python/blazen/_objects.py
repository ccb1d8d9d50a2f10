"""Python objects that libblazen refers to, as `void *`: each is an integer id, and an entry in one table.

An entry is made when an object is given to the library, and goes when the library calls drop on its id: so the table is
what keeps steps and LIVE values alive, and an empty table proves that nothing leaks.
"""

import itertools

from ._c import DROP_FN

_ids = itertools.count(1)  # 0 would be NULL
_objects = {}


def keep(thing):
    """Keeps an object until the library drops the id that is answered."""
    number = next(_ids)
    _objects[number] = thing
    return number


def find(number):
    """The very object that was kept under this id."""
    return _objects[number]


def live_count():
    """How many objects the library holds now."""
    return len(_objects)


@DROP_FN
def drop(number):
    """The blazen_drop_fn of everything that was kept here."""
    _objects.pop(number, None)
