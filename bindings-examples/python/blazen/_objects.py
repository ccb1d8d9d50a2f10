"""Python objects that libblazen refers to, as `void *`: each is an integer id, and an entry in one table.

An entry is made when an object is given to the library, and goes when the library calls drop on its id: so the table is
what keeps steps and LIVE values alive, and an empty table proves that nothing leaks.

An exception is the exception. Its traceback leads to the frames of whoever waited for the run, and so to the Run, which
keeps the library's run, which keeps the exception: a circle that Python could not see through the library. So the Run
itself has its exceptions, and the table only knows which Run that is.
"""

import itertools
import weakref

from ._c import DROP_FN

_ids = itertools.count(1)  # 0 would be NULL
_objects = {}
_holders = weakref.WeakValueDictionary()  # by the run's handle


class Holder(dict):
    """The objects that belong to one Run: it goes when the Run goes."""

    def __init__(self, run):
        super().__init__()
        _holders[run] = self


class _Held:
    """Stands in the table for an object in a Holder."""

    def __init__(self, holder):
        self.holder = weakref.ref(holder)


def keep(thing):
    """Keeps an object until the library drops the id that is answered."""
    number = next(_ids)
    _objects[number] = thing
    return number


def keep_with_run(thing, run):
    """As keep, in the Holder of a run; where there is none any more, nobody can be waiting for it."""
    holder = holder_of(run)
    if holder is None:
        return keep(thing)
    number = keep(_Held(holder))
    holder[number] = thing
    return number


def holder_of(run):
    """The Holder of the Run that has this handle; None where it is gone already."""
    return _holders.get(run)


def find(number):
    """The very object that was kept under this id; None where its Run is gone."""
    thing = _objects[number]
    if isinstance(thing, _Held):
        return (thing.holder() or {}).get(number)
    return thing


def live_count():
    """How many objects the library holds now."""
    return len(_objects)


@DROP_FN
def drop(number):
    """The blazen_drop_fn of everything that was kept here."""
    thing = _objects.pop(number, None)
    if isinstance(thing, _Held):
        (thing.holder() or {}).pop(number, None)
