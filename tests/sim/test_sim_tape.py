"""The simulated market: hours by date, prices that go on from day to day, the same trades in every process."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random

import pytest

from intraday.domain.errors import CalendarError
from intraday.sim.candles import candles_of
from intraday.sim.market import SyntheticTape
from intraday.sim.paths import motion, poisson
from intraday.sim.tape import Trade, Trades, open_interest, order_windows, trading_hours
from sim_cases import BEFORE_AUCTIONS, DAY, HOLIDAY, INFY, NIFTY, SESSIONS, at, row_of, tape_of

TAPE = tape_of()
MUHURAT = date(2024, 11, 1)
HALT = date(2021, 2, 24)


def test_trades_are_ascending_on_the_tick_grid_and_positive() -> None:
    for row in TAPE.instruments:
        trades = TAPE.trades(row.token, DAY)
        assert list(trades.at_ns) == sorted(trades.at_ns)
        assert all(price > 0 and price % row.tick_paise == 0 for price in trades.price)
        assert all(qty == 0 if row.is_index else qty > 0 and qty % max(row.lot, 1) == 0 for qty in trades.qty)


@pytest.mark.parametrize(("day", "match"), [(BEFORE_AUCTIONS, "09:07:30"), (date(2026, 9, 4), "09:07:30"), (DAY, "09:09:00")])
def test_the_first_trade_is_the_match_before_the_open(day: date, match: str) -> None:
    """Order entry ends between 09:07 and 09:08, since 2026-09-07 between 09:08 and 09:10 (NSE/CMTR/74969)."""
    for token in (INFY, NIFTY):
        first, second = TAPE.trades(token, day)[:2]
        assert 0 <= first.at_ns - at(day, match) <= 30 * 10**9
        assert second.at_ns >= at(day, "09:15")


def test_without_a_pre_open_the_first_trade_is_at_the_open() -> None:
    """Futures have one since 2025-12-08, stocks since 2010-10-18."""
    contract = replace(row_of(TAPE, "INFY26SEPFUT"), expiry=date(2025, 12, 30))
    tape = SyntheticTape([contract], 7, SESSIONS, 4.0)
    for day, first in ((date(2025, 12, 5), "09:15"), (date(2025, 12, 8), "09:07:30")):
        assert 0 <= tape.trades(contract.token, day).at_ns[0] - at(day, first) < 30 * 10**9
    old = date(2010, 10, 15)
    for token in (INFY, NIFTY):
        trades = TAPE.trades(token, old)
        assert trades.at_ns[0] == at(old, "09:00") and list(trades.at_ns) == sorted(trades.at_ns)


@pytest.mark.parametrize(
    ("symbol", "day", "last"),
    [("INFY", DAY, "15:15"), ("SYN006", DAY, "15:30"), ("INFY", BEFORE_AUCTIONS, "15:30"), ("INFY26SEPFUT", DAY, "15:40")],
)
def test_continuous_trading_ends_by_date_and_kind(symbol: str, day: date, last: str) -> None:
    row = row_of(TAPE, symbol)
    session = trading_hours(SESSIONS, row, day)
    assert session is not None and session.close_ns == at(day, last)
    continuous = [t for t in TAPE.trades(row.token, day).at_ns if at(day, "09:15") <= t < at(day, last)]
    assert len(continuous) > 20
    assert continuous[-1] > at(day, last) - 20 * 60 * 10**9


def test_the_auction_prints_once_between_half_past_three_and_five_past() -> None:
    late = [t for t in TAPE.trades(INFY, DAY) if t.at_ns >= at(DAY, "15:15")]
    assert len(late) == 1
    assert at(DAY, "15:30") <= late[0].at_ns < at(DAY, "15:35")
    assert TAPE.previous_close(INFY, date(2026, 9, 16)) == late[0].price
    assert not [t for t in TAPE.trades(INFY, BEFORE_AUCTIONS).at_ns if t >= at(BEFORE_AUCTIONS, "15:30")]


def test_the_index_is_silent_in_the_auction_but_for_one_print() -> None:
    late = [t.at_ns for t in TAPE.trades(NIFTY, DAY) if t.at_ns >= at(DAY, "15:15")]
    assert len(late) == 1
    assert at(DAY, "15:28") <= late[0] < at(DAY, "15:30")
    assert len(TAPE.trades(NIFTY, BEFORE_AUCTIONS)) > 5_000


def test_holidays_unknown_tokens_and_days_outside_a_contracts_life_are_empty() -> None:
    contract = row_of(TAPE, "INFY26SEPFUT")
    assert contract.expiry == date(2026, 9, 29)
    assert len(TAPE.trades(INFY, HOLIDAY)) == 0
    assert len(TAPE.trades(1, DAY)) == 0
    assert len(TAPE.trades(contract.token, date(2026, 9, 29))) > 0
    assert len(TAPE.trades(contract.token, date(2026, 9, 30))) == 0
    assert len(TAPE.trades(contract.token, date(2026, 3, 2))) == 0
    assert TAPE.previous_close(1, DAY) == 0
    with pytest.raises(CalendarError):
        TAPE.trades(INFY, date(2031, 1, 1))


def test_special_sessions_and_halts_are_the_tables() -> None:
    muhurat = [t for t in TAPE.trades(INFY, MUHURAT).at_ns if t >= at(MUHURAT, "18:00")]
    assert muhurat and muhurat[-1] < at(MUHURAT, "19:00")
    pauses = SESSIONS.get(HALT).pauses
    assert pauses
    for token in (INFY, NIFTY):
        times = TAPE.trades(token, HALT).at_ns
        assert not [t for t in times if any(start <= t < end for start, end in pauses)]
        assert [t for t in times if t >= pauses[-1][1]]


def test_a_listing_begins_on_its_first_day() -> None:
    row = replace(row_of(TAPE, "SYN006"), first_day=DAY)
    tape = SyntheticTape([row], 7, SESSIONS, 4.0)
    assert len(tape.trades(row.token, DAY)) > 0
    assert len(tape.trades(row.token, date(2026, 9, 11))) == 0
    assert tape.previous_close(row.token, DAY) == 0


def test_the_last_trade_is_the_next_days_previous_close() -> None:
    days = [s.day for s in SESSIONS.between(date(2026, 7, 27), date(2026, 8, 14))]
    for row in TAPE.instruments[:8]:
        for day, following in zip(days, days[1:], strict=False):
            assert TAPE.trades(row.token, day)[-1].price == TAPE.previous_close(row.token, following)


def test_the_same_seed_gives_the_same_trades_whatever_was_asked_before() -> None:
    fresh = tape_of()
    fresh.trades(INFY, BEFORE_AUCTIONS)
    assert list(fresh.trades(INFY, DAY)) == list(TAPE.trades(INFY, DAY))
    assert list(tape_of(seed=8).trades(INFY, DAY)) != list(TAPE.trades(INFY, DAY))
    assert list(tape_of(n=40).trades(INFY, DAY)) == list(TAPE.trades(INFY, DAY))


def test_another_process_sees_the_same_market(root: Path) -> None:
    script = (
        "from sim_cases import *\n"
        "t = tape_of()\n"
        "print([t.trades(r.token, DAY)[-1] for r in t.instruments if r.expiry is None], t.trades(INFY, DAY)[100])"
    )
    paths = [str(root / "src"), str(root / "tests")]
    env = {"PYTHONPATH": ":".join(paths), "PYTHONHASHSEED": "12345"}
    other = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True, timeout=60)
    here = [TAPE.trades(r.token, DAY)[-1] for r in TAPE.instruments if r.expiry is None]
    assert other.stdout.strip() == f"{here} {TAPE.trades(INFY, DAY)[100]}"


def test_there_are_thin_and_busy_instruments() -> None:
    tape = tape_of(60, rate=8.0)
    counts = [len(tape.trades(row.token, DAY)) for row in tape.instruments if row.segment == "NSE"]
    assert min(counts) < 1_000 < 5_000 < max(counts)
    assert 2_000 < statistics.mean(counts) < 4_500


def test_returns_have_the_intended_size_and_stocks_follow_the_market() -> None:
    days = [s.day for s in SESSIONS.between(date(2024, 1, 2), date(2026, 6, 30))]

    def returns(token: int) -> list[float]:
        closes = [TAPE.previous_close(token, day) for day in days]
        return [math.log(b / a) for a, b in zip(closes, closes[1:], strict=False)]

    market = returns(NIFTY)
    assert statistics.stdev(market) == pytest.approx(0.008, rel=0.12)
    together = [statistics.correlation(market, returns(r.token)) for r in TAPE.instruments if r.segment == "NSE"]
    assert 0.3 < min(together) < max(together) < 0.8


def drift_after_bursts(edge: float) -> tuple[float, float]:
    """Mean signed return in the half hour after a minute of burst volume, and its standard error; basis points."""
    tape = tape_of(edge=edge)
    found = []
    for row in tape.instruments:
        for session in SESSIONS.between(date(2026, 1, 5), date(2026, 2, 27)) if row.segment == "NSE" else ():
            candles = candles_of(tape, row, session.day)
            usual = statistics.median(c.volume for c in candles)
            for i in range(1, len(candles) - 31):
                burst = candles[i]
                if burst.volume > 10 * usual:
                    sign = (burst.close > burst.open) - (burst.close < burst.open)
                    found.append(sign * 1e4 * math.log(candles[i + 30].close / burst.close))
    return statistics.mean(found), statistics.stdev(found) / math.sqrt(len(found))


def test_only_a_planted_edge_can_be_found() -> None:
    none, error = drift_after_bursts(0.0)
    assert abs(none) < 3.5 * error
    planted, error = drift_after_bursts(2.0)
    assert planted > 10 * error > 0
    assert 10 < planted < 40


def test_the_motion_does_not_depend_on_the_way_there() -> None:
    steps = [motion(5, i + 1) - motion(5, i) for i in range(4_000)]
    assert statistics.pvariance(steps) == pytest.approx(1.0, abs=0.1)
    assert motion(5, 0) == 0.0
    assert motion(5, 1234) == motion(5, 1234) != motion(6, 1234)


@pytest.mark.parametrize("mean", [0.0, 0.5, 20.0, 400.0])
def test_poisson_numbers_have_their_mean(mean: float) -> None:
    rng = Random(3)
    drawn = [poisson(rng, mean) for _ in range(2_000)]
    assert statistics.mean(drawn) == pytest.approx(mean, abs=5 * math.sqrt(max(mean, 1e-9) / 2_000) + 1e-9)


def test_old_days_leave_the_cache() -> None:
    tape = SyntheticTape(TAPE.instruments, 7, SESSIONS, 4.0, cache_trades=20_000)
    days = [session.day for session in SESSIONS.between(date(2026, 1, 1), date(2026, 2, 27))]
    for day in days:
        tape.trades(INFY, day)
    assert tape._n_cached == sum(len(t) + 1 for t in tape._days.values()) <= 20_000
    assert 1 < len(tape._days) < len(days)
    assert list(tape.trades(INFY, days[0])) == list(TAPE.trades(INFY, days[0]))


def test_columns_are_a_sequence_of_trades() -> None:
    rows = [Trade(10, 100, 1), Trade(20, 110, 2), Trade(20, 120, 3)]
    trades = Trades.of(rows)
    assert list(trades) == rows and trades[-1] == rows[-1] and list(trades[1:]) == rows[1:]
    assert Trades.of(trades) is trades
    assert [trades.until(t) for t in (9, 10, 19, 20)] == [0, 1, 1, 3]


@pytest.mark.parametrize(
    ("symbol", "day", "expected"),
    [
        ("INFY", BEFORE_AUCTIONS, "09:00-09:07 09:15-15:30"),
        ("INFY", date(2026, 8, 3), "09:00-09:07 09:15-15:15 15:20-15:30"),
        ("INFY", DAY, "09:00-09:08 09:15-15:15 15:20-15:30"),
        ("SYN006", DAY, "09:00-09:08 09:15-15:30"),
        ("INFY26SEPFUT", DAY, "09:00-09:08 09:15-15:40"),
        ("INFY", MUHURAT, "17:45-17:52 18:00-19:00"),
        ("INFY", HALT, "09:00-09:07 09:15-11:40 15:45-17:00"),
        ("INFY", date(2010, 10, 15), "09:00-15:30"),
        ("NIFTY 50", DAY, ""),
        ("INFY", HOLIDAY, ""),
    ],
)
def test_orders_are_entered_when_the_session_table_says(symbol: str, day: date, expected: str) -> None:
    spans = [span.split("-") for span in expected.split()]
    assert order_windows(SESSIONS, row_of(TAPE, symbol), day) == tuple((at(day, a), at(day, b)) for a, b in spans)


def test_only_futures_have_open_interest() -> None:
    contract = row_of(TAPE, "INFY26SEPFUT")
    assert open_interest(row_of(TAPE, "INFY"), at(DAY, "10:00")) == 0
    values = {open_interest(contract, at(DAY, f"10:{m:02d}")) for m in range(60)}
    assert len(values) > 10 and all(v > 0 and v % contract.lot == 0 for v in values)
