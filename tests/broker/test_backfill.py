"""Which candles are asked for, in which order, and what becomes of every kind of answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from broker_cases import SESSIONS, Asked, MemoryFetches, PlainBroker
from intraday.broker.backfill import FAILURES_MAX, NO_ANSWER, REFUSED, BackfillManager, BackfillReport, Target
from intraday.broker.candles import KEPT_MAX
from intraday.domain.arrays import BAR, DAY_NS, MINUTE_NS, Bars, empty
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
from intraday.domain.gaps import NO_CANDLE, NO_SESSION, SCATTERED
from intraday.domain.instruments import Instrument, Kind
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


# --------------------------------------------------------------------------------------------------- what is usual, and known
def halved_today(broker: PlainBroker) -> None:
    """Prices around 100, half of that and twice the volume today: what a split looks like."""

    def candles(token: int, start_ns: int, end_ns: int) -> Bars:
        sessions = [*HISTORY[-15:], SESSIONS.get(TODAY)]
        bars = empty(BAR, sum(s.minutes for s in sessions))
        bars["ts_ns"] = minutes(sessions)
        wave = np.arange(len(bars)) % 7 * 0.05
        bars["open"], bars["high"], bars["low"], bars["close"] = 100.0, 100.5 + wave, 99.5, 100.0 + wave
        bars["volume"] = 1_000 + np.arange(len(bars)) % 11
        today = bars["ts_ns"] >= SESSIONS.get(TODAY).open_ns
        for name in ("open", "high", "low", "close"):
            bars[name][today] /= 2.0
        bars["volume"][today] *= 2.0
        return bars[(bars["ts_ns"] >= start_ns) & (bars["ts_ns"] <= end_ns)]

    broker.candles = candles  # type: ignore[method-assign]


def test_an_answer_of_one_day_is_judged_by_the_stored_sessions_before_it(world: World) -> None:
    """A night's backfill asks for one day, and one day alone shows neither a jump nor a split."""
    evening = SESSIONS.get(TODAY).close_ns + 3600 * 10**9
    unknown = World().run(TARGETS[:1], TODAY, TODAY, prepare=halved_today, start_ns=evening)
    assert (unknown.bars, unknown.flagged) == (375, {})
    world.run(TARGETS[:1], HISTORY[-15].day, LAST, prepare=halved_today)
    known = world.run(TARGETS[:1], TODAY, TODAY, prepare=halved_today, start_ns=evening)
    assert (known.bars, known.flagged) == (375, {"corporate_action": 1})


def test_what_one_run_asks_for_is_not_judged_by_what_it_happened_to_store_first(world: World) -> None:
    """Answers come in any order: an asked day is no history, though another worker has stored it by then."""

    def a_day_at_a_time(broker: PlainBroker) -> None:
        halved_today(broker)
        broker.cap_days = 0

    evening = SESSIONS.get(TODAY).close_ns + 3600 * 10**9
    for again in (False, True):
        found = world.run(TARGETS[:1], HISTORY[-15].day, TODAY, prepare=a_day_at_a_time, start_ns=evening, again=again)
        assert len(world.broker.asked) > 10, "a request a day"
        assert (found.bars, found.flagged) == (16 * 375, {})


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
        assert not fetched.complete  # nor would it be after the close: see test_backfill_settled.py
        assert world.broker.asked[0].end_ns == opened + (n_bars - 1) * MINUTE_NS
    assert world.store.gaps() == []


def test_a_day_asked_while_it_ran_is_asked_again(world: World) -> None:
    opened = SESSIONS.get(TODAY).open_ns
    world.run(TARGETS[:1], TODAY, TODAY, start_ns=opened + 100 * MINUTE_NS)
    report = world.run(TARGETS[:1], TODAY, TODAY, start_ns=opened + 600 * MINUTE_NS)
    assert report.written == WriteReport(inserted=375 - 99, unchanged=99)
    assert world.run(TARGETS[:1], TODAY, TODAY, start_ns=opened + 601 * MINUTE_NS).written == WriteReport(unchanged=375)
    world.run(TARGETS[:1], TODAY, TODAY, start_ns=opened + DAY_NS)
    assert world.run(TARGETS[:1], TODAY, TODAY, start_ns=opened + DAY_NS).planned == 0


def test_an_answer_that_holds_a_running_bar_is_cut(world: World) -> None:
    """The broker need not heed the end that was asked for."""
    opened = SESSIONS.get(TODAY).open_ns

    def prepare(broker: PlainBroker) -> None:
        whole = broker.candles
        broker.candles = lambda token, a, b: whole(token, a, opened + 100 * MINUTE_NS)  # type: ignore[method-assign]

    world.run(TARGETS[:1], TODAY, TODAY, start_ns=opened + 10 * MINUTE_NS, prepare=prepare)
    assert stored(world, TARGETS[0]) == [opened + i * MINUTE_NS for i in range(9)]


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


def test_of_many_rejected_rows_the_first_are_kept(world: World) -> None:
    def prepare(broker: PlainBroker) -> None:
        broker.extra = [s.close_ns + k * MINUTE_NS for s in HISTORY[-20:] for k in range(10)]

    report = world.run(TARGETS[:1], prepare=prepare)
    assert report.rejected == 19 * 10  # those of the last session lie behind the end that was asked for
    assert len(world.store.refused) == KEPT_MAX


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
