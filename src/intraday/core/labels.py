"""Labels of decision bars: what a long and a short trade entered after each of them would have done.

The fill rules are ``core/fills.py``'s; docs/labels.md shows them with examples. Triple barriers and the fixed horizon are after
López de Prado 2018, ch. 3, with the entry after a human delay, one-minute bars inside longer decision bars, and both sides traded
so that the stop multiple counts for each. Trend scanning: ``core/trend_labels.py``; labels of given sides: ``core/meta_labels.py``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import IntFlag, StrEnum
from math import inf

import numpy as np

from intraday.core.fills import Bands, FillRules, TickSizes
from intraday.core.kernels import SOURCE_HASH
from intraday.core.kernels import barrier as kernel
from intraday.core.label_sessions import LabelPart, LabelParts, Traded
from intraday.core.panel import NO_LISTS, Lists
from intraday.core.trend_labels import TrendRule, scan_trends
from intraday.domain.arrays import F4, F8, I8, LABEL, Labels, Mask, Panel
from intraday.domain.session import SessionTable

SIGMA = "sigma"  # the feature that barriers, stops and targets are scaled with
RULES_VERSION = 3  # of what is decided outside the kernels; raise it with any change of meaning. 3: returns of trends, dated ticks


class Barrier(IntFlag):
    """Bits of ``LABEL.barrier``."""

    LONG_TARGET = kernel.LONG_TARGET
    LONG_STOP = kernel.LONG_STOP
    SHORT_TARGET = kernel.SHORT_TARGET
    SHORT_STOP = kernel.SHORT_STOP
    VERTICAL = kernel.ANY_VERTICAL  # at least one of the trades ended by time
    BOTH_IN_BAR = kernel.BOTH_IN_BAR  # stop and target (or both targets) in one minute: the stop was assumed (or label 0)
    SKIPPED = kernel.ANY_SKIPPED  # at least one of the trades was not entered: past a barrier by then, or near a circuit limit
    LOCKED = kernel.ANY_LOCKED  # at least one of the trades was locked at a circuit limit when it was due to end


class Kind(StrEnum):
    """What a label says of the time after its decision."""

    TRIPLE_BARRIER = "triple_barrier"  # which of target, stop and time came first
    FIXED_HORIZON = "fixed_horizon"  # whether the return by the vertical barrier is beyond target_sigma
    TREND_SCANNING = "trend_scanning"  # the sign of the clearest trend


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """What a label set is. ``timeframe`` and the ``_min`` are minutes; multiples are of sigma over the horizon.

    ``kind`` is one of ``Kind``. Trend scanning alone looks at the ``trend_`` fields: it scans spans of ``trend_from_min``,
    ``trend_step_min`` more .. up to ``horizon_min``, and ``trend_t`` is the least t-value that makes a trend.
    """

    timeframe: int = 5
    horizon_min: int = 60
    target_sigma: float = 1.0
    stop_sigma: float = 1.0
    entry_delay_s: int = 60
    square_off_buffer_min: int = 5
    max_wait_min: int = 5
    limit_ticks: int = 3
    kind: str = Kind.TRIPLE_BARRIER
    trend_from_min: int = 15
    trend_step_min: int = 5
    trend_t: float = 2.0

    def __post_init__(self) -> None:
        kind = Kind(self.kind)  # ValueError names the unknown one
        if kind == Kind.TREND_SCANNING and self.trend_from_min > self.horizon_min:
            raise ValueError(f"trend_from_min: expected at most the horizon of {self.horizon_min}, found {self.trend_from_min}")
        if not self.target_sigma > 0.0 and kind != Kind.FIXED_HORIZON:
            raise ValueError(f"target_sigma: expected above 0, found {self.target_sigma}; 0 is for {Kind.FIXED_HORIZON} alone")

    @property
    def rules(self) -> FillRules:
        """The part that fills share."""
        return FillRules(self.entry_delay_s, self.max_wait_min, self.square_off_buffer_min, self.limit_ticks)

    @property
    def has_barriers(self) -> bool:
        """Whether its trades have a target and a stop; without, they end with the horizon."""
        return self.kind == Kind.TRIPLE_BARRIER

    @property
    def horizon_bars(self) -> float:
        """The horizon in decision bars."""
        return self.horizon_min / self.timeframe

    @property
    def id(self) -> str:
        """16 hex digits of the definition: another spec, kernel or rule is another set."""
        return hashlib.sha256(self.definition().encode()).hexdigest()[:16]

    def definition(self) -> str:
        """Canonical JSON, for the database and the artifact."""
        return json.dumps({**asdict(self), "kernels": SOURCE_HASH, "rules": RULES_VERSION}, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Scanned:
    """Labels with what trend scanning alone knows: each label's t-value and the end of its span, ns UTC, [n] each."""

    labels: Labels
    t: F8
    end_ns: I8


class Labeler:
    """Labels panels; holds no state between calls.

    ``tick_rupees`` float64 [S], or dated; ``lists`` says by date whose continuous trading ends before a closing auction; ``bands``
    are the circuit limits, None: none are known.
    """

    def __init__(self, spec: LabelSpec, tick_rupees: F8 | TickSizes, lists: Lists = NO_LISTS, bands: Bands | None = None) -> None:
        self._spec = spec
        self._traded = Traded.of(tick_rupees, lists, bands)

    def label(self, minutes: Panel, decisions: Panel, sigma: F4, sessions: SessionTable, known_ns: int | None = None) -> Labels:
        """LABEL[n] of the decision bars, ordered by (ts, inst); a decision without a known outcome has no row, never a zero.

        ``minutes`` one-minute panel and ``decisions`` panel of the spec's timeframe, same S columns; ``sigma`` float32 [T, S] of
        the decision bars, NaN or 0: no label. ``minutes`` is complete up to ``known_ns`` (None: all its sessions are over):
        a trade still open then has no label. ``ret_*`` gross; 0 where a trade was not entered. ``t1_ns``: the later end of the
        two trades, when the whole row is known. Nothing reaches beyond its session. Raises CalendarError for a day without one.
        """
        return self._run(minutes, decisions, sigma, sessions, known_ns)[0]

    def scan(self, minutes: Panel, decisions: Panel, sigma: F4, sessions: SessionTable, known_ns: int | None = None) -> Scanned:
        """``label`` with the t-values of trend scanning; other kinds have none: NaN, and 0 for the end of the span."""
        labels, scanned = self._run(minutes, decisions, sigma, sessions, known_ns)
        if not scanned:
            return Scanned(labels, np.full(len(labels), np.nan), np.zeros(len(labels), np.int64))
        t, end_ns = (np.concatenate(columns) for columns in zip(*scanned, strict=True))
        return Scanned(labels, t, end_ns)

    def _run(
        self, minutes: Panel, decisions: Panel, sigma: F4, sessions: SessionTable, known_ns: int | None
    ) -> tuple[Labels, list[tuple[F8, I8]]]:
        """The labels, and of trend scanning each session's t-values and span ends."""
        spec, n_instruments = self._spec, minutes.n_instruments
        assert decisions.timeframe == spec.timeframe, (decisions.timeframe, spec.timeframe)
        out, n, scanned = np.empty(len(decisions) * n_instruments, LABEL), 0, []
        for rows, parts in LabelParts(spec.rules, spec.horizon_min, self._traded, sessions).of(minutes, decisions, sigma, known_ns):
            shape = (rows.stop - rows.start, n_instruments)
            table, done = out[n : n + shape[0] * shape[1]].reshape(shape), np.zeros(shape, np.bool_)
            if spec.kind == Kind.TREND_SCANNING:
                scanned.append(self._scan(parts, table, done))
            else:
                for part in parts:
                    self._label(part, table, done)
            n = kernel.collect(table, done, out, n)
        return self._by_return(out[:n]), scanned

    def _scan(self, parts: Iterator[LabelPart], out: Labels, done: Mask) -> tuple[F8, I8]:
        """Trends of one session; returns the t-values and span ends of what is done, in order."""
        spec = self._spec
        rule = TrendRule(spec.trend_from_min, spec.trend_step_min, spec.trend_t, spec.max_wait_min)
        t, end_ns = np.zeros(done.shape), np.zeros(done.shape, np.int64)
        for part in parts:
            self._label(part, out, done)
            scan_trends(part, rule, out, done, t, end_ns)
        return t[done], end_ns[done]

    def _label(self, part: LabelPart, out: Labels, done: Mask) -> None:
        spec = self._spec
        target = spec.target_sigma if spec.has_barriers else inf
        kernel.label_session(
            part.grid, part.keep, part.decided, part.sigma, part.tick,
            float(np.sqrt(spec.horizon_bars)), target, spec.stop_sigma, part.lower, part.upper, part.margin,
            part.clock.rows, part.clock.last, spec.max_wait_min, part.session.open_ns, part.ts_ns, out, done,
        )  # fmt: skip

    def _by_return(self, labels: Labels) -> Labels:
        """Fixed horizon: the sign of the long trade's return where it is beyond the target."""
        if self._spec.kind == Kind.FIXED_HORIZON:
            width = self._spec.target_sigma * labels["sigma"] * np.sqrt(self._spec.horizon_bars)
            labels["label"] = np.sign(labels["ret_long"]) * (np.abs(labels["ret_long"]) > width)
        return labels


def tally(labels: Labels) -> dict[str, int]:
    """How many labels there are, of each class, and with each bit of ``Barrier``; for reports."""
    counts = {"labels": len(labels), **{f"label {k:+d}": int((labels["label"] == k).sum()) for k in (-1, 0, 1)}}
    bits = labels["barrier"]
    return counts | {str(bit.name).lower(): int((bits & bit.value != 0).sum()) for bit in Barrier}
