"""Stored candles and recorded ticks as a tape: what is made of the trades again is what was stored."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intraday.domain.arrays import BAR, DAY_NS, MINUTE_NS, TICK, Bars, Ticks, empty
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.session import SessionTable, midnight_ns
from intraday.sim.recorded import BLOCK_DAYS, RecordedTape, from_bars, from_ticks, listed
from intraday.sim.tape import Trades

SESSIONS = SessionTable.load()
DAY = date(2021, 3, 15)
OPEN_NS = SESSIONS.get(DAY).open_ns
INSTRUMENTS = [Instrument("NSE", "INFY"), Instrument("NSE", "NIFTY 50", Kind.INDEX), Instrument("NFO", "INFY21MARFUT", Kind.FUTURE)]


def bar(ts_ns: int, o: float, h: float, low: float, c: float, volume: float) -> Bars:
    row = empty(BAR, 1)
    row[0] = (ts_ns, 0, 0, o, h, low, c, volume, 0)
    return row


def candles_of(trades: Trades) -> list[tuple[int, int, int, int, int, int]]:
    """Minute candles by hand: (open time, open, high, low, close, volume), paise."""
    minutes: dict[int, list[tuple[int, int]]] = {}
    for at_ns, price, qty in trades:
        minutes.setdefault(at_ns // MINUTE_NS * MINUTE_NS, []).append((price, qty))
    return [
        (ts, rows[0][0], max(p for p, _ in rows), min(p for p, _ in rows), rows[-1][0], sum(q for _, q in rows))
        for ts, rows in minutes.items()
    ]


@st.composite
def days(draw: st.DrawFn) -> Bars:
    """Bars of some minutes of a day, on whole paise, one in four without volume."""
    rows = []
    for i in sorted(draw(st.sets(st.integers(0, 374), min_size=1, max_size=12))):
        prices = draw(st.lists(st.integers(1, 2_000_000), min_size=4, max_size=4))
        o, c = prices[:2]
        volume = draw(st.one_of(st.integers(0, 2**31 - 1).map(float), st.just(float("nan")), st.integers(0, 5).map(float)))
        rows.append(bar(OPEN_NS + i * MINUTE_NS, o / 100, max(prices) / 100, min(prices) / 100, c / 100, volume))
    return np.concatenate(rows)


@given(days(), st.integers(1, 2**24))
def test_candles_of_the_trades_are_the_stored_ones(bars: Bars, number: int) -> None:
    trades = from_bars(bars, number << 8 | 1)
    assert list(trades.at_ns) == sorted(trades.at_ns)
    expected = [
        (int(b["ts_ns"]), *(round(float(b[n]) * 100) for n in ("open", "high", "low", "close")), int(np.nan_to_num(b["volume"])))
        for b in bars
    ]
    assert candles_of(trades) == expected


def test_a_flat_minute_is_one_trade() -> None:
    assert [t[1:] for t in from_bars(bar(OPEN_NS, 10.0, 10.0, 10.0, 10.0, 7.0), 257)] == [(1000, 7)]
    assert [t.price for t in from_bars(bar(OPEN_NS, 10.0, 11.0, 9.0, 10.5, 9.0), 257)] == [1000, 900, 1100, 1050]
    assert [t.price for t in from_bars(bar(OPEN_NS, 10.0, 11.0, 9.0, 9.5, 9.0), 257)] == [1000, 1100, 900, 950]


def ticks_of(rows: list[tuple[int, int, int, int]]) -> Ticks:
    """(seconds after the open, row, paise, volume)"""
    out = empty(TICK, len(rows))
    for i, (second, inst, price, volume) in enumerate(rows):
        out[i] = (OPEN_NS + second * 10**9, 0, inst, price, volume)
    return out


def test_ticks_become_the_trades_between_them() -> None:
    ticks = ticks_of(
        [(0, 0, 100, 50), (1, 0, 100, 50), (2, 0, 101, 60), (5, 0, 103, 80), (4, 0, 102, 75), (6, 0, 103, 10), (7, 0, 104, 81)]
    )
    trades = from_ticks(ticks)
    assert [((t.at_ns - OPEN_NS) // 10**9, t.price, t.qty) for t in trades] == [
        (0, 100, 50), (2, 101, 10), (4, 102, 15), (5, 103, 5), (7, 104, 1)
    ]  # fmt: skip
    index = from_ticks(ticks_of([(0, 1, 100, -1), (1, 1, 100, -1), (2, 1, 101, -1)]))
    assert [(t.price, t.qty) for t in index] == [(100, 0), (101, 0)]


class Store:
    """Bars of every session, one a minute for an hour, and the calls made."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int]] = []

    def bars(self, row: int, start_ns: int, end_ns: int) -> Bars:
        self.calls.append((row, start_ns, end_ns))
        rows = [
            bar(session.open_ns + i * MINUTE_NS, 10.0, 11.0, 9.0, 10.0 + session.number % 10 / 10, 100.0)
            for session in SESSIONS.between(DAY - timedelta(days=60), DAY)
            for i in range(60)
        ]
        all_bars = np.concatenate(rows)
        return all_bars[(all_bars["ts_ns"] >= start_ns) & (all_bars["ts_ns"] < end_ns)]

    def ticks(self, day: date) -> Ticks:
        return ticks_of([(0, 0, 1234, 5), (86_400, 0, 9999, 9)]) if day == DAY else empty(TICK)


def test_days_of_ticks_are_replayed_and_the_others_made_from_candles() -> None:
    store = Store()
    tape = RecordedTape(listed(INSTRUMENTS, DAY), SESSIONS, store.bars, store.ticks)
    infy, nifty, fut = [i.token for i in tape.instruments]
    assert [tuple(t) for t in tape.trades(infy, DAY)] == [(OPEN_NS, 1234, 5)]
    assert len(tape.trades(nifty, DAY)) == 240
    before = SESSIONS.previous(DAY)
    assert len(tape.trades(infy, before.day)) == 240
    assert tape.previous_close(infy, DAY) == 1000 + before.number % 10 * 10
    assert tape.previous_close(infy, date(2010, 1, 5)) == 0
    assert len(tape.trades(infy, DAY - timedelta(days=1))) == len(tape.trades(1, DAY)) == 0  # a Sunday, and an unknown token
    assert len(tape.trades(fut, DAY)) == 240


def test_candles_are_read_in_blocks_and_kept() -> None:
    store = Store()
    tape = RecordedTape(listed(INSTRUMENTS[:1], DAY), SESSIONS, store.bars)
    sessions = SESSIONS.between(DAY - timedelta(days=59), DAY)
    for _ in range(2):
        assert sum(len(tape.trades(tape.instruments[0].token, s.day)) for s in sessions) == 240 * len(sessions)
    assert len(store.calls) <= 60 // BLOCK_DAYS + 2
    assert all(end - start == BLOCK_DAYS * DAY_NS and (start - midnight_ns(DAY)) % DAY_NS == 0 for _, start, end in store.calls)


def test_the_list_keeps_the_order_and_shows_who_has_an_auction() -> None:
    rows = listed(INSTRUMENTS, date(2026, 9, 1), {"INFY"})
    assert [row.key for row in rows] == ["NSE:INFY", "NSE:NIFTY 50", "NFO:INFY21MARFUT", "NFO:INFY26SEPFUT"]
    assert [row.token & 0xFF for row in rows] == [1, 9, 2, 2]
    assert [row.auction for row in rows] == [True, False, False, False]
    assert rows[3].name == "INFY"
    assert len({row.token for row in rows}) == 4


def test_the_list_of_derivatives_is_never_empty() -> None:
    rows = listed(INSTRUMENTS[:2], date(2026, 7, 1))
    assert [(row.key, row.name) for row in rows[2:]] == [("NFO:NIFTY26JULFUT", "NIFTY")]
    assert [row.auction for row in rows] == [False, False, False]
    assert [row.key for row in listed(INSTRUMENTS[2:], DAY)] == ["NFO:INFY21MARFUT"], "it has one of its own"


@pytest.mark.parametrize("day", [date(2021, 3, 13), date(2021, 3, 29)])
def test_there_are_no_trades_on_closed_days(day: date) -> None:
    tape = RecordedTape(listed(INSTRUMENTS, DAY), SESSIONS, Store().bars)
    assert len(tape.trades(tape.instruments[0].token, day)) == 0
