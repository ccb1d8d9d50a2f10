"""An event-driven workflow engine: steps wired by the types of their events, runs that stream, ask, pause, travel and go on.

import asyncio
from blazen import Context, StartEvent, StopEvent, Workflow, step

@step
async def greet(ctx: Context, ev: StartEvent) -> StopEvent:
    return StopEvent(result=f"hello, {ev.name}")

print(asyncio.run(Workflow("hello", [greet]).run(name="world")).result)
"""

from importlib import metadata as _metadata


def _refuse_the_other() -> None:
    """Another project's package has this import name too."""
    try:
        other = _metadata.version("blazen")
    except _metadata.PackageNotFoundError:
        return
    raise ImportError(
        f"both libblazen and the distribution 'blazen' {other}, of another project, are installed, and share the name 'blazen':"
        " uninstall one of them"
    )


_refuse_the_other()

from . import _hooks  # noqa: E402,F401
from ._blazen import version as library_version  # noqa: E402
from .builders import WorkflowBuilder  # noqa: E402
from .context import Context, Joined, JoinReason, Session, State  # noqa: E402
from .errors import (  # noqa: E402
    BlazenError,
    BlazenTimeout,
    EventRequired,
    InputRequired,
    ParkedElsewhere,
    PipelineError,
    Status,
)
from .events import (  # noqa: E402
    EmptyJoinEvent,
    Event,
    InputRequestEvent,
    InputResponseEvent,
    StartEvent,
    StepFailedEvent,
    StopEvent,
    correlate,
    correlation_of,
)
from .handler import EventStream, Handler, RunState, WorkflowResult  # noqa: E402
from .pipelines import (  # noqa: E402
    LoopStage,
    ParallelStage,
    Pipeline,
    PipelineBuilder,
    PipelineEvent,
    PipelineHandler,
    PipelineResult,
    Stage,
    StageResult,
)
from .policies import SessionPausePolicy  # noqa: E402
from .snapshots import PipelineSnapshot, Snapshot  # noqa: E402
from .steps import Elsewhere, Join, Retry, Step, elsewhere, step  # noqa: E402
from .subworkflows import ELSEWHERE, JoinStrategy, parallel, subworkflow  # noqa: E402
from .typed_state import BlazenState, CallbackFieldStore, FieldStore, UnknownState  # noqa: E402
from .values import Foreign, NotStorable, Tag  # noqa: E402
from .workflow import Workflow, set_pool  # noqa: E402

WorkflowHandler = Handler

__all__ = [
    "ELSEWHERE",
    "BlazenError",
    "BlazenState",
    "BlazenTimeout",
    "CallbackFieldStore",
    "Context",
    "Elsewhere",
    "EmptyJoinEvent",
    "Event",
    "EventRequired",
    "EventStream",
    "FieldStore",
    "Foreign",
    "Handler",
    "InputRequestEvent",
    "InputRequired",
    "InputResponseEvent",
    "Join",
    "JoinReason",
    "JoinStrategy",
    "Joined",
    "LoopStage",
    "NotStorable",
    "ParallelStage",
    "ParkedElsewhere",
    "Pipeline",
    "PipelineBuilder",
    "PipelineError",
    "PipelineEvent",
    "PipelineHandler",
    "PipelineResult",
    "PipelineSnapshot",
    "Retry",
    "RunState",
    "Session",
    "SessionPausePolicy",
    "Snapshot",
    "Stage",
    "StageResult",
    "StartEvent",
    "State",
    "Status",
    "Step",
    "StepFailedEvent",
    "StopEvent",
    "Tag",
    "UnknownState",
    "Workflow",
    "WorkflowBuilder",
    "WorkflowHandler",
    "WorkflowResult",
    "correlate",
    "correlation_of",
    "elsewhere",
    "library_version",
    "parallel",
    "set_pool",
    "step",
    "subworkflow",
]
