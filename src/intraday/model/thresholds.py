"""Payoffs and thresholds, from rows of the past only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from intraday.core.decision import CLASSES, DecisionRule, Payoff, best_side
from intraday.domain.arrays import F8, I4, I8, Mask
from intraday.model.dataset import Dataset
from intraday.model.metrics import session_sums, take_flat

QUANTILES = (0.0, 0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998)


def payoffs(data: Dataset) -> DecisionRule:
    """The rule with the payoffs of ``data`` and no threshold (-inf).

    A payoff is sum of gross returns over sum of sigma among the rows of a class, so one row of tiny volatility does not count
    more than another; 0 for a class without rows.
    """
    return DecisionRule(_payoff(data, data.ret_long), _payoff(data, data.ret_short), float("-inf"))


def _payoff(data: Dataset, ret: F8) -> Payoff:
    def of(label: int) -> float:
        rows = data.label == label
        scale = float(data.sigma[rows].sum())
        return float(ret[rows].sum()) / scale if scale > 0 else 0.0

    down, hold, up = (of(label) for label in CLASSES)
    return down, hold, up


def choose_threshold(rule: DecisionRule, p: F8, data: Dataset, min_signals_per_session: float) -> float:
    """The threshold with the best net return of the trades it lets through, among those that show enough signals.

    Best: the mean over sessions of the summed net return in units of its standard deviation over sessions, so that one lucky
    session does not choose it.

    ``p`` [n, 3] belongs to ``data``'s rows, all of them in the past of whatever the threshold will be used on. Candidates are
    quantiles of the eligible rows' expected net return; a candidate counts only if its trades average at least
    ``min_signals_per_session``, so that a model without an edge still shows what it would say (observe mode). Without any
    such candidate the lowest one is taken. A tie goes to the higher threshold.
    """
    found = list(_candidates(rule, p, data, min_signals_per_session))
    best = found[0][0] if found else float("inf")
    best_ratio = -np.inf
    for threshold, enough, ratio in found:
        if enough and ratio >= best_ratio:
            best, best_ratio = threshold, ratio
    return best


def shows_enough(rule: DecisionRule, p: F8, data: Dataset, min_signals_per_session: float) -> float:
    """The highest threshold at which a model's own forecasts ``p`` for ``data`` still average the signals asked for.

    A cap for ``choose_threshold``: thresholds come from other models' forecasts, and one that spreads its forecasts less would say
    nothing at all. Of ``data`` only what was known at the decision counts, and when trades ended; not how.
    """
    found = list(_candidates(rule, p, data, min_signals_per_session))
    return max((threshold for threshold, enough, _ in found if enough), default=found[0][0] if found else float("inf"))


def promising(rule: DecisionRule, threshold: float) -> DecisionRule:
    """``rule`` with that threshold for observe mode, and for trades at least 0: who is expected to lose is not traded."""
    return replace(rule, threshold=max(threshold, 0.0), shown=threshold)


def _candidates(rule: DecisionRule, p: F8, data: Dataset, min_signals_per_session: float) -> Iterator[tuple[float, bool, float]]:
    """Quantiles of the expected net return, ascending; whether enough trades pass; their net return by its spread."""
    side, score = best_side(rule, p, data.sigma, data.cost)
    usable = data.allows(side)
    if not usable.any():
        return
    sessions = np.unique(data.session)
    least = min_signals_per_session * sessions.size
    for threshold in np.unique(np.quantile(score[usable], QUANTILES)).tolist():
        trades, ratio = _net_of(np.where(usable & (score >= threshold), side, 0).astype(np.int8), data, sessions)
        yield float(threshold), trades >= least, ratio


def _net_of(side: NDArray[np.int8], data: Dataset, sessions: I4) -> tuple[int, float]:
    """Number of trades, and mean over standard deviation of their summed net returns over ``sessions``."""
    taken = take_flat(side, data.inst, data.close_ns, end_of(side, data))
    net = (np.where(side > 0, data.ret_long, data.ret_short) - data.paid(side))[taken]
    sums = session_sums(net, data.session[taken], sessions)
    spread = float(sums.std())
    return int(taken.sum()), float(sums.mean()) / spread if spread > 0 else float(np.sign(sums.mean()))


def end_of(side: NDArray[np.int8], data: Dataset) -> I8:
    """When the end of each row's side was known, int64 [n]; the decision itself where there is none."""
    out: I8 = np.where(side > 0, data.end_long_ns, np.where(side < 0, data.end_short_ns, data.close_ns))
    return out


@dataclass(frozen=True, slots=True)
class Sides:
    """What a rule says of n rows: ``side`` int8 (+1, -1, 0), ``trade`` bool (taken while flat), ``gross`` float64 the return of the
    side (0 for hold), ``end_ns`` int64 when its end was known, ``paid`` float64 the round trip, 0 where
    the side's trade is not entered, ``expected`` float64 the net return expected of the better side."""

    side: NDArray[np.int8]
    trade: Mask
    gross: F8
    end_ns: I8
    paid: F8
    expected: F8


def taken_sides(side: NDArray[np.int8], expected: F8, data: Dataset) -> Sides:
    """Signals ``side`` int8 [n] of ``data``'s rows, by whoever made them: which become trades, and what those gave."""
    end_ns = end_of(side, data)
    gross = np.where(side > 0, data.ret_long, np.where(side < 0, data.ret_short, 0.0))
    return Sides(side, take_flat(side, data.inst, data.close_ns, end_ns), gross, end_ns, data.paid(side), expected)


def sides_and_trades(rule: DecisionRule, p: F8, data: Dataset) -> Sides:
    """Signals of the rule, of rows and sides that may be traded, and which of them become trades."""
    side, score = best_side(rule, p, data.sigma, data.cost)
    return taken_sides(np.where(data.allows(side) & (score >= rule.threshold), side, 0).astype(np.int8), score, data)
