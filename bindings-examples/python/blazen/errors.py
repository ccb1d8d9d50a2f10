"""How calls and runs fail, in Python: BlazenError, and the way of a step's exception through the library and back."""

import enum
from ctypes import byref

from . import _live, _objects, _read
from ._c import HANDLE, c
from ._describe import describe


class Status(enum.IntEnum):
    """How a call ended, as in blazen.h. A newer library may answer a number that is not here."""

    OK = 0
    PENDING = 1
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
    """A call, or a run, has failed. Where a Python exception was the reason, it is the __cause__: the same object.

    status     the Status
    step       the step that has to do with it, or None
    attempt    the attempt of that step; 0 where there is none
    host_code  the host's own code
    detail     the value that the host gave, or None
    """

    def __init__(self, message, status, step=None, attempt=0, host_code=0, detail=None):
        super().__init__(message)
        self.status = status
        self.step = step
        self.attempt = attempt
        self.host_code = host_code
        self.detail = detail


class BlazenTimeout(BlazenError, TimeoutError):
    """The deadline of a call passed; the run goes on."""


def known(kind, number):
    """A member of an open enum; the bare number where it is newer than this binding."""
    try:
        return kind(number)
    except ValueError:
        return number


def failure(status, error):
    """The exception that stands for an error of the library, which is released."""
    try:
        return _exception_of(known(Status, status), error)
    finally:
        c.error_release(error)


def _exception_of(status, error):
    detail = c.error_detail(error)
    detail = None if detail is None else _read.value(detail)
    message = _read.text(c.error_message, error) or "no details were given"
    kind = BlazenTimeout if status == Status.TIMEOUT else BlazenError
    exception = kind(
        message, status, _read.text(c.error_step, error), c.error_attempt(error), c.error_host_code(error), detail
    )
    if isinstance(detail, BaseException):
        exception.__cause__ = detail
    return exception


def report(exception, context, error_out):
    """Turns an exception of a step into the library's error, which keeps it. Answers the status to return.

    An exception may say its own code, in an attribute `host_code`. Nothing is raised here: a callback could not.
    """
    message = describe(exception)
    detail = HANDLE()
    kept = _objects.keep_with_run(exception, c.context_run(context))
    _live.create(kept, _live.label_of(exception), byref(detail))
    code = getattr(exception, "host_code", 0)
    status = c.error_host(code if isinstance(code, int) else 0, message, len(message), detail, error_out)
    c.value_release(detail)
    return status


def refuse(exception, error_out):
    """As report, for callbacks that belong to no step."""
    message, detail = describe(exception), HANDLE()
    _live.create(_objects.keep(exception), _live.label_of(exception), byref(detail))
    status = c.error_host(0, message, len(message), detail, error_out)
    c.value_release(detail)
    return status
