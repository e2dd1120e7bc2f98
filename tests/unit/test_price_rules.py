"""Stored limits and ticks as labels want them, and the file limits come in."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from intraday.core.price_rules import bands_of, tick_sizes_of
from intraday.domain.errors import InputError
from intraday.domain.instruments import Instrument
from intraday.domain.limits import LIMIT, Limits, TickSize, paise, read_limits
from intraday.domain.ports import Source
from intraday.domain.session import SessionTable, midnight_ns
from intraday.live.day import DayPlan

TABLE = SessionTable.load()
DAY, NEXT = TABLE.get(date(2025, 3, 20)), TABLE.get(date(2025, 3, 21))
SECOND = 1_000_000_000


def limits(*rows: tuple[int, int, int, int, int]) -> Limits:
    return np.array(list(rows), LIMIT)


def test_the_newest_known_by_the_open_counts_for_its_session_alone() -> None:
    stored = limits(
        (7, DAY.number, 9_000, 11_000, DAY.open_ns - 50 * SECOND),
        (7, DAY.number, 9_500, 10_500, DAY.open_ns),
        (7, DAY.number, 8_000, 12_000, DAY.open_ns + 1),
        (3, NEXT.number, 18_000, 22_005, midnight_ns(NEXT.day)),
        (5, DAY.number, 1, 2, 0),
    )
    bands, late = bands_of(stored[::-1], [9, 7, 3], TABLE)
    assert bands is not None and late == 0
    for number, lower, upper in ((DAY.number, [np.nan, 95.0, np.nan], [np.nan, 105.0, np.nan]),
                                 (NEXT.number, [np.nan, np.nan, 180.0], [np.nan, np.nan, 220.05]),
                                 (NEXT.number + 1, [np.nan] * 3, [np.nan] * 3)):  # fmt: skip
        found = bands.on(number)
        np.testing.assert_array_equal(found[0], lower)
        np.testing.assert_array_equal(found[1], upper)


def test_what_came_too_late_is_no_limit_and_is_counted_once() -> None:
    stored = limits(
        (7, DAY.number, 9_000, 11_000, DAY.open_ns + 1),
        (7, DAY.number, 9_000, 11_000, DAY.open_ns + 2),
        (7, NEXT.number, 9_000, 11_000, NEXT.open_ns),
        (3, NEXT.number, 9_000, 11_000, NEXT.close_ns),
        (3, (date(2025, 3, 22) - date(1970, 1, 1)).days, 9_000, 11_000, 0),  # a Saturday
    )
    bands, late = bands_of(stored, [3, 7], TABLE)
    assert bands is not None and late == 3
    assert np.isnan(bands.on(DAY.number)[0]).all()
    assert bands.on(NEXT.number)[1].tolist()[1] == 110.0 and np.isnan(bands.on(NEXT.number)[1][0])
    assert bands_of(stored[:2], [3, 7], TABLE) == (None, 1)
    assert bands_of(stored[:0], [3, 7], TABLE) == (None, 0)


def test_ticks_hold_from_their_day_on_and_the_first_before_it() -> None:
    instruments = [Instrument("NSE", "A", id=4, tick_size=1), Instrument("NSE", "B", id=2, tick_size=5)]
    dated = [TickSize(4, None, 5), TickSize(4, DAY.day, 10), TickSize(4, NEXT.day, 1), TickSize(8, None, 99)]
    ticks = tick_sizes_of(dated, instruments)
    by_day = {day: ticks.on((day - date(1970, 1, 1)).days).tolist() for day in (date(2010, 1, 4), DAY.day, NEXT.day)}
    assert by_day == {date(2010, 1, 4): [0.05, 0.05], DAY.day: [0.10, 0.05], NEXT.day: [0.01, 0.05]}
    assert ticks.on(NEXT.number + 900).tolist() == [0.01, 0.05]
    assert tick_sizes_of([], instruments).on(DAY.number).tolist() == [0.01, 0.05]
    two = [TickSize(4, None, 5), TickSize(4, DAY.day, 10), TickSize(2, None, 5), TickSize(2, NEXT.day, 20)]
    assert tick_sizes_of(two, instruments).on(NEXT.number).tolist() == [0.10, 0.20]


def test_signals_of_a_day_are_rounded_to_its_ticks() -> None:
    instruments = (Instrument("NSE", "A", id=4, tick_size=1), Instrument("NSE", "B", id=2, tick_size=5))
    plan = DayPlan("run", Source.REPLAY, instruments, Path("journal"), 0, 1, "never")
    assert plan.instruments_on(DAY) == instruments
    dated = replace(plan, ticks=tick_sizes_of([TickSize(4, None, 5), TickSize(4, NEXT.day, 10)], instruments))
    assert [i.tick_size for i in dated.instruments_on(DAY)] == [5, 5]
    assert [i.tick_size for i in dated.instruments_on(NEXT)] == [10, 5]
    assert [(i.key, i.id) for i in dated.instruments_on(NEXT)] == [(i.key, i.id) for i in instruments]


def test_a_file_of_limits() -> None:
    text = "Session, Symbol ,lower,upper,known\n2025-03-20,infy,90.00,110.05,\n\n2025-03-20,TCS,3000,3300.5,2025-03-20 08:55\n"
    infy, tcs = read_limits("\ufeff" + text, "limits.csv")
    assert (infy.symbol, infy.session, infy.lower, infy.upper) == ("INFY", DAY.day, 9_000, 11_005)
    assert infy.known_ns == midnight_ns(DAY.day) < DAY.open_ns
    assert tcs.known_ns == DAY.open_ns - 20 * 60 * SECOND
    (day,) = read_limits("session,symbol,lower,upper,known\n2025-03-20,X,1,2,2025-03-19\n", "x")
    assert day.known_ns == midnight_ns(DAY.day - timedelta(days=1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected the columns session, symbol, lower, upper, and a line a limit; found no column session"),
        ("session,symbol,lower,upper\n", "found no line"),
        ("symbol,lower,upper\nX,1,2\n", "found no column session"),
        ("session,symbol,lower,upper\n20 Mar,X,1,2\n", "x:2: expected a session as YYYY-MM-DD"),
        ("session,symbol,lower,upper\n2025-03-20,X,1,two\n", "x:2: expected a session as YYYY-MM-DD and prices in rupees"),
        ("session,symbol,lower,upper\n2025-03-20,X,2,1\n", "x:2: expected a symbol and 0 < lower < upper, found 2025-03-20, X"),
        ("session,symbol,lower,upper\n2025-03-20,X,0,1\n", "0 < lower < upper"),
        ("session,symbol,lower,upper\n2025-03-20,X,1,1e12\n", "0 < lower < upper"),
        ("session,symbol,lower,upper\n2025-03-20,,1,2\n", "expected a symbol"),
        ("session,symbol,lower,upper\n2025-03-20,X,1,2\n2025-03-20,x,1,3\n", "one line for X on 2025-03-20, found two"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_named(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_limits(text, "x")
    assert said in str(caught.value)


def test_a_price_in_paise() -> None:
    assert [paise(x) for x in (220.05, 0.05, 0.0, -1.0, float("nan"), float("inf"), 3e7)] == [22_005, 5, 0, 0, 0, 0, 0]
