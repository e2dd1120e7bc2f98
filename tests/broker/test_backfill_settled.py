"""When a fetched day is complete: not before its candles change no more, and not at the first answer without any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_cases import SESSIONS, MemoryFetches, PlainBroker
from intraday.broker.backfill import BackfillManager, BackfillReport, Target
from intraday.broker.candles import AGAIN_NS
from intraday.domain.arrays import DAY_NS, MINUTE_NS, Bars
from intraday.domain.clock import Clock
from intraday.domain.gaps import NO_CANDLE, NO_SESSION
from intraday.domain.instruments import Instrument
from intraday.domain.ports import WriteReport
from intraday.domain.session import midnight_ns
from pace_cases import virtual

SECOND_NS = 10**9
HOUR_NS = 60 * MINUTE_NS
SESSION = SESSIONS.get(date(2025, 6, 27))  # a Friday
DAY, CLOSE = SESSION.day, SESSION.close_ns
FINAL = midnight_ns(DAY) + DAY_NS + 6 * HOUR_NS
TARGET: Target = (Instrument("NSE", "SYN", id=10), 1000)
WEEK = SESSIONS.between(date(2025, 6, 23), DAY)


@dataclass
class UnsettledBroker(PlainBroker):
    """A minute is there ``late_ns`` after its end and has another volume for ``revised_ns`` more; of the days ``empty`` is none."""

    late_ns: int = 0
    revised_ns: int = 0
    empty: Sequence[date] = ()

    def candles(self, token: int, start_ns: int, end_ns: int) -> Bars:
        bars = super().candles(token, start_ns, end_ns)
        age_ns = self.clock.now_ns() - bars["ts_ns"] - MINUTE_NS
        bars["volume"] += 1000 * (age_ns >= self.late_ns + self.revised_ns)
        for day in self.empty:
            age_ns[(bars["ts_ns"] >= midnight_ns(day)) & (bars["ts_ns"] < midnight_ns(day) + DAY_NS)] = -1
        return bars[age_ns >= self.late_ns]


class Fetcher:
    """Runs at given moments over one store."""

    def __init__(self) -> None:
        self.store = MemoryFetches()
        self.broker: UnsettledBroker

    def run(self, at_ns: int, first: date = DAY, last: date = DAY, again: bool = False, **broker: object) -> BackfillReport:
        async def main(clock: Clock) -> BackfillReport:
            self.broker = UnsettledBroker(clock, answer_s=0.0, **broker)  # type: ignore[arg-type]
            store, sessions = self.store, SESSIONS
            manager = BackfillManager(self.broker, store, store, sessions, clock, lambda *_: None, in_thread=False)
            return await manager.run([TARGET], first, last, again=again)

        return virtual(main, at_ns)

    def bars(self) -> list[bytes]:
        return [row for _, row in sorted(self.store.bars.get(10, {}).items())]

    def complete(self) -> list[bool]:
        return [self.store.days[key].complete for key in sorted(self.store.days)]


def final(first: date = DAY) -> list[bytes]:
    """The exchange's candles from ``first`` to ``DAY`` as they are for ever."""

    async def main(clock: Clock) -> list[bytes]:
        broker = UnsettledBroker(clock)
        return [row.tobytes() for row in broker.candles(TARGET[1], SESSIONS.get(first).open_ns, CLOSE - MINUTE_NS)]

    return virtual(main, CLOSE + 9 * DAY_NS)


@pytest.fixture
def fetcher() -> Fetcher:
    return Fetcher()


# ------------------------------------------------------------------------------------------------------ the next morning
@pytest.mark.parametrize(("late_s", "revised_s"), [(40, 0), (3, 60), (40, 60), (7200, 3600)])
def test_what_came_late_or_was_revised_is_had_the_next_morning(fetcher: Fetcher, late_s: int, revised_s: int) -> None:
    broken = {"late_ns": late_s * SECOND_NS, "revised_ns": revised_s * SECOND_NS}
    fetcher.run(CLOSE + 25 * SECOND_NS, **broken)
    assert fetcher.bars() != final()
    assert fetcher.complete() == [False]
    morning = fetcher.run(CLOSE + 17 * HOUR_NS, **broken)
    assert fetcher.bars() == final()
    assert fetcher.complete() == [True]
    assert morning.written.inserted + morning.written.revised > 0
    assert fetcher.store.gaps() == []
    assert fetcher.run(CLOSE + 18 * HOUR_NS).planned == 0


def test_a_day_is_complete_from_six_the_next_morning(fetcher: Fetcher) -> None:
    asked = [CLOSE + HOUR_NS, CLOSE + 2 * HOUR_NS, FINAL - SECOND_NS, FINAL, FINAL + SECOND_NS]
    reports = [fetcher.run(at) for at in asked]
    assert [r.planned for r in reports] == [1, 1, 1, 1, 0]
    assert [r.written for r in reports[1:4]] == [WriteReport(unchanged=375)] * 3
    assert fetcher.complete() == [True]


def test_an_older_day_is_complete_at_once(fetcher: Fetcher) -> None:
    fetcher.run(CLOSE + HOUR_NS, first=WEEK[0].day)
    assert fetcher.complete() == [True] * 4 + [False]
    fetcher.run(FINAL, first=WEEK[0].day)
    assert [(a.start_ns, a.end_ns) for a in fetcher.broker.asked] == [(SESSION.open_ns, CLOSE - MINUTE_NS)]


# --------------------------------------------------------------------------------------------- answers without a candle
EVERYTHING = tuple(s.day for s in WEEK)


@pytest.mark.parametrize(
    "empty", [EVERYTHING, (DAY,), (WEEK[2].day,), (WEEK[0].day, WEEK[1].day)], ids=["all", "newest", "inner", "oldest"]
)
def test_what_was_empty_for_a_moment_is_had_later(fetcher: Fetcher, empty: tuple[date, ...]) -> None:
    first = WEEK[0].day
    fetcher.run(FINAL, first, empty=empty)
    assert [d for d, c in zip(EVERYTHING, fetcher.complete(), strict=True) if not c] == list(empty)
    assert [g.reason for g in fetcher.store.gaps()] == [NO_SESSION] * len(empty)
    assert fetcher.run(FINAL + AGAIN_NS - SECOND_NS, first).planned == 0
    assert fetcher.run(FINAL + AGAIN_NS, first).written == WriteReport(inserted=375 * len(empty))
    assert fetcher.bars() == final(first)
    assert fetcher.complete() == [True] * 5
    assert fetcher.store.gaps() == []


def test_what_does_not_exist_is_asked_for_twice_and_no_more(fetcher: Fetcher) -> None:
    """A range before the listing, and a day without a trade: two answers an hour apart are believed."""
    first, last = date(2024, 9, 2), DAY
    days = SESSIONS.between(first, last)
    listed = date(2025, 3, 3)
    runs = [fetcher.run(FINAL + k * HOUR_NS, first, last, listed=listed, empty=[WEEK[2].day]).requests for k in range(4)]
    assert runs[0] == 5
    assert runs[2:] == [0, 0]
    asked_twice = sum(s.day < listed for s in days) + 1
    assert len(fetcher.store.gaps()) == asked_twice
    assert runs[1] <= 5
    assert fetcher.complete() == [True] * len(days)


def test_days_without_a_trade_here_and_there_are_not_asked_for_one_by_one(fetcher: Fetcher) -> None:
    """Traded every second session: an answer with candles of other sessions is believed, but for the last week's days."""
    first = date(2024, 7, 1)
    days = SESSIONS.between(first, DAY)
    empty = [s.day for s in days[::2]]
    runs = [fetcher.run(FINAL + k * HOUR_NS, first, empty=empty).requests for k in range(3)]
    assert runs[0] == 6
    assert runs[1] <= 3, "the days of one week that do not follow each other"
    assert runs[2] == 0
    assert fetcher.complete() == [True] * len(days)
    assert [g.reason for g in fetcher.store.gaps()] == [NO_SESSION] * len(empty)


def test_of_an_old_answer_an_empty_day_is_believed_and_an_empty_answer_is_not(fetcher: Fetcher) -> None:
    first, month_ns = WEEK[0].day, 30 * DAY_NS
    fetcher.run(FINAL + month_ns, first, empty=[WEEK[2].day])
    assert fetcher.complete() == [True] * 5
    other = Fetcher()
    other.run(FINAL + month_ns, first, empty=EVERYTHING)
    assert other.complete() == [False] * 5
    assert other.run(FINAL + month_ns + HOUR_NS, first).written == WriteReport(inserted=375 * 5)


def test_a_week_is_how_long_an_empty_day_is_asked_for_twice(fetcher: Fetcher) -> None:
    first, week_ns = WEEK[0].day, 7 * DAY_NS + midnight_ns(WEEK[2].day)
    fetcher.run(week_ns - SECOND_NS, first, empty=[WEEK[2].day])
    assert fetcher.complete() == [True, True, False, True, True]
    other = Fetcher()
    other.run(week_ns, first, empty=[WEEK[2].day])
    assert other.complete() == [True] * 5


def test_two_empty_answers_have_to_be_an_hour_apart(fetcher: Fetcher) -> None:
    for at_ns in (0, AGAIN_NS, HOUR_NS - SECOND_NS):
        assert fetcher.run(FINAL + at_ns, empty=[DAY]).planned == 1
        assert fetcher.complete() == [False]
        assert fetcher.store.days[10, DAY].empty_ns == FINAL
    fetcher.run(FINAL + HOUR_NS, empty=[DAY])
    assert fetcher.complete() == [True]
    assert fetcher.run(FINAL + 2 * HOUR_NS).planned == 0
    assert fetcher.run(FINAL + 2 * HOUR_NS, again=True).written == WriteReport(inserted=375)
    assert fetcher.store.days[10, DAY].empty_ns is None


def test_an_empty_answer_of_the_evening_before_is_one_of_the_two(fetcher: Fetcher) -> None:
    for at_ns in (CLOSE + MINUTE_NS, CLOSE + 2 * MINUTE_NS, CLOSE + 5 * HOUR_NS):
        assert fetcher.run(at_ns, empty=[DAY]).planned == 1  # the broker may just be late
        assert fetcher.complete() == [False]
    fetcher.run(FINAL, empty=[DAY])
    assert fetcher.complete() == [True]


def test_an_empty_answer_takes_back_no_candle_and_no_gap(fetcher: Fetcher) -> None:
    lost = [SESSION.open_ns + 30 * MINUTE_NS]
    noon = SESSION.open_ns + 100 * MINUTE_NS + 20 * SECOND_NS
    fetcher.run(noon, missing=lost)
    held, gaps = fetcher.bars(), fetcher.store.gaps()
    assert (len(held), [g.reason for g in gaps]) == (99, [NO_CANDLE])
    fetcher.run(noon + HOUR_NS, empty=[DAY])
    assert [(g.start_ns, g.n_minutes) for g in fetcher.store.gaps()] == [(lost[0], 1), (SESSION.open_ns + 100 * MINUTE_NS, 60)]
    fetcher.run(CLOSE + HOUR_NS, missing=lost)
    assert fetcher.store.gaps() == gaps
    held = fetcher.bars()
    for k, complete in enumerate([False, True]):
        fetcher.run(FINAL + k * HOUR_NS, empty=[DAY])
        assert (fetcher.bars(), fetcher.store.gaps(), fetcher.complete()) == (held, gaps, [complete])
    assert fetcher.store.days[10, DAY].n_bars == 374


def test_minutes_that_never_came_are_gaps_in_the_end(fetcher: Fetcher) -> None:
    fetcher.run(SESSION.open_ns + 100 * MINUTE_NS + 20 * SECOND_NS)
    for k in range(2):
        fetcher.run(FINAL + k * HOUR_NS, empty=[DAY])
    assert fetcher.complete() == [True]
    assert [(g.start_ns, g.end_ns, g.n_minutes) for g in fetcher.store.gaps()] == [(SESSION.open_ns + 100 * MINUTE_NS, CLOSE, 275)]


# ------------------------------------------------------------------------------------------------------------------ laws
moments = st.lists(st.integers(SESSION.open_ns, FINAL + DAY_NS), max_size=6)


@given(
    moments, st.integers(0, 6 * HOUR_NS), st.integers(0, 6 * HOUR_NS), st.lists(st.sets(st.sampled_from(EVERYTHING)), min_size=6)
)
def test_after_a_good_answer_of_the_next_morning_it_is_the_exchanges_for_ever(
    times: list[int], late_ns: int, revised_ns: int, empty: list[set[date]]
) -> None:
    """Runs at any moments, late publication and revisions into the night, days that are empty now and then: never twice."""
    fetcher, first = Fetcher(), WEEK[0].day
    for at_ns, gone in zip(sorted(times), empty, strict=False):
        kept = {day for _, day in fetcher.store.days if fetcher.store.days[10, day].complete}
        empties = {day for day in gone if (10, day) not in fetcher.store.days or fetcher.store.days[10, day].empty_ns is None}
        fetcher.run(at_ns, first, late_ns=late_ns, revised_ns=revised_ns, empty=sorted(empties))
        asked = {s.day for a in fetcher.broker.asked for s in WEEK if a.start_ns <= s.open_ns <= a.end_ns}
        assert not asked & kept
    fetcher.run(FINAL + DAY_NS + HOUR_NS, first, late_ns=late_ns, revised_ns=revised_ns)
    assert fetcher.bars() == final(first)
    assert fetcher.complete() == [True] * 5
    assert fetcher.store.gaps() == []
    assert fetcher.run(FINAL + 2 * DAY_NS, first).planned == 0


@given(st.lists(st.integers(0, 4 * HOUR_NS), min_size=2, max_size=12))
def test_how_often_nothing_is_asked_for_is_bounded(times: list[int]) -> None:
    """However many runs: one every ten minutes until an hour has passed, and one after that."""
    fetcher = Fetcher()
    asked = [at for at in sorted(times) if fetcher.run(FINAL + at, empty=[DAY]).requests]
    first = asked[0]
    assert all(b - first >= AGAIN_NS for b in asked[1:])
    assert sum(b - first >= HOUR_NS for b in asked) <= 1
    assert fetcher.complete() == [asked[-1] - first >= HOUR_NS]
    assert fetcher.bars() == []
