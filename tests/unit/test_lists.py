"""What is dated about an instrument, from stored lists to panels and the engine."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date

import numpy as np
import pytest

from engine_cases import N_INST, engine, frame, minute, tick
from intraday.core.candles import HistoricalAggregator
from intraday.core.lists import FOREVER, index_row, lists_of
from intraday.core.panel import Lists, day_of, panel_of, within_hours
from intraday.domain.arrays import BAR, DAY_NS, IST_NS, MINUTE_NS, Panel
from intraday.domain.events import SaveFeatures
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.membership import EPOCH, Membership, Span
from intraday.domain.session import Segment, SessionTable

SESSIONS = SessionTable.load()
NIFTY = Instrument("NSE", "NIFTY 50", Kind.INDEX, id=9)
BANK = Instrument("NSE", "NIFTY BANK", Kind.INDEX, id=8)
STOCKS = [Instrument("NSE", name, id=n) for n, name in ((5, "INFY"), (3, "TCS"))]


def number(day: date) -> int:
    return (day - EPOCH).days


def test_lists_are_by_row_and_an_index_is_compared_with_nobody() -> None:
    since = date(2026, 8, 3)
    spans = [Span(3, since), Span(5, since, date(2026, 9, 1)), Span(77, since)]
    found = lists_of([NIFTY, *STOCKS], spans, since, None)
    assert found.member == ((1, 0, FOREVER), (2, 0, FOREVER))
    assert sorted(found.auction) == [(1, 0, number(date(2026, 8, 31))), (2, 0, FOREVER)], "days before the first list go by it"
    later = lists_of([NIFTY, *STOCKS], [Span(3, date(2026, 8, 10))], since, None)
    assert later.auction == ((2, number(date(2026, 8, 10)), FOREVER),)
    assert lists_of(STOCKS, spans, None, None).auction == ()
    dated = Membership("index:X", ((5, 10, 20), (9, 0, 99)))
    assert lists_of([NIFTY, *STOCKS], (), None, dated).member == ((1, 10, 20),)


@pytest.mark.parametrize(
    ("instruments", "name", "row"),
    [
        ([*STOCKS, BANK, NIFTY], None, 3),
        ([*STOCKS, BANK], None, 2),
        ([*STOCKS, BANK, replace(BANK, symbol="SENSEX")], None, None),
        ([*STOCKS, BANK, NIFTY], "NSE:NIFTY BANK", 2),
        ([*STOCKS, NIFTY], "NIFTY BANK", None),
        (STOCKS, None, None),
    ],
)
def test_the_market_index(instruments: list[Instrument], name: str | None, row: int | None) -> None:
    assert index_row(instruments, name) == row


def test_an_auction_stock_has_its_own_minutes_from_its_day_on() -> None:
    lists = Lists(auction=((1, 0, FOREVER),))
    assert day_of(SESSIONS.get(date(2026, 7, 31)), 2, SESSIONS, lists).minutes.tolist() == [375.0, 375.0]
    assert day_of(SESSIONS.get(date(2026, 8, 3)), 2, SESSIONS, lists).minutes.tolist() == [375.0, 360.0]


def test_bars_after_an_instruments_own_close_are_in_no_panel() -> None:
    """Stored before anybody said who takes part in the closing auction: the same panel as without them."""
    lists = Lists(auction=((1, 0, FOREVER),), futures=(2,))
    days = SESSIONS.between(date(2026, 7, 31), date(2026, 8, 4), segment=Segment.DERIVATIVES)
    bars = np.concatenate([np.zeros(3 * s.minutes, BAR) for s in days])
    bars["ts_ns"] = np.concatenate([np.repeat(s.open_ns + np.arange(s.minutes) * MINUTE_NS, 3) for s in days])
    bars["inst"] = np.tile(np.arange(3), len(bars) // 3)
    bars["close"] = 100.0 + np.arange(len(bars))
    minute = (bars["ts_ns"] + IST_NS) % DAY_NS // MINUTE_NS - 555
    bars, minute = (rows[(bars["inst"] == 2) | (minute < 375)] for rows in (bars, minute))
    own = (bars["inst"] != 1) | (minute < 360) | (bars["ts_ns"] < SESSIONS.get(date(2026, 8, 3)).open_ns)
    assert np.count_nonzero(~own) == 2 * 15
    for timeframe in (1, 5, 15, 60):
        late, clean = (
            panel_of(HistoricalAggregator(3).aggregate(rows, timeframe), 3, timeframe, SESSIONS, lists)
            for rows in (bars, bars[own])
        )
        for field in fields(Panel):
            np.testing.assert_array_equal(getattr(late, field.name), getattr(clean, field.name), field.name)
    np.testing.assert_array_equal(within_hours(bars, 3, SESSIONS, lists), bars[own])
    closed = bars[:3].copy()
    closed["ts_ns"] += DAY_NS * np.array([1, 2, 1])  # a weekend: for `panel_of` to tell
    assert len(within_hours(closed, 3, SESSIONS, lists)) == 3 and len(within_hours(closed[:0], 3, SESSIONS, lists)) == 0
    only = panel_of(bars[bars["inst"] == 1], 3, 1, SESSIONS, lists)
    assert only.mask.any(axis=1).all() and int(only.minute.max()) == 374 and only.minute[-1] == 359.0


def test_who_sits_out_has_no_bars_in_panels() -> None:
    days = [SESSIONS.get(date(2024, 1, day)) for day in (1, 2, 3)]
    bars = np.zeros(6, BAR)
    bars["ts_ns"] = np.repeat([day.open_ns for day in days], 2)
    bars["inst"], bars["close"] = [0, 1] * 3, 100.0
    panel = panel_of(bars, 2, 1, SESSIONS, Lists(out=((1, days[1].number, days[1].number),)))
    assert panel.mask.tolist() == [[True, True], [True, False], [True, True]]
    assert np.isnan(panel.close[1, 1])


def test_the_engine_decides_nothing_for_who_sits_out() -> None:
    playing, sitting = engine(), engine()
    assert sitting._day.out is None
    sitting._day = sitting._day._replace(out=np.arange(N_INST) == 1)
    found = []
    for each in (playing, sitting):
        each.process(frame(*(tick(5.0, 100.0 + i, 10, inst=i) for i in range(N_INST))))
        effects = each.process(minute(1))
        found.append([int(i) for e in effects if isinstance(e, SaveFeatures) for i in e.inst])
    assert found == [list(range(N_INST)), [i for i in range(N_INST) if i != 1]]
