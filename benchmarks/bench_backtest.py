"""Instrument-days a minute of a backtest at 5-minute decisions.

(1) A model of 100 features (three classes, 200 rounds of 63 leaves, learned from eight of the instruments) through the engine,
from the database to fills at five delays and the account, against the limit of 10 000. (2) Fills and account alone, for the signals
of a simple rule, against public backtesters on the same minutes and signals: vectorbt, which takes a whole market as columns, and
backtesting.py, which goes bar by bar. They are measured where INTRADAY_BENCH_BACKTEST names a Python that has them (an environment
of its own: ``pip install vectorbt backtesting``); elsewhere their figures stay null. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
from figures import Figure, figure, finish

from intraday.app import open_system
from intraday.backtest.account import AccountSpec, Market, run_account
from intraday.backtest.fills import FillDesk, Fills
from intraday.backtest.orders import Orders, Sides, orders_of_sides
from intraday.backtest.tape import tape_of
from intraday.config.settings import Settings
from intraday.core.anchor import AnchorRule
from intraday.core.candles import HistoricalAggregator
from intraday.core.costs import Costs
from intraday.core.decision import latest_bars_ns
from intraday.core.feature_set import FeatureSet
from intraday.core.fills import TickSizes, last_exit_ns
from intraday.core.label_sessions import Traded
from intraday.core.labels import SIGMA as LABEL_SIGMA
from intraday.core.labels import LabelSpec
from intraday.core.panel import NO_LISTS, panel_of
from intraday.core.registry import default_registry
from intraday.core.rules import rule_sides
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.domain.arrays import MINUTE_NS, Bars
from intraday.domain.clock import SystemClock
from intraday.domain.instruments import Kind
from intraday.domain.session import Session, SessionTable
from intraday.jobs.backtest import BacktestPlan, backtest
from intraday.jobs.historical import run_historical

ROOT = Path(__file__).parents[1]
LIMIT = 10_000.0
PEERS = "INTRADAY_BENCH_BACKTEST"
SIGMA = 0.0008  # of the rule's barriers
LEARNED, FEATURES = 8, 100


def quiet(what: str, done: int, total: int) -> None:
    """No progress wanted."""


def engine_figure(instruments: int, sessions: int) -> Figure:
    """The whole of it on a made-up market: learn from a few instruments once, then backtest every session of all."""
    with tempfile.TemporaryDirectory() as folder:
        settings = bench_settings(Path(folder), instruments, sessions)
        few = settings.trading.model_copy(update={"universe": tuple(f"SYN{k + 1:02d}" for k in range(LEARNED))})
        run_historical(settings.model_copy(update={"trading": few}), SystemClock(), quiet)
        with open_system(settings, SystemClock()) as system:
            plan = BacktestPlan(signals="engine", in_sample=True)
            backtest(system, plan, quiet)  # compiles
            on_core = time.process_time()
            found = backtest(system, plan, quiet)
            on_core = time.process_time() - on_core
    days = found.sessions * found.instruments
    rate, core = found.instrument_days_per_minute, days / on_core * 60.0
    print(
        f"engine: {days:,} instrument-days, {found.signals:,} signals, {found.seconds:.1f} s: {rate:,.0f} a minute by the clock, "
        f"{core:,.0f} a minute of one core's time"
    )
    return figure("backtest: model through the engine, 5 delays, account", rate, "instrument-days/min", "limit", LIMIT)


def fill_figures(instruments: int, sessions: int) -> list[Figure]:
    """Fills and account of given signals, ours and the peers'."""
    table, label = SessionTable.load(), LabelSpec()
    days = table.between(date(2024, 1, 1), date(2024, 12, 31))[:sessions]
    market = SyntheticMarket(SyntheticSpec(instruments=instruments, with_index=False), days)
    bars = [market.bars(k) for k in range(sessions)]
    desk = FillDesk(label, Traded.of(np.full(instruments, 0.05), NO_LISTS, None), table)
    orders = [rule_orders(day, own, desk, table) for day, own in zip(days, bars, strict=True)]
    seconds, trades = min(ours(desk, days, bars, orders, table) for _ in range(3))
    n = instruments * sessions
    print(f"fills and account: {n:,} instrument-days, {trades:,} trades, {seconds:.2f} s")
    peers = peer_seconds(days, bars, orders, instruments)
    rate, rows = n / seconds * 60.0, []
    for name, peer in peers.items():
        theirs = peer["days"] / peer["seconds"] * 60.0
        print(f"  {name}: {peer['days']:,} instrument-days, {peer['trades']:,} trades, {peer['seconds']:.2f} s")
        rows.append(figure("backtest: fills and account of given signals", rate, "instrument-days/min", name, theirs))
    if not peers:
        print(f"  no peers: {PEERS} names no Python that has them")
        rows.append({"name": "backtest: fills and account of given signals", "value": round(rate), "unit": "instrument-days/min",
                     "peer": "vectorbt", "peer_value": None, "ratio": None})  # fmt: skip
    return rows


def rule_orders(session: Session, bars: Bars, desk: FillDesk, table: SessionTable) -> Orders:
    """The moving-average cross of one session."""
    n = desk.traded.n
    panel = panel_of(HistoricalAggregator(n).aggregate(bars, desk.label.timeframe), n, desk.label.timeframe, table)
    latest = latest_bars_ns(desk.label, session, n, table, NO_LISTS)
    t, inst = np.nonzero(np.where(panel.ts_ns[:, None] <= latest, rule_sides(panel)[:, :, 1], 0))
    ones = np.ones(len(t))
    sides = Sides(
        panel.ts_ns[t], inst.astype(np.int32), rule_sides(panel)[t, inst, 1], panel.close[t, inst], SIGMA * ones, 8e-4 * ones, ones
    )
    return orders_of_sides(sides, desk.label, TickSizes(np.zeros(1, np.int32), np.full((1, n), 0.05)))


def ours(
    desk: FillDesk, days: list[Session], bars: list[Bars], orders: list[Orders], table: SessionTable
) -> tuple[float, int]:  # fmt: skip
    """(seconds, trades) from bars to the account's trades, at one delay as the peers."""
    n = desk.traded.n
    ticks, whole = np.full(n, 0.05), np.ones(n, np.int64)
    exits = {day.number: last_exit_ns(desk.label.rules, day) for day in days}
    market = Market((Kind.EQUITY,) * n, lambda number: whole, lambda number: ticks, lambda number, inst: exits[number])
    spec, costs = AccountSpec(positions=10_000, exposure=1e6, per_instrument=1e6), Costs.load()
    start = time.perf_counter()
    fills: list[Fills] = []
    for day, own, given in zip(days, bars, orders, strict=True):
        tape = tape_of(day, own, np.unique(given["inst"]).astype(np.int64))
        fills.append(desk.fill(given, tape, desk.label.entry_delay_s))
    trades = run_account(spec, market, costs, np.concatenate(orders), np.concatenate(fills))
    return time.perf_counter() - start, int((trades["status"] == 0).sum())


def peer_seconds(days: list[Session], bars: list[Bars], orders: list[Orders], n: int) -> dict[str, dict[str, float]]:
    """What the peers take, by name; nothing where there is no Python with them."""
    python = os.environ.get(PEERS)
    if not python:
        return {}
    minutes = min(day.minutes for day in days)
    prices = {name: np.full((minutes, len(days) * n), np.nan) for name in ("open", "high", "low", "close")}
    for k, (day, own) in enumerate(zip(days, bars, strict=True)):
        row = (own["ts_ns"] - day.open_ns) // MINUTE_NS
        for name, grid in prices.items():
            grid[row, k * n + own["inst"]] = own[name]
    for grid in prices.values():  # they take no gaps: the last price stands
        for m in range(1, minutes):
            grid[m] = np.where(np.isnan(grid[m]), grid[m - 1], grid[m])
        grid[0] = np.where(np.isnan(grid[0]), 100.0, grid[0])
    together = np.concatenate(orders)
    which = np.concatenate([np.full(len(part), k) for k, part in enumerate(orders)])
    opens = np.array([day.open_ns for day in days])[which]
    signals = {
        "row": (together["close_ns"] - opens) // MINUTE_NS,
        "column": which * n + together["inst"],
        "side": together["side"],
        "stop": np.abs(together["stop"] / together["close"] - 1.0),
        "target": np.abs(together["target"] / together["close"] - 1.0),
    }
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "given.npz", Path(folder) / "found.json"
        np.savez(source, allow_pickle=False, **prices, **signals)
        subprocess.run([python, ROOT / "scripts" / "backtest_peers.py", source, target], check=True, stderr=subprocess.DEVNULL)  # noqa: S603
        found: dict[str, dict[str, float]] = json.loads(target.read_text())
        return found


def bench_settings(folder: Path, instruments: int, sessions: int) -> Settings:
    """The defaults with a market of this size, a model that is not stopped early, and a folder of its own."""
    base, known = Settings(), FeatureSet.of(5, None, default_registry(), AnchorRule())
    alone = [name for name in known.names if name not in known.comparing][:FEATURES]
    synthetic = base.trading.synthetic.model_copy(update={"instruments": instruments, "sessions": sessions})
    boosting = {"num_boost_round": 200, "early_stopping_rounds": 200, "num_leaves": 63, "threads": 2}
    model = {"features": tuple(dict.fromkeys((LABEL_SIGMA, *alone))), **boosting}
    return base.model_copy(
        update={
            "system": base.system.model_copy(update={"data_dir": folder}),
            "broker": base.broker.model_copy(update={"feed": "synthetic"}),
            "trading": base.trading.model_copy(update={"synthetic": synthetic}),
            "model": base.model.model_copy(update=model),
        }
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instruments", type=int, default=60)
    parser.add_argument("--sessions", type=int, default=20)
    chosen = parser.parse_args()
    finish([engine_figure(chosen.instruments, chosen.sessions), *fill_figures(chosen.instruments, chosen.sessions)])


if __name__ == "__main__":
    main()
