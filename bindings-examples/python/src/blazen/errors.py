"""What goes wrong."""

import enum
import traceback
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _cbor, values

if TYPE_CHECKING:
    from ._runs import Core
    from .handler import Handler


class Status(enum.IntEnum):
    """What went wrong, as libblazen numbers it."""

    INVALID_ARGUMENT = 100
    WRONG_HANDLE = 101
    INVALID_UTF8 = 102
    INVALID_JSON = 103
    WRONG_TAG = 104
    WRONG_PLACE = 105
    WRONG_STATE = 106
    NOT_FOUND = 107
    CONFLICT = 108
    INVALID_WORKFLOW = 109
    OUT_OF_MEMORY = 200
    LIMIT = 201
    TIMEOUT = 202
    CANCELLED = 203
    SYSTEM = 204
    INTERNAL = 205
    HOST = 300
    STEP_FAILED = 301
    NO_HANDLER = 302
    STALLED = 303
    RUN_TIMEOUT = 304
    STEP_TIMEOUT = 305
    ABORTED = 306
    NOT_SERIALIZABLE = 400
    SNAPSHOT_INVALID = 401
    SNAPSHOT_NEWER = 402
    SNAPSHOT_MISMATCH = 403


class BlazenError(Exception):
    """Something that the library refuses, or how a run has ended.

    status     what went wrong: a Status
    step       the name of the step that it is about, or None
    attempt    which attempt of it, from 1; 0: none
    host_code  the number that a step of another language gave; 0: none
    detail     the value that came with it, or None
    remote     of an exception of another language or process: {"language", "type", "message", "traceback"}, or None
    """

    def __init__(
        self,
        message: str,
        status: int,
        *,
        step: str | None = None,
        attempt: int = 0,
        host_code: int = 0,
        offset: int | None = None,
        detail: Any = None,
    ) -> None:
        super().__init__(message)
        self.status: int = Status(status) if status in Status._value2member_map_ else status
        self.step = step
        self.attempt = attempt
        self.host_code = host_code
        self.offset = offset
        self.detail = detail
        self.remote: dict[str, Any] | None = None
        self._original: "Failure | None" = None

    def original(self) -> BaseException | None:
        """The exception of the step, where it was Python's."""
        return None if self._original is None else self._original.exception()


class BlazenTimeout(BlazenError, TimeoutError):
    """The time of a run, of a step or of a wait is up."""


class ParkedElsewhere(BlazenError):
    """`await run()` of a run that only another process can go on with. steps: their names; handler: the run."""

    def __init__(self, steps: list[str], handler: "Handler") -> None:
        super().__init__(
            f"the run goes on elsewhere, where these steps are: {', '.join(steps)}; .handler has its snapshot",
            Status.WRONG_STATE,
        )
        self.steps, self.handler = steps, handler


class InputRequired(BlazenError):
    """`await run()` of a run that asks, and has no input_handler. questions: what is open; handler: the run."""

    def __init__(self, questions: list[dict[str, Any]], handler: "Handler") -> None:
        super().__init__(
            f"the run asks {[each.get('prompt') for each in questions]}, and has no input_handler: "
            "answer with .handler.respond_to_input()",
            Status.WRONG_STATE,
        )
        self.questions, self.handler = questions, handler


class EventRequired(BlazenError):
    """`await run()` of a run with idle="wait" that only an event from outside can move on. handler: the run."""

    def __init__(self, handler: "Handler") -> None:
        super().__init__(
            "the run waits for an event from outside: send it with .handler.send_event(), or begin with run_with_handler()",
            Status.WRONG_STATE,
        )
        self.handler = handler


class PipelineError(BlazenError):
    """A pipeline has failed. stage: the name of the stage that has, or None. The cause is what the stage has raised."""

    stage: str | None = None


# ---- exceptions on their way through the library ----


class Failure:
    """Stands for an exception while the library has it. The run keeps the exception, so that what leads from there back to
    the run can be collected."""

    __slots__ = ("__weakref__", "_core", "_data")

    def __init__(self, core: "Core", exception: BaseException) -> None:
        self._core = weakref.ref(core)
        self._data: bytes | None = None
        core.failures[self] = (exception, exception.__traceback__)

    def exception(self) -> BaseException | None:
        """The very object, as it was when it was raised."""
        core = self._core()
        kept = None if core is None else core.failures.get(self)
        if kept is None:
            return None
        exception: BaseException = kept[0]
        return exception.with_traceback(kept[1])


class Unpickled(Failure):
    """An exception that has come by a snapshot."""

    __slots__ = ("_exception", "_traceback")

    def __init__(self, exception: BaseException) -> None:
        self._exception = exception
        self._traceback: TracebackType | None = exception.__traceback__

    def exception(self) -> BaseException | None:
        return self._exception.with_traceback(self._traceback)


def describe(exception: BaseException) -> str:
    """`Type: text`, without the surrogates that no message holds."""
    try:
        text = str(exception)
    except Exception as failure:
        text = f"(its text cannot be made: {failure!r})"
    name = type(exception).__name__
    return (f"{name}: {text}" if text else name).encode(errors="replace").decode()


def detail_of(exception: BaseException) -> bytes:
    """What other languages and processes learn of an exception."""
    try:
        packed: list[Any] | None = [values.PICKLE, values.dump_pickle(exception)]
    except values.NotStorable:
        packed = None
    try:
        lines = "".join(traceback.format_exception(exception))
    except Exception:
        lines = ""
    detail = {
        "language": "python",
        "type": type(exception).__name__,
        "message": describe(exception),
        "traceback": lines,
        "object": packed,
    }
    return _cbor.dump(detail, values._embed)


def _read_remote(error: BlazenError, detail: dict[str, Any]) -> None:
    error.remote = {name: detail.get(name) for name in ("language", "type", "message", "traceback")}
    packed = detail.get("object")
    if isinstance(packed, list) and packed and packed[0] == values.PICKLE:
        try:
            made = values.load(packed[0], packed[1])
        except Exception:
            return
        if isinstance(made, BaseException):
            error._original = Unpickled(made)


_TIMEOUTS = (Status.TIMEOUT, Status.RUN_TIMEOUT, Status.STEP_TIMEOUT)


def made(
    status: int,
    message: str | None,
    step: str | None,
    attempt: int,
    offset: int,
    host_code: int,
    detail: Any,
    cause: BaseException | None,
) -> BlazenError:
    """What the compiled layer raises."""
    kind = BlazenTimeout if status in _TIMEOUTS else BlazenError
    its_offset = None if offset == (1 << 64) - 1 else offset
    error = kind(message or "", status, step=step, attempt=attempt, host_code=host_code, offset=its_offset)
    error.__cause__ = cause
    if isinstance(detail, Failure):
        error._original = detail
    elif isinstance(detail, dict) and "language" in detail and "message" in detail:
        _read_remote(error, detail)
    else:
        error.detail = detail
    return error
