"""Pipelines: workflows one behind the other, each of which is run with the result of the one before it.

    book = (
        blazen.PipelineBuilder("book")
        .stage(blazen.Stage("draft", draft))
        .parallel(blazen.ParallelStage("reviews", {"style": style, "facts": facts}))
        .loop_stage(blazen.LoopStage("revise", 5, blazen.Stage("revise", revise), until=is_good))
        .build()
    )
    print(book.run("an outline").final_output)
    run = runtime.run(book, "an outline")     # a pipeline is a workflow like any other
    print(run.result(), run.stages())

What a stage is given beside its workflow is a function of the last result alone, or of (ctx, that), and may be an
`async def`. It is called as a step is: tried again as the stage that it belongs to, and asked again, under the same
ctx.invocation_id, where a snapshot has it in flight. ctx.state is shared by those of all stages; there, and in run.values,
are the results by result_key(), and the input of the run under "blazen/input".
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Optional, Union

from . import runtime as runtimes
from . import subworkflows, tiers
from ._arguments import flag, milliseconds_or_0, text, whole
from ._c import StageOptions, c
from ._calls import lib
from ._handles import Handle
from .subworkflows import Decision, JoinStrategy
from .workflow import AnyWorkflow, Retry, limits_of, pointer_of, retry_options, session_policy

_ROUNDS_BITS = 32


@dataclass(frozen=True)
class Stage:
    """A stage that runs a workflow.

    workflow      the Workflow, or Pipeline
    input_mapper  what it returns is the input of the workflow; None: the last result is
    condition     returns True, or False: the stage is skipped, and the last result stays
    output        a function of the result of the workflow: what it returns is the result of the stage
    timeout       how many seconds its runs may take, by their clocks; None: as PipelineBuilder.timeout_per_stage() says
    retries       a Retry: when its run, or a function of the stage, is tried again
    """

    name: str
    workflow: AnyWorkflow
    input_mapper: Optional[Callable] = None
    condition: Optional[Callable] = None
    output: Optional[Callable] = None
    timeout: Optional[float] = None
    retries: Optional[Retry] = None

    add = staticmethod(lib.pipeline_builder_add_stage)
    add_loop = staticmethod(lib.pipeline_builder_add_loop)
    results = staticmethod(subworkflows.result)
    first_success = 0

    def runs(self):
        """The workflows that it runs, and they as arguments of a call."""
        return [self.workflow], (pointer_of("workflow", self.workflow),)


@dataclass(frozen=True)
class ParallelStage:
    """A stage that runs several workflows at once, each with the same input. The rest is as of a Stage; retries holds for
    each branch.

    branches       {name: its workflow, or blazen.ELSEWHERE}
    join_strategy  as of Workflow.subworkflows()
    output         gets the results as a dict by branch; of the first that has succeeded, with that alone; in a loop, the
                   result of the last round, as a Stage's output gets it
    """

    name: str
    branches: Mapping[str, Any]
    join_strategy: Union[JoinStrategy, str] = JoinStrategy.WaitAll
    input_mapper: Optional[Callable] = None
    condition: Optional[Callable] = None
    output: Optional[Callable] = None
    timeout: Optional[float] = None
    retries: Optional[Retry] = None

    add = staticmethod(lib.pipeline_builder_add_parallel)
    add_loop = staticmethod(lib.pipeline_builder_add_parallel_loop)
    results = staticmethod(subworkflows.results)

    def runs(self):
        """As of a Stage."""
        if not isinstance(self.branches, Mapping):
            raise TypeError(f"branches is a dict of workflows by the names of their branches, not {self.branches!r}")
        return list(self.branches.values()), subworkflows.branches(self.branches.items(), pointer_of)

    @property
    def first_success(self):
        return subworkflows.first_success(self.join_strategy)


@dataclass(frozen=True)
class LoopStage:
    """A stage that runs another one in rounds: each is given the result of the one before it.

    max_iterations  how many rounds at most, 1 or more
    inner           the Stage, or ParallelStage, whose own name does not count. Its condition and its output are asked once
                    for all rounds, its input_mapper before the first; its timeout is for all of them together
    until           a function of the result of a round, which returns "again", "done" or "fail"; None: all rounds are run
    done_at_bound   whether the stage is done where until still says "again" after the last round; else it fails with
                    Status.LIMIT
    """

    name: str
    max_iterations: int
    inner: Union[Stage, ParallelStage]
    until: Optional[Callable] = None
    done_at_bound: bool = False


class Pipeline(AnyWorkflow):
    """What PipelineBuilder.build() answers: it is run, and is a step, a branch or a stage, as a Workflow is.

    Each of start(), run() and resume() takes a runtime; without one, the process has one for all of them, of threads.
    """

    def __init__(self, name, built, workflows):
        self.name = name
        self._built = built
        self._kept = workflows

    @property
    def pointer(self):
        return self._built.pointer

    def start(self, input=None, *, runtime=None, **options):
        """Begins a run, and answers its PipelineHandler. The options are those of Runtime.create()."""
        chosen = runtimes.default() if runtime is None else runtime
        return self._begun(chosen, chosen.create(self, **options), input)

    def run(self, input=None, *, runtime=None, **options):
        """A whole run: its PipelineResult. On a blazen.aio.Runtime, it is to be awaited."""
        return self.start(input, runtime=runtime, **options).result()

    def resume(self, snapshot, *, runtime=None, **options):
        """Goes on from a snapshot, and answers the PipelineHandler. The options are those of Runtime.resume()."""
        chosen = runtimes.default() if runtime is None else runtime
        return self._begun(chosen, chosen.resume(self, bytes(snapshot), **options))

    def _begun(self, runtime, run, input=None):
        handler = runtime.handler_of(self, run)
        run.start(input)
        return handler


class PipelineBuilder:
    """Stages are added in their order; each method but build() answers the builder itself.

    session_pause_policy, limits  as of a Workflow, of the runs of the pipeline
    """

    def __init__(self, name, *, session_pause_policy="pickle_or_error", limits=None):
        self._builder = Handle(lib.pipeline_builder_create(*text("name", name)), c.pipeline_builder_release)
        self._workflows = []
        self.name = name
        lib.pipeline_builder_set_session_policy(self._builder.pointer, session_policy(session_pause_policy))
        for limit in limits_of(limits):
            lib.pipeline_builder_set_limit(self._builder.pointer, *limit)

    def stage(self, stage):
        """Adds a Stage."""
        return self._add(_is_a("stage", stage, Stage))

    def parallel(self, stage):
        """Adds a ParallelStage."""
        return self._add(_is_a("stage", stage, ParallelStage))

    def loop_stage(self, stage):
        """Adds a LoopStage."""
        _is_a("stage", stage, LoopStage)
        return self._add(_is_a("inner", stage.inner, Stage, ParallelStage), stage)

    def timeout_per_stage(self, seconds):
        """How long each stage may take that says nothing else; None, as where it is not called: for ever."""
        lib.pipeline_builder_set_stage_timeout(self._builder.pointer, milliseconds_or_0("seconds", seconds))
        return self

    def total_timeout(self, seconds):
        """How long a run may take; None, as where it is not called: for ever."""
        lib.pipeline_builder_set_timeout(self._builder.pointer, milliseconds_or_0("seconds", seconds))
        return self

    def build(self):
        """The Pipeline of the stages so far; others may follow, and another one be built."""
        built = Handle(lib.pipeline_builder_build(self._builder.pointer), c.workflow_release)
        return Pipeline(self.name, built, list(self._workflows))

    def _add(self, stage, loop=None):
        name = text("name", stage.name if loop is None else loop.name)
        workflows, runs = stage.runs()
        rounds = () if loop is None else (whole("max_iterations", loop.max_iterations, _ROUNDS_BITS, least=1),)
        add = stage.add if loop is None else stage.add_loop
        add(self._builder.pointer, *name, *runs, *rounds, _options(stage, loop))
        self._workflows += workflows
        return self


def _is_a(name, given, *kinds):
    if not isinstance(given, kinds):
        raise TypeError(f"{name} is a {' or a '.join(kind.__name__ for kind in kinds)}, not {given!r}")
    return given


def _answer_output(ctx, outcome):
    """A result, which keeps its identity."""
    subworkflows.refuse_events(outcome, "output returns the result of the stage")
    subworkflows.answer_with(ctx, outcome, tiers.pack_plain)


def _options(stage, loop):
    """As blazen_stage_options, whose mappers are the library's to drop from now on: all else is checked before."""
    last = subworkflows.result
    retry = retry_options(stage.retries)
    timeout_ms, first_success = milliseconds_or_0("timeout", stage.timeout), stage.first_success
    done_at_bound = 0 if loop is None else flag("done_at_bound", loop.done_at_bound)
    decisions = {
        "condition": Decision("condition", stage.condition, last, subworkflows.answer_with),
        "input": Decision("input_mapper", stage.input_mapper, last, subworkflows.answer_input),
        "output": Decision("output", stage.output, stage.results if loop is None else last, _answer_output),
        "until": Decision("until", None if loop is None else loop.until, last, subworkflows.answer_with),
    }
    made = StageOptions(timeout_ms=timeout_ms, first_success=first_success, done_at_bound=done_at_bound)
    if retry is not None:
        made.retry = ctypes.pointer(retry)
    for name, decision in decisions.items():
        setattr(made, name, decision.mapper())
    return made
