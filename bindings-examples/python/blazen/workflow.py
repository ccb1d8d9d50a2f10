"""Workflows: steps by decorator, steps elsewhere, steps of another language in this process."""

import ctypes
import inspect
from dataclasses import dataclass
from typing import Optional, Sequence

from . import _make, _objects, _read, aio, errors
from ._c import DROP_FN, STEP_FN, RetryOptions, c
from ._calls import lib
from ._handles import Handle
from .context import Context, NotAnswered
from .events import read_event

_SESSION_POLICIES = {"pickle_or_error": 0, "pickle_or_serialize": 1, "warn_drop": 2, "hard_error": 3}
_SESSION_ON_PAUSE = {"keep": 0, "clear": 1}
_UNHANDLED = {"fail": 0, "ignore": 1, "stream": 2}
_IDLE = {"fail": 0, "wait": 1}
_NO_DROP = DROP_FN()


@STEP_FN
def _call_step(user_data, context, event, error):
    """The blazen_step_fn of every step in Python: user_data says which. No exception leaves it."""
    body, kind_of_context = _objects.find(user_data)
    ctx = kind_of_context(context)
    try:
        ctx.emit_all(body(ctx, read_event(event)))
        return errors.Status.PENDING if ctx.is_deferred else errors.Status.OK
    except NotAnswered:
        return errors.Status.PENDING
    except BaseException as exception:
        return errors.report(exception, context, error)
    finally:
        ctx.leave()


@dataclass(frozen=True)
class Retry:
    """When a step that failed is tried again. Times are in seconds.

    max_attempts   with the first one
    initial_delay  before the second; each further one is `multiplier` times as long, at most max_delay
    jitter         up to this share of a delay, from 0 to 1, is taken off
    only           the host codes (attribute host_code of an exception) that are tried again; None: every failure
    never          the host codes that are not
    """

    max_attempts: int
    initial_delay: float = 0.0
    multiplier: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.0
    only: Optional[Sequence[int]] = None
    never: Sequence[int] = ()

    def options(self):
        """As blazen_retry_options."""
        only = None if self.only is None else (ctypes.c_int64 * len(self.only))(*self.only)
        never = (ctypes.c_int64 * len(self.never))(*self.never)
        return RetryOptions(
            max_attempts=self.max_attempts,
            jitter_percent=round(self.jitter * 100),
            initial_delay_ms=_make.milliseconds(self.initial_delay),
            multiplier=self.multiplier,
            max_delay_ms=_make.milliseconds(self.max_delay),
            only=only,
            only_count=len(only or ()),
            never=never,
            never_count=len(never),
        )


class Workflow:
    """Steps are added until build(); runs may share what was built.

    unhandled             what becomes of an event that no step accepts: "fail", "ignore" or "stream"
    idle                  what becomes of a run that can make no progress: "fail" or "wait"
    timeout               how many seconds a run may take, pauses and waiting for a human not counted; None: for ever
    session_pause_policy  what a snapshot does with the session: "pickle_or_error", "pickle_or_serialize" (what does not
                          pickle is dropped), "warn_drop" (all is dropped) or "hard_error"
    session_on_pause      what run.pause() does with it: "keep" or "clear"
    """

    def __init__(
        self,
        name,
        *,
        unhandled="fail",
        idle="fail",
        timeout=300.0,
        session_pause_policy="pickle_or_error",
        session_on_pause="keep",
    ):
        text = name.encode()
        self._builder = Handle(lib.workflow_builder_create(text, len(text)), c.workflow_builder_release)
        self._built = None
        self._kept = []  # bodies of other languages
        self.name = name
        lib.workflow_builder_set_unhandled(self._builder.pointer, _UNHANDLED[unhandled])
        lib.workflow_builder_set_idle(self._builder.pointer, _IDLE[idle])
        lib.workflow_builder_set_timeout(self._builder.pointer, _make.milliseconds(timeout or 0))
        lib.workflow_builder_set_session_policy(self._builder.pointer, _SESSION_POLICIES[session_pause_policy])
        lib.workflow_builder_set_session_on_pause(self._builder.pointer, _SESSION_ON_PAUSE[session_on_pause])

    def step(self, *, accepts, name=None, **options):
        """Makes a function (ctx, event) a step. It returns None, an Event or a list of Events, or calls ctx.defer().
        An `async def` is a step of runs on a blazen.aio.Runtime.

        accepts          the event type that starts it, or several
        name             the function's own, unless given
        max_concurrency  how many of it run at once in one run; 0: any number
        emits            the event types that it emits, if they should be checked
        timeout          how many seconds an attempt may take; None: for ever
        retries          a Retry: when it is tried again
        atomic           what it writes and sends is held back until it completes, and discarded when it fails
        """

        def register(function):
            body = (_call_step, _objects.keep(_body_of(function)), _objects.drop)
            self._add(lib.workflow_builder_add_step, name or function.__name__, accepts, body, **options)
            return function

        return register

    def elsewhere(self, name, *, accepts, **options):
        """A step whose body is in another process, or another language. The options are those of step()."""
        self._add(lib.workflow_builder_add_elsewhere, name, accepts, (), **options)

    def native(self, name, body, *, accepts, **options):
        """A step in C, or any language that makes a blazen_step_fn: body is a function of a ctypes library."""
        self._kept.append(body)
        call = (ctypes.cast(body, STEP_FN), None, _NO_DROP)
        self._add(lib.workflow_builder_add_step, name, accepts, call, **options)

    def _add(
        self, function, name, accepts, body, max_concurrency=0, emits=(), timeout=None, retries=None, atomic=False
    ):
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
        lib.workflow_builder_step_timeout(*step, _make.milliseconds(timeout or 0))
        lib.workflow_builder_step_atomic(*step, atomic)
        if retries is not None:
            lib.workflow_builder_step_retry(*step, retries.options())

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


def _body_of(function):
    """What a step calls, and the kind of Context that it gets."""
    return (aio.body(function), aio.Context) if inspect.iscoroutinefunction(function) else (function, Context)


def _texts(names):
    return [name.encode() for name in ([names] if isinstance(names, str) else names)]
