"""Which candles are asked for, in which order, and what becomes of every kind of answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_cases import SESSIONS, Asked, MemoryFetches, PlainBroker
from intraday.broker.backfill import FAILURES_MAX, NO_ANSWER, REFUSED, BackfillManager, BackfillReport, Target
from intraday.broker.candles import NO_CANDLE, NO_SESSION, RUNS_MAX, SCATTERED, auction_rule, missing_minutes
from intraday.broker.chunks import Chunk, cut, plan, recut, spans
from intraday.domain.arrays import DAY_NS, MINUTE_NS
from intraday.domain.clock import Clock
from intraday.domain.errors import (
    AddressBlocked,
    BadAnswer,
    BrokerError,
    BrokerUnavailable,
    NotEntitled,
    RateLimited,
    RequestRefused,
    SpanTooLong,
    StorageUnavailable,
    TokenDead,
)
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.membership import Span
from intraday.domain.ports import Gap, WriteReport
from intraday.domain.session import Session, midnight_ns
from pace_cases import virtual

TODAY = date(2025, 6, 30)  # a Monday
FIRST, LAST = date(2025, 4, 1), date(2025, 6, 27)
HISTORY = SESSIONS.between(FIRST, LAST)
MORNING = midnight_ns(TODAY) + 8 * 60 * MINUTE_NS
TARGETS: list[Target] = [(Instrument("NSE", f"SYN{i:03d}", id=10 + i), 1000 + i) for i in range(3)]
INDEX: Target = (Instrument("NSE", "NIFTY 50", Kind.INDEX, id=99), 256265)


class World:
    """A broker, a store, and what runs said."""

    def __init__(self) -> None:
        self.store = MemoryFetches()
        self.progress: list[tuple[str, int, int]] = []
        self.broker: PlainBroker

    def run(
        self,
        targets: list[Target] = TARGETS,
        first: date = FIRST,
        last: date = LAST,
        *,
        start_ns: int = MORNING,
        prepare: Callable[[PlainBroker], None] = lambda broker: None,
        again: bool = False,
        **options: object,
    ) -> BackfillReport:
        async def main(clock: Clock) -> BackfillReport:
            self.broker = PlainBroker(clock)
            prepare(self.broker)
            return await self.manager(clock, **options).run(targets, first, last, again=again)

        return virtual(main, start_ns)

    def manager(self, clock: Clock, **options: object) -> BackfillManager:
        note = lambda what, done, total: self.progress.append((what, done, total))  # noqa: E731
        store = self.store
        return BackfillManager(self.broker, store, store, SESSIONS, clock, note, in_thread=False, **options)  # type: ignore[arg-type]


@pytest.fixture
def world() -> World:
    return World()


def stored(world: World, target: Target) -> list[int]:
    return sorted(world.store.bars.get(target[0].id, {}))


def minutes(sessions: list[Session]) -> list[int]:
    return [t for s in sessions for t in range(s.open_ns, s.close_ns, MINUTE_NS)]


# -------------------------------------------------------------------------------------------------------------------- plan
days_done = st.sets(st.sampled_from([s.day for s in HISTORY]))


@given(st.lists(days_done, min_size=1, max_size=4), st.integers(0, 70))
def test_every_missing_day_is_asked_once_and_none_else_under_the_cap(done: list[set[date]], cap_days: int) -> None:
    chunks = plan([HISTORY] * len(done), done, cap_days)
    asked = Counter((c.target, s.day) for c in chunks for s in c.sessions)
    assert asked == Counter((k, s.day) for k, d in enumerate(done) for s in HISTORY if s.day not in d)
    for chunk in chunks:
        assert chunk.span_days <= cap_days
        assert (chunk.end_ns - chunk.start_ns) // DAY_NS == chunk.span_days
        inside = [s.day for s in HISTORY if chunk.start_ns <= s.open_ns <= chunk.end_ns]
        assert not done[chunk.target] & set(inside)
        assert inside == [s.day for s in chunk.sessions]


@given(days_done, st.integers(0, 70), st.integers(0, 70))
def test_another_cap_cuts_the_same_days_again(done: set[date], cap_days: int, learned: int) -> None:
    before = plan([HISTORY, HISTORY[:5]], [done, set()], cap_days)
    after = recut(before, learned)
    of = lambda chunks: Counter((c.target, s.day) for c in chunks for s in c.sessions)  # noqa: E731
    assert of(after) == of(before)
    assert all(c.span_days <= learned for c in after)
    assert recut(before, cap_days) == before


@given(days_done, st.integers(0, 70))
def test_parts_are_as_long_as_the_cap_lets_them_be(done: set[date], cap_days: int) -> None:
    for span in spans(HISTORY, done):
        parts = cut(span, cap_days)
        for newer, older in zip(parts, parts[1:], strict=False):
            assert Chunk(0, (*older[-1:], *newer)).span_days > cap_days


def test_newest_first_in_turns() -> None:
    chunks = plan([HISTORY, HISTORY[-3:], HISTORY], [set(), set(), set()], 60)
    assert [(c.target, c.sessions[-1].day) for c in chunks] == [
        (0, LAST), (1, LAST), (2, LAST), (0, date(2025, 4, 25)), (2, date(2025, 4, 25)),
    ]  # fmt: skip
    assert [c.span_days for c in chunks] == [60, 2, 60, 24, 24]


def test_a_year_of_minutes_is_six_requests() -> None:
    year = SESSIONS.between(date(2024, 1, 1), date(2024, 12, 31))
    assert [len(part) for part in cut(year, 60)] == [40, 43, 43, 43, 41, 39]
    assert len(plan([year] * 200, [set()] * 200, 60)) == 1200


# --------------------------------------------------------------------------------------------------------------------- run
def test_everything_is_fetched_and_nothing_is_asked_twice(world: World) -> None:
    report = world.run()
    assert report.error is None and report.complete
    assert (report.planned, report.requests, report.failed) == (6, 6, 0)
    wanted = minutes(HISTORY)
    assert report.bars == 3 * len(wanted)
    assert report.written == WriteReport(inserted=3 * len(wanted))
    for target in TARGETS:
        assert stored(world, target) == wanted
    assert {f.complete for f in world.store.days.values()} == {True}
    assert len(world.store.days) == 3 * len(HISTORY)
    assert world.store.gaps() == []
    assert world.progress[0] == ("backfill", 0, 6)
    assert world.progress[-1] == ("backfill", 6, 6)

    again = world.run()
    assert world.broker.asked == []
    assert (again.planned, again.bars, again.written) == (0, 0, WriteReport())
    forced = world.run(again=True)
    assert (forced.requests, forced.written) == (6, WriteReport(unchanged=3 * len(wanted)))


def test_only_missing_days_are_asked(world: World) -> None:
    world.run(first=date(2025, 5, 5), last=date(2025, 5, 9))
    world.run(TARGETS[:1])
    spans_asked = [(a.start_ns, a.end_ns) for a in world.broker.asked]
    held = {s.open_ns for s in SESSIONS.between(date(2025, 5, 5), date(2025, 5, 9))}
    assert not [t for t in held for a, b in spans_asked if a <= t <= b]
    assert stored(world, TARGETS[0]) == minutes(HISTORY)


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_workers_bound_the_requests_under_way(world: World, workers: int) -> None:
    targets = [(Instrument("NSE", f"S{i}", id=i + 1), i) for i in range(20)]
    world.run(targets, workers=workers)
    assert world.broker.most_at_once == workers


def test_no_targets_or_no_days_is_no_work(world: World) -> None:
    assert world.run([]).planned == 0
    assert world.run(first=LAST, last=FIRST).planned == 0
    assert world.run(first=date(2025, 6, 28), last=date(2025, 6, 29)).planned == 0  # a weekend
    assert world.run(first=TODAY + timedelta(days=1), last=TODAY + timedelta(days=9)).planned == 0


@pytest.mark.parametrize(("cap_days", "says"), [(29, 29), (7, 7), (0, 0), (45, 60), (45, 100)])
def test_a_changed_cap_is_learned(world: World, cap_days: int, says: int) -> None:
    def prepare(broker: PlainBroker) -> None:
        def fault(asked: Asked, n: int) -> None:
            if (asked.end_ns - asked.start_ns) // DAY_NS > cap_days:
                raise SpanTooLong("interval exceeds max limit", says)

        broker.fault = fault

    report = world.run(prepare=prepare)
    assert report.complete
    assert report.cap_days <= cap_days
    assert report.requests == report.planned
    for target in TARGETS:
        assert stored(world, target) == minutes(HISTORY)
    if says == cap_days:
        assert len(world.broker.asked) - report.requests <= 4  # those under way when it was learned


def test_a_single_day_that_is_too_long_is_refused(world: World) -> None:
    def prepare(broker: PlainBroker) -> None:
        broker.cap_days = -1

    report = world.run(TARGETS[:1], prepare=prepare)
    assert report.requests == 0
    assert list(report.failures) == ["NSE:SYN000"]
    assert len(world.broker.asked) < 10


# ------------------------------------------------------------------------------------------------------------------- today
@pytest.mark.parametrize(
    ("seconds", "n_bars"),
    [(20, 0), (79, 0), (80, 1), (139, 1), (60 * 60 + 20, 60), (375 * 60 + 19.9, 374), (375 * 60 + 20, 375), (400 * 60, 375)],
)
def test_a_running_bar_is_not_kept(world: World, seconds: float, n_bars: int) -> None:
    opened = SESSIONS.get(TODAY).open_ns
    world.run(TARGETS[:1], TODAY, TODAY, start_ns=opened + int(seconds * 1e9), settle_s=20.0)
    assert stored(world, TARGETS[0]) == [opened + i * MINUTE_NS for i in range(n_bars)]
    if n_bars == 0:
        assert world.broker.asked == []
        assert world.store.days == {}
    else:
        fetched = world.store.days[TARGETS[0][0].id, TODAY]
        assert (fetched.n_bars, fetched.until_ns) == (n_bars, opened + n_bars * MINUTE_NS)
        assert fetched.complete == (n_bars == 375)
        assert world.broker.asked[0].end_ns == opened + (n_bars - 1) * MINUTE_NS
    assert world.store.gaps() == []


def test_a_day_asked_while_it_ran_is_asked_again(world: World) -> None:
    opened = SESSIONS.get(TODAY).open_ns
    world.run(TARGETS[:1], TODAY, TODAY, start_ns=opened + 100 * MINUTE_NS)
    report = world.run(TARGETS[:1], TODAY, TODAY, start_ns=opened + 600 * MINUTE_NS)
    assert report.written == WriteReport(inserted=375 - 99, unchanged=99)
    assert world.run(TARGETS[:1], TODAY, TODAY, start_ns=opened + 601 * MINUTE_NS).planned == 0


def test_an_answer_that_holds_a_running_bar_is_cut(world: World) -> None:
    """The broker need not heed the end that was asked for."""
    opened = SESSIONS.get(TODAY).open_ns

    def prepare(broker: PlainBroker) -> None:
        whole = broker.candles
        broker.candles = lambda token, a, b: whole(token, a, opened + 100 * MINUTE_NS)  # type: ignore[method-assign]

    world.run(TARGETS[:1], TODAY, TODAY, start_ns=opened + 10 * MINUTE_NS, prepare=prepare)
    assert stored(world, TARGETS[0]) == [opened + i * MINUTE_NS for i in range(9)]


def test_an_empty_last_day_is_asked_again_tomorrow(world: World) -> None:
    def nothing(broker: PlainBroker) -> None:
        broker.listed = date(2030, 1, 1)

    evening = SESSIONS.get(TODAY).close_ns + 60 * MINUTE_NS
    world.run(TARGETS[:1], LAST, TODAY, start_ns=evening, prepare=nothing)
    assert [f.complete for f in world.store.days.values()] == [True, False]
    world.run(TARGETS[:1], LAST, TODAY, start_ns=evening + DAY_NS)
    assert [a.start_ns for a in world.broker.asked] == [SESSIONS.get(TODAY).open_ns]
    assert [g.start_ns for g in world.store.gaps()] == [SESSIONS.get(LAST).open_ns]


# -------------------------------------------------------------------------------------------------------------------- gaps
def test_days_before_the_listing_are_gaps_and_not_asked_again(world: World) -> None:
    def prepare(broker: PlainBroker) -> None:
        broker.listed = date(2025, 6, 2)

    report = world.run(TARGETS[:1], prepare=prepare)
    before = [s for s in HISTORY if s.day < date(2025, 6, 2)]
    assert world.store.gaps() == [Gap(10, s.open_ns, s.close_ns, NO_SESSION, 375) for s in before]
    assert (report.gaps, report.gap_minutes) == (len(before), 375 * len(before))
    assert world.run(TARGETS[:1]).planned == 0


def test_runs_of_missing_minutes_are_gaps(world: World) -> None:
    opened = HISTORY[-1].open_ns
    lost = [opened, opened + MINUTE_NS, opened + 50 * MINUTE_NS, opened + 374 * MINUTE_NS]

    def prepare(broker: PlainBroker) -> None:
        broker.missing = lost

    world.run(TARGETS[:1], prepare=prepare)
    assert [(g.start_ns, g.end_ns, g.reason, g.n_minutes) for g in world.store.gaps()] == [
        (opened, opened + 2 * MINUTE_NS, NO_CANDLE, 2),
        (opened + 50 * MINUTE_NS, opened + 51 * MINUTE_NS, NO_CANDLE, 1),
        (opened + 374 * MINUTE_NS, opened + 375 * MINUTE_NS, NO_CANDLE, 1),
    ]


def test_a_thin_instrument_has_one_gap_a_session(world: World) -> None:
    def prepare(broker: PlainBroker) -> None:
        broker.missing = [t for t in minutes(HISTORY) if t // MINUTE_NS % 3]

    world.run(TARGETS[:1], prepare=prepare)
    assert {(g.reason, g.n_minutes) for g in world.store.gaps()} == {(SCATTERED, 250)}
    assert len(world.store.gaps()) == len(HISTORY)


def test_a_halt_is_no_gap() -> None:
    session = SESSIONS.get(date(2021, 2, 24))
    assert session.pauses
    trading = [t for t in minutes([session]) if not any(a <= t < b for a, b in session.pauses)]
    assert missing_minutes(1, session, session.close_ns, np.array(trading)) == []
    whole = missing_minutes(1, session, session.close_ns, np.empty(0, dtype=np.int64))
    assert [g.n_minutes for g in whole] == [len(trading)]


@given(st.sets(st.integers(0, 374)), st.integers(0, 375))
def test_gaps_count_exactly_what_is_missing(present: set[int], until: int) -> None:
    session = HISTORY[0]
    seen = np.array(sorted(session.open_ns + i * MINUTE_NS for i in present), dtype=np.int64)
    gaps = missing_minutes(1, session, session.open_ns + until * MINUTE_NS, seen)
    missing = set(range(until)) - present
    assert sum(g.n_minutes for g in gaps) == len(missing)
    assert len(gaps) <= RUNS_MAX
    inside = {(t - session.open_ns) // MINUTE_NS for g in gaps for t in range(g.start_ns, g.end_ns, MINUTE_NS)}
    assert inside >= missing
    if {g.reason for g in gaps} == {NO_CANDLE}:
        assert inside == missing


# ----------------------------------------------------------------------------------------------------------------- answers
def test_rows_outside_the_session_go_to_quarantine(world: World) -> None:
    close = HISTORY[-2].close_ns
    pre_open = HISTORY[-1].open_ns - 8 * MINUTE_NS

    def prepare(broker: PlainBroker) -> None:
        broker.extra = [pre_open, close, close + 9 * MINUTE_NS]

    report = world.run(TARGETS[:1], prepare=prepare)
    assert report.rejected == 3
    assert report.bars == len(minutes(HISTORY))
    assert sorted("out_of_session" in row for row in world.store.refused) == [True] * 3
    world.run(TARGETS[:1], prepare=prepare, again=True)
    assert len(world.store.refused) == 3


def test_an_index_has_no_volume(world: World) -> None:
    world.run([INDEX])
    rows = np.frombuffer(b"".join(world.store.bars[99].values()), dtype=np.dtype(_bar()))
    assert np.isnan(rows["volume"]).all()
    assert rows.shape[0] == len(minutes(HISTORY))


def test_auction_stocks_end_earlier_from_when_they_take_part(world: World) -> None:
    """The flag is dated: before it holds, the last quarter of an hour is as good as any."""
    days = [date(2026, 7, 31), date(2026, 8, 3), date(2026, 8, 4)]
    start_ns = midnight_ns(date(2026, 8, 5)) + 8 * 60 * MINUTE_NS

    def auction(instrument_id: int, day: date) -> bool:
        return instrument_id == 10 or (instrument_id == 11 and day >= days[2])

    report = world.run(first=days[0], last=days[2], start_ns=start_ns, auction=auction)
    assert [len(stored(world, target)) for target in TARGETS] == [375 + 360 + 360, 375 + 375 + 360, 3 * 375]
    assert max(stored(world, TARGETS[0])) == SESSIONS.get(days[2], auction=True).close_ns - MINUTE_NS
    assert world.store.gaps() == []
    assert [f.complete for f in world.store.days.values()] == [True] * 9
    assert report.rejected == 15  # of the day before the last, which the request spans; the last day's were not asked for


def test_who_takes_part_goes_by_the_day_and_before_the_first_list_by_that_one() -> None:
    spans = [Span(1, date(2026, 9, 1)), Span(2, date(2026, 9, 1), date(2026, 10, 1)), Span(3, date(2026, 10, 1))]
    rule = auction_rule(spans, date(2026, 9, 1))
    days = [date(2026, 8, 3), date(2026, 9, 1), date(2026, 9, 30), date(2026, 10, 1)]
    assert [[rule(i, day) for day in days] for i in (1, 2, 3, 4)] == [
        [True, True, True, True], [True, True, True, False], [False, False, False, True], [False] * 4,
    ]  # fmt: skip
    assert not auction_rule([], None)(1, days[0])


# ------------------------------------------------------------------------------------------------------------------ trouble
def failing(error: BrokerError | Exception, which: Callable[[Asked, int], bool]) -> Callable[[PlainBroker], None]:
    def prepare(broker: PlainBroker) -> None:
        def fault(asked: Asked, n: int) -> None:
            if which(asked, n):
                raise error

        broker.fault = fault

    return prepare


def test_a_refused_instrument_is_recorded_and_the_others_go_on(world: World) -> None:
    prepare = failing(RequestRefused("invalid token"), lambda asked, n: asked.token == 1001)
    report = world.run(prepare=prepare, workers=1)
    assert report.complete
    assert report.failures == {"NSE:SYN001": "invalid token"}
    assert (report.requests, report.failed) == (4, 0)
    assert [a.token for a in world.broker.asked].count(1001) == 1
    assert {(g.instrument_id, g.reason) for g in world.store.gaps()} == {(11, f"{REFUSED}: invalid token")}
    assert sum(g.n_minutes for g in world.store.gaps()) == 375 * len(HISTORY)
    assert stored(world, TARGETS[2]) == minutes(HISTORY)

    world.run()  # the token is right now
    assert world.store.gaps() == []
    assert stored(world, TARGETS[1]) == minutes(HISTORY)


@pytest.mark.parametrize("error", [BrokerUnavailable("no answer"), RateLimited("429"), BadAnswer("broken")])
def test_a_request_without_an_answer_is_recorded_and_the_others_go_on(world: World, error: BrokerError) -> None:
    report = world.run(prepare=failing(error, lambda asked, n: n == 2), workers=1)
    assert not report.complete
    assert (report.requests, report.failed, report.error) == (5, 1, None)
    assert report.failures == {"NSE:SYN001": str(error)}
    assert {(g.instrument_id, g.reason) for g in world.store.gaps()} == {(11, NO_ANSWER)}
    report = world.run()
    assert (report.planned, report.complete) == (1, True)
    assert world.store.gaps() == []


def test_a_failed_request_of_today_loses_only_what_was_not_there(world: World) -> None:
    opened = SESSIONS.get(TODAY).open_ns
    world.run(TARGETS[:1], TODAY, TODAY, start_ns=opened + 101 * MINUTE_NS)
    for minute in (201, 301):
        down = failing(BrokerUnavailable("down"), lambda asked, n: True)
        world.run(TARGETS[:1], TODAY, TODAY, start_ns=opened + minute * MINUTE_NS, prepare=down)
        end = opened + (minute - 1) * MINUTE_NS
        assert world.store.gaps() == [Gap(10, opened + 100 * MINUTE_NS, end, NO_ANSWER, minute - 101)]


def test_a_broker_that_is_down_ends_the_run(world: World) -> None:
    targets = [(Instrument("NSE", f"S{i}", id=i + 1), i) for i in range(40)]
    report = world.run(targets, prepare=failing(BrokerUnavailable("down"), lambda asked, n: True))
    assert isinstance(report.error, BrokerUnavailable)
    assert FAILURES_MAX <= len(world.broker.asked) < FAILURES_MAX + 4
    assert not report.complete


@pytest.mark.parametrize("error", [TokenDead("dead"), NotEntitled("no data"), AddressBlocked("blocked")])
def test_a_login_that_needs_the_user_ends_the_run_with_everything_kept(world: World, error: Exception) -> None:
    report = world.run(prepare=failing(error, lambda asked, n: n > 3))
    assert report.error is error
    assert not report.complete
    assert report.requests == 3
    assert sum(len(rows) for rows in world.store.bars.values()) == report.bars > 0
    assert world.store.gaps() == []
    rest = world.run()
    assert rest.requests == 3
    for target in TARGETS:
        assert stored(world, target) == minutes(HISTORY)


def test_a_database_that_is_gone_ends_the_run_with_its_error(world: World) -> None:
    saved = world.store.save
    calls = []

    def save(*args: object) -> WriteReport:
        calls.append(args)
        if len(calls) == 3:
            raise StorageUnavailable("gone")
        return saved(*args)  # type: ignore[arg-type]

    world.store.save = save  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable, match="gone"):
        world.run(workers=1)
    world.store.save = saved  # type: ignore[method-assign]
    assert world.run().requests == 4


def test_being_cancelled_keeps_what_was_stored(world: World) -> None:
    async def main(clock: Clock) -> None:
        world.broker = PlainBroker(clock, answer_s=1.0)
        async with asyncio.timeout(1.5):
            await world.manager(clock, workers=2).run(TARGETS, FIRST, LAST)

    with pytest.raises(TimeoutError):
        virtual(main, MORNING)
    assert len(world.store.bars) == 2
    assert world.run().requests == 4


def test_stored_in_threads_it_is_the_same_and_counts_the_same(world: World) -> None:
    targets = [(Instrument("NSE", f"S{i}", id=i + 1), i) for i in range(12)]

    async def main() -> BackfillReport:
        clock = _System(MORNING)
        world.broker = PlainBroker(clock, answer_s=0.0)
        store = world.store
        manager = BackfillManager(world.broker, store, store, SESSIONS, clock, lambda *_: None, in_thread=True)
        return await manager.run(targets, FIRST, LAST)

    report = asyncio.run(main())
    assert report.complete
    assert report.bars == 12 * len(minutes(HISTORY))
    assert report.written == WriteReport(inserted=report.bars)
    assert stored(world, targets[11]) == minutes(HISTORY)


def test_the_report_says_how_long_it_waited(world: World) -> None:
    report = world.run(workers=1)
    assert report.seconds == pytest.approx(6 * 0.2)
    assert report.waited_s == pytest.approx(6 * 0.2)
    two = World().run(workers=2)
    assert two.seconds == pytest.approx(3 * 0.2)
    assert two.waited_s == pytest.approx(6 * 0.2)


def test_instruments_are_stored_and_named_once(world: World) -> None:
    with pytest.raises(AssertionError, match="stored before"):
        world.run([(replace(TARGETS[0][0], id=0), 1)])
    with pytest.raises(AssertionError, match="named once"):
        world.run([TARGETS[0], TARGETS[0]])


class _System:
    """A clock that starts at an instant and counts its readings."""

    def __init__(self, start_ns: int) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        self._now_ns += 1
        return self._now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns()


def _bar() -> np.dtype:
    from intraday.domain.arrays import BAR

    return BAR
