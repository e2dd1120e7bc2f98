"""Labels a second and one-minute bars a second, against the slow reference in plain Python (tests/label_reference.py).

One process, one thread. Prints one JSON line last.
"""

from __future__ import annotations

import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
from figures import figure, finish

from intraday.core.candles import HistoricalAggregator
from intraday.core.fills import last_exit_ns
from intraday.core.labels import Labeler, LabelSpec
from intraday.core.panel import panel_of
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.domain.arrays import MINUTE_NS, Bars, Panel
from intraday.domain.session import SessionTable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from label_reference import Minute, reference_label  # noqa: E402

SPEC = LabelSpec()
SIGMA = 0.0015


def python_labels(bars: Bars, decisions: Panel, session_last: int, inst: int) -> int:
    """Label one instrument's first session in plain Python; returns the number of labels."""
    own = bars[bars["inst"] == inst]
    minutes = [Minute(*row) for row in own[["ts_ns", "open", "high", "low", "close"]].tolist()]
    n = 0
    for t in np.flatnonzero(decisions.mask[:, inst]):
        closed, close = int(decisions.ts_ns[t]) + SPEC.timeframe * MINUTE_NS, float(decisions.close[t, inst])
        n += (
            reference_label(minutes, close, SIGMA, closed, 5, session_last, SPEC.horizon_min, SPEC.horizon_bars, 1.0, 1.0, 60, 5)
            is not None
        )
    return n


def main() -> None:
    table = SessionTable.load()
    sessions = table.between(date(2025, 1, 1), date(2025, 3, 31))[:40]
    market = SyntheticMarket(SyntheticSpec(instruments=20), sessions)
    days = [market.bars(i) for i in range(len(sessions))]
    bars = np.concatenate(days)
    minutes = panel_of(bars, 20, 1, table)
    decisions = panel_of(HistoricalAggregator(20).aggregate(bars, SPEC.timeframe), 20, SPEC.timeframe, table)
    sigma = np.full(decisions.mask.shape, SIGMA, np.float32)
    labeler = Labeler(SPEC, np.full(20, 0.05))
    labeler.label(minutes, decisions, sigma, table)  # compile
    took = []
    for _ in range(5):
        start = time.perf_counter()
        labels = labeler.label(minutes, decisions, sigma, table)
        took.append(time.perf_counter() - start)
    first = decisions.rows(0, int(np.searchsorted(decisions.session, decisions.session[0], side="right")))
    start = time.perf_counter()
    n_python = sum(python_labels(days[0], first, last_exit_ns(SPEC.rules, sessions[0]), inst) for inst in range(3))
    python_s = time.perf_counter() - start
    best = min(took)
    python_rate = n_python / python_s
    spread = max(took) / best
    print(f"{len(labels):,} labels of {len(bars):,} one-minute bars in {best * 1e3:.1f} ms, slowest run {spread:.2f} times that")
    finish(
        [
            figure("labels", len(labels) / best, "labels/s", "plain Python", python_rate),
            figure("labels, bars read", len(bars) / best, "bars/s", "target of features and labels", 2e6),
        ]
    )


if __name__ == "__main__":
    main()
