"""What the simulated null markets look like: constants fitted to real one-minute bars.

``scripts/fit_null_markets.py`` printed the two fits below on 2026-11-23 from the sets ``nse_2016`` (111 stocks, 15 sessions) and
``nse_2021_from_ticks`` (32 stocks, 29 sessions with nearly all minutes); markets are drawn with their mean. They were committed
before the first result. Three figures cannot be fitted to so few sessions and are assumed: ``DAY_PHI``, ``GAP_CAP``, ``TAIL_CAP``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from intraday.domain.arrays import F8

MINUTES = 375  # of a regular session
DAY_PHI = 0.9  # of the log volatility of a day on that of the day before; as in ``core/synthetic_path.py``
TAIL_CAP = 25.0  # the most a minute's variance is multiplied by: Student's t cut at five times its usual size
GAP_CAP = 10.0  # the same of a night's


@dataclass(frozen=True, slots=True)
class Shape:
    """Level over the day: ``floor + opened * exp(-m / opening) + closed * exp((m - 374) / closing)``, m minutes from the open."""

    floor: float
    opened: float
    opening: float
    closed: float
    closing: float

    def curve(self) -> F8:
        """float64 [375]."""
        m = np.arange(MINUTES, dtype=np.float64)
        level: F8 = self.floor + self.opened * np.exp(-m / self.opening) + self.closed * np.exp((m - (MINUTES - 1)) / self.closing)
        return level


@dataclass(frozen=True, slots=True)
class LogVol:
    """Log size as a day's level plus a first-order autoregression over its minutes: ``phi``, its sd, and the sd of the days."""

    phi: float
    minute: float
    day: float


@dataclass(frozen=True, slots=True)
class Fit:
    """``*_sd``: standard deviation of a minute's log return, of the market and of a stock's own part (geometric mean over stocks,
    whose logs spread by ``own_spread``). ``between``: part of a minute's variance that lies before its open. ``night_*``: sd of
    the overnight log return of the market, and of a stock by itself, in those of a whole day's minutes of the same. ``*_df``:
    degrees of freedom of the tails.

    ``volume_on_size``: slope of log volume on log size; ``volume_vol``: persistence of log volume; ``volume_rest``: its sd in all.
    """

    shape: Shape
    volume_shape: Shape
    market_sd: float
    own_sd: float
    own_spread: float
    beta_sd: float
    own_vol: LogVol
    market_vol: LogVol
    tail_df: float
    between: float
    night_market: float
    night_own: float
    night_df: float
    volume_vol: LogVol
    volume_on_size: float
    volume_rest: float
    low_price: float  # rupees: tenth and ninetieth percentile of the stocks' prices
    high_price: float
    turnover: float  # rupees a minute, the median stock's


NSE_2016 = Fit(
    Shape(0.841, 1.216, 21.953, 0.418, 36.068), Shape(0.674, 1.456, 28.674, 2.751, 28.095), 0.0002707, 0.0009152, 0.301, 0.44,
    LogVol(0.9056, 0.365, 0.144), LogVol(0.9576, 0.383, 0.0), 5.1, 0.117, 0.615, 0.193, 3.7, LogVol(0.9309, 0.675, 0.45),
    0.364, 1.422, 71.1, 1540.7, 1334662.0,
)  # fmt: skip
NSE_2021 = Fit(
    Shape(0.783, 1.684, 27.939, 0.217, 44.129), Shape(0.69, 2.51, 25.327, 1.766, 30.127), 0.0004486, 0.0008336, 0.198, 0.424,
    LogVol(0.9452, 0.267, 0.208), LogVol(0.9452, 0.185, 0.327), 6.0, 0.072, 1.21, 0.55, 9.9, LogVol(0.9366, 0.508, 0.515),
    0.223, 0.78, 153.9, 6404.3, 12754869.0,
)  # fmt: skip


def pooled(a: Fit = NSE_2016, b: Fit = NSE_2021) -> Fit:
    """The mean of two fits, figure by figure."""
    figures: dict[str, Any] = {f.name: _mean(getattr(a, f.name), getattr(b, f.name)) for f in fields(Fit)}
    return Fit(**figures)


def _mean(a: float | Shape | LogVol, b: float | Shape | LogVol) -> float | Shape | LogVol:
    if isinstance(a, Shape | LogVol):
        return type(a)(*((getattr(a, f.name) + getattr(b, f.name)) / 2.0 for f in fields(a)))
    assert isinstance(b, float), (a, b)
    return (a + b) / 2.0
