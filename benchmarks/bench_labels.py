"""Labels a second and one-minute bars a second, against the target, the slow reference in plain Python, and mlfinpy.

One process, one thread, timed in its own seconds on the core, so that what else runs there counts for little. mlfinpy is measured
in the same run where INTRADAY_BENCH_MLFINPY names a Python that has it (an environment of its own: ``pip install mlfinpy==0.1.2
scikit-learn``); elsewhere its figure stays null. Prints one JSON line last.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from figures import Figure, figure, finish

from intraday.core.bootstrap import sequential_bootstrap
from intraday.core.candles import HistoricalAggregator
from intraday.core.fills import last_exit_ns
from intraday.core.labels import Kind, Labeler, LabelSpec
from intraday.core.panel import panel_of
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.core.weights import average_uniqueness
from intraday.domain.arrays import F4, MINUTE_NS, Bars, Panel
from intraday.domain.session import Session, SessionTable

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from label_reference import Minute, reference_label  # noqa: E402

SPEC = LabelSpec()
SIGMA = 0.0015
INSTRUMENTS, SESSIONS = 250, 6
PEER_SERIES = 3  # mlfinpy makes a thousand labels a second
TARGET, TARGET_OVER_MLFINPY = 5e6, 1e4


@dataclass(frozen=True)
class Market:
    """Bars, their panels and volatilities of the decisions."""

    bars: Bars
    minutes: Panel
    decisions: Panel
    sigma: F4
    table: SessionTable
    sessions: list[Session]


def simulate() -> Market:
    table = SessionTable.load()
    sessions = table.between(date(2025, 1, 1), date(2025, 3, 31))[:SESSIONS]
    market = SyntheticMarket(SyntheticSpec(instruments=INSTRUMENTS), sessions)
    bars = np.concatenate([market.bars(k) for k in range(len(sessions))])
    n = len(market.instruments)
    decisions = panel_of(HistoricalAggregator(n).aggregate(bars, SPEC.timeframe), n, SPEC.timeframe, table)
    sigma = np.full(decisions.mask.shape, SIGMA, np.float32)
    return Market(bars, panel_of(bars, n, 1, table), decisions, sigma, table, sessions)


def best_of(run: Callable[[], object], times: int) -> float:
    """Seconds on the core of the quickest of some runs, after one to compile."""
    run()
    took = []
    for _ in range(times):
        start = time.process_time()
        run()
        took.append(time.process_time() - start)
    return min(took)


def python_rate(market: Market) -> float:
    """Labels a second in plain Python: three instruments' first session."""
    first = market.decisions.rows(0, int(np.searchsorted(market.decisions.session, market.decisions.session[0], side="right")))
    until, n = last_exit_ns(SPEC.rules, market.sessions[0]), 0
    start = time.process_time()
    for inst in range(3):
        own = market.bars[(market.bars["inst"] == inst) & (market.bars["ts_ns"] < market.sessions[0].close_ns)]
        minutes = [Minute(*row) for row in own[["ts_ns", "open", "high", "low", "close"]].tolist()]
        for t in np.flatnonzero(first.mask[:, inst]):
            closed, close = int(first.ts_ns[t]) + SPEC.timeframe * MINUTE_NS, float(first.close[t, inst])
            label = reference_label(minutes, close, SIGMA, closed, 5, until, SPEC.horizon_min, SPEC.horizon_bars, 1.0, 1.0, 60, 5)
            n += label is not None
    return n / (time.process_time() - start)


def mlfinpy_rate(market: Market) -> float | None:
    """mlfinpy's labels a second on the same events of some instruments, None where there is no mlfinpy.

    A label is a long and a short trade with a target and a stop each; mlfinpy looks at the stop multiple only where it is given a
    side, so it is asked once for each.
    """
    python = os.environ.get("INTRADAY_BENCH_MLFINPY")
    if not python:
        return None
    given: dict[str, object] = {"n_series": PEER_SERIES, "vertical_min": SPEC.horizon_min, "pt_sl": np.array([1.0, 1.0])}
    for k in range(PEER_SERIES):
        here, decided = market.minutes.mask[:, k], market.decisions.mask[:, k]
        ts = market.minutes.ts_ns[here] + MINUTE_NS
        event = np.intersect1d(market.decisions.ts_ns[decided] + SPEC.timeframe * MINUTE_NS, ts)
        given |= {f"ts{k}": ts, f"close{k}": market.minutes.close[here, k], f"event{k}": event}
        given[f"target{k}"] = np.full(len(event), SIGMA * np.sqrt(SPEC.horizon_bars))
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(source, **given)  # type: ignore[arg-type]
        subprocess.run([python, ROOT / "scripts" / "label_peers.py", "trades", source, target], check=True)
        with np.load(target) as out:
            return int(out["n"]) / float(out["seconds"])


def against_mlfinpy(rate: float, peer: float | None) -> Figure:
    name, unit = f"labels, target {TARGET_OVER_MLFINPY:,.0f} times mlfinpy", "labels/s"
    if peer is None:
        return {"name": name, "value": round(rate), "unit": unit, "peer": "mlfinpy 0.1.2", "peer_value": None, "ratio": None}
    return figure(name, rate, unit, "mlfinpy 0.1.2", peer)


def main() -> None:
    market = simulate()
    tick = np.full(market.minutes.n_instruments, 0.05)

    def label(kind: str) -> Callable[[], object]:
        labeler = Labeler(LabelSpec(kind=kind), tick)
        return lambda: labeler.label(market.minutes, market.decisions, market.sigma, market.table)

    labels = Labeler(SPEC, tick).label(market.minutes, market.decisions, market.sigma, market.table)
    took = {kind: best_of(label(kind), 15) for kind in Kind}
    rate, order = len(labels) / took[Kind.TRIPLE_BARRIER], labels["inst"] == 0
    start, end, inst = labels["entry_ns"], labels["t1_ns"], labels["inst"]
    unique_s = best_of(lambda: average_uniqueness(start, end, inst), 5)
    one, two = start[order], end[order]
    draws_s = best_of(lambda: sequential_bootstrap(one, two, len(one), np.random.default_rng(0)), 5)
    print(f"{len(labels):,} labels of {len(market.bars):,} one-minute bars in {took[Kind.TRIPLE_BARRIER] * 1e3:.1f} ms")
    print(", ".join(f"{kind} {len(labels) / seconds / 1e6:.1f} M/s" for kind, seconds in took.items()))
    print(f"uniqueness {len(labels) / unique_s / 1e6:.2f} M/s, sequential bootstrap {len(one) / draws_s / 1e3:.0f} k draws/s")
    finish(
        [
            figure("labels", rate, "labels/s", "target", TARGET),
            against_mlfinpy(rate, mlfinpy_rate(market)),
            figure("labels, plain Python", rate, "labels/s", "plain Python", python_rate(market)),
            figure(
                "labels, bars read", len(market.bars) / took[Kind.TRIPLE_BARRIER], "bars/s", "target of features and labels", 2e6
            ),
        ]
    )


if __name__ == "__main__":
    main()
