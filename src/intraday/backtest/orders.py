"""What a backtest trades: one order a signal, whoever gave it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.core.decision import chase_prices
from intraday.core.fills import TickSizes, barriers
from intraday.core.labels import LabelSpec
from intraday.domain.arrays import DAY_NS, F8, I4, I8, IST_NS, MINUTE_NS, empty
from intraday.domain.events import Action, Signal
from intraday.model.metrics import OutOfSample

ORDER = np.dtype(
    [
        ("ts_ns", "i8"),  # open time of the decision bar
        ("close_ns", "i8"),  # its close: the moment of the decision, from which a delay counts
        ("session", "i4"),
        ("inst", "i4"),
        ("side", "i1"),  # +1 buy, -1 sell short
        ("close", "f8"),  # rupees
        ("sigma", "f8"),  # volatility per decision bar, as a return
        ("target", "f8"),  # rupees; infinite where the trade ends with the horizon alone
        ("stop", "f8"),
        ("expected", "f8"),  # net return the signal expects; NaN where nobody said
        ("cost", "f8"),  # the dated round trip of the configured notional, as a return: the one it was decided with
        ("chase", "f8"),  # rupees beyond which the signal is not to be chased; NaN where nobody said
        ("quantity", "i8"),  # shares the signal suggests, 0: none; -1 where nobody said: as the account says
    ]
)

Orders = NDArray[Any]  # ORDER[n], ordered by (ts, inst)


@dataclass(frozen=True, slots=True)
class Sides:
    """Signals of n decisions, [n] each: their bars, sides (+1, -1; 0 none), closes in rupees, volatilities and costs as returns."""

    ts_ns: I8
    inst: I4
    side: NDArray[np.int8]
    close: F8
    sigma: F8
    cost: F8
    expected: F8


def orders_of_sides(sides: Sides, label: LabelSpec, ticks: TickSizes) -> Orders:
    """The orders of those with a side, barriers as the labels have them; none where close or sigma makes no barrier."""
    keep = np.flatnonzero(sides.side)
    out = empty(ORDER, len(keep))
    for name in ("ts_ns", "inst", "side", "close", "sigma", "cost", "expected"):
        out[name] = getattr(sides, name)[keep]
    out["quantity"] = -1
    out["session"] = (out["ts_ns"] + IST_NS) // DAY_NS
    out["close_ns"] = out["ts_ns"] + label.timeframe * MINUTE_NS
    rupees = np.empty(len(out))
    for number in np.unique(out["session"]).tolist():
        rows = out["session"] == number
        rupees[rows] = ticks.on(number)[out["inst"][rows]]
    out["chase"] = chase_prices(out["side"], out["close"], out["expected"], out["cost"], rupees)
    target = label.target_sigma if label.has_barriers else inf
    found = barriers(out["close"], out["sigma"], rupees, label.horizon_bars, target, label.stop_sigma)
    buy = out["side"] > 0
    out["target"] = np.where(buy, found.long_target, found.short_target)
    out["stop"] = np.where(buy, found.long_stop, found.short_stop)
    return in_order(out[~np.isnan(out["target"])])


def orders_of_oos(oos: OutOfSample, label: LabelSpec, ticks: TickSizes) -> Orders:
    """The signals of the stitched out-of-sample path that were taken: what a trader would have been told, one open at a time."""
    side = np.where(oos.trade, oos.side, 0).astype(np.int8)
    return orders_of_sides(Sides(oos.ts_ns, oos.inst, side, oos.close, oos.sigma, oos.cost, oos.expected), label, ticks)


def orders_of_signals(signals: Sequence[Signal], label: LabelSpec, cost: F8) -> Orders:
    """The BUYs and SELLs among the signals of one session; ``cost`` float64 [S] its round trips. Sigma is what the stop says."""
    told = [s for s in signals if s.action is not Action.HOLD]
    out = empty(ORDER, len(told))
    for k, s in enumerate(told):
        side = 1 if s.action is Action.BUY else -1
        unbounded = np.isnan(s.stop)
        target, stop = (side * inf, -side * inf) if unbounded else (s.target, s.stop)
        out[k] = (
            s.bar_ns, s.bar_ns + label.timeframe * MINUTE_NS, (s.bar_ns + IST_NS) // DAY_NS, s.inst, side, s.price, np.nan,
            target, stop, s.expected, cost[s.inst], s.chase, s.quantity,
        )  # fmt: skip
    width = label.stop_sigma * np.sqrt(label.horizon_bars) * out["close"]
    out["sigma"] = np.where(np.isfinite(out["stop"]), np.abs(out["close"] - out["stop"]) / width, np.nan)
    return in_order(out)


def in_order(orders: Orders) -> Orders:
    """The same orders by (ts, inst)."""
    return orders[np.lexsort((orders["inst"], orders["ts_ns"]))]
