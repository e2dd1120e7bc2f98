"""Simple rules every trader knows, as sides of decision bars: what a model has to beat, and what a second model can be put on.

* ``opening_range_breakout``: the range is what the bars that open in the first 30 minutes of the session reach (of 60-minute bars
  the first one); the first later close above it buys, the first below it sells: at most one of each a session. Source:
  Crabel 1990, "Day Trading with Short Term Price Patterns and Opening Range Breakout".
* ``moving_average_cross``: mean of the last FAST closes against that of the last SLOW closes of the session; a side at the bar
  where the fast one comes to lie on the other side. Source: Brock, Lakonishok & LeBaron 1992, Journal of Finance 47(5), section II.

Both start anew in every session, so nothing crosses the night, and what later bars do changes no earlier side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import I8, Mask, Panel

RULES = ("opening_range_breakout", "moving_average_cross")  # names of the columns that rule_sides gives, in order
OPENING_MIN = 30.0
LENGTHS = {1: (10, 30), 5: (4, 12), 15: (3, 8), 60: (1, 3)}  # bars of the fast and of the slow mean, by the bars' minutes
_UNITS = 10_000.0  # prices are added up as whole numbers of 1/100 paise: sums are exact, so equal prices never cross

Sides = NDArray[np.int8]


def rule_sides(decisions: Panel) -> Sides:
    """Sides of each rule of RULES at each decision bar, int8 [T, S, R]: +1 buy, -1 sell, 0 nothing new.

    ``decisions``: whole sessions, or a session as far as it has come. A bar that an instrument does not have, or whose prices are
    not finite, has side 0 and changes nothing. An instrument without a bar in the first 30 minutes has no range that day.
    """
    assert decisions.timeframe in LENGTHS, decisions.timeframe
    out = np.zeros((len(decisions), decisions.n_instruments, len(RULES)), dtype=np.int8)
    for number in np.unique(decisions.session).tolist():
        first, last = np.searchsorted(decisions.session, [number, number + 1]).tolist()
        day = decisions.rows(first, last)
        out[first:last, :, 0] = opening_range_breakout(day)
        out[first:last, :, 1] = moving_average_cross(day, *LENGTHS[decisions.timeframe])
    return out


def opening_range_breakout(day: Panel) -> Sides:
    """Of one session, int8 [T, S]."""
    there = day.mask & np.isfinite(day.high) & np.isfinite(day.low) & np.isfinite(day.close)
    opening = (day.minute < OPENING_MIN)[:, None]
    ranged = there & opening
    top = np.where(ranged, day.high, -np.inf).max(axis=0, initial=-np.inf)
    bottom = np.where(ranged, day.low, np.inf).min(axis=0, initial=np.inf)
    later = there & ~opening & ranged.any(axis=0)
    buys, sells = later & (day.close > top), later & (day.close < bottom)
    return _first(buys).astype(np.int8) - _first(sells).astype(np.int8)


def moving_average_cross(day: Panel, fast: int, slow: int) -> Sides:
    """Of one session, int8 [T, S]; lengths in bars that the instrument has."""
    there = day.mask & np.isfinite(day.close)
    order = np.argsort(~there, axis=0, kind="stable")  # each instrument's own bars, moved together
    price = np.rint(np.take_along_axis(np.where(there, day.close, 0.0), order, axis=0) * _UNITS).astype(np.int64)
    own = np.take_along_axis(there, order, axis=0)
    above = np.sign(slow * _last(price, fast) - fast * _last(price, slow))
    above[: slow - 1] = 0
    above[~own] = 0
    out = np.zeros(there.shape, dtype=np.int8)
    np.put_along_axis(out, order, _turns(above), axis=0)
    return out


def _first(found: Mask) -> Mask:
    """The first True of each column alone."""
    out: Mask = found & (np.cumsum(found, axis=0) == 1)
    return out


def _last(price: I8, length: int) -> I8:
    """Sum of the last ``length`` rows of each column; of those there are in the first rows."""
    total = np.cumsum(price, axis=0)
    out = total.copy()
    out[length:] -= total[:-length]
    return out


def _turns(above: I8) -> Sides:
    """The sign where it differs from the last one before it that was not 0, and there was one."""
    rows = np.arange(len(above))[:, None]
    at = np.maximum.accumulate(np.where(above != 0, rows, -1), axis=0)
    before = np.vstack([np.full((1, above.shape[1]), -1), at[:-1]])
    sign = np.where(before >= 0, np.take_along_axis(above, np.maximum(before, 0), axis=0), 0)
    return np.where((above != 0) & (sign != 0) & (above != sign), above, 0).astype(np.int8)
