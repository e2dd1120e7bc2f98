"""Futures keep the hours of their own segment: in lists and journals, in what judges candles, in what says a feed is silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest

from intraday.broker.candles import own_sessions, validators_of
from intraday.broker.feed import trading_hours
from intraday.core.lists import lists_of, longest_day
from intraday.core.panel import day_of, panel_of
from intraday.domain.arrays import BAR, MINUTE_NS, empty
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.session import Segment, SessionTable
from intraday.live.journal import JournalHeader

TABLE = SessionTable.load()
IST = timezone(timedelta(hours=5, minutes=30))
BEFORE, SINCE, MUHURAT = date(2026, 7, 31), date(2026, 8, 3), date(2024, 11, 1)
STOCK, OTHER, FUTURE, INDEX = (
    Instrument("NSE", "INFY", id=1), Instrument("NSE", "SYN006", id=2), Instrument("NFO", "INFY26AUGFUT", Kind.FUTURE, id=3),
    Instrument("NSE", "NIFTY 50", Kind.INDEX, id=4),
)  # fmt: skip
ALL = [STOCK, OTHER, FUTURE, INDEX]


def takes_part(instrument_id: int, day: date) -> bool:
    return instrument_id == STOCK.id


def clock(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, IST).strftime("%H:%M")


@pytest.mark.parametrize(
    ("day", "ends"),
    [(BEFORE, "15:30 15:30 15:30 15:30"), (SINCE, "15:15 15:30 15:40 15:30"), (MUHURAT, "19:00 19:00 19:00 19:00")],
)
def test_each_instrument_has_the_sessions_of_its_segment(day: date, ends: str) -> None:
    own = own_sessions(TABLE, ALL, day, day, takes_part)
    assert [clock(session.close_ns) for (session,) in own] == ends.split()


def test_candles_are_judged_by_the_hours_of_the_segment() -> None:
    validators = validators_of(TABLE)
    bars = empty(BAR, 3)
    bars["ts_ns"] = TABLE.get(SINCE).close_ns + np.array([-1, 0, 10]) * MINUTE_NS
    for name in ("open", "high", "low", "close"):
        bars[name] = 100.0
    bars["volume"] = [10, 11, 12]
    codes = {i.symbol: (validators[i.segment].check(bars, True).code > 0).tolist() for i in (OTHER, FUTURE)}
    assert codes == {"SYN006": [False, True, True], "INFY26AUGFUT": [False, False, True]}


def test_lists_know_who_is_a_future_and_the_journal_gives_it_back() -> None:
    lists = lists_of(ALL, (), None, None)
    assert lists.futures == (2,)
    header = JournalHeader("r", "tick", SINCE, 5, 1, "f", "m", tuple(ALL), (0.0,) * 4, ("",) * 4, lists)
    assert JournalHeader.from_json(header.to_json()) == header
    assert header.hours(TABLE).minutes.tolist() == [375.0, 375.0, 385.0, 375.0]
    assert replace(header, day=BEFORE).hours(TABLE).minutes.tolist() == [375.0] * 4


def test_a_panel_has_the_rows_in_which_futures_alone_trade() -> None:
    session = TABLE.get(SINCE, segment=Segment.DERIVATIVES)
    bars = empty(BAR, 2)
    bars["ts_ns"], bars["inst"], bars["close"] = [session.last_minute_ns - 20 * MINUTE_NS, session.last_minute_ns], [1, 2], 100.0
    lists = lists_of(ALL, (), None, None)
    panel = panel_of(bars, 4, 1, TABLE, lists)
    assert panel.mask.tolist() == [[False, True, False, False], [False, False, True, False]]
    assert panel.minutes[1].tolist() == day_of(TABLE.get(SINCE), 4, TABLE, lists).minutes.tolist()


def test_a_feed_lasts_and_is_watched_as_long_as_any_of_its_instruments_trades() -> None:
    """15:35 after 2026-08-03: silence is an alarm only where a future is subscribed."""
    session = TABLE.get(SINCE)
    at_ns = session.close_ns + 5 * MINUTE_NS
    for instruments, until in ((ALL, "15:40"), ([STOCK, OTHER, INDEX], "15:30")):
        hours = longest_day(session, instruments, TABLE)
        assert (clock(hours.close_ns), trading_hours(hours)(at_ns)) == (until, until == "15:40")
    assert longest_day(TABLE.get(MUHURAT), ALL, TABLE).close_ns == TABLE.get(MUHURAT).close_ns
