"""The broker's limits are never exceeded in any second, and nearly all of them is used."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intraday.broker.endpoints import SECOND_NS, Pace
from intraday.broker.pacing import HOLD_FIRST_S, HOLD_MAX_S, MARGIN, SLACK_S, Gate, Pacer, Pacers
from intraday.config.settings import RateLimits
from intraday.domain.clock import Clock
from intraday.domain.errors import RateLimited
from pace_cases import virtual

MS = 1_000_000
RATES = st.sampled_from([1, 3, 10])


def most_in_a_second(times_ns: list[int]) -> int:
    """Most events in any window of one second, both ends included: the strictest way to count."""
    times = sorted(times_ns)
    return max(sum(start <= t <= start + SECOND_NS for t in times[i:]) for i, start in enumerate(times))


def used(times_ns: list[int], per_s: float) -> float:
    return (len(times_ns) - 1) / per_s / ((max(times_ns) - min(times_ns)) / SECOND_NS)


def gate(clock: Clock, per_s: float = 3, max_wait_s: float = 600) -> Gate:
    return Gate(Pacer(per_s, max_wait_s), clock)


# ---------------------------------------------------------------------------------------------------------- arithmetic


def test_the_first_turn_is_at_once_and_there_are_no_bursts_after_a_rest() -> None:
    pacer = Pacer(3, 60)
    assert pacer.reserve(0) == 0
    assert pacer.reserve(0) == pacer.interval_ns
    rested_ns = 3600 * SECOND_NS
    assert pacer.reserve(rested_ns) == 0
    assert pacer.reserve(rested_ns) >= pacer.interval_ns - SLACK_S * SECOND_NS


@given(RATES, st.lists(st.tuples(st.integers(0, 400 * MS), st.integers(0, 200 * MS)), min_size=12, max_size=60))
def test_no_second_has_more_than_the_limit_however_calls_come_and_loops_lag(per_s: int, calls: list[tuple[int, int]]) -> None:
    pacer, now_ns, sent = Pacer(per_s, 1e6), 0, []
    for rest_ns, lag_ns in calls:
        now_ns += rest_ns
        while wait_ns := pacer.reserve(now_ns):
            now_ns += wait_ns + lag_ns
        sent.append(now_ns)
    spans = [b - a for a, b in zip(sent, sent[per_s:], strict=False)]
    assert all(span >= (1 + MARGIN - SLACK_S) * SECOND_NS - per_s for span in spans)  # per_s: rounding of the interval


@given(RATES, st.randoms(use_true_random=False))
def test_the_network_may_shift_arrivals_by_14_ms(per_s: int, rng: random.Random) -> None:
    pacer, now_ns, arrived = Pacer(per_s, 1e6), 0, []
    for _ in range(40):
        while wait_ns := pacer.reserve(now_ns):
            now_ns += wait_ns + rng.randrange(5 * MS)
        arrived.append(now_ns + rng.randrange(14 * MS))
    assert most_in_a_second(arrived) <= per_s


@given(RATES, st.integers(0, round(SLACK_S * SECOND_NS)))
def test_a_loop_that_lags_a_little_costs_nothing(per_s: int, lag_ns: int) -> None:
    pacer, now_ns, sent = Pacer(per_s, 1e6), 0, []
    for _ in range(300):
        while wait_ns := pacer.reserve(now_ns):
            now_ns += wait_ns + lag_ns
        sent.append(now_ns)
    assert used(sent, per_s) >= 0.97


def test_a_turn_too_far_away_is_refused_and_takes_nothing() -> None:
    pacer = Pacer(1, 2.5)
    assert pacer.reserve(0) == 0
    with pytest.raises(RateLimited, match=r"within 2\.5 s, but it would come in 3\.1 s \(2 calls go first\).*max_wait_s"):
        pacer.wait_ns(0, ahead=2)
    assert pacer.reserve(0) == pacer.interval_ns


def test_a_call_that_left_late_keeps_the_next_ones_away() -> None:
    pacer = Pacer(3, 60)
    assert pacer.reserve(0) == 0
    pacer.sent(100 * MS)  # its connection had to be made first
    assert pacer.reserve(pacer.interval_ns) == 100 * MS - SLACK_S * SECOND_NS
    pacer.sent(0)  # older news moves nothing
    assert pacer.reserve(pacer.interval_ns) == 100 * MS - SLACK_S * SECOND_NS


def test_connections_that_have_to_be_made_do_not_bring_calls_together() -> None:
    """Three cold connections, then a warm one: what arrives late pushes back what would have caught up with it."""
    pacer, now_ns, arrived = Pacer(3, 60), 0, []
    for handshake_ns in (90 * MS, 90 * MS, 90 * MS, 0, 0, 0):
        while wait_ns := pacer.reserve(now_ns):
            now_ns += wait_ns
        arrived.append(now_ns + handshake_ns)
        pacer.sent(arrived[-1])
    assert most_in_a_second(arrived) <= 3


# --------------------------------------------------------------------------------------------------------------- gates


@given(RATES, st.lists(st.tuples(st.integers(0, 3000), st.none() | st.integers(0, 3000)), min_size=5, max_size=40))
def test_any_interleaving_of_tasks_keeps_the_limit(per_s: int, tasks: list[tuple[int, int | None]]) -> None:
    """Tasks come at any time (ms), and some are cancelled while they wait."""
    times: list[int] = []

    async def main(clock: Clock) -> int:
        shared = gate(clock, per_s)

        async def ask(start_ms: int, patience_ms: int | None) -> None:
            await asyncio.sleep(start_ms / 1000)
            try:
                async with asyncio.timeout(None if patience_ms is None else patience_ms / 1000):
                    (await shared.turn()).sent()
                    times.append(clock.monotonic_ns())
            except TimeoutError:
                pass

        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(ask(*task))
        before_ns = clock.monotonic_ns()
        (await shared.turn()).sent()  # whoever was cancelled holds nobody up
        return clock.monotonic_ns() - before_ns

    assert virtual(main) <= Pacer(per_s, 60).interval_ns + MS
    assert not times or most_in_a_second(times) <= per_s
    assert len(times) >= sum(patience is None for _, patience in tasks)


@pytest.mark.parametrize("per_s", [1, 3, 10])
def test_under_load_97_percent_of_the_limit_are_used(per_s: int) -> None:
    times: list[int] = []

    async def main(clock: Clock) -> None:
        shared = gate(clock, per_s)

        async def worker() -> None:
            for _ in range(60):
                (await shared.turn()).sent()
                times.append(clock.monotonic_ns())

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(worker())

    virtual(main)
    assert most_in_a_second(times) == per_s
    assert 0.97 <= used(times, per_s) <= 1


def test_nobody_overtakes_a_call_whose_connection_is_slow() -> None:
    """A handshake of 0.9 s, longer than the interval, then warm connections."""
    sent: list[int] = []

    async def main(clock: Clock) -> None:
        shared = gate(clock)

        async def call(connect_s: float) -> None:
            with await shared.turn() as turn:
                await asyncio.sleep(connect_s)
                turn.sent()
                sent.append(clock.monotonic_ns())

        async with asyncio.TaskGroup() as group:
            for connect_s in (0.9, 0.0, 0.0, 0.0, 0.0, 0.0):
                group.create_task(call(connect_s))

    virtual(main)
    assert [t / SECOND_NS for t in sent] == pytest.approx([0.9, 1.235, 1.575, 1.915, 2.255, 2.595])
    assert most_in_a_second(sent) == 3


@given(RATES, st.lists(st.tuples(st.integers(0, 2500), st.sampled_from(["sent", "failed", "cancelled"])), min_size=5, max_size=30))
def test_however_long_calls_take_to_leave_the_limit_is_kept(per_s: int, calls: list[tuple[int, str]]) -> None:
    """Each takes some ms to leave, or fails or is cancelled then; the next one goes at once in that case."""
    sent: list[int] = []

    async def main(clock: Clock) -> float:
        shared = gate(clock, per_s)

        async def call(connect_ms: int, end: str) -> None:
            try:
                with await shared.turn() as turn:
                    async with asyncio.timeout(connect_ms / 1000 if end == "cancelled" else None):
                        await asyncio.sleep(connect_ms / 1000 if end != "cancelled" else 3600)
                    if end == "failed":
                        raise ConnectionError
                    turn.sent()
                    sent.append(clock.monotonic_ns())
                    await asyncio.sleep(3)  # for the answer, which holds nobody up
            except (ConnectionError, TimeoutError):
                pass

        async with asyncio.TaskGroup() as group:
            for connect_ms, end in calls:
                group.create_task(call(connect_ms, end))
        before_ns = clock.monotonic_ns()
        (await shared.turn()).sent()
        return (clock.monotonic_ns() - before_ns) / SECOND_NS

    assert virtual(main) <= (1 + MARGIN) / per_s
    assert len(sent) == sum(end == "sent" for _, end in calls)
    spans = [b - a for a, b in zip(sent, sent[per_s:], strict=False)]
    assert all(span >= (1 + MARGIN - SLACK_S) * SECOND_NS - 1000 for span in spans)


def test_first_come_first_served() -> None:
    async def main(clock: Clock) -> list[int]:
        shared, order = gate(clock), list[int]()

        async def ask(i: int) -> None:
            (await shared.turn()).sent()
            order.append(i)

        async with asyncio.TaskGroup() as group:
            for i in range(20):
                group.create_task(ask(i))
        return order

    assert virtual(main) == list(range(20))


def test_who_would_wait_too_long_is_told_at_once() -> None:
    async def main(clock: Clock) -> tuple[float, list[float]]:
        shared, refused = gate(clock, per_s=1, max_wait_s=5), list[float]()

        async def ask() -> None:
            try:
                (await shared.turn()).sent()
            except RateLimited:
                refused.append(clock.monotonic_ns() / SECOND_NS)

        for _ in range(2):
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(ask())
        return clock.monotonic_ns() / SECOND_NS, refused

    end_s, refused = virtual(main)
    last_s = 4 * (1 + MARGIN)  # the turns at 0, 1.02, 2.04, 3.06 and 4.08 s are in time; in the second round four after it
    assert refused == pytest.approx([0.0] * 5 + [last_s] * 6)
    assert end_s == pytest.approx(2 * last_s)


def test_a_429_holds_the_class_twice_as_long_each_time() -> None:
    async def main(clock: Clock) -> tuple[list[float], float]:
        shared, turns = gate(clock), list[float]()
        for _ in range(7):
            (await shared.turn()).sent()
            turns.append(clock.monotonic_ns() / SECOND_NS)
            shared.refused()
            shared.refused()  # another one that had left before: no second penalty
        shared.answered()
        (await shared.turn()).sent()
        shared.refused()
        start_ns = clock.monotonic_ns()
        (await shared.turn()).sent()
        return turns, (clock.monotonic_ns() - start_ns) / SECOND_NS

    turns, after_an_answer = virtual(main)
    waits = [b - a for a, b in itertools.pairwise(turns)]
    assert waits == pytest.approx([HOLD_FIRST_S, 4, 8, 16, HOLD_MAX_S, HOLD_MAX_S])
    assert after_an_answer == pytest.approx(HOLD_FIRST_S)


def test_every_class_has_its_configured_limit() -> None:
    async def main(clock: Clock) -> dict[Pace, float]:
        pacers, took = Pacers.of(RateLimits(), clock), dict[Pace, float]()
        for pace in Pace:
            start_ns = clock.monotonic_ns()
            for _ in range(2):
                (await pacers.gate(pace).turn()).sent()
            took[pace] = (clock.monotonic_ns() - start_ns) / SECOND_NS
        return took

    expected = {Pace.QUOTE: 1 + MARGIN, Pace.HISTORICAL: (1 + MARGIN) / 3, Pace.OTHER: (1 + MARGIN) / 10}
    assert virtual(main) == pytest.approx(expected, abs=1e-6)
