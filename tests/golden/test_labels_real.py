"""The halt of 2021-02-24 and a Muhurat evening on the real index: by the slow reference, and by the clock."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from intraday.core.candles import HistoricalAggregator
from intraday.core.fills import last_exit_ns
from intraday.core.labels import Labeler, LabelSpec
from intraday.core.panel import panel_of
from intraday.domain.arrays import BAR, MINUTE_NS, Bars, Labels
from intraday.domain.session import Session, SessionTable
from label_reference import Minute, reference_label

TABLE = SessionTable.load()
SPEC = LabelSpec(horizon_min=30)
SIGMA = 0.0004


def bars_of(shared: Path, session: Session) -> Bars:
    """The day's bars of continuous trading; the file has the pre-open and what came after the close too."""
    file = shared / "data" / "bars" / "nse_index_2021_2023" / "NIFTY50.parquet"
    frame = pl.read_parquet(file).filter(pl.col("ts").dt.date() == session.day).unique("ts").sort("ts")
    rows = np.zeros(len(frame), BAR)
    rows["ts_ns"] = frame["ts"].dt.epoch("us").to_numpy() * 1000
    for name in ("open", "high", "low", "close"):
        rows[name] = frame[name].to_numpy()
    return rows[(rows["ts_ns"] >= session.open_ns) & (rows["ts_ns"] < session.close_ns)]


def label_day(bars: Bars) -> Labels:
    decisions = panel_of(HistoricalAggregator(1).aggregate(bars, 5), 1, 5, TABLE)
    sigma = np.full(decisions.mask.shape, SIGMA, np.float32)
    return Labeler(SPEC, np.array([0.05])).label(panel_of(bars, 1, 1, TABLE), decisions, sigma, TABLE)


@pytest.mark.parametrize("day", [date(2021, 2, 24), date(2021, 11, 4), date(2021, 2, 23)])
def test_special_days(shared: Path, day: date) -> None:
    session = TABLE.get(day)
    bars = bars_of(shared, session)
    got = label_day(bars)
    minutes, expected = [Minute(*r) for r in bars[["ts_ns", "open", "high", "low", "close"]].tolist()], []
    halt = session.pauses[0][0] if session.pauses else None
    for bar in HistoricalAggregator(1).aggregate(bars, 5):
        closed = min(int(bar["ts_ns"]) + 5 * MINUTE_NS, session.close_ns)
        answer = reference_label(
            minutes, float(bar["close"]), float(np.float32(SIGMA)), closed, 5, last_exit_ns(SPEC.rules, session), SPEC.horizon_min,
            SPEC.horizon_bars, 1.0, 1.0, SPEC.entry_delay_s, SPEC.max_wait_min, halt=halt,
        )  # fmt: skip
        expected += [] if answer is None else [(int(bar["ts_ns"]), answer.label, answer.entry, answer.t1)]
    assert [(int(r["ts_ns"]), int(r["label"]), int(r["entry_ns"]), int(r["t1_ns"])) for r in got] == expected
    assert len(got) >= 5 and (got["t1_ns"] <= last_exit_ns(SPEC.rules, session)).all()
    for start, end in session.pauses:
        assert not ((got["entry_ns"] < end) & (got["t1_ns"] > start)).any()
        assert (got["entry_ns"] >= end).any(), "trading came back"
