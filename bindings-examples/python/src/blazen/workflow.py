"""Workflows: steps wired by the types of their events."""

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import _blazen, _runs
from ._runnable import AnyWorkflow
from .events import OWN_CLASSES, Event, StartEvent
from .handler import Handler, WorkflowResult
from .policies import ABANDONED, DEFAULT_TIMEOUT, IDLE, LIMITS, ON_PAUSE, UNHANDLED, SessionPausePolicy, policy_of
from .snapshots import Snapshot, bytes_of
from .steps import Bodies, Elsewhere, Retry, Step, choice, join_of, milliseconds, retry_of
from .subworkflows import Child, JoinStrategy, parallel, subworkflow

if TYPE_CHECKING:
    from .builders import WorkflowBuilder

__all__ = ["Workflow", "set_pool"]


def set_pool(name: str, permits: int) -> None:
    """How many calls run at once of all steps with this pool, in all runs of one event loop; set again, more or fewer."""
    _runs.pools[name] = permits
    for home in list(_runs._open):
        if not home.is_closed:
            _blazen.runtime_set_pool(home.handle, name, permits)


class _OnBoth:
    """A method of an instance that has a form of the class beside it."""

    def __init__(self, of_instance: Callable[..., Handler], of_class: Callable[..., Handler]) -> None:
        self._of_instance, self._of_class = of_instance, of_class
        self.__doc__ = of_class.__doc__

    def __get__(self, instance: Any, owner: Any) -> Callable[..., Handler]:
        if instance is None:
            return self._of_class.__get__(owner)  # type: ignore[no-any-return]
        return self._of_instance.__get__(instance)  # type: ignore[no-any-return]


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
            ("unhandled", choice("unhandled", unhandled, UNHANDLED)),
            ("idle", choice("idle", idle, IDLE)),
        ]
        self._limits = [(choice("limits", each, LIMITS), bound) for each, bound in (limits or {}).items()]
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
        if not isinstance(step, (Step, Elsewhere, Child)):
            raise TypeError(f"steps are made with @step, elsewhere(), subworkflow() or parallel(): {step!r} is not")
        self._steps.append(step)
        self._built = None
        return self

    def set_session_pause_policy(self, policy: SessionPausePolicy | str) -> None:
        """A SessionPausePolicy or its name; or "pause" (a pause keeps the session), "continue" (it clears it)."""
        if policy in ON_PAUSE:
            self.clears_session = policy == "continue"
            self._settings.append(("on pause", ON_PAUSE[str(policy)]))
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
                accepts = bodies.names("accepts", each.accepts)
                _blazen.builder_add_elsewhere(builder, each.name, accepts, each.max_concurrency, join_of(each.joins))
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
            choice("abandoned", options.abandoned, ABANDONED),
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
        from .builders import WorkflowBuilder

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
