"""What a workflow is told about events that nobody takes, runs that stand still, live objects, bounds."""

import enum
from typing import Any

__all__ = ["SessionPausePolicy"]


class SessionPausePolicy(enum.Enum):
    """What a snapshot does with the session, and with live objects wherever else it meets them.

    PickleOrError      keeps what pickles; where something does not, there is no snapshot, and the error names it
    PickleOrSerialize  keeps what can be kept, and drops the rest
    WarnDrop           drops all, and records the names
    HardError          no snapshot where there is anything
    """

    PickleOrError = "pickle_or_error"
    PickleOrSerialize = "pickle_or_serialize"
    WarnDrop = "warn_drop"
    HardError = "hard_error"


POLICIES = {policy.value: number for number, policy in enumerate(SessionPausePolicy)}
POLICIES |= {policy.name: POLICIES[policy.value] for policy in SessionPausePolicy}
ON_PAUSE = {"pause": 0, "continue": 1}
UNHANDLED = {"fail": 0, "ignore": 1, "stream": 2}
IDLE = {"fail": 0, "wait": 1}
ABANDONED = {"keeps_permit": 0, "frees_permit": 1}
LIMITS = {
    "queued_events": 1,
    "state_bytes": 2,
    "session_bytes": 3,
    "stream_items": 4,
    "subscribers": 5,
    "step_sends": 6,
    "stream_retained": 7,
    "questions": 8,
    "scopes": 9,
    "scope_depth": 10,
    "child_depth": 11,
    "children": 12,
}
DEFAULT_TIMEOUT = 300.0


def policy_of(given: Any) -> int:
    word = given.value if isinstance(given, SessionPausePolicy) else given
    if word not in POLICIES:
        raise ValueError(
            f"session_pause_policy is a SessionPausePolicy, or one of {', '.join(map(repr, POLICIES))}, not {given!r}"
        )
    return POLICIES[word]
