"""What HISTORICAL_MODE computes: all instruments together, from the anchor of a segment on, some sessions at a time.

Together, because a feature may compare instruments at one moment; some sessions at a time, because that bounds the memory whatever
the length of the history. The state that features carry goes from one piece to the next, so the cuts change no bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from intraday.core.anchor import Segment, reaches, session_of
from intraday.core.candles import HistoricalAggregator
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.labels import SIGMA, Labeler, LabelSpec
from intraday.core.overnight import Overnight, Rescaled
from intraday.core.panel import NO_LISTS, Lists, panel_of, within_hours
from intraday.core.price_rules import PriceRules
from intraday.domain.arrays import BAR, DAY_NS, F4, I4, I8, IST_NS, LABEL, MINUTE_NS, Bars, Labels, Mask
from intraday.domain.session import Session, SessionTable

_MINUTE_BYTES = 2 * BAR.itemsize + 7 * 8  # a bar, its copy in order, and its cell of a panel
_DECISION_BYTES = BAR.itemsize + 9 * 8 + LABEL.itemsize  # the same of a decision bar, and its label


@dataclass(frozen=True, slots=True)
class SegmentSpec:
    """S instruments: ``has_volume`` bool [S], ``prices`` and ``lists`` by dense row, ``index`` that of the index.

    ``anchored`` False: no bars of the anchor session are stored at all, so every feature of the segment is missing. Labels of
    trades still open at ``known_ns`` are left out (None: no such).
    """

    segment: Segment
    has_volume: Mask
    prices: PriceRules
    features: FeatureSet
    labels: LabelSpec
    lists: Lists = NO_LISTS
    index: int | None = None
    anchored: bool = True
    known_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of some of the segment's own days, ordered by (ts, inst): features ``(ts_ns [n], inst [n], x [n, F])``, LABEL rows."""

    ts_ns: I8
    inst: I4
    x: F4
    labels: Labels


class SegmentRun:
    """Give it the one-minute bars of the segment, whole sessions at a time and in order, from the anchor on."""

    def __init__(self, spec: SegmentSpec, sessions: SessionTable) -> None:
        self._spec = spec
        self._sessions = sessions
        self._start = session_of(spec.segment.first)
        self._lists = spec.lists.of_state(self._start)
        self._overnight = Overnight(len(spec.has_volume), spec.lists.settled)
        self._calculator = FeatureCalculator(spec.features, spec.has_volume, spec.index)
        if not spec.anchored:
            self._calculator.silence()
        self._anchored = np.zeros(len(spec.has_volume), np.bool_)
        self._seen = np.zeros(len(spec.has_volume), np.bool_)

    @property
    def no_anchor(self) -> Mask:
        """bool [S]: instruments with bars in the segment but none in the anchor session, whose state therefore started later."""
        return np.asarray(self._seen & ~self._anchored, np.bool_)

    @property
    def rescaled(self) -> Sequence[Rescaled]:
        """Who opened at another scale, by session, and so sits out the rest of the segment."""
        return self._overnight.found

    def advance(self, bars: Bars) -> Piece:
        """Candles of the decision timeframe, features, and labels of what belongs to the segment's own days."""
        spec, n = self._spec, len(self._spec.has_volume)
        bars = within_hours(bars, n, self._sessions, self._lists)
        candles = HistoricalAggregator(n).aggregate(bars, spec.features.timeframe)
        candles = self._overnight.take(self._lists.playing(candles))
        history = panel_of(candles, n, spec.features.timeframe, self._sessions, self._lists)
        everything = self._calculator.batch(history)
        self._anchored |= reaches(history, spec.segment.anchor)
        first = int(np.searchsorted(history.session, self._start))
        decisions, x = history.rows(first, len(history)), everything[first:]
        self._seen |= decisions.mask.any(axis=0)
        own = self._overnight.playing(bars)
        minutes = panel_of(own[session_numbers(own) >= self._start], n, 1, self._sessions, self._lists)
        sigma = np.ascontiguousarray(x[:, :, spec.features.column(SIGMA)])
        labeler = Labeler(spec.labels, spec.prices.ticks, self._lists, spec.prices.bands)
        labels = known_by(bars, labeler.label(minutes, decisions, sigma, self._sessions, spec.known_ns))
        row, inst = np.nonzero(decisions.mask)
        return Piece(decisions.ts_ns[row], inst.astype(np.int32), x[row, inst], labels)


def pieces(days: Sequence[Session], n_instruments: int, features: FeatureSet, mib: int) -> Iterator[Sequence[Session]]:
    """The sessions cut so that the bars of a piece, its panels, features and labels take about ``mib`` MiB; at least one each."""
    vectors = 3 * 4 * len(features.names)  # as the kernel gives them, as rows, and as they are written
    per_minute = n_instruments * (_MINUTE_BYTES + (_DECISION_BYTES + vectors) / features.timeframe)
    room = (mib << 20) / per_minute
    start, minutes = 0, 0
    for k, session in enumerate(days):
        if k > start and minutes + session.minutes > room:
            yield days[start:k]
            start, minutes = k, 0
        minutes += session.minutes
    if days:
        yield days[start:]


def known_by(bars: Bars, labels: Labels) -> Labels:
    """Those known by the end of the last stored minute of their session, among all instruments of ``bars`` (ordered by time).

    A session that is over by the clock may be stored in part; what a trade did after that part is not known.
    """
    last = np.searchsorted(session_numbers(bars), session_numbers(labels), side="right") - 1
    return labels[labels["t1_ns"] <= bars["ts_ns"][last] + MINUTE_NS]


def session_numbers(bars: Bars | Labels) -> I8:
    """Session numbers of BAR or LABEL rows, int64 [n]."""
    numbers: I8 = (bars["ts_ns"] + IST_NS) // DAY_NS
    return numbers
