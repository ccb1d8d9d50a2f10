"""Events: what steps are started by, and what they give.

class Found(Event):
    path: str
    size: int = 0          # a default, written into the payload

Found(path="a")            # Event("Found", path="a", size=0) is the same for every step
"""

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from . import _blazen

__all__ = [
    "EmptyJoinEvent",
    "Event",
    "InputRequestEvent",
    "InputResponseEvent",
    "StartEvent",
    "StepFailedEvent",
    "StopEvent",
    "correlate",
    "correlation_of",
    "type_name",
]

_OWN = "blazen::"
_RESERVED = {"StartEvent", "StopEvent", "InputRequestEvent", "InputResponseEvent"}
_E = TypeVar("_E", bound="Event")


class Event(_blazen.EventBase):
    """A type and fields.

    `ev.a` and `ev["a"]` are the field a; `ev.event_type` and the methods win over fields of those names, which `ev["…"]` and
    `to_dict()` still give. A class is an event type of its own: the class name, or `event_type = "…"` in it.
    """

    _blazen_type: ClassVar[str | None] = None
    _blazen_defaults: ClassVar[dict[str, Any] | None] = None
    _blazen_reserved: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = dict(vars(cls))
        given = own.pop("event_type", None)
        if isinstance(given, str):
            delattr(cls, "event_type")
            cls._blazen_type = given
        elif not own.get("_blazen_own"):
            cls._blazen_type = cls.__name__
        defaults = dict(cls._blazen_defaults or {})
        for name, thing in own.items():
            if not name.startswith("_") and not _is_behaviour(thing):
                if isinstance(thing, (list, dict, set, bytearray)):
                    raise ValueError(f"{cls.__name__}.{name} has a mutable default: all events would share it")
                defaults[name] = thing
        cls._blazen_defaults = defaults or None
        cls._blazen_reserved = frozenset(
            name for name in dir(cls) if not name.startswith("__") and name not in defaults
        )

    if TYPE_CHECKING:

        def __init__(self, type: str = ..., /, **fields: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    @staticmethod
    def of(type: str, value: Any) -> "Event":
        """An event whose payload is no object: it has the one field `value`, and every language reads the bare value."""
        return _blazen.make_event(Event, type, {"value": value}, True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        return self.event_type == other.event_type and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={thing!r}" for name, thing in self.to_dict().items())
        return f"{self.event_type}({fields})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _blazen.make_event, (type(self), self.event_type, self.to_dict(), self._is_bare)


def correlate(event: _E, correlation: str) -> _E:
    """Ties an event to others, for a Join by_event: gives the event itself."""
    return _blazen.correlate(event, correlation)


def correlation_of(event: Event) -> str | None:
    """What an event is tied to others by, or None. Of a question, and of its answer, it is the request_id."""
    return event._correlation


def _is_behaviour(thing: Any) -> bool:
    return callable(thing) or hasattr(type(thing), "__get__")


Event._blazen_reserved = frozenset(name for name in dir(Event) if not name.startswith("__"))


class StartEvent(Event):
    """What every run starts with: its fields are the input of the run."""

    _blazen_own = True
    _blazen_type = "blazen::StartEvent"


class StopEvent(Event):
    """What a run ends with: `result`, any object; or other fields, which then are the result."""

    _blazen_own = True
    _blazen_type = "blazen::StopEvent"


class InputRequestEvent(Event):
    """Asks a human: `request_id`, `prompt` and `metadata`, all of them optional."""

    _blazen_own = True
    _blazen_type = "blazen::InputRequestEvent"


class InputResponseEvent(Event):
    """The answer: `request_id` and `response`."""

    _blazen_own = True
    _blazen_type = "blazen::InputResponseEvent"


class StepFailedEvent(Event):
    """A step has failed for good: `step`, `attempt`, `status`, `message` and more."""

    _blazen_own = True
    _blazen_type = "blazen::StepFailedEvent"


class EmptyJoinEvent(Event):
    """What a join is called with where nothing has arrived."""

    _blazen_own = True
    _blazen_type = "blazen::EmptyJoinEvent"


STREAM_END = "blazen::StreamEnd"
OWN_CLASSES: list[type[Event]] = [
    StartEvent,
    StopEvent,
    InputRequestEvent,
    InputResponseEvent,
    StepFailedEvent,
    EmptyJoinEvent,
]


def type_name(what: str, given: Any) -> str:
    """The routing type of a class or of a name."""
    if isinstance(given, str):
        name = given
    elif isinstance(given, type) and issubclass(given, Event):
        name = given._blazen_type or StartEvent._blazen_type or ""
    else:
        raise TypeError(f"{what} is an Event class or the name of one, not {given!r}")
    if name in _RESERVED:
        raise ValueError(f"{what} is {name!r}: did you mean {_OWN + name!r} (blazen.{name})?")
    return name
