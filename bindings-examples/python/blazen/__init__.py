"""Blazen from Python: workflows of steps, on libblazen, with nothing but the standard library.

    import blazen

    workflow = blazen.Workflow("hello")

    @workflow.step(accepts=blazen.START_EVENT)
    def greet(ctx, event):
        ctx.state["name"] = event.value
        return blazen.Event("Greeted", {"times": 1})

    @workflow.step(accepts="Greeted")
    def finish(ctx, event):
        return blazen.StopEvent("hello, " + ctx.state["name"])

    with blazen.Runtime() as runtime:
        print(runtime.run(workflow, "world").result())

An `async def` is a step too: see blazen.aio. A step that waits for all that comes of another one: see blazen.joins.
A step that is a workflow: see blazen.subworkflows. Workflows one behind the other: see blazen.pipelines.

The library is the one that BLAZEN_LIBRARY names; without it, the one that this tree was built to.

Values unpickle as they are read: resume snapshots only from those whom you would let run code.
"""

from . import aio
from .clock import Clock
from .context import Context, Invocation, Session, State
from .errors import BlazenError, BlazenTimeout, Status
from .events import (
    EMPTY_JOIN_EVENT,
    INPUT_REQUEST_EVENT,
    INPUT_RESPONSE_EVENT,
    LIFECYCLE,
    PROGRESS,
    START_EVENT,
    STEP_FAILED_EVENT,
    STOP_EVENT,
    STREAM_END,
    STREAM_GAP,
    Event,
    StopEvent,
)
from .joins import Join, Joined, JoinReason
from .pipeline_runs import (
    PipelineError,
    PipelineEvent,
    PipelineHandler,
    PipelineResult,
    PipelineSnapshot,
    StageResult,
    result_key,
)
from .pipelines import LoopStage, ParallelStage, Pipeline, PipelineBuilder, Stage
from .run import ChildRun, Run, RunState, Values
from .runtime import LogLevel, Runtime
from .snapshots import snapshot_info, snapshot_metadata
from .stream import Stream
from .subworkflows import ELSEWHERE, JoinStrategy
from .tiers import Stored, Tag
from .typed_state import BlazenState, CallbackFieldStore, FieldStore
from .workflow import Retry, Workflow
from ._c import has_feature, version
from ._objects import live_count

__all__ = [
    "BlazenError",
    "BlazenState",
    "BlazenTimeout",
    "CallbackFieldStore",
    "ChildRun",
    "Clock",
    "Context",
    "ELSEWHERE",
    "EMPTY_JOIN_EVENT",
    "Event",
    "FieldStore",
    "INPUT_REQUEST_EVENT",
    "INPUT_RESPONSE_EVENT",
    "Invocation",
    "Join",
    "JoinReason",
    "JoinStrategy",
    "Joined",
    "LIFECYCLE",
    "LogLevel",
    "LoopStage",
    "PROGRESS",
    "ParallelStage",
    "Pipeline",
    "PipelineBuilder",
    "PipelineError",
    "PipelineEvent",
    "PipelineHandler",
    "PipelineResult",
    "PipelineSnapshot",
    "Retry",
    "Run",
    "RunState",
    "Runtime",
    "START_EVENT",
    "STEP_FAILED_EVENT",
    "STOP_EVENT",
    "STREAM_END",
    "STREAM_GAP",
    "Session",
    "Stage",
    "StageResult",
    "State",
    "Status",
    "StopEvent",
    "Stored",
    "Stream",
    "Tag",
    "Values",
    "Workflow",
    "aio",
    "has_feature",
    "live_count",
    "result_key",
    "snapshot_info",
    "snapshot_metadata",
    "version",
]
