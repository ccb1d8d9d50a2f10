"""Steps that are workflows: each call of such a step hosts a run of another workflow or pipeline, as a part of the run."""

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import _blazen
from ._runnable import AnyWorkflow
from .context import Context
from .events import Event
from .steps import Bodies, EventType, Join, Retry, Step, join_of, milliseconds, retry_of

__all__ = ["ELSEWHERE", "JoinStrategy", "parallel", "subworkflow"]


class JoinStrategy(enum.StrEnum):
    """How many of several workflows at once have to succeed."""

    WaitAll = "wait_all"
    FirstCompletes = "first_completes"


class _Elsewhere:
    def __repr__(self) -> str:
        return "blazen.ELSEWHERE"


ELSEWHERE = _Elsewhere()
"""In place of a mapper, or of the workflow of a branch: another process has it."""


class Child:
    """A step that is a workflow, or several at once."""

    def __init__(
        self,
        name: str,
        inner: "AnyWorkflow | Mapping[str, Any] | None",
        accepts: Any,
        emits: Any,
        input: Any,
        output: Any,
        join_strategy: Any,
        timeout: float | None,
        retries: Retry | int | None,
        max_concurrency: int,
        joins: Any,
    ) -> None:
        self.name, self.inner = name, inner
        self.accepts = list(accepts) if isinstance(accepts, (list, tuple, set)) else [accepts]
        self.emits, self.input, self.output = emits, input, output
        self.first_success = JoinStrategy(join_strategy) is JoinStrategy.FirstCompletes
        self.timeout_ms, self.retry = milliseconds("timeout", timeout), retry_of(retries)
        self.max_concurrency, self.joins = max_concurrency, joins

    def add(self, builder: _blazen.Handle, bodies: Bodies) -> None:
        several = isinstance(self.inner, Mapping)
        emits = None if self.emits is None else bodies.names("emits", [self.emits])[0]
        _blazen.builder_add_workflows(
            builder,
            self.name,
            bodies.names("accepts", self.accepts),
            child_of(self.inner, bodies),
            emits,
            bodies.decision("input", self.input, lambda ctx, event: event, ELSEWHERE),
            bodies.decision("output", self.output, results_of if several else result_of, ELSEWHERE, True),
            self.first_success,
            self.timeout_ms,
            self.max_concurrency,
            self.retry,
            join_of(self.joins),
        )


def child_of(inner: Any, bodies: Bodies) -> Any:
    """Handles of what runs inside; None: the workflow itself."""
    if isinstance(inner, Mapping):
        return [(name, None if each is ELSEWHERE else child_of(each, bodies)) for name, each in inner.items()]
    if inner is None:
        return None
    if not isinstance(inner, AnyWorkflow):
        raise TypeError(f"what runs inside is a Workflow or a Pipeline, not {inner!r}")
    handle, its_bodies = inner.built()
    bodies.take(its_bodies)
    return handle


def payload(event: Event) -> Any:
    """The bare value of an event."""
    if event._is_bare:
        return event["value"]
    if event.event_type == "blazen::StopEvent":
        return event.to_dict().get("result")
    return event.to_dict()


def result_of(ctx: Context, event: Event) -> Any:
    return payload(event)


def results_of(ctx: Context, event: Event) -> dict[str, Any]:
    """By branch; of those that have failed, where one success is enough, there is none."""
    failed = f"{ctx.step_name}::failed"
    pairs = ctx._events(True)
    return {source: payload(each) for source, each in pairs if each.event_type != failed}


def subworkflow(
    name: str,
    workflow: AnyWorkflow | None,
    *,
    accepts: EventType | Iterable[EventType],
    emits: EventType | None = None,
    input: Callable[..., Any] | None = None,
    output: Callable[..., Any] | None = None,
    timeout: float | None = None,
    retries: Retry | int | None = None,
    max_concurrency: int = 0,
    joins: "Join | Step | str | None" = None,
) -> Any:
    """A step, for the list of steps, each call of which hosts a run of another workflow or pipeline, as a part of the run.

    emits   the event whose value is the result; None: "<name>::output"
    input   what it returns of the event is the input of the run inside; None: the payload of the event is
    output  what it returns of the result is the value of the event that comes out; or it returns other events
    """
    return Child(name, workflow, accepts, emits, input, output, "wait_all", timeout, retries, max_concurrency, joins)


def parallel(
    name: str,
    branches: Mapping[str, Any],
    *,
    accepts: EventType | Iterable[EventType],
    emits: EventType | None = None,
    join_strategy: JoinStrategy | str = JoinStrategy.WaitAll,
    input: Callable[..., Any] | None = None,
    output: Callable[..., Any] | None = None,
    timeout: float | None = None,
    retries: Retry | int | None = None,
    max_concurrency: int = 0,
    joins: "Join | Step | str | None" = None,
) -> Any:
    """As subworkflow, of several at once, each with the same input: {branch: workflow}. The result is {branch: its result},
    or that of the first to succeed."""
    return Child(
        name, dict(branches), accepts, emits, input, output, join_strategy, timeout, retries, max_concurrency, joins
    )
