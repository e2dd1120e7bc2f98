"""Hop 8: signals from probabilities. Pure: the same bars and probabilities give the same signals, live and in replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from intraday.core.decision import DecisionRule, decide_sides, latest_bar_ns
from intraday.core.fills import SECOND_NS, Barriers, barriers
from intraday.core.labels import LabelSpec
from intraday.domain.arrays import F4, F8, MINUTE_NS, Bars
from intraday.domain.events import Action, Signal
from intraday.domain.session import Session

ACTIONS = {1: Action.BUY, -1: Action.SELL, 0: Action.HOLD}


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """What decides, apart from the probabilities.

    ``rule`` is the artifact's, ``cost`` float64 [S] the day's round trip as a return, ``label`` the label set the model was
    trained on (stops, targets and times are its), ``tick_rupees`` float64 [S], ``observe`` True unless the verdict is "edge".
    """

    rule: DecisionRule
    cost: F8
    label: LabelSpec
    tick_rupees: F8
    observe: bool
    model_id: str


class SignalGenerator:
    """BUY, SELL or HOLD for every instrument of a decision bar that has a prediction."""

    def __init__(self, spec: SignalSpec) -> None:
        self._spec = spec

    def decide(self, bars: Bars, sigma: F4, p: F8, now_ns: int, session: Session) -> Sequence[Signal]:
        """Signals in order of ``bars`` (BAR[b], one decision bar); ``sigma`` float32 [b], ``p`` float64 [b, 3] (down, hold, up).

        A row whose probabilities are not finite gets no signal at all. HOLD where the rule says so, where sigma is not a
        positive number, and when the horizon no longer fits into the session. A HOLD has NaN stop and target, and so has a signal
        of labels without barriers: its trade ends with the horizon. Confidence is the calibrated probability of what is said. A
        signal is valid until the last entry its label allows, at most until its horizon or the session ends.
        """
        spec = self._spec
        wide = np.where(sigma > 0.0, sigma, np.nan).astype(np.float64)
        close = np.ascontiguousarray(bars["close"])
        side = decide_sides(spec.rule, p, wide, spec.cost[bars["inst"]])
        side[bars["ts_ns"] > latest_bar_ns(spec.label, session)] = 0
        label = spec.label
        target = label.target_sigma if label.has_barriers else inf
        levels = barriers(close, wide, spec.tick_rupees[bars["inst"]], label.horizon_bars, target, label.stop_sigma)
        side[~_priced(levels)] = 0
        usable = np.isfinite(p).all(axis=1)
        return [
            self._signal(bars[i], int(side[i]), p[i], _levels(levels, i), now_ns, session) for i in np.flatnonzero(usable).tolist()
        ]

    def _signal(
        self, bar: np.void, side: int, p: F8, levels: dict[int, tuple[float, float]], now_ns: int, session: Session
    ) -> Signal:
        label = self._spec.label
        closed_ns = int(bar["ts_ns"]) + label.timeframe * MINUTE_NS
        entry_end_ns = closed_ns + label.max_wait_min * MINUTE_NS + label.entry_delay_s * SECOND_NS
        horizon_end_ns = closed_ns + label.horizon_min * MINUTE_NS
        stop, target = levels[side]
        return Signal(
            inst=int(bar["inst"]),
            bar_ns=int(bar["ts_ns"]),
            decided_ns=now_ns,
            action=ACTIONS[side],
            confidence=float(p[side + 1]),
            p_down=float(p[0]),
            p_hold=float(p[1]),
            p_up=float(p[2]),
            price=float(bar["close"]),
            stop=stop,
            target=target,
            valid_until_ns=min(entry_end_ns, horizon_end_ns, session.close_ns),
            observe=self._spec.observe,
            model_id=self._spec.model_id,
        )


def _priced(levels: Barriers) -> NDArray[np.bool_]:
    """Rows with all four prices, infinite where there are no barriers; they are NaN without a close or a volatility."""
    ok = np.ones(levels.long_stop.shape[0], dtype=np.bool_)
    for price in levels:
        ok &= ~np.isnan(price)
    return ok


def _levels(levels: Barriers, i: int) -> dict[int, tuple[float, float]]:
    """(stop, target) of row ``i`` by side, NaN where there is none."""
    none = (float("nan"), float("nan"))
    if not np.isfinite(levels.long_target[i]):
        return {1: none, -1: none, 0: none}
    return {
        1: (float(levels.long_stop[i]), float(levels.long_target[i])),
        -1: (float(levels.short_stop[i]), float(levels.short_target[i])),
        0: none,
    }
