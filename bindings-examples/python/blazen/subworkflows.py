"""Steps that are workflows: each call of such a step hosts a run of another workflow, as a part of the run.

    summary = blazen.Workflow("summary")  # with steps of its own, and a StopEvent: its result
    book = blazen.Workflow("book")
    book.subworkflow("summarise", summary, accepts="Chapter", input=lambda event: event.value["text"])

    @book.step(accepts="summarise::output")
    def print_it(ctx, event):             # event.value is the result
        ...

Several at once, each with the same input; the result is {name: its result}, or that of the first to succeed:

    book.subworkflows("reviews", {"style": style, "facts": facts}, accepts="Draft", emits="Reviewed")

What is inside is in the run's snapshots and streams, and its questions are the run's: an event has a path, and
run.child(run_id) gives a look at one.

An input mapper makes the input of the child of the event, an output mapper makes the value of the event that comes out of
the result. Each is a function of that alone, or of (ctx, that), and may be an `async def`. It is called as a step is: tried
again as the step that it belongs to, and asked again, under the same ctx.invocation_id, where a snapshot has it in flight.
"""

import enum
import functools
import inspect
from collections.abc import Mapping

from . import _coroutines, _make, _objects, tiers
from ._arguments import text, texts
from ._bodies import body_of, call_body
from ._c import Branch, ChildOptions, Mapper
from ._calls import lib
from .context import Context
from .events import STOP_EVENT, Event


class JoinStrategy(str, enum.Enum):
    """How many of several workflows at once have to succeed."""

    WaitAll = "wait_all"
    FirstCompletes = "first_completes"


class _Elsewhere:
    def __repr__(self):
        return "blazen.ELSEWHERE"


ELSEWHERE = _Elsewhere()
"""In place of a mapper, or of the workflow of a branch: another process has it."""


# ---- mappers ----


class _Deciding:
    """Of the Context of a mapper: what that returns is an answer, and no event."""

    def __init__(self, pointer, answer):
        super().__init__(pointer)
        self._answer = answer

    def emit_all(self, outcome):
        if inspect.isawaitable(outcome):
            if inspect.iscoroutine(outcome):
                outcome.close()
            raise TypeError("a mapper answers with what it has awaited: it is an `async def`, or awaits nothing")
        self._answer(self, outcome)


class _Context(_Deciding, Context):
    pass


class _CoroutineContext(_Deciding, _coroutines.Context):
    pass


def answer_with(ctx, value, pack=tiers.pack):
    with _make.value(value, pack) as made:
        lib.context_answer(ctx.pointer, made)


def answer_input(ctx, outcome):
    refuse_events(outcome, "input returns what the workflow is run with")
    answer_with(ctx, outcome)


def _output_answer(type):
    """Where the event ends the run, its value is a result, which keeps its identity."""
    pack = tiers.pack_plain if type == STOP_EVENT else tiers.pack

    def answer_output(ctx, outcome):
        if _are_events(outcome):
            Context.emit_all(ctx, outcome)
        else:
            answer_with(ctx, outcome, pack)

    return answer_output


def refuse_events(outcome, rule):
    if _are_events(outcome):
        raise TypeError(f"{rule}, and no event: {outcome!r}")


def _are_events(outcome):
    some = outcome if isinstance(outcome, list) else [outcome]
    return bool(some) and all(isinstance(one, Event) for one in some)


def _takes_context(name, function):
    """Whether it is a function of (ctx, given), and not of (given)."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # such as `dict`
        return False
    named = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    needed = sum(each.default is each.empty for each in named)
    needs_more = any(each.kind is each.KEYWORD_ONLY and each.default is each.empty for each in parameters)
    takes_any = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    if needed > 2 or needs_more or not (named or takes_any):
        raise TypeError(f"{name} is a function of one argument, or of (ctx, that), not {function!r}")
    return needed == 2


class Decision:
    """A mapper, checked; None: there is none."""

    def __init__(self, name, function, argument_of, answer):
        self._function = function
        if function is None or function is ELSEWHERE:
            return
        if not callable(function):
            raise TypeError(f"{name} is a function, or blazen.ELSEWHERE, not {function!r}")
        kinds = [functools.partial(kind, answer=answer) for kind in (_Context, _CoroutineContext)]
        self._kept = body_of(_body(function, argument_of, _takes_context(name, function)), *kinds)

    def mapper(self):
        """As blazen_mapper, which is the library's to drop from now on."""
        if self._function is None:
            return Mapper()
        if self._function is ELSEWHERE:
            return Mapper(elsewhere=1)
        return Mapper(body=call_body, user_data=_objects.keep(self._kept), drop=_objects.drop)


def _body(function, argument_of, takes_context):
    """The body of the step that a mapper is."""

    def arguments(ctx, event):
        given = argument_of(ctx, event)
        return (ctx, given) if takes_context else (given,)

    if inspect.iscoroutinefunction(function):

        async def ask_later(ctx, event):
            return await function(*arguments(ctx, event))

        return ask_later
    return lambda ctx, event: function(*arguments(ctx, event))


def _event(_ctx, event):
    return event


def result(_ctx, event):
    return event.value


def results(ctx, _event):
    """By branch; of those that have failed, where one success is enough, there is none."""
    failed = f"{ctx.step_name}::failed"
    return {event.source: event.value for event in ctx.events if event.type != failed}


class Options:
    """What a step that is a workflow is told beside what all steps are: checked."""

    def __init__(self, emits, input, output, argument_of=result, first_success=0):
        names = [] if emits is None else texts("emits", emits)
        if len(names) > 1:
            raise ValueError(f"emits is one event type: that of the event whose value is the result, not {emits!r}")
        self._type, self._type_length = names[0] if names else (None, 0)
        self._input = Decision("input", input, _event, answer_input)
        answer = _output_answer(None if self._type is None else self._type.decode())
        self._output = Decision("output", output, argument_of, answer)
        self._first_success = first_success

    @classmethod
    def of_several(cls, emits, input, output, join_strategy):
        return cls(emits, input, output, results, first_success(join_strategy))

    def made(self):
        """As blazen_child_options, whose mappers are the library's to drop from now on."""
        return ChildOptions(
            output_type=self._type,
            output_type_length=self._type_length,
            input=self._input.mapper(),
            output=self._output.mapper(),
            first_success=self._first_success,
        )


def first_success(strategy):
    try:
        return int(JoinStrategy(strategy) is JoinStrategy.FirstCompletes)
    except ValueError:
        words = ", ".join(repr(each.value) for each in JoinStrategy)
        raise ValueError(f"join_strategy is a JoinStrategy, or one of {words}, not {strategy!r}") from None


# ---- branches ----


def branches(given, pointer_of):
    """Pairs of a name and a workflow, as an array of blazen_branch and its length. pointer_of(what, workflow) gives the
    handle of a workflow, where `what` names the argument; None: it is the one that is being built."""
    pairs = list(given)
    array = (Branch * len(pairs))()
    for element, (name, workflow) in zip(array, pairs):
        element.name, element.name_length = text("the name of a branch", name)
        if workflow is ELSEWHERE:
            element.elsewhere = 1
        else:
            element.child = pointer_of(f"branches[{name!r}]", workflow)
    return array, len(pairs)


def pairs_of(specs, workflows):
    """The branches of add_parallel_subworkflows, as (name, workflow)."""
    names, workflows = [_name_of(spec) for spec in specs], list(workflows)
    if len(names) != len(workflows):
        raise ValueError(f"branch_specs names {len(names)} branches, and branch_workflows has {len(workflows)}")
    return list(zip(names, workflows))


def _name_of(spec):
    """A name, {"name": it, ...}, or an object that has one."""
    if isinstance(spec, str):
        return spec
    name = spec.get("name") if isinstance(spec, Mapping) else getattr(spec, "name", None)
    if not isinstance(name, str):
        raise TypeError(f"branch_specs has names, or what has a name, not {spec!r}")
    return name
