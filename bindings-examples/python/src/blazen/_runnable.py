"""What can be run, and how a run of it begins, answers questions by itself, and goes on from a snapshot."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from . import _blazen, _cbor, _runs, errors, values
from .errors import BlazenError, Status
from .events import Event, InputRequestEvent
from .snapshots import Snapshot, bytes_of
from .steps import Bodies, choice


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
        return kind(self, run, core, answering is not None)

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
        handler = kind(self, run, core, answering is not None)
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
    """The input handler of a run. It keeps the run while it answers."""

    def __init__(self, core: _runs.Core, handler: Callable[[Event], Any]) -> None:
        self._core, self._handler = core, handler

    def __call__(self, request: tuple[str, dict[str, Any], _blazen.Handle]) -> None:
        _runs.soon(self._core.home.loop(), self._ask, *request)

    def _ask(self, request_id: str, payload: dict[str, Any], run: _blazen.Handle) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._answer(request_id, payload, run), context=self._core.context.copy())
        self._core.answering.add(task)
        task.add_done_callback(self._core.answering.discard)

    async def _answer(self, request_id: str, payload: dict[str, Any], run: _blazen.Handle) -> None:
        try:
            answer = self._handler(InputRequestEvent(**{**payload, "request_id": request_id}))
            if asyncio.iscoroutine(answer) or isinstance(answer, asyncio.Future):
                answer = await answer
            if answer is not None:
                _blazen.run_respond(run, request_id, answer, False)
        except BlazenError:
            pass  # somebody else has answered, or the run has ended
        except BaseException as exception:
            self._fail(run, request_id, exception)
            if not isinstance(exception, Exception):
                raise

    def _fail(self, run: _blazen.Handle, request_id: str, exception: BaseException) -> None:
        message, detail = errors.describe(exception), errors.detail_of(exception)
        token = errors.Failure(self._core, exception)
        try:
            _blazen.run_fail_question(run, request_id, message, detail, _cbor.CODEC, token)
        except BlazenError as failure:
            if failure.status not in (Status.NOT_FOUND, Status.CANCELLED):
                raise


def answering_of(core: _runs.Core, handler: Callable[[Event], Any] | None) -> Answering | None:
    return None if handler is None else Answering(core, handler)
