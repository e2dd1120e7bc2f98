"""Triple-barrier labels: what a long and a short trade entered after each decision bar would have done.

The fill rules are ``core/fills.py``'s; docs/labels.md shows them with examples. After López de Prado 2018, ch. 3, with the entry
after a human delay, one-minute bars inside longer decision bars, and both sides traded so that the stop multiple counts for each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from enum import IntFlag

import numpy as np

from intraday.core.fills import FOREVER_NS, SECOND_NS, FillRules, barriers, last_exit_ns
from intraday.core.kernels import SOURCE_HASH
from intraday.core.kernels import barrier as kernel
from intraday.core.panel import Lists
from intraday.domain.arrays import F4, F8, I8, LABEL, MINUTE_NS, Labels, Panel, empty
from intraday.domain.session import Session, SessionTable

EPOCH = date(1970, 1, 1)
RULES_VERSION = 1  # of what fills.py and this file decide outside the kernels; raise it with any change of meaning


class Barrier(IntFlag):
    """Bits of ``LABEL.barrier``."""

    LONG_TARGET = kernel.LONG_TARGET
    LONG_STOP = kernel.LONG_STOP
    SHORT_TARGET = kernel.SHORT_TARGET
    SHORT_STOP = kernel.SHORT_STOP
    VERTICAL = kernel.ANY_VERTICAL  # at least one of the trades ended by time
    BOTH_IN_BAR = kernel.BOTH_IN_BAR  # stop and target (or both targets) in one minute: the stop was assumed (or label 0)
    SKIPPED = kernel.ANY_SKIPPED  # at least one of the trades was not entered, its barrier had been passed by then


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """What a label set is. ``timeframe`` and the ``_min`` are minutes; multiples are of sigma over the horizon."""

    timeframe: int = 5
    horizon_min: int = 60
    target_sigma: float = 1.0
    stop_sigma: float = 1.0
    entry_delay_s: int = 60
    square_off_buffer_min: int = 5
    max_wait_min: int = 5

    @property
    def rules(self) -> FillRules:
        """The part that fills share."""
        return FillRules(self.entry_delay_s, self.max_wait_min, self.square_off_buffer_min)

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


class Labeler:
    """Labels panels; holds no state between calls.

    ``tick_rupees`` float64 [S]; ``lists`` says by date whose continuous trading ends before a closing auction.
    """

    def __init__(self, spec: LabelSpec, tick_rupees: F8, lists: Lists = Lists()) -> None:
        self._spec = spec
        self._tick = np.asarray(tick_rupees, dtype=np.float64)
        self._lists = lists

    def label(self, minutes: Panel, decisions: Panel, sigma: F4, sessions: SessionTable, known_ns: int | None = None) -> Labels:
        """LABEL[n] of the decision bars, ordered by (ts, inst); a decision without a known outcome has no row, never a zero.

        ``minutes`` one-minute panel and ``decisions`` panel of the spec's timeframe, same S columns; ``sigma`` float32 [T, S] of
        the decision bars, NaN or 0: no label. ``minutes`` is complete up to ``known_ns`` (None: all its sessions are over):
        a trade still open then has no label. ``ret_*`` gross; 0 where a trade was not entered. ``t1_ns``: the later end of the
        two trades, when the whole row is known. Nothing reaches beyond its session. Raises CalendarError for a day without one.
        """
        assert minutes.timeframe == 1 and decisions.timeframe == self._spec.timeframe, (minutes.timeframe, decisions.timeframe)
        assert minutes.n_instruments == decisions.n_instruments == len(self._tick), (minutes.n_instruments, len(self._tick))
        assert sigma.shape == decisions.mask.shape, (sigma.shape, decisions.mask.shape)
        until = FOREVER_NS if known_ns is None else known_ns
        parts = [empty(LABEL)]
        for number, m, d in _by_session(minutes, decisions):
            rows = self._label_day(minutes.rows(*m), decisions.rows(*d), sigma[d[0] : d[1]], sessions, number, until)
            parts.append(rows[np.lexsort((rows["inst"], rows["ts_ns"]))])
        return np.concatenate(parts)

    def _label_day(self, minutes: Panel, decisions: Panel, sigma: F4, sessions: SessionTable, number: int, known_ns: int) -> Labels:
        day, parts = EPOCH + timedelta(days=number), [empty(LABEL)]
        listed = self._lists.auction_on(number, len(self._tick))
        for auction in (False, True):
            keep = np.flatnonzero(listed == auction)
            if len(keep):
                parts.append(self._label_session(minutes, decisions, sigma, sessions.get(day, auction), keep, known_ns))
        return np.concatenate(parts)

    def _label_session(self, minutes: Panel, decisions: Panel, sigma: F4, session: Session, keep: I8, known_ns: int) -> Labels:
        spec, rules = self._spec, self._spec.rules
        closed = np.minimum(decisions.ts_ns + spec.timeframe * MINUTE_NS, session.close_ns)
        vertical = np.minimum(closed + spec.horizon_min * MINUTE_NS, last_exit_ns(rules, session))
        o, h, low, c = (np.ascontiguousarray(a[:, keep].T) for a in (minutes.open, minutes.high, minutes.low, minutes.close))
        shape = (len(keep), len(decisions))
        label, flags = np.zeros(shape, np.int8), np.zeros(shape, np.int8)
        ret, when = np.zeros((2, *shape)), np.zeros((2, *shape), np.int64)
        kernel.label_session(
            minutes.ts_ns, o, h, low, c, self._barriers(decisions, sigma, keep), closed + rules.entry_delay_s * SECOND_NS, vertical,
            known_ns, rules.max_wait_min * MINUTE_NS, label, flags, ret, when,
        )  # fmt: skip
        s, d = np.nonzero(when[0])
        out = empty(LABEL, len(s))
        out["ts_ns"], out["inst"], out["sigma"] = decisions.ts_ns[d], keep[s], sigma[d, keep[s]]
        out["label"], out["barrier"] = label[s, d], flags[s, d]
        out["ret_long"], out["ret_short"] = ret[0, s, d], ret[1, s, d]
        out["entry_ns"], out["t1_ns"] = when[0, s, d], when[1, s, d]
        return out

    def _barriers(self, decisions: Panel, sigma: F4, keep: I8) -> F8:
        """Float64 [4, S, D], NaN where there is no decision."""
        spec, shape = self._spec, (len(keep), len(decisions))
        close = decisions.close[:, keep].T.ravel()  # NaN where the instrument has no bar
        tick = np.repeat(self._tick[keep], shape[1])
        four = barriers(close, sigma[:, keep].T.ravel(), tick, spec.horizon_bars, spec.target_sigma, spec.stop_sigma)
        return np.stack(four).reshape(4, *shape)


def tally(labels: Labels) -> dict[str, int]:
    """How many labels there are, of each class, and with each bit of ``Barrier``; for reports."""
    counts = {"labels": len(labels), **{f"label {k:+d}": int((labels["label"] == k).sum()) for k in (-1, 0, 1)}}
    return counts | {str(bit.name).lower(): int((labels["barrier"] & bit.value != 0).sum()) for bit in Barrier}


def _by_session(minutes: Panel, decisions: Panel) -> Iterator[tuple[int, tuple[int, int], tuple[int, int]]]:
    """(session number, row range of the minutes, row range of the decisions) of every session with decisions."""
    for number in np.unique(decisions.session):
        first, stop = np.searchsorted(minutes.session, [number, number + 1])
        d_first, d_stop = np.searchsorted(decisions.session, [number, number + 1])
        yield int(number), (int(first), int(stop)), (int(d_first), int(d_stop))
