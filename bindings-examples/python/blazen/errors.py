"""How calls and runs fail, in Python: BlazenError, and the way of a step's exception through the library and back."""

import enum
from ctypes import byref

from . import _interrupts, _live, _objects, _read
from ._c import HANDLE, c
from ._describe import describe


_NO_OFFSET = 2**64 - 1


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
    """A call, or a run, has failed. Its __cause__ is what lies beneath: where a Python exception was the reason, that
    very object; else another BlazenError.

    status     the Status
    step       the step that has to do with it, or None
    attempt    the attempt of that step; 0 where there is none
    host_code  the host's own code; 0 where there is none
    detail     the value that the host gave, or None
    offset     the byte at fault in the text or the snapshot given, or None
    """

    def __init__(self, message, status, step=None, attempt=0, host_code=0, detail=None, offset=None):
        super().__init__(message)
        self.status = status
        self.step = step
        self.attempt = attempt
        self.host_code = host_code
        self.detail = detail
        self.offset = offset


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
        return _exception_of(status, error)
    finally:
        c.error_release(error)


def _exception_of(status, error):
    detail, cause, offset = c.error_detail(error), c.error_cause(error), c.error_offset(error)
    kind = BlazenTimeout if status == Status.TIMEOUT else BlazenError
    exception = kind(
        _read.text(c.error_message, error) or "no details were given",
        known(Status, status),
        step=_read.text(c.error_step, error),
        attempt=c.error_attempt(error),
        host_code=c.error_host_code(error),
        detail=_read.value_or_none(detail),
        offset=None if offset == _NO_OFFSET else offset,
    )
    if isinstance(exception.detail, BaseException):
        exception.__cause__ = exception.detail
    elif cause is not None:
        exception.__cause__ = _exception_of(c.error_status(cause), cause)
    return exception


def report(exception, error_out, run=None):
    """Turns an exception in a callback into the library's error, which keeps it. Answers the status to return.

    An exception may say its own code, in an attribute `host_code`. Nothing is raised here: a callback could not.
    """
    message, detail = describe(exception), HANDLE()
    kept = _objects.keep(exception) if run is None else _objects.keep_with_run(exception, run)
    _live.create(kept, _live.label_of(exception), byref(detail))
    status = c.error_host(host_code_of(exception), message, len(message), detail, error_out)
    c.value_release(detail)
    return status


def host_code_of(exception):
    if _interrupts.is_interrupt(exception):
        return _interrupts.HOST_CODE
    code = getattr(exception, "host_code", 0)
    return code if isinstance(code, int) else 0
