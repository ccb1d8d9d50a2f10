"""Events: a type name and a value."""

import json
from dataclasses import dataclass, field
from typing import Any, Optional

from . import _read
from ._c import HANDLE, EventView, c

START_EVENT = "blazen::StartEvent"
STOP_EVENT = "blazen::StopEvent"
INPUT_REQUEST_EVENT = "blazen::InputRequestEvent"
INPUT_RESPONSE_EVENT = "blazen::InputResponseEvent"
STEP_FAILED_EVENT = "blazen::StepFailedEvent"
EMPTY_JOIN_EVENT = "blazen::EmptyJoinEvent"
STREAM_END = "blazen::StreamEnd"
STREAM_GAP = "blazen::StreamGap"
LIFECYCLE = "blazen::lifecycle"
PROGRESS = "blazen::ProgressEvent"


@dataclass
class Event:
    """What steps take and give. The engine fills in id, source (the step that made it) and, on a stream, sequence.

    On a stream, what comes of a run inside the run has its path as well: the steps that host one another down to that, as
    dicts: step, invocation_id, branch (where there are several), run_id. Its source has them too: "outer#7/inner".
    child_run_id is for run.child().
    """

    type: str
    value: Any = None
    correlation: Optional[str] = None
    id: int = field(default=0, compare=False)
    source: Optional[str] = field(default=None, compare=False)
    sequence: int = field(default=0, compare=False)
    path: tuple = field(default=(), compare=False)
    child_run_id: Optional[str] = field(default=None, compare=False)


class StopEvent(Event):
    """Ends a run: its value is the result."""

    def __init__(self, result=None):
        super().__init__(STOP_EVENT, result)


def read_events(array, count):
    """The events behind an array of handles."""
    return [read_event(handle) for handle in (HANDLE * count).from_address(array)] if count else []


def read_event(handle, sequence=0):
    """The event behind a handle."""
    view = EventView()
    c.event_read(handle, view)
    event = Event(
        _read.string(view.type, view.type_length),
        _read.value_in(view),
        _read.string_or_none(view.correlation, view.correlation_length),
        view.id,
        _read.string_or_none(view.source, view.source_length),
        sequence,
    )
    if view.path is not None:
        event.path = tuple(json.loads(_read.string(view.path, view.path_length)))
        event.child_run_id = _read.string(view.child_run_id, view.child_run_id_length)
    return event
