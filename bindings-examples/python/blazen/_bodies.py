"""Bodies of steps in Python: what the library calls, and what that calls."""

import inspect

from . import _coroutines, _exit, _interrupts, _objects, errors
from ._c import STEP_FN, c
from .context import Context, NotAnswered
from .events import read_event


@STEP_FN
def call_body(user_data, context, event, error):
    """The blazen_step_fn of every body in Python: user_data says which. No exception leaves it."""
    try:
        with _exit.inside():
            return _run_body(user_data, context, event, error)
    except BaseException as exception:  # raised from outside, when the body was over
        _interrupts.note(exception)
        return errors.report(exception, error)


def _run_body(user_data, context, event, error):
    body, kind_of_context = _objects.find(user_data)
    ctx = kind_of_context(context)
    try:
        outcome = body(ctx, read_event(event))
        if outcome is not None or not ctx.is_deferred:
            ctx.emit_all(outcome)
        return errors.Status.PENDING if ctx.is_deferred else errors.Status.OK
    except NotAnswered:
        return errors.Status.PENDING
    except BaseException as exception:
        _interrupts.note(exception)
        return errors.report(exception, error, c.context_run(context))
    finally:
        ctx.leave()


def body_of(function, kind=Context, kind_of_coroutines=_coroutines.Context):
    """What a body in Python is kept as: what is called, and the kind of Context that it gets."""
    if inspect.iscoroutinefunction(function):
        return _coroutines.body(function), kind_of_coroutines
    return function, kind
