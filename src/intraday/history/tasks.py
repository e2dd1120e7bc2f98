"""What HISTORICAL_MODE computes, as functions of their argument alone: they pickle, so a pool or a cluster can run them.

A task is one block of instruments over one anchor segment. Its size bounds the memory, whatever the length of the history.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intraday.core.anchor import Segment, reaches, session_of
from intraday.core.candles import HistoricalAggregator
from intraday.core.features import FeatureCalculator, FeatureSet
from intraday.core.labels import Labeler, LabelSpec
from intraday.core.panel import panel_of
from intraday.domain.arrays import DAY_NS, F4, F8, I4, I8, IST_NS, Bars, Labels, Mask
from intraday.domain.session import SessionTable

SIGMA = "sigma"  # the feature that barriers are scaled with


@dataclass(frozen=True, slots=True)
class BlockTask:
    """``bars`` one-minute BAR rows of S instruments from the segment's anchor to its last day, ordered by (ts, inst).

    ``has_volume`` bool [S], ``tick_rupees`` float64 [S]. Labels of trades still open at ``known_ns`` are left out (None: no such).
    """

    bars: Bars
    has_volume: Mask
    tick_rupees: F8
    segment: Segment
    features: FeatureSet
    labels: LabelSpec
    sessions: SessionTable
    anchored: bool  # False: no bars of the anchor session are stored at all, so every feature of the segment is missing
    known_ns: int | None = None


@dataclass(frozen=True, slots=True)
class BlockResult:
    """Rows of the segment's own days: features ``(ts_ns [n], inst [n], x [n, F])`` and LABEL rows, ordered by (ts, inst).

    ``no_anchor`` bool [S]: instruments with bars here but none in the anchor session, whose state therefore started later.
    """

    ts_ns: I8
    inst: I4
    x: F4
    labels: Labels
    no_anchor: Mask
    n_minutes: int


def compute_block(task: BlockTask) -> BlockResult:
    """Candles of the decision timeframe, features from the anchor on, labels of the segment's days."""
    n = len(task.has_volume)
    start = session_of(task.segment.first)
    candles = HistoricalAggregator(n).aggregate(task.bars, task.features.timeframe)
    history = panel_of(candles, n, task.features.timeframe, task.sessions)
    calculator = FeatureCalculator(task.features, task.has_volume)
    if not task.anchored:
        calculator.silence()
    everything = calculator.batch(history)
    first = int(np.searchsorted(history.session, start))
    decisions, x = history.rows(first, len(history)), everything[first:]
    minutes = panel_of(task.bars[day_of(task.bars) >= start], n, 1, task.sessions)
    sigma = np.ascontiguousarray(x[:, :, task.features.column(SIGMA)])
    labels = Labeler(task.labels, task.tick_rupees).label(minutes, decisions, sigma, task.sessions, task.known_ns)
    row, inst = np.nonzero(decisions.mask)
    return BlockResult(
        ts_ns=decisions.ts_ns[row],
        inst=inst.astype(np.int32),
        x=x[row, inst],
        labels=labels,
        no_anchor=decisions.mask.any(axis=0) & ~reaches(history, task.segment.anchor),
        n_minutes=int(minutes.mask.sum()),
    )


def day_of(bars: Bars) -> I8:
    """Session numbers of BAR rows, int64 [n]."""
    numbers: I8 = (bars["ts_ns"] + IST_NS) // DAY_NS
    return numbers
