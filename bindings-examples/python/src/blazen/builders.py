"""Workflows made bit by bit."""

import dataclasses
from collections.abc import Callable
from typing import Any

from .events import Event
from .policies import SessionPausePolicy
from .steps import Retry, Step
from .workflow import Workflow

__all__ = ["WorkflowBuilder"]


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
        options = step.options
        if options.timeout is None:
            options = dataclasses.replace(options, timeout=self._step_timeout)
        if options.retries is None:
            options = dataclasses.replace(options, retries=self._step_retry)
        return step if options is step.options else Step(step.function, step.name, options, step._scope)
