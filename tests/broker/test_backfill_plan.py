"""Which candles are asked for in which requests, and which minutes are missing from an answer: the laws."""

from __future__ import annotations

from collections import Counter
from datetime import date

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from broker_cases import SESSIONS
from intraday.broker.candles import RUNS_MAX, missing_minutes
from intraday.broker.chunks import Chunk, cut, plan, recut, spans
from intraday.domain.arrays import DAY_NS, MINUTE_NS
from intraday.domain.gaps import NO_CANDLE
from intraday.domain.membership import Span, auction_rule

FIRST, LAST = date(2025, 4, 1), date(2025, 6, 27)
HISTORY = SESSIONS.between(FIRST, LAST)

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


def test_a_halt_is_no_gap() -> None:
    session = SESSIONS.get(date(2021, 2, 24))
    assert session.pauses
    grid = range(session.open_ns, session.close_ns, MINUTE_NS)
    trading = [t for t in grid if not any(a <= t < b for a, b in session.pauses)]
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


def test_who_takes_part_goes_by_the_day_and_before_the_first_list_by_that_one() -> None:
    spans = [Span(1, date(2026, 9, 1)), Span(2, date(2026, 9, 1), date(2026, 10, 1)), Span(3, date(2026, 10, 1))]
    rule = auction_rule(spans, date(2026, 9, 1))
    days = [date(2026, 8, 3), date(2026, 9, 1), date(2026, 9, 30), date(2026, 10, 1)]
    assert [[rule(i, day) for day in days] for i in (1, 2, 3, 4)] == [
        [True, True, True, True], [True, True, True, False], [False, False, False, True], [False] * 4,
    ]  # fmt: skip
    assert not auction_rule([], None)(1, days[0])
