"""Workflows: steps wired by the types of their events."""

import asyncio
import contextvars
import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import _blazen, _runs, values
from .context import Context
from .errors import BlazenError, Status
from .events import OWN_CLASSES, Event, StartEvent
from .handler import Handler, WorkflowResult
from .snapshots import Snapshot, bytes_of
from .steps import (
    Bodies,
    Elsewhere,
    EventType,
    Join,
    Retry,
    Step,
    choice,
    join_of,
    milliseconds,
    retry_of,
)

__all__ = [
    "ELSEWHERE",
    "JoinStrategy",
    "SessionPausePolicy",
    "Workflow",
    "WorkflowBuilder",
    "parallel",
    "set_pool",
    "subworkflow",
]


class SessionPausePolicy(enum.Enum):
    """What a snapshot does with the session, and with live objects wherever else it meets them.

    PickleOrError      keeps what pickles; where something does not, there is no snapshot, and the error names it
    PickleOrSerialize  keeps what can be kept, and drops the rest
    WarnDrop           drops all, and records the names
    HardError          no snapshot where there is anything
    """

    PickleOrError = "pickle_or_error"
    PickleOrSerialize = "pickle_or_serialize"
    WarnDrop = "warn_drop"
    HardError = "hard_error"


class JoinStrategy(enum.StrEnum):
    """How many of several workflows at once have to succeed."""

    WaitAll = "wait_all"
    FirstCompletes = "first_completes"


class _Elsewhere:
    def __repr__(self) -> str:
        return "blazen.ELSEWHERE"


ELSEWHERE = _Elsewhere()
"""In place of a mapper, or of the workflow of a branch: another process has it."""

_POLICIES = {policy.value: number for number, policy in enumerate(SessionPausePolicy)}
_POLICIES |= {policy.name: _POLICIES[policy.value] for policy in SessionPausePolicy}
_ON_PAUSE = {"pause": 0, "continue": 1}
_UNHANDLED = {"fail": 0, "ignore": 1, "stream": 2}
_IDLE = {"fail": 0, "wait": 1}
_ABANDONED = {"keeps_permit": 0, "frees_permit": 1}
_LIMITS = {
    "queued_events": 1,
    "state_bytes": 2,
    "session_bytes": 3,
    "stream_items": 4,
    "subscribers": 5,
    "step_sends": 6,
    "stream_retained": 7,
    "questions": 8,
    "scopes": 9,
    "scope_depth": 10,
    "child_depth": 11,
    "children": 12,
}
DEFAULT_TIMEOUT = 300.0


def set_pool(name: str, permits: int) -> None:
    """How many calls run at once of all steps with this pool, in all runs of one event loop; set again, more or fewer."""
    _runs.pools[name] = permits
    for home in list(_runs._open):
        if not home.is_closed:
            _blazen.runtime_set_pool(home.handle, name, permits)


def policy_of(given: Any) -> int:
    word = given.value if isinstance(given, SessionPausePolicy) else given
    if word not in _POLICIES:
        raise ValueError(
            f"session_pause_policy is a SessionPausePolicy, or one of {', '.join(map(repr, _POLICIES))}, not {given!r}"
        )
    return _POLICIES[word]


class _OnBoth:
    """A method of an instance that has a form of the class beside it."""

    def __init__(self, of_instance: Callable[..., Handler], of_class: Callable[..., Handler]) -> None:
        self._of_instance, self._of_class = of_instance, of_class
        self.__doc__ = of_class.__doc__

    def __get__(self, instance: Any, owner: Any) -> Callable[..., Handler]:
        if instance is None:
            return self._of_class.__get__(owner)  # type: ignore[no-any-return]
        return self._of_instance.__get__(instance)  # type: ignore[no-any-return]


class AnyWorkflow:
    """What can be run, and be a step, a branch or a stage of something larger."""

    name: str
    input_handler: Callable[[Event], Any] | None = None
    clears_session = False  # when a run is paused

    def built(self) -> tuple[_blazen.Handle, Bodies]:
        """The handle, and what the library calls."""
        raise NotImplementedError

    def create(self, kind: Any, run_id: str | None = None, metadata: Any = None) -> Any:
        """A run that has not begun."""
        home = _runs.home()
        workflow, bodies = self.built()
        core = _runs.Core(home, self.name, bodies.by_number, bodies.classes)
        answering = answering_of(core, self.input_handler)
        run = _blazen.run_create(home.handle, workflow, answering, metadata, run_id)
        return made(kind, self, run, core, answering)

    def resumed(
        self,
        kind: Any,
        snapshot: Any,
        *,
        deserializers: Mapping[str, Callable[[bytes], Any]] | None = None,
        unknown_label: str = "error",
        trusted: bool = True,
        keep_paused: bool = False,
        allow_changed_workflow: bool = False,
        time_has_passed: bool = False,
        fork: bool = False,
    ) -> Any:
        """A run as it stood in a snapshot, begun."""
        home = _runs.home()
        workflow, bodies = self.built()
        core = _runs.Core(home, self.name, bodies.by_number, bodies.classes)
        if not trusted:
            core.context.run(values.untrusted.set, True)
            core.distrust()
        answering = answering_of(core, self.input_handler)
        skip = bool(choice("unknown_label", unknown_label, {"error": 0, "skip": 1}))
        loads = values.deserializers(dict(deserializers or {}))
        data = bytes_of(snapshot)
        try:
            run = core.context.run(
                _blazen.run_resume,
                home.handle,
                workflow,
                data,
                loads,
                skip,
                keep_paused,
                allow_changed_workflow,
                time_has_passed,
                fork,
                answering,
            )
        except BlazenError as failure:
            if failure.status == Status.SNAPSHOT_MISMATCH:
                failure.add_note(_both_sides(workflow, Snapshot(data).info))
            raise
        handler = made(kind, self, run, core, answering)
        handler._begin(None)
        return handler


def _both_sides(workflow: _blazen.Handle, info: dict[str, Any]) -> str:
    here = _blazen.workflow_describe(workflow)
    steps = ", ".join(f"{each['name']} ({' | '.join(each['accepts'])})" for each in here["steps"])
    return (
        f"here: workflow {here['name']!r}, steps {steps}, fingerprint {here['fingerprint']}; in the snapshot: workflow"
        f" {info['workflow']!r}, steps with work {', '.join(info['steps_needed']) or 'none'}, fingerprint {info['fingerprint']}"
    )


class Answering:
    """The input handler of a run. It does not keep the run."""

    def __init__(self, core: _runs.Core, handler: Callable[[Event], Any]) -> None:
        self._core, self._handler = core, handler
        self.run: Callable[[], Any] = lambda: None

    def __call__(self, request: tuple[str, dict[str, Any]]) -> None:
        _runs.soon(self._core.home.loop(), self._ask, *request)

    def _ask(self, request_id: str, payload: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._answer(request_id, payload), context=self._core.context.copy())
        self._core.tasks.add(task)
        task.add_done_callback(self._core.tasks.discard)

    async def _answer(self, request_id: str, payload: dict[str, Any]) -> None:
        from .events import InputRequestEvent

        handler = self.run()
        if handler is None:
            return
        try:
            answer = self._handler(InputRequestEvent(**{**payload, "request_id": request_id}))
            if asyncio.iscoroutine(answer) or isinstance(answer, asyncio.Future):
                answer = await answer
            if answer is not None:
                handler.respond_to_input(request_id, answer)
        except BlazenError:
            pass  # somebody else has answered, or the run has ended
        except BaseException as exception:
            handler._fail_question(request_id, exception)
            if not isinstance(exception, Exception):
                raise


def answering_of(core: _runs.Core, handler: Callable[[Event], Any] | None) -> Answering | None:
    return None if handler is None else Answering(core, handler)


def made(kind: Any, workflow: Any, run: _blazen.Handle, core: _runs.Core, answering: Answering | None) -> Any:
    handler = kind(workflow, run, core, answering is not None)
    if answering is not None:
        answering.run = core.handler  # type: ignore[assignment]
    return handler


class _Child:
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
            bodies.decision("output", self.output, results_of if several else result_of, ELSEWHERE),
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
    output  what it returns of the result is the value of the event that comes out
    """
    return _Child(name, workflow, accepts, emits, input, output, "wait_all", timeout, retries, max_concurrency, joins)


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
    return _Child(
        name, dict(branches), accepts, emits, input, output, join_strategy, timeout, retries, max_concurrency, joins
    )


class Workflow(AnyWorkflow):
    """Steps wired by the types of their events.

    steps                 what @step has made; elsewhere(), subworkflow() and parallel() too
    timeout               how many seconds a run may take, but for when it is paused or asks; None: for ever
    session_pause_policy  what a snapshot does with live objects
    session_on_pause      what a pause does with the session: "pause" keeps it, "continue" clears it
    unhandled             an event that no step accepts: "stream" publishes it, "ignore", "fail"
    idle                  a run that can do nothing by itself: "fail", or "wait" for events from outside
    limits                {name: bound} of BLAZEN_LIMIT_…, such as {"queued_events": 1000}
    input_handler         function(InputRequestEvent), also `async def`: what it returns answers a question; None: not now
    """

    def __init__(
        self,
        name: str,
        steps: Iterable[Any] = (),
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        session_pause_policy: SessionPausePolicy | str | None = None,
        session_on_pause: str = "pause",
        unhandled: str = "stream",
        idle: str = "fail",
        limits: Mapping[str, int] | None = None,
        input_handler: Callable[[Event], Any] | None = None,
    ) -> None:
        self.name = name
        self.input_handler = input_handler
        self._settings: list[tuple[str, int]] = [
            ("timeout", milliseconds("timeout", timeout)),
            ("unhandled", choice("unhandled", unhandled, _UNHANDLED)),
            ("idle", choice("idle", idle, _IDLE)),
        ]
        self._limits = [(choice("limits", each, _LIMITS), bound) for each, bound in (limits or {}).items()]
        self._built: tuple[_blazen.Handle, Bodies] | None = None
        self._steps: list[Any] = []
        self.set_session_pause_policy(session_pause_policy or SessionPausePolicy.PickleOrError)
        if session_on_pause != "pause":
            self.set_session_pause_policy(session_on_pause)
        for each in steps:
            self.add_step(each)
        if self._steps:
            self.built()

    def add_step(self, step: Any) -> "Workflow":
        """Adds a step, for later runs."""
        if not isinstance(step, (Step, Elsewhere, _Child)):
            raise TypeError(f"steps are made with @step, elsewhere(), subworkflow() or parallel(): {step!r} is not")
        self._steps.append(step)
        self._built = None
        return self

    def set_session_pause_policy(self, policy: SessionPausePolicy | str) -> None:
        """A SessionPausePolicy or its name; or "pause" (a pause keeps the session), "continue" (it clears it)."""
        if policy in _ON_PAUSE:
            self.clears_session = policy == "continue"
            self._settings.append(("on pause", _ON_PAUSE[str(policy)]))
        else:
            self._settings.append(("policy", policy_of(policy)))
        self._built = None

    def add_subworkflow_step(
        self,
        name: str,
        accepts: Any,
        emits: Any,
        inner: AnyWorkflow,
        timeout_secs: float | None = None,
        retry: Retry | int | None = None,
    ) -> "Workflow":
        """Adds a step that is a workflow: see subworkflow()."""
        return self.add_step(
            subworkflow(name, inner, accepts=accepts, emits=_one(emits), timeout=timeout_secs, retries=retry)
        )

    add_subpipeline_step = add_subworkflow_step

    def add_parallel_subworkflows(
        self,
        name: str,
        accepts: Any,
        emits: Any,
        branch_specs: Iterable[str],
        branch_workflows: Iterable[AnyWorkflow],
        join_strategy: JoinStrategy | str = JoinStrategy.WaitAll,
    ) -> "Workflow":
        """Adds a step that is several workflows at once: see parallel()."""
        names, workflows = list(branch_specs), list(branch_workflows)
        if len(names) != len(workflows):
            raise ValueError(f"branch_specs names {len(names)} branches, and branch_workflows has {len(workflows)}")
        branches = dict(zip(names, workflows, strict=True))
        return self.add_step(parallel(name, branches, accepts=accepts, emits=_one(emits), join_strategy=join_strategy))

    def built(self) -> tuple[_blazen.Handle, Bodies]:
        """As of any workflow: checked, and built where it was changed since."""
        if self._built is None:
            self._built = self._build()
        return self._built

    def _build(self) -> tuple[_blazen.Handle, Bodies]:
        builder, bodies = _blazen.builder_create(self.name), Bodies()
        bodies.classes[None] = Event
        for cls in OWN_CLASSES:
            bodies.classes[cls._blazen_type] = cls
        for each in self._steps:
            if isinstance(each, Step):
                self._add(builder, bodies, each)
            elif isinstance(each, Elsewhere):
                _blazen.builder_add_elsewhere(builder, each.name, bodies.names("accepts", each.accepts))
            else:
                each.add(builder, bodies)
        for what, value in self._settings:
            _blazen.builder_set(builder, what, value)
        for limit, bound in self._limits:
            _blazen.builder_set_limit(builder, limit, bound)
        return _blazen.builder_build(builder), bodies

    def _add(self, builder: _blazen.Handle, bodies: Bodies, step: Step) -> None:
        options = step.options
        _blazen.builder_add_step(
            builder,
            bodies.add(step),
            step.name,
            bodies.names(f"accepts of the step {step.name!r}", step.accepts()),
            bodies.names(f"emits of the step {step.name!r}", step.emits()),
            options.max_concurrency,
            milliseconds("timeout", options.timeout),
            options.atomic,
            choice("abandoned", options.abandoned, _ABANDONED),
            retry_of(options.retries),
            join_of(options.joins),
        )
        step.is_resolved()
        if options.pool is not None:
            _blazen.builder_uses_pool(builder, step.name, options.pool)

    def describe(self) -> dict[str, Any]:
        """What it is made of: steps, policies, limits, dead ends."""
        return _blazen.workflow_describe(self.built()[0])

    def draw(self, format: str = "mermaid") -> str:
        """A drawing of it, as text: "mermaid" or "dot"."""
        return _blazen.workflow_draw(self.built()[0], choice("format", format, {"mermaid": 1, "dot": 2}))

    @staticmethod
    def builder(name: str) -> "WorkflowBuilder":
        """A WorkflowBuilder."""
        return WorkflowBuilder(name)

    # ---- runs ----

    async def run(self, /, **input: Any) -> WorkflowResult:
        """A whole run: its result. What the fields of the StartEvent are, is given by name.

        A step's exception is raised as the very object; a run whose time is up raises TimeoutError. A run that could go on
        only elsewhere raises ParkedElsewhere, one that asks, without an input_handler, InputRequired, one that waits for events
        from outside EventRequired; each has the handler.
        Cancelling it aborts the run.
        """
        return await self._run(StartEvent(**input))

    async def _run(self, event: Event) -> WorkflowResult:
        handler: Handler = self.create(Handler)
        handler._begin(event)
        try:
            return await handler._whole()
        except asyncio.CancelledError:
            handler.abort()
            raise

    def run_sync(self, /, **input: Any) -> WorkflowResult:
        """A whole run for who has no event loop: it has one of its own, on this thread."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return contextvars.copy_context().run(asyncio.run, self._run(StartEvent(**input)))
        raise RuntimeError("run_sync() blocks, and this thread runs an event loop: await run() instead")

    def run_with_handler(self, /, **input: Any) -> Handler:
        """Begins a run, and gives its Handler. It may be awaited."""
        return self.start(StartEvent(**input))

    def start(self, event: Event | None = None, *, run_id: str | None = None, metadata: Any = None) -> Handler:
        """As run_with_handler, with a StartEvent that was made before, an id and metadata of the run."""
        handler: Handler = self.create(Handler, run_id, metadata)
        handler._subscribe()
        handler._begin(StartEvent() if event is None else event)
        return handler

    def _resume(self, snapshot: Any, **options: Any) -> Handler:
        """Goes on from a snapshot (its object, bytes, JSON text, or what that is read to), and gives the Handler.

        deserializers           {type name: function(bytes)}: make objects again that have a __blazen_serialize__
        unknown_label           an object for which there is none: "error", or "skip"
        trusted                 False: pickles are not read, but handed out as Foreign
        keep_paused             a run that was paused stays so; else it goes on
        allow_changed_workflow  although the workflow's steps differ
        time_has_passed         delays and deadlines count by the date; else they stood still since the snapshot
        fork                    a new run from there, with another id
        """
        return self.resumed(Handler, snapshot, **options)  # type: ignore[no-any-return]

    @classmethod
    def _resume_with(cls, snapshot: Any, steps: Iterable[Any] = (), **options: Any) -> Handler:
        """Goes on from a snapshot with these steps. Beside what Workflow() takes, options are those of an instance's resume:
        deserializers, unknown_label, trusted, keep_paused, allow_changed_workflow, time_has_passed, fork."""
        own = {name: options.pop(name) for name in _RESUME_OPTIONS & options.keys()}
        data = bytes_of(snapshot)
        return cls(Snapshot(data).workflow_name, steps, **options)._resume(data, **own)

    resume = _OnBoth(_resume, _resume_with.__func__)  # type: ignore[attr-defined]

    @classmethod
    def resume_with_session_refs(
        cls,
        snapshot: Any,
        steps: Iterable[Any],
        deserializers: Mapping[str, Callable[[bytes], Any]] | None = None,
        **options: Any,
    ) -> Handler:
        """As resume, and makes objects again that have a __blazen_serialize__: by deserializers, or by the
        __blazen_deserialize__ of the class of that name."""
        loads = {**_deserializing_classes(), **(deserializers or {})}
        return cls._resume_with(snapshot, steps, deserializers=loads, **options)


_RESUME_OPTIONS = {
    "deserializers",
    "unknown_label",
    "trusted",
    "keep_paused",
    "allow_changed_workflow",
    "time_has_passed",
    "fork",
}


def _deserializing_classes() -> dict[str, Callable[[bytes], Any]]:
    found: dict[str, Callable[[bytes], Any]] = {}
    pending: list[type] = [object]
    seen: set[type] = set()
    while pending:
        cls = pending.pop()
        for each in list[Any](type.__subclasses__(cls)):
            if each not in seen:
                seen.add(each)
                pending.append(each)
                if "__blazen_deserialize__" in vars(each):
                    found[getattr(each, "__blazen_type__", each.__name__)] = each.__blazen_deserialize__
    return found


def _one(emits: Any) -> Any:
    given = list(emits) if isinstance(emits, (list, tuple)) else [emits]
    if len(given) > 1:
        raise ValueError(f"emits is one event type: that of the event whose value is the result, not {emits!r}")
    return given[0] if given else None


class WorkflowBuilder:
    """Makes a Workflow bit by bit: each method but build() answers the builder itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._steps: list[Any] = []
        self._options: dict[str, Any] = {}
        self._step_timeout: float | None = None
        self._step_retry: Retry | int | None = None

    def step(self, step: Any) -> "WorkflowBuilder":
        """Adds a step."""
        self._steps.append(step)
        return self

    add_step = step
    add_subworkflow_step = step
    add_parallel_subworkflows = step
    add_subpipeline_step = step

    def timeout(self, seconds: float) -> "WorkflowBuilder":
        """How long a run may take."""
        self._options["timeout"] = seconds
        return self

    def no_timeout(self) -> "WorkflowBuilder":
        """A run may take for ever."""
        self._options["timeout"] = None
        return self

    def step_timeout(self, seconds: float) -> "WorkflowBuilder":
        """How long an attempt of each step may take that says nothing else."""
        self._step_timeout = seconds
        return self

    def step_retry(self, retry: Retry | int) -> "WorkflowBuilder":
        """When each step is tried again that says nothing else."""
        self._step_retry = retry
        return self

    def session_pause_policy(self, policy: SessionPausePolicy | str) -> "WorkflowBuilder":
        """What a snapshot does with live objects."""
        self._options["session_pause_policy"] = policy
        return self

    def input_handler(self, handler: Callable[[Event], Any]) -> "WorkflowBuilder":
        """Who answers the questions."""
        self._options["input_handler"] = handler
        return self

    def build(self) -> Workflow:
        """The Workflow of what was added so far."""
        return Workflow(self.name, [self._with_defaults(each) for each in self._steps], **self._options)

    def _with_defaults(self, step: Any) -> Any:
        if not isinstance(step, Step):
            return step
        import dataclasses

        options = step.options
        if options.timeout is None:
            options = dataclasses.replace(options, timeout=self._step_timeout)
        if options.retries is None:
            options = dataclasses.replace(options, retries=self._step_retry)
        return step if options is step.options else Step(step.function, step.name, options, step._scope)
