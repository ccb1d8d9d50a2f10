"""Runs of pipelines, as those see them who think in stages.

    handler = book.start("an outline")        # a blazen.Pipeline; on a Runtime of its own, where none is given
    for each in handler.stream_events():
        print(each.stage_name, each.branch_name, each.event.value)
    result = handler.result()
    print(result.final_output, [stage.duration_ms for stage in result.stage_results])

On a blazen.aio.Runtime the handler is a blazen.aio.PipelineHandler: `await handler`, `async for`.
"""

from dataclasses import dataclass
from typing import Any, Optional

from . import errors
from .events import Event
from .snapshots import snapshot_info

_OWN = "blazen/"  # how the keys begin that the library writes into the state of a pipeline


def result_key(stage, branch=None):
    """Where the state of a pipeline has the result of a stage, or of one of its branches."""
    names = [stage] if branch is None else [stage, branch]
    return "/".join(["blazen/pipeline", *(name.replace("~", "~0").replace("/", "~1") for name in names)])


@dataclass(frozen=True)
class StageResult:
    """What one stage came to.

    output       its result; None where it was skipped
    skipped      whether its condition said so
    duration_ms  how long it took, by the clock of the runtime; None where it was skipped
    """

    name: str
    output: Any
    skipped: bool
    duration_ms: Optional[float]


@dataclass(frozen=True)
class PipelineResult:
    """What a pipeline came to.

    final_output   the result of the run
    stage_results  a StageResult of each stage, in their order
    shared_state   what the functions of the stages have left in ctx.state, as a dict
    """

    pipeline_name: str
    run_id: str
    final_output: Any
    stage_results: tuple
    shared_state: dict


@dataclass(frozen=True)
class PipelineEvent:
    """An item of the stream, with where it comes from.

    stage_name       the stage; None: the pipeline itself
    branch_name      the branch of a ParallelStage, or None
    workflow_run_id  of the run that has published it
    """

    stage_name: Optional[str]
    branch_name: Optional[str]
    workflow_run_id: str
    event: Event


class PipelineError(errors.BlazenError):
    """A pipeline has failed. The rest is as of a BlazenError.

    stage  the name of the stage that has failed, or was at work as the run did; None where none was
    """

    def __init__(self, failure, stage):
        super().__init__(
            str(failure),
            failure.status,
            failure.step,
            failure.attempt,
            failure.host_code,
            failure.detail,
            failure.offset,
        )
        self.stage = stage
        self.__cause__ = failure.__cause__


class PipelineSnapshot(bytes):
    """A snapshot of a run of a pipeline: its bytes, as Pipeline.resume() takes them back."""

    @property
    def info(self):
        """What is in it, as blazen.snapshot_info() says."""
        return snapshot_info(bytes(self))

    @property
    def pipeline_name(self):
        return self.info["workflow"]

    @property
    def run_id(self):
        return self.info["run_id"]


class PipelineHandler:
    """A run of a pipeline that has begun.

    run  the Run, with all that is not here
    """

    def __init__(self, pipeline, run):
        self.run = run
        self._pipeline = pipeline
        self._stream = run.stream()  # before the start: nothing of it is missed

    def result(self, timeout=None):
        """Waits, and answers the PipelineResult; raises PipelineError where there is none, and BlazenTimeout after so many
        seconds."""
        try:
            output = self.run.result(timeout)
        except errors.BlazenTimeout:
            raise
        except errors.BlazenError as failure:
            raise self._failure(failure) from failure.__cause__
        return self._made(output)

    def stream_events(self):
        """What the run publishes, as PipelineEvents, until it has ended. The first one that is asked for has all from the
        start on; each further one, what comes from then on."""
        return map(self._placed, self._take_stream())

    def progress(self):
        """Where the stages stand, as run.stages() says: current, total, percent, stages."""
        return self.run.stages()

    def pause(self, *, drain=False):
        """As Run.pause()."""
        return self.run.pause(drain=drain)

    def resume_in_place(self):
        """Goes on after a pause."""
        self.run.resume_in_place()

    def snapshot(self):
        """The whole run at any instant, as a PipelineSnapshot."""
        return PipelineSnapshot(self.run.snapshot())

    def respond_to_input(self, request_id, answer):
        """Answers an open question of any stage: the correlation of its InputRequestEvent, or as run.questions() says."""
        self.run.respond(request_id, answer)

    def abort(self):
        """Ends it at once."""
        return self.run.abort()

    def _take_stream(self):
        stream, self._stream = self._stream, None
        return self.run.stream() if stream is None else stream

    def _placed(self, event):
        if not event.path:
            return PipelineEvent(None, None, self.run.id, event)
        return PipelineEvent(event.path[0]["step"], event.path[0].get("branch"), event.child_run_id, event)

    def _failure(self, failure):
        failed = [stage["name"] for stage in self.run.stages()["stages"] if stage["status"] == "failed"]
        return PipelineError(failure, failed[0] if failed else None)

    def _made(self, output):
        values = self.run.values
        stages = tuple(self._stage(values, stage) for stage in self.run.stages()["stages"])
        state = {key: values[key] for key in values.names() if not key.startswith(_OWN)}
        return PipelineResult(self._pipeline.name, self.run.id, output, stages, state)

    def _stage(self, values, stage):
        skipped = stage["status"] == "skipped"
        output = None if skipped else values.get(result_key(stage["name"]))
        return StageResult(stage["name"], output, skipped, None if skipped else stage.get("took_ms"))
