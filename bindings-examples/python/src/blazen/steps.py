"""Steps: functions that are started by events."""

import functools
import inspect
import itertools
import sys
import types
import typing
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, overload

from .context import Context
from .events import Event, StartEvent, type_name

__all__ = ["Elsewhere", "Join", "Retry", "Step", "elsewhere", "step"]

_numbers = itertools.count(1)
_F = TypeVar("_F", bound=Callable[..., Any])
EventType = type[Event] | str


class Body(Protocol):
    """What is called, and what becomes of its outcome."""

    is_async: bool
    on_loop: bool

    def call(self, ctx: Context, event: Any) -> Any: ...
    def finish(self, ctx: Context, outcome: Any) -> None: ...


@dataclass(frozen=True)
class Retry:
    """When a step that failed is tried again.

    max_attempts   with the first one
    initial_delay  how many seconds before the second attempt; each further one is `multiplier` times that of the one before
    max_delay      at most so many seconds
    jitter         up to this part of the delay (0 to 1) is taken off
    """

    max_attempts: int = 3
    initial_delay: float = 0.0
    multiplier: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.0

    def packed(self) -> tuple[int, int, float, int, int]:
        """As the compiled layer takes it."""
        return (
            self.max_attempts,
            milliseconds("initial_delay", self.initial_delay),
            self.multiplier,
            milliseconds("max_delay", self.max_delay),
            round(self.jitter * 100),
        )


def retry_of(given: "Retry | int | None") -> tuple[int, int, float, int, int] | None:
    """retries=3 is Retry(max_attempts=4): three more."""
    if given is None:
        return None
    if isinstance(given, int) and not isinstance(given, bool):
        given = Retry(max_attempts=given + 1)
    if not isinstance(given, Retry):
        raise TypeError(f"retries is a Retry, or how many further attempts there are, not {given!r}")
    return given.packed()


def milliseconds(what: str, seconds: float | None) -> int:
    """None: 0. A time that is not 0 is at least a millisecond."""
    if seconds is None:
        return 0
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < 3.2e9:
        raise ValueError(f"{what} is a number of seconds, 0 or more, not {seconds!r}")
    return max(round(seconds * 1000), 1 if seconds else 0)


_MODES = {"all": 0, "any": 1, "first_n": 2}
_AT_DEADLINE = {"give": 0, "fail": 1}
_EMPTY = {"invoke": 0, "skip": 1}
_CORRELATIONS = {"none": 0, "by_event": 1}


def choice(what: str, given: Any, words: dict[str, int]) -> int:
    if given not in words:
        raise ValueError(f"{what} is one of {', '.join(map(repr, words))}, not {given!r}")
    return words[given]


@dataclass(frozen=True)
class Join:
    """How a step joins what has come of one call of another step: it is called once, with all of it (ctx.events()).

    of           the step whose calls open the scopes
    mode         "all": when nothing of the scope is left; "any": at the first arrival; "first_n": at the n-th, or where the
                 scope is over before, with what came
    n            of "first_n"
    deadline     so many seconds after the scope was opened; None: none
    at_deadline  "give": the step is called with what has arrived; "fail": it has failed
    cancel_rest  once it is called, what is left of the scope is cancelled
    ordered      ctx.events() stand in the order in which the opener sent and returned what they come of; else of arrival
    correlation  "none": all of the scope; "by_event": one call for each correlation of the events
    empty        where nothing has arrived: "invoke", with an EmptyJoinEvent, or "skip"
    """

    of: "Step | str"
    mode: str = "all"
    n: int = 0
    deadline: float | None = None
    at_deadline: str = "give"
    cancel_rest: bool = False
    ordered: bool = False
    correlation: str = "none"
    empty: str = "invoke"

    def packed(self) -> tuple[str, int, int, int, int, int, int, int, int]:
        """As the compiled layer takes it."""
        return (
            self.of.name if isinstance(self.of, Step) else self.of,
            choice("joins.mode", self.mode, _MODES),
            self.n,
            milliseconds("joins.deadline", self.deadline),
            choice("joins.at_deadline", self.at_deadline, _AT_DEADLINE),
            int(self.cancel_rest),
            int(self.ordered),
            choice("joins.correlation", self.correlation, _CORRELATIONS),
            choice("joins.empty", self.empty, _EMPTY),
        )


def join_of(given: "Join | Step | str | None") -> tuple[str, int, int, int, int, int, int, int, int] | None:
    if given is None:
        return None
    if isinstance(given, (str, Step)):
        given = Join(given)
    if not isinstance(given, Join):
        raise TypeError(f"joins is a Join, or the step that opens the scope, not {given!r}")
    return given.packed()


def is_coroutine_function(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))


@dataclass(frozen=True)
class Options:
    """What a step is told beside its function."""

    accepts: Any = None
    emits: Any = None
    max_concurrency: int = 0
    timeout: float | None = None
    retries: Retry | int | None = None
    thread: str = "worker"
    joins: "Join | Step | str | None" = None
    pool: str | None = None
    atomic: bool = False
    abandoned: str = "keeps_permit"


class Step:
    """A function that is started by events: what @step makes. It can still be called as the function that it is."""

    def __init__(self, function: Callable[..., Any], name: str | None, options: Options, scope: Any) -> None:
        if not callable(function):
            raise TypeError(f"@step stands above a function, not {function!r}")
        functools.update_wrapper(self, function)
        self.function = function
        self.name: str = name or str(getattr(function, "__name__", type(function).__name__))
        self.options = options
        self.number = next(_numbers)
        self.is_async = is_coroutine_function(function)
        if options.thread not in ("worker", "loop"):
            raise ValueError(f"thread is 'worker' or 'loop', not {options.thread!r}")
        self.on_loop = options.thread == "loop"
        self._scope = scope  # the frame of the decorator, until the annotations are resolved
        self.call = function
        try:
            self.accepts()
        except NameError:
            pass
        else:
            self._scope = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> "Step":
        """A step in a class is a method: of the instance, it has `self`."""
        if instance is None:
            return self
        bound = self.function.__get__(instance, owner)
        return Step(bound, self.name, self.options, None)

    def __repr__(self) -> str:
        return f"<step {self.name!r}>"

    def finish(self, ctx: Context, outcome: Any) -> None:
        """The outcome becomes the events of the step."""
        ctx._finish(outcome)

    def is_resolved(self) -> None:
        """The frame in which it was written is not needed any more."""
        self._scope = None

    def accepts(self) -> list[EventType]:
        """The classes, or names, of the events that start it."""
        given = self.options.accepts
        if given is None:
            return self._accepts_of_annotation()
        return list(given) if isinstance(given, (list, tuple, set, frozenset)) else [given]

    def emits(self) -> list[EventType]:
        """Those that it declares to give; none: any."""
        given = self.options.emits
        if given is None:
            return []
        return list(given) if isinstance(given, (list, tuple, set, frozenset)) else [given]

    def _accepts_of_annotation(self) -> list[EventType]:
        parameters = [
            each
            for each in inspect.signature(self.function).parameters.values()
            if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
        if parameters and parameters[0].name == "self" and not hasattr(self.function, "__self__"):
            parameters = parameters[1:]  # a method, before it belongs to an instance
        if len(parameters) < 2:
            raise TypeError(f"the step {self.name!r} is a function of (ctx, event)")
        annotation = self._resolved(parameters[1].name, parameters[1].annotation)
        if annotation is inspect.Parameter.empty or annotation is Event:
            return [StartEvent]
        origin = typing.get_origin(annotation)
        members = typing.get_args(annotation) if origin in (typing.Union, types.UnionType) else (annotation,)
        for member in members:
            if not (isinstance(member, type) and issubclass(member, Event)):
                raise TypeError(
                    f"the event of the step {self.name!r} is annotated with {annotation!r}: annotate it with an Event class,"
                    " or give @step(accepts=...)"
                )
        return [StartEvent if member is Event else member for member in members]

    def _resolved(self, name: str, annotation: Any) -> Any:
        """A string annotation is looked up where the function was written, and among what it has captured."""
        if not isinstance(annotation, str):
            return getattr(annotation, "__forward_value__", annotation)
        function = inspect.unwrap(self.function)
        function = getattr(function, "__func__", function)
        names: dict[str, Any] = dict(getattr(self._scope, "f_locals", {}))
        cells, free = (
            getattr(function, "__closure__", None) or (),
            getattr(getattr(function, "__code__", None), "co_freevars", ()),
        )
        for variable, cell in zip(free, cells, strict=True):
            try:
                names[variable] = cell.cell_contents
            except ValueError:
                pass
        try:
            return eval(annotation, getattr(function, "__globals__", {}), names)
        except NameError as failure:
            raise NameError(f"the annotation {annotation!r} of {name!r} of the step {self.name!r}: {failure}") from None


@overload
def step(function: Callable[..., Any], /) -> Step: ...
@overload
def step(
    *,
    name: str | None = None,
    accepts: EventType | Iterable[EventType] | None = None,
    emits: EventType | Iterable[EventType] | None = None,
    max_concurrency: int = 0,
    timeout: float | None = None,
    retries: Retry | int | None = None,
    thread: str = "worker",
    joins: "Join | Step | str | None" = None,
    pool: str | None = None,
    atomic: bool = False,
    abandoned: str = "keeps_permit",
) -> Callable[[Callable[..., Any]], Step]: ...


def step(function: Callable[..., Any] | None = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Makes a step of a function of (ctx, event).

    It is started by the events that the annotation of `event` says: a class, or a union of them; Event, or none, is
    StartEvent; accepts=... says it instead. It returns an event, a list of them, or None.

    name             its own; None: the function's
    emits            the events that it gives; None: any
    max_concurrency  how many calls of it run at once in one run; 0: as many as there are
    timeout          how many seconds one attempt may take
    retries          how many further attempts there are, or a Retry
    thread           where a function that is no coroutine runs: "worker", or "loop": on the thread of the event loop
    joins            the step whose calls it joins, or a Join
    pool             the name of the pool (set_pool) of which a call needs a permit
    atomic           what it writes and sends counts when it completes, and not where it fails
    abandoned        whether a call whose time is up "keeps_permit" until it returns, or "frees_permit"
    """
    scope = sys._getframe(1)

    def decorate(given: Callable[..., Any]) -> Step:
        return Step(given, name, Options(**options), scope)

    return decorate if function is None else decorate(function)


@dataclass(frozen=True)
class Elsewhere:
    """A step whose body another process has: see elsewhere()."""

    name: str
    accepts: list[EventType]
    max_concurrency: int = 0
    joins: "Join | Step | str | None" = None


def elsewhere(
    name: str,
    accepts: EventType | Iterable[EventType],
    *,
    max_concurrency: int = 0,
    joins: "Join | Step | str | None" = None,
) -> Elsewhere:
    """Stands in the list of steps for one that another process has. The run parks when it can go on only there; who has the
    step resumes its snapshot. What arrives for a step that `joins` is collected here already."""
    many = isinstance(accepts, (list, tuple, set, frozenset))
    its_accepts: list[EventType] = list(accepts) if many else [accepts]  # type: ignore[arg-type, list-item]
    return Elsewhere(name, its_accepts, max_concurrency, joins)


# ---- decisions ----

ELSEWHERE_MAPPER, NO_MAPPER = -2, -1


class Decision:
    """A function that answers with one value: of a step that is a workflow, or of a stage."""

    def __init__(
        self, what: str, function: Callable[..., Any], argument: Callable[[Context, Any], Any], may_emit: bool
    ) -> None:
        if not callable(function):
            raise TypeError(f"{what} is a function, not {function!r}")
        self.number = next(_numbers)
        self.is_async = is_coroutine_function(function)
        self.on_loop = False
        self._what, self._function, self._argument, self._may_emit = what, function, argument, may_emit
        self._takes_context = _takes_context(what, function)

    def call(self, ctx: Context, event: Any) -> Any:
        given = self._argument(ctx, event)
        outcome: Any | Awaitable[Any] = self._function(ctx, given) if self._takes_context else self._function(given)
        return outcome

    def finish(self, ctx: Context, outcome: Any) -> None:
        if isinstance(outcome, Event) or (
            isinstance(outcome, list) and outcome and all(isinstance(each, Event) for each in outcome)
        ):
            if not self._may_emit:
                raise TypeError(f"{self._what} returns a value, and no event: {outcome!r}")
            ctx._emit(outcome)
        else:
            ctx._answer(outcome)
        ctx._finish(None)


def _takes_context(what: str, function: Callable[..., Any]) -> bool:
    """Whether it is a function of (ctx, given), and not of (given)."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # such as `dict`
        return False
    named = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    needed = sum(each.default is each.empty for each in named)
    if needed > 2:
        raise TypeError(f"{what} is a function of one argument, or of (ctx, that), not {function!r}")
    return needed == 2


class Bodies:
    """What a workflow calls, by number, and what its own events are read as."""

    def __init__(self) -> None:
        self.by_number: dict[int, tuple[Any, dict[Any, Any]]] = {}
        self.classes: dict[Any, Any] = {}

    def add(self, body: Any) -> int:
        self.by_number[body.number] = (body, self.classes)
        return int(body.number)

    def decision(
        self,
        what: str,
        function: Any,
        argument: Callable[[Context, Any], Any],
        elsewhere: Any,
        may_emit: bool = False,
    ) -> int:
        if function is None:
            return NO_MAPPER
        if function is elsewhere:
            return ELSEWHERE_MAPPER
        return self.add(Decision(what, function, argument, may_emit))

    def take(self, other: "Bodies") -> None:
        """What a workflow inside brings along."""
        self.by_number.update(other.by_number)

    def names(self, what: str, given: list[EventType]) -> list[str]:
        """Routing types, whose classes are kept."""
        names = []
        for each in given:
            name = type_name(what, each)
            names.append(name)
            if isinstance(each, type):
                known = self.classes.setdefault(name, each)
                if known is not each:
                    raise ValueError(
                        f"two event classes are called {name!r}: {known.__module__}.{known.__qualname__} and "
                        f"{each.__module__}.{each.__qualname__}; give one of them an event_type of its own"
                    )
        return names
