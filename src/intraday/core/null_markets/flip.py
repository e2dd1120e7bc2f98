"""Real bars as a null market: every log move, gaps and nights included, changes its sign or not, by one coin a minute for all.

What a market is like stays: sizes of moves, their persistence, the U of the day, fat tails, volumes, holes, and how instruments
move together within a minute. What could be predicted of direction is gone. The sign is symmetric in the log, so the price of a
move x would rise by log cosh(x) on average; that much is taken off each move, and the expected price is the last price.
"""

from __future__ import annotations

import numpy as np

from intraday.domain.arrays import F8, Bars


def flipped(rng: np.random.Generator, bars: Bars, tick_rupees: F8) -> Bars:
    """BAR rows [n] ordered by (ts, inst) with other prices on the grid of ``tick_rupees`` float64 [S]; above zero, high >= low.

    Highs and lows are mirrored with their minute, and put on the grid to the last price that was reached. Volumes stay.
    """
    out = bars.copy()
    minutes, at = np.unique(bars["ts_ns"], return_inverse=True)
    sign = rng.choice(np.array([-1.0, 1.0]), len(minutes))[at]
    for inst in np.unique(bars["inst"]).tolist():
        rows = np.flatnonzero(bars["inst"] == inst)
        _flip_one(out, rows, sign[rows], float(tick_rupees[inst]))
    return out


def _flip_one(out: Bars, rows: np.ndarray[tuple[int], np.dtype[np.int64]], sign: F8, tick: float) -> None:
    """The rows of one instrument, in order of time, in place."""
    part = out[rows]
    opened, close = np.log(part["open"]), np.log(part["close"])
    gap = np.concatenate([[0.0], opened[1:] - close[:-1]])
    inside = close - opened
    moves = np.stack([sign * gap - _log_cosh(gap), sign * inside - _log_cosh(inside)], axis=1)
    path = (opened[0] + np.cumsum(moves.ravel())).reshape(-1, 2)
    up, down = np.log(part["high"]) - opened, opened - np.log(part["low"])
    up, down = np.where(sign > 0, up, down), np.where(sign > 0, down, up)
    at_open, at_close = (np.maximum(np.rint(np.exp(path[:, k]) / tick), 1.0) for k in (0, 1))
    slack = 1e-6  # of a tick: a double's error must not push a price on the grid to the next step
    top, bottom = np.floor(np.exp(path[:, 0] + up) / tick + slack), np.ceil(np.exp(path[:, 0] - down) / tick - slack)
    paise = round(tick * 100.0)
    out["open"][rows], out["close"][rows] = at_open * paise / 100.0, at_close * paise / 100.0
    out["high"][rows] = np.maximum(top, np.maximum(at_open, at_close)) * paise / 100.0
    out["low"][rows] = np.minimum(np.maximum(bottom, 1.0), np.minimum(at_open, at_close)) * paise / 100.0


def _log_cosh(x: F8) -> F8:
    out: F8 = np.logaddexp(x, -x) - np.log(2.0)
    return out
