"""Public backtesters on the same minutes and signals as ours: ``benchmarks/bench_backtest.py`` runs it in their own environment.

``python backtest_peers.py SOURCE TARGET``: SOURCE is an npz of ``open .. close`` float64 [T, N] minutes of N instrument-days and
of signals ``row``, ``column``, ``side``, ``stop``, ``target`` [n] (stop and target as shares of the price); TARGET gets seconds and
trades by name, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np


def vectorbt(data: dict[str, np.ndarray]) -> tuple[float, int]:
    """All instrument-days as the columns of one portfolio, compiled before the clock starts."""
    import pandas as pd
    import vectorbt as vbt

    shape = data["close"].shape
    sides, stops = {}, {}
    for name, side in (("entries", 1), ("short_entries", -1)):
        rows = data["side"] == side
        sides[name] = np.zeros(shape, bool)
        sides[name][data["row"][rows], data["column"][rows]] = True
    for name, field in (("sl_stop", "stop"), ("tp_stop", "target")):
        stops[name] = np.full(shape, np.nan)
        stops[name][data["row"], data["column"]] = data[field]
    prices = {name: pd.DataFrame(data[name]) for name in ("open", "high", "low", "close")}
    leave = np.zeros(shape, bool)
    leave[-5:] = True
    common = {"fees": 0.0004, "exits": leave, "short_exits": leave, "init_cash": 1e6, "size": 100.0, "freq": "1min"}

    def run() -> int:
        portfolio = vbt.Portfolio.from_signals(**prices, **sides, **stops, **common)
        return int(portfolio.trades.count().sum())

    run()
    start = time.perf_counter()
    trades = run()
    return time.perf_counter() - start, trades


def backtesting(data: dict[str, np.ndarray]) -> tuple[float, int]:
    """One instrument-day after the other, bar by bar, each signal an order with its stop and target."""
    import pandas as pd
    from backtesting import Backtest, Strategy

    index = pd.date_range("2024-01-10 09:15", periods=data["close"].shape[0], freq="1min")
    trades, start = 0, time.perf_counter()
    for column in range(data["close"].shape[1]):
        own = data["column"] == column
        orders = {int(row): k for row, k in zip(data["row"][own], np.flatnonzero(own), strict=True)}

        class Given(Strategy):  # type: ignore[misc]
            def init(self) -> None:
                self.given = orders  # noqa: B023

            def next(self) -> None:
                k = self.given.get(len(self.data) - 1)
                if k is None or self.position:
                    return
                side, price = int(data["side"][k]), float(self.data.Close[-1])
                stop, target = price * (1 - side * data["stop"][k]), price * (1 + side * data["target"][k])
                (self.buy if side > 0 else self.sell)(size=100, sl=stop, tp=target)

        names = ("open", "high", "low", "close")
        frame = pd.DataFrame({name.title(): data[name][:, column] for name in names}, index=index)
        trades += int(Backtest(frame, Given, cash=1e6, commission=0.0004, finalize_trades=True).run()["# Trades"])
    return time.perf_counter() - start, trades


def main(source: Path, target: Path) -> None:
    """Time both."""
    with np.load(source) as file:
        data = {name: file[name] for name in file.files}
    n = int(data["close"].shape[1])
    few = {name: data[name] for name in ("row", "column", "side", "stop", "target")}
    part = min(n, 100)  # backtesting.py is slow: a hundred instrument-days tell its pace
    own = few["column"] < part
    small = {name: data[name][:, :part] for name in ("open", "high", "low", "close")} | {k: v[own] for k, v in few.items()}
    found = {"vectorbt": (*vectorbt(data), n), "backtesting": (*backtesting(small), part)}
    target.write_text(json.dumps({name: {"seconds": s, "trades": k, "days": d} for name, (s, k, d) in found.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
