"""What entry and exit cost beside the charges: assumptions about the price a person gets, on top of the prices of the fill rules.

The market's own price decides whether a stop or a target is reached; slippage only makes what is paid worse and what is got less,
on both sides of the trade. Labels, verdicts and the out-of-sample figures are without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from intraday.backtest.fills import Fills
from intraday.backtest.orders import Orders
from intraday.domain.arrays import F8, I8, Mask


class Model(StrEnum):
    """How slippage is assumed."""

    NONE = "none"
    FIXED = "fixed"  # so many basis points a side
    SPREAD = "spread"  # a share of the spread a side; the spread is at least one tick
    VOLUME = "volume"  # that, and the square-root impact of our share of the minute's volume, which is capped


@dataclass(frozen=True, slots=True)
class Slippage:
    """``bps`` a side (fixed); ``spread_share`` of the spread a side (spread, volume): half of it is what crossing costs;
    ``impact_bps`` at a whole minute's volume and ``most_share`` of it that is taken at most (volume).

    The square root: Almgren, Thum, Hauptmann & Li 2005, "Direct estimation of equity market impact", and Tóth et al. 2011,
    "Anomalous price impact and the critical nature of liquidity in financial markets", Physical Review X 1, 021006.
    """

    model: Model = Model.SPREAD
    bps: float = 1.0
    spread_share: float = 0.5
    impact_bps: float = 10.0
    most_share: float = 0.1


class Slipped(NamedTuple):
    """Of n fills: shares traded int64 [n], prices paid or got at entry and exit, rupees [n]."""

    quantity: I8
    entry: F8
    exit: F8


def slip(slippage: Slippage, orders: Orders, fills: Fills, quantity: I8, tick_rupees: F8, lots: I8) -> Slipped:
    """What trades of ``quantity`` int64 [n] shares would have paid and got; ``tick_rupees`` float64 [n] and ``lots`` int64 [n] of
    their days.

    A fill without an entry keeps its zeros. Volume: at most ``most_share`` of the entry's minute is traded, in whole lots; the exit
    has to be, whatever its minute trades. A minute of unknown volume (an index has none) limits nothing and has no impact.
    """
    side, there = orders["side"].astype(np.float64), fills["entry"] > 0.0
    price = np.where(there, fills["entry"], 1.0)
    if slippage.model is Model.VOLUME:
        most = np.floor(slippage.most_share * np.where(np.isfinite(fills["entry_volume"]), fills["entry_volume"], np.inf))
        quantity = np.minimum(quantity.astype(np.float64), most).astype(np.int64) // lots * lots
    spread = np.maximum(np.nan_to_num(fills["spread"], nan=0.0), tick_rupees / price)
    parts = [_side(slippage, spread, fills[name], quantity) for name in ("entry_volume", "exit_volume")]
    return Slipped(quantity, fills["entry"] * (1.0 + side * parts[0]), fills["exit"] * (1.0 - side * parts[1]))


def returns(orders: Orders, fills: Fills, slipped: Slipped, done: Mask) -> F8:
    """Gross returns after slippage, float64 [n]; 0 where ``done`` is False. Without slippage ``FILL.ret``, bit for bit."""
    entry = np.where(done, slipped.entry, 1.0)
    out: F8 = np.where(done, orders["side"] * (slipped.exit / entry - 1.0), 0.0)
    return out


def _side(slippage: Slippage, spread: F8, volume: F8, quantity: I8) -> F8:
    """The share of the price that one side costs, float64 [n]; ``spread`` likewise, ``volume`` of its minute, NaN unknown."""
    crossing: F8 = slippage.spread_share * spread
    match slippage.model:
        case Model.NONE:
            return np.zeros(len(spread))
        case Model.FIXED:
            return np.full(len(spread), slippage.bps / 1e4)
        case Model.SPREAD:
            return crossing
        case Model.VOLUME:
            traded = np.maximum(np.where(np.isfinite(volume), volume, np.inf), 1.0)
            out: F8 = crossing + slippage.impact_bps / 1e4 * np.sqrt(quantity / traded)
            return out
