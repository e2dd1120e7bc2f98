"""A planted edge: on a few bars the next prices drift, and one noisy number says which way.

On ``SHARE`` of the bars that may give a signal, each drawn by itself and with either sign alike, the price drifts for
``DRIFT_MINUTES`` minutes from the open at which a trade decided at that bar's close is entered (a minute after it). A trade of the
next bar is entered when the drift is over, so no price pattern carries anything of it: all there is to know is in the carrier.
Where bars are planted depends neither on the hour nor on the volatility.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intraday.core.null_markets.parameters import MINUTES
from intraday.domain.arrays import F8

SHARE = 0.02  # of the bars that may give a signal
DRIFT_MINUTES = 5  # from the entry on; the decision timeframe, so that no later bar's trade begins inside it
STRENGTH = 4.0  # of the carrier on a planted bar, in standard deviations of its noise, which is there on every bar

Sides = NDArray[np.int8]


def draw_sides(rng: np.random.Generator, sessions: int, bars: int, usable: int, stocks: int) -> Sides:
    """Which bars are planted and with which side, int8 [D, bars, S]: +1, -1, 0; none beyond the first ``usable`` of a session."""
    side = np.where(rng.random((sessions, bars, stocks)) < SHARE, rng.choice(np.array([-1, 1]), (sessions, bars, stocks)), 0)
    side[:, usable:] = 0
    return side.astype(np.int8)


def drift_of(side: Sides, timeframe: int, log_move: float) -> F8:
    """Log drift a minute [D, 375, S] that sums to ``log_move`` times the side after each planted bar."""
    sessions, bars, stocks = side.shape
    out = np.zeros((sessions, MINUTES + timeframe + DRIFT_MINUTES, stocks))
    for b in range(bars):
        entry = (b + 1) * timeframe + 1
        out[:, entry : entry + DRIFT_MINUTES] += side[:, b, None] * (log_move / DRIFT_MINUTES)
    return out[:, :MINUTES]


def carrier(rng: np.random.Generator, side: Sides) -> F8:
    """The feature: standard normal noise on every bar, and ``STRENGTH`` times the side on planted ones, float64 [D, bars, S]."""
    noise: F8 = rng.standard_normal(side.shape)
    return noise + STRENGTH * side
