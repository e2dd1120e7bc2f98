"""A broker that is down is asked now and then, and asked again once it is back; and which failures are worth another try."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intraday.broker.breaker import Breaker, BreakerPolicy, Circuit, CircuitOpen
from intraday.broker.endpoints import SECOND_NS
from intraday.broker.retry import BAD_ANSWERS_MAX, RetryPolicy, worth_repeating
from intraday.domain.errors import (
    BadAnswer,
    BrokerUnavailable,
    IntradayError,
    NotEntitled,
    RateLimited,
    RequestRefused,
    SpanTooLong,
    TokenDead,
)
from pace_cases import START_NS

OPEN_NS = 10 * SECOND_NS


def breaker(failures: int = 3) -> Breaker:
    return Breaker(BreakerPolicy(failures, 10), "historical")


def opened() -> Breaker:
    """Failed at 0, 1 and 2 s after START_NS."""
    down = breaker()
    for i in range(3):
        down.admit(START_NS + i * SECOND_NS)
        down.failed(START_NS + i * SECOND_NS, "HTTP 503")
    return down


def test_it_opens_after_failures_in_a_row_only() -> None:
    b = breaker()
    for _ in range(5):
        b.failed(START_NS, "HTTP 502")
        b.failed(START_NS, "HTTP 502")
        assert b.state(START_NS) is Circuit.CLOSED
        b.succeeded()
    assert opened().state(START_NS + 2 * SECOND_NS) is Circuit.OPEN


def test_an_open_one_says_since_when_until_when_and_why() -> None:
    with pytest.raises(CircuitOpen) as caught:
        opened().admit(START_NS + 5 * SECOND_NS)
    assert str(caught.value) == (
        "expected historical calls to be answered, but 3 in a row have failed since 2026-09-01 09:30:00 IST "
        "(last: HTTP 503): not asked again before 2026-09-01 09:30:12 IST"
    )
    assert caught.value.wait_ns == 7 * SECOND_NS
    assert isinstance(caught.value, BrokerUnavailable)


def test_half_open_lets_one_call_try() -> None:
    b, now_ns = opened(), START_NS + 12 * SECOND_NS
    assert b.state(now_ns) is Circuit.HALF_OPEN
    b.admit(now_ns)
    with pytest.raises(CircuitOpen) as caught:
        b.admit(now_ns)
    assert caught.value.wait_ns == SECOND_NS
    b.succeeded()
    assert b.state(now_ns) is Circuit.CLOSED
    b.admit(now_ns)
    b.admit(now_ns)


def test_a_failed_try_opens_it_again() -> None:
    b, now_ns = opened(), START_NS + 12 * SECOND_NS
    b.admit(now_ns)
    b.failed(now_ns, "HTTP 504")
    assert b.state(now_ns + OPEN_NS - 1) is Circuit.OPEN
    assert b.state(now_ns + OPEN_NS) is Circuit.HALF_OPEN


def test_a_cancelled_try_leaves_room_for_the_next() -> None:
    b, now_ns = opened(), START_NS + 12 * SECOND_NS
    b.admit(now_ns)
    b.abandoned()
    b.admit(now_ns)


def test_a_clock_set_back_does_not_lock_anybody_out() -> None:
    assert opened().state(START_NS - 3600 * SECOND_NS) is Circuit.HALF_OPEN


@given(st.lists(st.sampled_from(["ok", "fail", "cancel", "wait"]), max_size=60), st.integers(1, 4))
def test_whatever_happens_an_open_circuit_lets_nobody_through_and_always_ends(moves: list[str], failures: int) -> None:
    b, now_ns, row, opened_ns = breaker(failures), START_NS, 0, START_NS
    for move in moves:
        if move == "wait":
            now_ns += OPEN_NS // 3
            continue
        is_open = row >= failures and now_ns < opened_ns + OPEN_NS
        try:
            b.admit(now_ns)
        except CircuitOpen as error:
            assert is_open and 0 < error.wait_ns <= OPEN_NS
            continue
        assert not is_open
        if move == "ok":
            b.succeeded()
            row = 0
        elif move == "fail":
            b.failed(now_ns, "why")
            row, opened_ns = row + 1, now_ns
        else:
            b.abandoned()
    b.admit(now_ns + OPEN_NS)


# --------------------------------------------------------------------------------------------------------------- retry


@given(st.integers(1, 12), st.floats(0.1, 5), st.floats(0.1, 60), st.randoms(use_true_random=False))
def test_waits_are_bounded_in_number_and_length(attempts: int, first_s: float, max_s: float, rng: random.Random) -> None:
    waits = list(RetryPolicy(attempts, first_s, max_s).waits(rng))
    assert len(waits) == attempts - 1
    assert all(0 <= wait <= min(max_s, first_s * 2**i) for i, wait in enumerate(waits))


def test_waits_are_spread_over_all_of_their_range() -> None:
    """Full jitter: callers that failed together do not come back together."""
    rng = random.Random(7)
    third = [list(RetryPolicy().waits(rng))[2] for _ in range(2000)]
    assert 0 <= min(third) < 0.05 and 3.95 < max(third) <= 4
    assert 1.9 < sum(third) / len(third) < 2.1


def test_what_cannot_fare_better_is_not_repeated() -> None:
    final: list[IntradayError] = [
        RequestRefused("400"), SpanTooLong("400", 60), TokenDead("403"), NotEntitled("403"),
    ]  # fmt: skip
    assert not any(worth_repeating(error, 0) for error in final)
    assert worth_repeating(BrokerUnavailable("503"), 0)
    assert worth_repeating(RateLimited("429"), 0)
    asked = itertools.takewhile(lambda n: worth_repeating(BadAnswer("half"), n), itertools.count(1))
    assert len(list(asked)) == BAD_ANSWERS_MAX
