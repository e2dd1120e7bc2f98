"""From probabilities to a side: one truth for threshold search, out-of-sample figures, live signals and replay.

The expected net return of a trade is ``sigma * (p . payoff) - cost``: a class's payoff is the average gross return of the training
labels of that class in units of the barrier's volatility, so a quiet instrument, whose barriers lie inside the cost, scores low.
A side is taken where its expected net return is the larger of the two and reaches ``threshold``. Observe mode has a lower one
(``shown``), perhaps below zero: signals that lose money on average, to be watched only; see ``docs/model.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from intraday.core.fills import last_exit_ns, tick_paise
from intraday.core.labels import LabelSpec
from intraday.core.panel import Lists
from intraday.domain.arrays import F4, F8, I8, MINUTE_NS
from intraday.domain.session import Session, SessionTable

CLASSES = (-1, 0, 1)  # columns of every probability matrix: down, hold, up

Payoff = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """Average gross return of each side by label class (down, hold, up), in units of sigma, and the least expected net return.

    ``threshold`` is what a trade has to promise, never below 0 in what training makes: a trade that is expected to lose is none.
    ``shown`` is the lower one of observe mode, which lets a model without an edge show what it would say.
    """

    long: Payoff
    short: Payoff
    threshold: float
    shown: float = float("inf")

    def watched(self) -> DecisionRule:
        """The rule of observe mode."""
        return replace(self, threshold=min(self.threshold, self.shown))


def expected_net(rule: DecisionRule, p: F8, sigma: F8, cost: F8) -> tuple[F8, F8]:
    """Expected net return of the long and of the short trade, float64 [n] each.

    ``p`` float64 [n, 3] (down, hold, up), ``sigma`` [n] volatility per decision bar as a return, ``cost`` [n] round trip as a
    return. NaN in, NaN out. Element-wise, so a row's value does not depend on the other rows.
    """

    def side(payoff: Payoff) -> F8:
        out: F8 = sigma * (p[:, 0] * payoff[0] + p[:, 1] * payoff[1] + p[:, 2] * payoff[2]) - cost
        return out

    return side(rule.long), side(rule.short)


def best_side(rule: DecisionRule, p: F8, sigma: F8, cost: F8) -> tuple[NDArray[np.int8], F8]:
    """The better side (+1 long, -1 short, 0 on a tie or NaN) and its expected net return, whatever the threshold."""
    long, short = expected_net(rule, p, sigma, cost)
    side = np.where(long > short, 1, np.where(short > long, -1, 0)).astype(np.int8)
    return side, np.maximum(long, short)


def said_by(primary: F4) -> NDArray[np.int8]:
    """The sides that a primary's values float32 [n] say, int8 [n]: their signs, 0 where there is no value."""
    return np.sign(np.nan_to_num(primary, nan=0.0)).astype(np.int8)


def chase_prices(side: NDArray[np.int8], close: F8, expected: F8, cost: F8, tick_rupees: F8) -> F8:
    """The entry price at which nothing is left of the ``expected`` net return, [n] rupees on the tick grid; NaN for ``side`` 0.

    Stop and target are fixed prices, so the exit expected, ``close * (1 + side * (expected + cost))``, does not move with the
    entry: a buy earns nothing above exit / (1 + cost), rounded down; a short sale nothing below exit / (1 - cost), rounded up. So
    an entry at the price told does not lose on average. On the wrong side of ``close`` where ``expected`` is below zero.
    """
    tick = tick_paise(tick_rupees) / 100.0
    steps = close * (1.0 + side * (expected + cost)) / (1.0 + side * cost) / tick
    slack = 1e-6  # of a tick: a double's error must not push a price on the grid to the next step
    whole = np.where(side > 0, np.floor(steps + slack), np.ceil(steps - slack))
    return np.where(side == 0, np.nan, np.round(whole * tick * 100.0) / 100.0)


def latest_bar_ns(label: LabelSpec, session: Session) -> int:
    """Open time of the last decision bar of a session that may give a signal: its whole horizon fits before the last exit.

    Labels of later bars exist (their horizon is cut short) and train the model, but nobody is told to trade on them.
    """
    return last_exit_ns(label.rules, session) - (label.horizon_min + label.timeframe) * MINUTE_NS


def latest_bars_ns(label: LabelSpec, session: Session, n: int, sessions: SessionTable, lists: Lists) -> I8:
    """``latest_bar_ns`` of each of ``n`` instruments on the session's day, int64 [n]: stocks of a closing auction end earlier."""
    regular, early = (latest_bar_ns(label, sessions.get(session.day, auction)) for auction in (False, True))
    return np.where(lists.auction_on(session.number, n), early, regular).astype(np.int64)
