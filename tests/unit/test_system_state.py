from __future__ import annotations

import itertools

import pytest

from intraday.state.system import TRANSITIONS, SystemState, move


def test_the_table_covers_every_state() -> None:
    assert set(TRANSITIONS) == set(SystemState)


@pytest.mark.parametrize(("current", "to"), list(itertools.product(SystemState, SystemState)))
def test_a_move_is_in_the_table_or_raises(current: SystemState, to: SystemState) -> None:
    if to in TRANSITIONS[current]:
        assert move(current, to) is to
    else:
        with pytest.raises(AssertionError, match=f"no transition from {current} to {to}"):
            move(current, to)


def test_every_state_is_reached_and_can_stop_or_fail() -> None:
    reached, frontier = {SystemState.STARTING}, [SystemState.STARTING]
    while frontier:
        new = TRANSITIONS[frontier.pop()] - reached
        reached |= new
        frontier += new
    assert reached == set(SystemState)
    ends = {SystemState.STOPPING, SystemState.FAILED}
    assert all(ends <= TRANSITIONS[s] for s in set(SystemState) - ends)


def test_a_day_goes_round() -> None:
    day = [SystemState.STARTING, SystemState.AUTHENTICATING, SystemState.WARMING, SystemState.PRE_OPEN, SystemState.LIVE]
    day += [SystemState.DEGRADED, SystemState.LIVE, SystemState.AUCTION, SystemState.CLOSED, SystemState.AUTHENTICATING]
    for a, b in itertools.pairwise(day):
        assert move(a, b) is b
