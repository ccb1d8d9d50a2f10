"""Workflows: steps by decorator, steps elsewhere, steps of another language in this process."""

import ctypes

from . import _objects, _read, errors
from ._c import DROP_FN, STEP_FN, c
from ._calls import lib
from ._handles import Handle
from .context import Context
from .events import read_event

_UNHANDLED = {"fail": 0, "ignore": 1, "stream": 2}
_IDLE = {"fail": 0, "wait": 1}
_NO_DROP = DROP_FN()


@STEP_FN
def _call_step(user_data, context, event, error):
    """The blazen_step_fn of every step in Python: user_data says which. No exception leaves it."""
    ctx = Context(context)
    try:
        ctx.emit_all(_objects.find(user_data)(ctx, read_event(event)))
        return errors.Status.PENDING if ctx.is_deferred else errors.Status.OK
    except BaseException as exception:
        return errors.report(exception, context, error)
    finally:
        ctx.leave()


class Workflow:
    """Steps are added until build(); runs may share what was built.

    unhandled  what becomes of an event that no step accepts: "fail", "ignore" or "stream"
    idle       what becomes of a run that can make no progress: "fail" or "wait"
    """

    def __init__(self, name, *, unhandled="fail", idle="fail"):
        text = name.encode()
        self._builder = Handle(lib.workflow_builder_create(text, len(text)), c.workflow_builder_release)
        self._built = None
        self._kept = []  # bodies of other languages
        self.name = name
        lib.workflow_builder_set_unhandled(self._builder.pointer, _UNHANDLED[unhandled])
        lib.workflow_builder_set_idle(self._builder.pointer, _IDLE[idle])

    def step(self, *, accepts, name=None, max_concurrency=0, emits=()):
        """Makes a function (ctx, event) a step. It returns None, an Event or a list of Events, or calls ctx.defer().

        accepts          the event type that starts it, or several
        name             the function's own, unless given
        max_concurrency  how many of it run at once in one run; 0: any number
        emits            the event types that it emits, if they should be checked
        """

        def register(function):
            body = (_call_step, _objects.keep(function), _objects.drop)
            self._add(lib.workflow_builder_add_step, name or function.__name__, accepts, body, max_concurrency, emits)
            return function

        return register

    def elsewhere(self, name, *, accepts, max_concurrency=0, emits=()):
        """A step whose body is in another process, or another language."""
        self._add(lib.workflow_builder_add_elsewhere, name, accepts, (), max_concurrency, emits)

    def native(self, name, body, *, accepts, max_concurrency=0, emits=()):
        """A step in C, or any language that makes a blazen_step_fn: body is a function of a ctypes library."""
        self._kept.append(body)
        call = (ctypes.cast(body, STEP_FN), None, _NO_DROP)
        self._add(lib.workflow_builder_add_step, name, accepts, call, max_concurrency, emits)

    def _add(self, function, name, accepts, body, max_concurrency, emits):
        if self._built is not None:
            raise errors.BlazenError(f"workflow {self.name!r} is built already", errors.Status.WRONG_STATE)
        first, *others = _texts(accepts)
        step = (self._builder.pointer, name.encode(), len(name.encode()))
        function(*step, first, len(first), *body)
        for more in others:
            lib.workflow_builder_step_accepts(*step, more, len(more))
        for given in _texts(emits):
            lib.workflow_builder_step_emits(*step, given, len(given))
        lib.workflow_builder_step_max_concurrency(*step, max_concurrency)

    def build(self):
        """Checks the workflow, and builds it: once, here or when it is run first. Answers itself."""
        if self._built is None:
            self._built = Handle(lib.workflow_builder_build(self._builder.pointer), c.workflow_release)
            self._builder = None
        return self

    @property
    def pointer(self):
        return self.build()._built.pointer

    @property
    def fingerprint(self):
        """16 hexadecimal digits over the steps: equal in all processes that share a run."""
        return _read.text(c.workflow_fingerprint, self.pointer)


def _texts(names):
    return [name.encode() for name in ([names] if isinstance(names, str) else names)]
