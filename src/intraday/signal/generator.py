"""Hop 8: signals from probabilities. Pure: the same bars and probabilities give the same signals, live and in replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from intraday.core.decision import DecisionRule, best_side, chase_prices, latest_bar_ns, said_by
from intraday.core.fills import SECOND_NS, Barriers, barriers
from intraday.core.labels import LabelSpec
from intraday.domain.arrays import F4, F8, I8, MINUTE_NS, Bars, Mask
from intraday.domain.events import Action, Signal
from intraday.domain.session import Session
from intraday.signal.policy import clock_text
from intraday.signal.terms import Terms

ACTIONS = {1: Action.BUY, -1: Action.SELL, 0: Action.HOLD}
NO_VOLATILITY, TOO_LATE = "no volatility", "too late in the session"
AGAINST = "not what the primary says"

Sides = NDArray[np.int8]
Notes = NDArray[np.object_]  # of texts


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """What decides, apart from the probabilities.

    ``rule`` is the artifact's, ``cost`` float64 [S] the day's round trip as a return, ``label`` the label set the model was
    trained on (stops, targets and times are its), ``tick_rupees`` float64 [S], ``observe`` True unless the verdict is "edge".
    ``terms``: what may be traded and how much, and whether the run began too late to be acted on; None: everything, without
    quantities.
    """

    rule: DecisionRule
    cost: F8
    label: LabelSpec
    tick_rupees: F8
    observe: bool
    model_id: str
    terms: Terms | None = None
    primary: int | None = None  # column of the features whose sign is the only side that may be said; None: either


@dataclass(frozen=True, slots=True)
class _Decided:
    """What the signals of a decision bar's b instruments say beside bars and probabilities, [b] each; NaN where there is none."""

    side: Sides
    expected: F8
    chase: F8
    stop: F8
    target: F8
    quantity: I8
    note: Notes


class SignalGenerator:
    """BUY, SELL or HOLD for every instrument of a decision bar that has a prediction."""

    def __init__(self, spec: SignalSpec) -> None:
        self._spec = spec

    def decide(self, bars: Bars, sigma: F4, p: F8, now_ns: int, session: Session, x: F4 | None = None) -> Sequence[Signal]:
        """Signals in order of ``bars`` (BAR[b], one decision bar); ``sigma`` float32 [b], ``p`` float64 [b, 3] (down, hold, up).
        ``x`` float32 [b, F], the features: needed where a primary says the sides.

        A row whose probabilities are not finite gets no signal at all, nor does a bar that opened before the run began. HOLD where
        the rule says so, where sigma is not a positive number, when the horizon no longer fits into the session, and where the side
        is not the primary's or may not be traded; ``note`` says which of the last four it was. A HOLD has NaN stop, target and
        chase, and a signal of labels without barriers has no stop and target: its trade ends with the horizon. Confidence is the
        calibrated probability of what is said. A signal is valid until the last entry its label allows, at most until its horizon
        or the session ends.
        """
        found = self._decided(bars, sigma, p, session, x)
        valid_ns, spec = self._valid_until(bars["ts_ns"], session), self._spec
        from_ns = 0 if spec.terms is None else spec.terms.from_ns
        usable = np.isfinite(p).all(axis=1) & (bars["ts_ns"] >= from_ns)
        observe = spec.observe or from_ns > 0
        columns = (
            bars["inst"], bars["ts_ns"], bars["close"], p, found.side, found.stop, found.target, valid_ns, found.expected,
            found.chase, found.quantity,
        )  # fmt: skip
        rows = zip(*(column[usable].tolist() for column in columns), found.note[usable].tolist(), strict=True)
        return [
            Signal(
                inst, ts_ns, now_ns, ACTIONS[side], q[side + 1], q[0], q[1], q[2], price, stop, target, valid, observe,
                spec.model_id, expected, chase, quantity, (), note,
            )
            for inst, ts_ns, price, q, side, stop, target, valid, expected, chase, quantity, note in rows
        ]  # fmt: skip

    def _valid_until(self, ts_ns: I8, session: Session) -> I8:
        """The last entry the label allows, at most the horizon's or the session's end."""
        label = self._spec.label
        closed_ns = ts_ns + label.timeframe * MINUTE_NS
        entry_end_ns = closed_ns + label.max_wait_min * MINUTE_NS + label.entry_delay_s * SECOND_NS
        return np.minimum(np.minimum(entry_end_ns, closed_ns + label.horizon_min * MINUTE_NS), session.close_ns)

    def _decided(self, bars: Bars, sigma: F4, p: F8, session: Session, x: F4 | None) -> _Decided:
        spec, label, inst = self._spec, self._spec.label, bars["inst"].astype(np.int64)
        wide = np.where(sigma > 0.0, sigma, np.nan).astype(np.float64)
        close, cost, tick = np.ascontiguousarray(bars["close"]), spec.cost[inst], spec.tick_rupees[inst]
        side, expected = best_side(spec.rule, p, wide, cost)
        side[~(expected >= spec.rule.threshold)] = 0
        target = label.target_sigma if label.has_barriers else inf
        levels = barriers(close, wide, tick, label.horizon_bars, target, label.stop_sigma)
        late = bars["ts_ns"] > latest_bar_ns(label, session)
        side, note = self._allowed(side, inst, _priced(levels), late, self._against(side, x))
        chase = chase_prices(side, close, expected, cost, tick)
        stop = np.where(side > 0, levels.long_stop, levels.short_stop)
        goal = np.where(side > 0, levels.long_target, levels.short_target)
        shown = (side != 0) & label.has_barriers
        stop, goal = np.where(shown, stop, np.nan), np.where(shown, goal, np.nan)
        quantity = self._quantities(side, inst, close, stop, cost, note)
        return _Decided(side, expected, chase, stop, goal, quantity, note)

    def _against(self, side: Sides, x: F4 | None) -> Mask:
        """Rows whose side is not the primary's."""
        if self._spec.primary is None:
            return np.zeros(len(side), np.bool_)
        assert x is not None, "a primary says the sides: its values are needed"
        out: Mask = (side != 0) & (side != said_by(x[:, self._spec.primary]))
        return out

    def _allowed(self, side: Sides, inst: I8, priced: Mask, late: Mask, against: Mask) -> tuple[Sides, Notes]:
        """What is left of the sides, and the notes of what is not or is limited."""
        note = np.full(len(side), "", object)
        note[against] = AGAINST
        note[late & (side != 0)] = TOO_LATE
        note[~priced] = NO_VOLATILITY
        left = np.where(priced & ~late & ~against, side, 0).astype(np.int8)
        terms = self._spec.terms
        if terms is not None:
            for i in np.flatnonzero(left).tolist():
                note[i] = terms.tradable.said(int(left[i]), int(inst[i]))
            may = np.where(left > 0, terms.tradable.may(1, inst), terms.tradable.may(-1, inst))
            left[~may] = 0
            if terms.from_ns:
                for i in np.flatnonzero(left).tolist():
                    note[i] = _joined(note[i], f"started at {clock_text(terms.from_ns)}, without the morning")
        return left, note

    def _quantities(self, side: Sides, inst: I8, close: F8, stop: F8, cost: F8, note: Notes) -> I8:
        """Suggested quantities; ``note`` gets why there is none."""
        out, terms = np.zeros(len(side), np.int64), self._spec.terms
        if terms is None or terms.sizing is None:
            return out
        lots = terms.tradable.lots[inst]
        for i in np.flatnonzero((side != 0) & (lots > 0)).tolist():
            out[i], why = terms.sizing.quantity(float(close[i]), float(stop[i]), float(cost[i]), int(lots[i]))
            note[i] = _joined(note[i], why)
        return out


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)


def _priced(levels: Barriers) -> Mask:
    """Rows with all four prices, infinite where there are no barriers; they are NaN without a close or a volatility."""
    ok = np.ones(levels.long_stop.shape[0], dtype=np.bool_)
    for price in levels:
        ok &= ~np.isnan(price)
    return ok
