"""The minutes of one session as a backtest needs them, built once for every delay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intraday.core.fills import FOREVER_NS
from intraday.core.kernels import barrier as kernel
from intraday.domain.arrays import F8, I8, MINUTE_NS, Bars
from intraday.domain.session import Session


@dataclass(frozen=True, slots=True)
class Tape:
    """Minutes of k instruments: ``keep`` int64 [k] dense rows ascending, ``grid`` float64 [k, 4, M] open .. close of minute m of
    the session, ``volume`` float64 [k, M], NaN where there is no bar (or no volume). ``spread`` float64 [k]: the session's bid-ask
    spread as a share of the price, an estimate (``estimated_spread``), NaN unknown. ``known_ns``: the minutes are complete up to
    there."""

    session: Session
    keep: I8
    grid: F8
    volume: F8
    spread: F8
    known_ns: int

    def rows(self, inst: I8) -> I8:
        """Rows of the grid of these dense rows, int64 [n]; all of them have to be there."""
        at = np.searchsorted(self.keep, inst)
        assert np.array_equal(self.keep[np.minimum(at, len(self.keep) - 1)], inst), "an order of an instrument without a tape"
        return np.asarray(at, np.int64)


def tape_of(session: Session, bars: Bars, keep: I8, known_ns: int = FOREVER_NS) -> Tape:
    """The tape of the instruments ``keep`` (ascending) from BAR rows of the session, each minute once, in any order.

    ``bars`` within the instruments' own hours (``core.panel.within_hours``); rows of other instruments are passed over.
    """
    place = np.full(int(max(keep.max(initial=-1), bars["inst"].max(initial=-1))) + 1, -1)
    place[keep] = np.arange(len(keep))
    at, row = place[bars["inst"]], (bars["ts_ns"] - session.open_ns) // MINUTE_NS
    inside = (at >= 0) & (row >= 0) & (row < session.minutes)
    at, row, bars = at[inside], row[inside], bars[inside]
    grid, volume = np.full((len(keep), 4, session.minutes), np.nan), np.full((len(keep), session.minutes), np.nan)
    for field, name in enumerate(("open", "high", "low", "close")):
        grid[at, field, row] = bars[name]
    volume[at, row] = bars["volume"]
    return Tape(session, keep, grid, volume, estimated_spread(grid), known_ns)


def estimated_spread(grid: F8) -> F8:
    """The mean bid-ask spread of each instrument's session as a share of the price, float64 [k]; NaN under 20 pairs of minutes.

    From one-minute bars, which hold no quotes: ``s^2 = 4 E[(c_t - m_t)(c_t - m_t+1)]`` with log closes c and mid-ranges m, never
    below 0. Source: Abdi & Ranaldo 2017, "A simple estimation of bid-ask spreads from daily close, high, and low prices",
    equation 8. It is what trading cost then, for the account; nobody decides by it.
    """
    log = np.log(grid)
    close, middle = log[:, kernel.CLOSE], (log[:, kernel.HIGH] + log[:, kernel.LOW]) / 2.0
    pairs = (close - middle)[:, :-1] * (close[:, :-1] - middle[:, 1:])
    n = np.isfinite(pairs).sum(axis=1)
    square = 4.0 * np.divide(np.nansum(pairs, axis=1), n, out=np.full(len(n), np.nan), where=n >= 20)
    out: F8 = np.sqrt(np.maximum(square, 0.0))
    return out
