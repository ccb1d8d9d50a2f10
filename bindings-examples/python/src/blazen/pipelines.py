"""Pipelines: workflows one behind the other, each of which is run with the result of the one before it.

    book = (
        PipelineBuilder("book")
        .stage(Stage("draft", draft))
        .parallel(ParallelStage("reviews", {"style": style, "facts": facts}))
        .loop_stage(LoopStage("revise", 5, Stage("revise", revise), until=is_good))
        .build()
    )
    result = await book.run({"topic": "wires"})      # result.final_output

What a stage is given beside its workflow is a function of the last result alone, or of (ctx, that), and may be an
`async def`. It is called as a step is: tried again as the stage is, and asked again where a snapshot has it in flight.
"""

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from . import _blazen
from ._runnable import AnyWorkflow
from .errors import BlazenError, PipelineError
from .events import OWN_CLASSES, Event
from .handler import EventStream, Handler
from .policies import SessionPausePolicy, policy_of
from .snapshots import PipelineSnapshot
from .steps import Bodies, Retry, milliseconds, retry_of
from .subworkflows import ELSEWHERE, JoinStrategy, child_of, result_of, results_of

__all__ = [
    "LoopStage",
    "ParallelStage",
    "Pipeline",
    "PipelineBuilder",
    "PipelineEvent",
    "PipelineHandler",
    "PipelineResult",
    "Stage",
    "StageResult",
]

_OWN = "blazen/"


@dataclass(frozen=True)
class Stage:
    """A stage that runs a workflow.

    workflow      the Workflow, or Pipeline
    input_mapper  what it returns of the last result is the input of the workflow; None: the last result is
    condition     returns True, or False: the stage is skipped, and the last result stays
    output        what it returns of the result of the workflow is the result of the stage
    timeout       how many seconds its runs may take
    retries       when its run, or a function of the stage, is tried again
    """

    name: str
    workflow: AnyWorkflow
    input_mapper: Callable[..., Any] | None = None
    condition: Callable[..., Any] | None = None
    output: Callable[..., Any] | None = None
    timeout: float | None = None
    retries: Retry | int | None = None

    first_success = False

    def runs(self) -> Any:
        """What runs in it."""
        return self.workflow


@dataclass(frozen=True)
class ParallelStage:
    """A stage that runs several workflows at once, each with the same input; the rest is as of a Stage.

    branches       {name: its workflow, or ELSEWHERE}; the result is {name: its result}
    join_strategy  WaitAll; FirstCompletes: the first that succeeds is enough, and the result is its
    """

    name: str
    branches: Mapping[str, Any]
    join_strategy: JoinStrategy | str = JoinStrategy.WaitAll
    input_mapper: Callable[..., Any] | None = None
    condition: Callable[..., Any] | None = None
    output: Callable[..., Any] | None = None
    timeout: float | None = None
    retries: Retry | int | None = None

    @property
    def first_success(self) -> bool:
        """Whether one success is enough."""
        return JoinStrategy(self.join_strategy) is JoinStrategy.FirstCompletes

    def runs(self) -> Any:
        """What runs in it."""
        if not isinstance(self.branches, Mapping):
            raise TypeError(f"branches is a dict of workflows by the names of their branches, not {self.branches!r}")
        return dict(self.branches)


@dataclass(frozen=True)
class LoopStage:
    """A stage that runs another one in rounds: each is given the result of the one before it.

    max_iterations  how many rounds at most
    inner           the Stage, or ParallelStage, whose own name does not count
    until           a function of the result of a round: "again", "done" or "fail"; None: all rounds are run
    done_at_bound   whether the stage is done where until says "again" after the last round; else it fails
    """

    name: str
    max_iterations: int
    inner: Stage | ParallelStage
    until: Callable[..., Any] | None = None
    done_at_bound: bool = False


@dataclass(frozen=True)
class StageResult:
    """What one stage came to. output: its result, None where it was skipped; duration_ms: None where it was skipped."""

    name: str
    output: Any
    skipped: bool
    duration_ms: float | None


@dataclass(frozen=True)
class PipelineResult:
    """What a pipeline came to. shared_state: what the functions of the stages have left in ctx.state."""

    pipeline_name: str
    run_id: str
    final_output: Any
    stage_results: tuple[StageResult, ...]
    shared_state: dict[str, Any]


@dataclass(frozen=True)
class PipelineEvent:
    """An item of the stream, with where it comes from: stage (None: the pipeline itself), branch, and the run inside."""

    stage_name: str | None
    branch_name: str | None
    workflow_run_id: str
    event: Event


class _PipelineStream(EventStream):
    def __init__(self, run_id: str, stream: _blazen.Handle, classes: dict[Any, Any], context: Any) -> None:
        super().__init__(stream, classes, context, with_path=True)
        self._run_id = run_id

    async def __anext__(self) -> PipelineEvent:
        event, path, child_run_id = await super().__anext__()
        if not path:
            return PipelineEvent(None, None, self._run_id, event)
        return PipelineEvent(path[0]["step"], path[0].get("branch"), child_run_id, event)


class PipelineHandler(Handler):
    """A run of a pipeline that has begun."""

    _snapshot_kind = PipelineSnapshot

    def _new_stream(self, routed: bool, lifecycle: bool) -> EventStream:
        stream = _blazen.run_subscribe(self._run, lifecycle, routed)
        return _PipelineStream(self.run_id, stream, self._core.classes, self._core.context.copy())

    def progress(self) -> dict[str, Any]:
        """Where the stages stand: current, total, percent, stages."""
        return dict(_blazen.run_look(self._run, "stages"))

    def _made(self, result: Any) -> Any:
        values = self.values()
        stages = tuple(self._stage(values, stage) for stage in self.progress()["stages"])
        state = {key: thing for key, thing in values.items() if not key.startswith(_OWN)}
        return PipelineResult(self.workflow.name, self.run_id, result, stages, state)

    @staticmethod
    def _stage(values: dict[str, Any], stage: dict[str, Any]) -> StageResult:
        skipped = stage["status"] == "skipped"
        key = "blazen/pipeline/" + stage["name"].replace("~", "~0").replace("/", "~1")
        return StageResult(
            stage["name"], None if skipped else values.get(key), skipped, None if skipped else stage.get("took_ms")
        )

    def _failed(self, failure: BlazenError) -> BlazenError:
        made = PipelineError(
            str(failure),
            failure.status,
            step=failure.step,
            attempt=failure.attempt,
            host_code=failure.host_code,
            offset=failure.offset,
            detail=failure.detail,
        )
        failed = [each["name"] for each in self.progress()["stages"] if each["status"] == "failed"]
        made.stage = failed[0] if failed else None
        made.__cause__ = failure.original() or failure
        return made


class Pipeline(AnyWorkflow):
    """What PipelineBuilder.build() answers: it is run, and is a step, a branch or a stage, as a Workflow is."""

    def __init__(
        self, name: str, handle: _blazen.Handle, bodies: Bodies, input_handler: Callable[[Event], Any] | None
    ) -> None:
        self.name = name
        self.input_handler = input_handler
        self._parts = handle, bodies

    def built(self) -> tuple[_blazen.Handle, Bodies]:
        """As of any workflow."""
        return self._parts

    def start(self, input: Any = None, *, run_id: str | None = None, metadata: Any = None) -> PipelineHandler:
        """Begins a run, and gives its handler. It may be awaited."""
        handler: PipelineHandler = self.create(PipelineHandler, run_id, metadata)
        handler._subscribe()
        handler._begin(input)
        return handler

    async def run(self, input: Any = None) -> PipelineResult:
        """A whole run. What fails raises PipelineError, with what the stage has raised as its cause."""
        handler: PipelineHandler = self.create(PipelineHandler)
        handler._begin(input)
        try:
            result: Any = await handler._whole()
        except asyncio.CancelledError:
            handler.abort()
            raise
        made: PipelineResult = result
        return made

    def run_sync(self, input: Any = None) -> PipelineResult:
        """A whole run for who has no event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return contextvars.copy_context().run(asyncio.run, self.run(input))
        raise RuntimeError("run_sync() blocks, and this thread runs an event loop: await run() instead")

    def resume(self, snapshot: Any, **options: Any) -> PipelineHandler:
        """Goes on from a snapshot. The options are those of Workflow.resume."""
        handler: PipelineHandler = self.resumed(PipelineHandler, snapshot, **options)
        return handler


class PipelineBuilder:
    """Stages are added in their order; each method but build() answers the builder itself."""

    def __init__(
        self,
        name: str,
        *,
        session_pause_policy: SessionPausePolicy | str = SessionPausePolicy.PickleOrError,
        input_handler: Callable[[Event], Any] | None = None,
    ) -> None:
        self.name = name
        self._builder, self._bodies = _blazen.pipeline_create(name), Bodies()
        self._input_handler = input_handler
        self._bodies.classes[None] = Event
        for cls in OWN_CLASSES:
            self._bodies.classes[cls._blazen_type] = cls
        _blazen.pipeline_set(self._builder, "policy", policy_of(session_pause_policy))

    def stage(self, stage: Stage) -> Self:
        """Adds a Stage."""
        return self._add(_is_a("stage", stage, Stage), None)

    def parallel(self, parallel: ParallelStage) -> Self:
        """Adds a ParallelStage."""
        return self._add(_is_a("parallel", parallel, ParallelStage), None)

    def loop_stage(self, loop_stage: LoopStage) -> Self:
        """Adds a LoopStage."""
        _is_a("loop_stage", loop_stage, LoopStage)
        return self._add(_is_a("inner", loop_stage.inner, Stage, ParallelStage), loop_stage)

    def timeout_per_stage(self, seconds: float | None) -> Self:
        """How long each stage may take that says nothing else."""
        _blazen.pipeline_set(self._builder, "stage timeout", milliseconds("seconds", seconds))
        return self

    def total_timeout(self, seconds: float | None) -> Self:
        """How long a run may take."""
        _blazen.pipeline_set(self._builder, "timeout", milliseconds("seconds", seconds))
        return self

    def no_total_timeout(self) -> Self:
        """A run may take for ever."""
        return self.total_timeout(None)

    def build(self) -> Pipeline:
        """The Pipeline of the stages so far."""
        return Pipeline(self.name, _blazen.pipeline_build(self._builder), self._bodies, self._input_handler)

    def _add(self, stage: Any, loop: LoopStage | None) -> Self:
        bodies, runs = self._bodies, stage.runs()
        rounds = 0
        if loop is not None:
            rounds = loop.max_iterations
            if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
                raise ValueError(f"max_iterations is a number of rounds, 1 or more, not {rounds!r}")
        results = results_of if isinstance(runs, dict) and loop is None else result_of
        _blazen.pipeline_add(
            self._builder,
            stage.name if loop is None else loop.name,
            child_of(runs, bodies),
            rounds,
            (
                bodies.decision("condition", stage.condition, result_of, ELSEWHERE),
                bodies.decision("input_mapper", stage.input_mapper, result_of, ELSEWHERE),
                bodies.decision("output", stage.output, results, ELSEWHERE),
                bodies.decision("until", None if loop is None else loop.until, result_of, ELSEWHERE),
            ),
            milliseconds("timeout", stage.timeout),
            retry_of(stage.retries),
            stage.first_success,
            loop is not None and loop.done_at_bound,
        )
        return self


def _is_a(what: str, given: Any, *kinds: type) -> Any:
    if not isinstance(given, kinds):
        raise TypeError(f"{what} is a {' or a '.join(kind.__name__ for kind in kinds)}, not {given!r}")
    return given
