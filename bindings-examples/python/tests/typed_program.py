"""A program of a user, for mypy --strict: every name of the package that it uses is typed."""

import asyncio
from dataclasses import dataclass

from blazen import (
    BlazenError,
    BlazenState,
    Context,
    Event,
    Handler,
    Join,
    PipelineBuilder,
    Retry,
    SessionPausePolicy,
    Snapshot,
    Stage,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowResult,
    step,
    subworkflow,
)


class Found(Event):
    path: str
    size: int = 0


@dataclass
class Job(BlazenState):
    count: int = 0

    class Meta:
        transient: set[str] = set()


@step
async def begin(ctx: Context, ev: StartEvent) -> list[Event]:
    ctx.set("job", Job(1))
    ctx.state["a"] = 1
    ctx.session["b"] = object()
    ctx.write_event_to_stream(Event("Progress", n=1))
    ctx.send_event(Found(path="a"), delay=0.1)
    return [Found(path="b", size=2)]


@step(retries=Retry(max_attempts=2), timeout=5, joins=Join(begin, mode="first_n", n=2))
def end(ctx: Context, ev: Found) -> StopEvent:
    job: Job = ctx.get("job")
    return StopEvent(result=[job.count, ev.path, [each.path for each in ctx.events()]])


async def main() -> None:
    workflow = Workflow("typed", [begin, end], session_pause_policy=SessionPausePolicy.WarnDrop)
    result: WorkflowResult = await workflow.run(a=1)
    handler: Handler = workflow.run_with_handler(a=1)
    async for event in handler.stream_events():
        print(event.event_type)
    snapshot: Snapshot = handler.snapshot()
    again: Handler = workflow.resume(snapshot, fork=True)
    try:
        snapshot = await again.pause()
    except BlazenError as failure:  # it had ended
        print(failure.status)
    resumed: Handler = await Workflow.resume(snapshot, [begin, end])
    print(result.result, await resumed.result())
    outer = Workflow("outer", [subworkflow("inner", workflow, accepts=StartEvent, emits=StopEvent)])
    pipeline = PipelineBuilder("p").stage(Stage("one", outer)).build()
    print((await pipeline.run({"a": 1})).final_output)


if __name__ == "__main__":
    asyncio.run(main())
