"""One retrain: from the same candles to a fitted model, ours against FreqAI's LightGBM trainer.

The same instruments and sessions, as many features, as many boosting rounds and leaves, the last fifth of the rows for validation;
both on two threads, timed in one run by the clock and on the core. Ours also walks every trade of both sides through its minutes
and boosts three classes where FreqAI's example has two; FreqAI fits one model a pair, as it always does, on a label that is the
sign of the next hour. FreqAI is measured where INTRADAY_BENCH_FREQAI names a Python that has it (an environment of its own:
``pip install freqtrade lightgbm datasieve xgboost-cpu``); elsewhere its figure stays null. Prints one JSON line last.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from figures import Figure, figure, finish

from intraday.core.anchor import AnchorRule
from intraday.core.candles import HistoricalAggregator
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.labels import SIGMA, Labeler, LabelSpec
from intraday.core.panel import panel_of
from intraday.core.registry import default_registry
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.domain.arrays import Bars
from intraday.domain.session import SessionTable
from intraday.model.boosting import FitJob, Weighed, fit
from intraday.model.dataset import join
from intraday.model.spec import TrainSpec

INSTRUMENTS, SESSIONS = 20, 40
PERIODS, SHIFTS = [5, 10, 20, 30], 2  # of FreqAI's example strategy: 119 features
FEATURES, ROUNDS, LEAVES, THREADS, VALIDATION = 119, 200, 31, 2, 0.2


@dataclass(frozen=True)
class Took:
    """Seconds by the clock and on the cores."""

    wall: float
    core: float
    rows: int
    features: int


def market() -> tuple[Bars, Bars, int, SessionTable]:
    """One-minute and five-minute bars, instruments, the session table."""
    table = SessionTable.load()
    days = table.between(date(2025, 1, 1), date(2025, 4, 30))[:SESSIONS]
    made = SyntheticMarket(SyntheticSpec(instruments=INSTRUMENTS), days)
    minutes = np.concatenate([made.bars(k) for k in range(len(days))])
    n = len(made.instruments)
    return minutes, HistoricalAggregator(n).aggregate(minutes, 5), n, table


def ours(minutes: Bars, candles: Bars, n: int, table: SessionTable) -> Took:
    """Features, labels, rows, weights and a model of all instruments together."""
    known = default_registry()
    names = (SIGMA, *[name for name in known if name != SIGMA][: FEATURES - 1])
    chosen = FeatureSet.of(5, names, known, AnchorRule())
    wall, core = time.perf_counter(), time.process_time()
    panel = panel_of(candles, n, 5, table)
    x = FeatureCalculator(chosen, np.ones(n, np.bool_)).batch(panel)
    sigma = np.ascontiguousarray(x[:, :, chosen.column(SIGMA)])
    labels = Labeler(LabelSpec(), np.full(n, 0.05)).label(panel_of(minutes, n, 1, table), panel, sigma, table)
    row, inst = np.nonzero(panel.mask)
    data = join(panel.ts_ns[row], inst.astype(np.int32), x[row, inst], labels, lambda _: 1e-3, timeframe=5)
    cut = int(len(data) * (1.0 - VALIDATION))
    learned, last = np.flatnonzero(data.t1_ns[:cut] < data.ts_ns[cut]), np.arange(cut, len(data))
    spec = TrainSpec(num_leaves=LEAVES, num_boost_round=ROUNDS)
    job = FitJob(
        chosen.names, spec.parameters(), ROUNDS, ROUNDS, Weighed(learned, data.label[learned], None),
        Weighed(last, data.label[last], None), np.empty(0, np.int64), np.empty(0, np.int64),
    )  # fmt: skip
    fit(data.x, job, THREADS, lambda _: None)
    return Took(time.perf_counter() - wall, time.process_time() - core, len(data), len(names))


def freqai(candles: Bars, n: int) -> Took | None:
    """FreqAI on the same candles; None where there is none."""
    python = os.environ.get("INTRADAY_BENCH_FREQAI")
    if not python:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for k in range(n):
            own = candles[candles["inst"] == k]
            columns: dict[str, Any] = {name: own[name] for name in ("open", "high", "low", "close", "volume")}
            stamps = pl.Series("date", own["ts_ns"]).cast(pl.Datetime("ns", UTC.tzname(None)))
            frame = pl.DataFrame({"date": stamps, **columns}).with_columns(
                pl.col("volume").fill_nan(1.0)
            )  # of the index: FreqAI drops rows with NaN
            frame.write_parquet(Path(folder) / f"S{k:02d}.parquet")
        peer = Path(__file__).with_name("freqai_peer.py")
        command = [python, str(peer), folder, json.dumps(PERIODS), str(SHIFTS), str(ROUNDS), str(LEAVES)]
        env = os.environ | {"BENCH_THREADS": str(THREADS)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=folder)
    if done.returncode != 0:
        raise SystemExit(f"FreqAI failed: {done.stderr[-2000:]}")
    return Took(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    minutes, candles, n, table = market()
    ours(minutes, candles, n, table)  # kernels are compiled once a machine
    mine, peer = ours(minutes, candles, n, table), freqai(candles, n)
    for name, took in (("intraday", mine), ("FreqAI", peer)):
        if took is not None:
            print(f"{name:9} {took.wall:6.1f} s, {took.core:6.1f} s on the cores: {took.rows:,} rows of {took.features} features")
    figures: list[Figure] = []
    for name, kind in (("retrain", "wall"), ("retrain, on the cores", "core")):
        value = getattr(mine, kind)
        if peer is None:
            figures.append(
                {"name": name, "value": round(value, 2), "unit": "s", "peer": "FreqAI", "peer_value": None, "ratio": None}
            )
        else:
            figures.append(figure(name, value, "s", "FreqAI", getattr(peer, kind), less_is_better=True))
    finish(figures)


if __name__ == "__main__":
    main()
