"""What the system as a whole is doing: one enum, one table of allowed moves. A move that is not in the table raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType


class SystemState(StrEnum):
    """States of LIVE_MODE; a replay goes through the same ones."""

    STARTING = "starting"
    AUTHENTICATING = "authenticating"
    WARMING = "warming"  # features are brought up to date from the anchor
    PRE_OPEN = "pre-open"
    LIVE = "live"
    DEGRADED = "degraded"  # signals keep coming, something is missing: the feed, the database, a channel
    AUCTION = "auction"
    CLOSED = "closed"  # no session now
    STOPPING = "stopping"
    FAILED = "failed"


S = SystemState

# From every state but the last two the system may also stop or fail; that is spelled out so that the table is the whole truth.
TRANSITIONS: Mapping[SystemState, frozenset[SystemState]] = MappingProxyType(
    {
        S.STARTING: frozenset({S.AUTHENTICATING, S.WARMING, S.STOPPING, S.FAILED}),  # a replay needs no login
        S.AUTHENTICATING: frozenset({S.WARMING, S.STOPPING, S.FAILED}),
        S.WARMING: frozenset({S.PRE_OPEN, S.LIVE, S.DEGRADED, S.AUCTION, S.CLOSED, S.STOPPING, S.FAILED}),
        S.PRE_OPEN: frozenset({S.LIVE, S.DEGRADED, S.CLOSED, S.STOPPING, S.FAILED}),
        S.LIVE: frozenset({S.DEGRADED, S.AUCTION, S.CLOSED, S.STOPPING, S.FAILED}),
        S.DEGRADED: frozenset({S.PRE_OPEN, S.LIVE, S.AUCTION, S.CLOSED, S.AUTHENTICATING, S.STOPPING, S.FAILED}),
        S.AUCTION: frozenset({S.DEGRADED, S.CLOSED, S.STOPPING, S.FAILED}),
        S.CLOSED: frozenset({S.AUTHENTICATING, S.WARMING, S.PRE_OPEN, S.STOPPING, S.FAILED}),  # the next day without a restart
        S.STOPPING: frozenset({S.FAILED}),
        S.FAILED: frozenset(),
    }
)


def move(current: SystemState, to: SystemState) -> SystemState:
    """``to``, if the table allows it; an AssertionError otherwise, since asking for it is our own mistake."""
    assert to in TRANSITIONS[current], f"no transition from {current} to {to}"
    return to


class StateTrail:
    """The state of one run; every move is told to ``record`` (from, to) as it happens."""

    def __init__(self, record: Callable[[SystemState, SystemState], None]) -> None:
        self._record = record
        self.state = SystemState.STARTING

    def move(self, to: SystemState) -> None:
        """Go to ``to`` if the table allows it."""
        previous, self.state = self.state, move(self.state, to)
        self._record(previous, to)
