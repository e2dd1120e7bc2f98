"""One order on a few minutes, by hand: what counts in the minute of an entry, and how signals become orders."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from intraday.backtest.fills import End, FillDesk, Fills
from intraday.backtest.orders import ORDER, orders_of_signals
from intraday.backtest.tape import tape_of
from intraday.core.fills import Bands
from intraday.core.label_sessions import Traded
from intraday.core.labels import LabelSpec
from intraday.core.panel import NO_LISTS
from intraday.domain.arrays import BAR, MINUTE_NS, TICK, Bars, Ticks
from intraday.domain.events import Action, Signal
from intraday.domain.session import SessionTable

TABLE = SessionTable.load()
DAY = TABLE.get(date(2024, 1, 10))
LABEL = LabelSpec()
FLAT = (100.0, 100.2, 99.8, 100.0)


def bars(rows: dict[int, tuple[float, ...]], until: int = 80) -> Bars:
    out = np.zeros(until, BAR)
    for k in range(until):
        out[k] = (DAY.open_ns + k * MINUTE_NS, 0, 0, *rows.get(k, FLAT), 500.0, 1)
    return out


def fill(
    delay_s: int, rows: dict[int, tuple[float, ...]], side: int = 1, ticks: Ticks | None = None, limit: float = np.nan
) -> Fills:
    """An order decided at minute 5 with its target one rupee away and its stop one rupee the other way."""
    orders = np.zeros(1, ORDER)
    orders["close_ns"], orders["session"], orders["side"] = DAY.open_ns + 5 * MINUTE_NS, DAY.number, side
    orders["target"], orders["stop"] = 100.0 + side, 100.0 - side
    bands = Bands(np.array([DAY.number], np.int32), np.full((1, 1), np.nan), np.full((1, 1), limit))
    desk = FillDesk(LABEL, Traded.of(np.array([0.05]), NO_LISTS, bands), TABLE)
    return desk.fill(orders, tape_of(DAY, bars(rows), np.zeros(1, np.int64)), delay_s, ticks)[0]


def ticks(*seconds_and_prices: tuple[int, float]) -> Ticks:
    """Of the minute after the decision."""
    out = np.zeros(len(seconds_and_prices), TICK)
    out["event_ns"] = [DAY.open_ns + 5 * MINUTE_NS + s * 10**9 for s, _ in seconds_and_prices]
    out["price"] = [round(p * 100) for _, p in seconds_and_prices]
    return out


def test_the_price_between_two_opens_is_on_the_line() -> None:
    found = fill(15, {5: (100.0, 100.4, 99.6, 100.2), 6: (100.4, 100.5, 100.3, 100.4)})
    assert found["entry"] == pytest.approx(100.1) and found["estimated"] == 1
    assert found["entry_ns"] == DAY.open_ns + 5 * MINUTE_NS + 15 * 10**9


@pytest.mark.parametrize(("side", "bad", "good"), [(1, 99.0, 101.0), (-1, 101.0, 99.0)])
def test_in_the_entrys_minute_the_stop_counts_and_the_target_does_not(side: int, bad: float, good: float) -> None:
    low, high = min(bad, 99.9), max(bad, 100.1)
    stopped = fill(30, {5: (100.0, high, low, 100.0)}, side)
    assert (stopped["how"], stopped["exit"]) == (End.STOP, bad) and stopped["ret"] == side * (bad / stopped["entry"] - 1.0)
    low, high = min(good, 99.9), max(good, 100.1)
    there = fill(30, {5: (100.0, high, low, 100.0)}, side)
    assert there["how"] == End.TIME, "nobody knows whether the target was before the entry"
    later = fill(30, {5: (100.0, high, low, 100.0), 9: (100.0, high, low, 100.0)}, side)
    assert (later["how"], later["known_ns"]) == (End.TARGET, DAY.open_ns + 10 * MINUTE_NS)


def test_ticks_tell_what_was_before_the_entry_and_what_after() -> None:
    bar = {5: (100.0, 101.2, 98.8, 100.0)}
    before = fill(30, bar, ticks=ticks((0, 100.0), (10, 101.2), (20, 98.8), (40, 100.3), (50, 100.0)))
    assert (before["how"], before["entry"], before["estimated"]) == (End.TIME, 100.3, 0)
    won = fill(30, bar, ticks=ticks((0, 100.0), (20, 98.8), (30, 100.3), (50, 101.2)))
    assert (won["how"], won["exit"], won["entry"]) == (End.TARGET, 101.0, 100.3)
    lost = fill(30, bar, ticks=ticks((0, 100.0), (20, 101.2), (31, 100.3), (50, 98.8)))
    assert (lost["how"], lost["exit"]) == (End.STOP, 99.0)
    none = fill(30, bar, ticks=ticks((0, 100.0), (29, 100.1)))
    assert none["estimated"] == 1, "no tick after the delay: the bars have to do"


def test_a_move_that_is_over_is_not_entered() -> None:
    assert fill(30, {5: (101.5, 101.6, 101.4, 101.5), 6: (101.5, 101.6, 101.4, 101.5)})["how"] == End.SKIPPED
    assert fill(30, {5: (100.3, 100.4, 100.2, 100.3), 6: (100.3,) * 4}, limit=100.4)["how"] == End.SKIPPED, "near a circuit limit"


def test_without_a_bar_in_time_nothing_is_entered_and_the_instrument_is_free_again() -> None:
    nothing = {k: (np.nan,) * 4 for k in range(5, 40)}
    found = fill(60, nothing)
    assert (found["how"], found["entry_ns"], found["ret"]) == (End.MISSED, 0, 0.0)
    assert found["known_ns"] == DAY.open_ns + (5 + 1 + LABEL.max_wait_min + 1) * MINUTE_NS


def test_signals_become_orders() -> None:
    def signal(inst: int, action: Action, stop: float, target: float) -> Signal:
        return Signal(
            inst, DAY.open_ns, 0, action, 0.5, 0.2, 0.3, 0.5, 100.0, stop, target, 0, True, "m", expected=0.01, quantity=7
        )

    hold = signal(0, Action.HOLD, np.nan, np.nan)
    orders = orders_of_signals(
        [signal(2, Action.SELL, np.nan, np.nan), signal(1, Action.BUY, 99.0, 101.0), hold], LABEL, np.array([0.0, 0.1, 0.2])
    )
    assert orders["inst"].tolist() == [1, 2] and orders["side"].tolist() == [1, -1] and orders["cost"].tolist() == [0.1, 0.2]
    assert orders["target"].tolist() == [101.0, -np.inf] and orders["stop"].tolist() == [99.0, np.inf]
    assert orders["sigma"][0] == pytest.approx(0.01 / np.sqrt(12)) and np.isnan(orders["sigma"][1])
    assert orders["close_ns"].tolist() == [DAY.open_ns + 5 * MINUTE_NS] * 2 and orders["quantity"].tolist() == [7, 7]
