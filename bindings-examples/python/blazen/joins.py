"""Joins: steps that take what has come of one invocation of another step, all at once. Nobody counts.

    @workflow.step(accepts=blazen.START_EVENT)
    def split(ctx, event):                                      # the opener: each invocation of it opens a scope
        return [blazen.Event("Part", part) for part in event.value]

    @workflow.step(accepts="Part")
    async def work(ctx, event):                                 # may answer with one event, several or none; fail, be
        return blazen.Event("Done", await fetch(event.value))   # tried again, ask, fan out itself

    @workflow.step(accepts="Done", joins="split")
    def gather(ctx, event):                                     # once, when nothing of the scope is left
        return blazen.StopEvent([done.value for done in ctx.events])
"""

import enum
from dataclasses import dataclass
from typing import NamedTuple, Optional

from ._arguments import choice, deadline_milliseconds, flag, text, whole
from ._c import JoinOptions

_MODES = {"all": 0, "any": 1, "first_n": 2}
_AT_DEADLINE = {"give": 0, "fail": 1}
_EMPTY = {"invoke": 0, "skip": 1}
_CORRELATIONS = {"none": 0, "by_event": 1}


@dataclass(frozen=True)
class Join:
    """How a step joins, for step(joins=...). The name of the opener alone is Join(of=that name).

    of           the name of the step whose invocations open the scopes; it may be added later
    mode         "all": when nothing of the scope is left; "any": at the first arrival; "first_n": at the n-th, or where the
                 scope is over before, with what came
    n            of "first_n"
    deadline     so many seconds after the scope was opened, by a clock that stands still while the run is paused; None: none
    at_deadline  "give": the step is called with what has arrived; "fail": it has failed with Status.STEP_TIMEOUT
    cancel_rest  once it is called, what is left of the scope is cancelled: events, steps, questions
    ordered      ctx.events stand in the order in which the opener sent and returned what they come of; else of arrival
    correlation  "none": all of the scope; "by_event": one call for each correlation of the events
    empty        where nothing has arrived: "invoke", with an EMPTY_JOIN_EVENT, or "skip"
    """

    of: str
    mode: str = "all"
    n: int = 0
    deadline: Optional[float] = None
    at_deadline: str = "give"
    cancel_rest: bool = False
    ordered: bool = False
    correlation: str = "none"
    empty: str = "invoke"

    def options(self):
        """As blazen_join_options."""
        of, length = text("joins.of", self.of)
        return JoinOptions(
            of=of,
            of_length=length,
            mode=choice("joins.mode", self.mode, _MODES),
            n=whole("joins.n", self.n, 32),
            deadline_ms=deadline_milliseconds("joins.deadline", self.deadline),
            at_deadline=choice("joins.at_deadline", self.at_deadline, _AT_DEADLINE),
            cancel_rest=flag("joins.cancel_rest", self.cancel_rest),
            ordered=flag("joins.ordered", self.ordered),
            correlation=choice("joins.correlation", self.correlation, _CORRELATIONS),
            empty=choice("joins.empty", self.empty, _EMPTY),
        )


def join_options(given):
    """The options of a Join, or of the opener's name; None: the step does not join."""
    if given is None:
        return None
    if isinstance(given, str):
        given = Join(given)
    if not isinstance(given, Join):
        raise TypeError(f"joins is a Join, or the name of a step, not {given!r}")
    return given.options()


class JoinReason(enum.IntEnum):
    """Why a join was called, as in blazen.h."""

    NONE = 0
    COMPLETE = 1
    CONDITION = 2
    SHORT = 3
    DEADLINE = 4


class Joined(NamedTuple):
    """What a join was called with: ctx.joined.

    reason    COMPLETE: nothing of the scope is left; CONDITION: as many have arrived as were wanted; SHORT: the scope was
              over before that; DEADLINE: its deadline has passed
    arrived   how many events have
    wanted    how many were; None: all
    scope_id  of the scope that it has joined
    """

    reason: JoinReason
    arrived: int
    wanted: Optional[int]
    scope_id: int
