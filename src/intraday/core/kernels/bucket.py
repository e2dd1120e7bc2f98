"""Longer bars out of decision bars: one observation for each closed bucket of the grid that starts at 09:15 IST."""

import numba as nb
import numpy as np

from intraday.core.kernels.types import BARE, F8, ClockArrays, PanelArrays

# rows of a bucket's state: the bucket under construction, two flags, then three bars of open, high, low, close, volume
SESSION, NUMBER, UNDER, WAITING, BUILT, WAITS, GIVEN = 0, 1, 2, 3, 4, 9, 14


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def bucket(
    length: float, timeframe: float, panel: PanelArrays, clock: ClockArrays, t: int, first: int, state: F8, row: int, out: F8
) -> None:
    """out: 1.0 where this decision bar brings a closed bucket, whose prices then stand in the rows GIVEN; else NaN.

    A bucket is closed by its last slot, or by the instrument's last slot of the session; where the instrument had no bar in it, by
    its next bar. That bar may close its own bucket too: the second waits for the bar after. More than one never waits, since a
    bucket that its own last slot closed leaves nothing under construction.
    """
    if length % timeframe != 0.0:
        out[:] = np.nan
        return
    session, minute, grid = float(clock[0][t]), clock[1][t], clock[2][t]
    number = np.floor(grid / length)
    is_last = np.floor((grid + timeframe) / length) != number
    for s in range(out.shape[0]):
        out[s] = np.nan
        if not panel[5][t, first + s]:
            continue
        if state[row + WAITING, s] == 1.0:
            move(state, row + WAITS, row + GIVEN, s)
            state[row + WAITING, s], out[s] = 0.0, 1.0
        elif state[row + UNDER, s] == 1.0 and (state[row + SESSION, s] != session or state[row + NUMBER, s] != number):
            move(state, row + BUILT, row + GIVEN, s)
            state[row + UNDER, s], out[s] = 0.0, 1.0
        if state[row + UNDER, s] == 0.0:
            state[row + UNDER, s], state[row + SESSION, s], state[row + NUMBER, s] = 1.0, session, number
            begin(panel, t, first + s, state, row + BUILT, s)
        else:
            grow(panel, t, first + s, state, row + BUILT, s)
        if is_last or minute + timeframe >= clock[3][t, first + s]:
            state[row + UNDER, s] = 0.0
            if out[s] == 1.0:
                move(state, row + BUILT, row + WAITS, s)
                state[row + WAITING, s] = 1.0
            else:
                move(state, row + BUILT, row + GIVEN, s)
                out[s] = 1.0


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def move(state: F8, source: int, target: int, s: int) -> None:
    """Copy a bar from the rows ``source`` to the rows ``target``."""
    for k in range(5):
        state[target + k, s] = state[source + k, s]


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def begin(panel: PanelArrays, t: int, i: int, state: F8, row: int, s: int) -> None:
    """The bar of instrument i as the first of the bucket in ``row`` and the four after it."""
    state[row, s] = panel[0][t, i]
    state[row + 1, s] = panel[1][t, i]
    state[row + 2, s] = panel[2][t, i]
    state[row + 3, s] = panel[3][t, i]
    state[row + 4, s] = panel[4][t, i] if panel[7][i] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def grow(panel: PanelArrays, t: int, i: int, state: F8, row: int, s: int) -> None:
    """Put the bar of instrument i into the bucket."""
    high, low = panel[1][t, i], panel[2][t, i]
    state[row + 1, s] = high if high > state[row + 1, s] else state[row + 1, s]
    state[row + 2, s] = low if low < state[row + 2, s] else state[row + 2, s]
    state[row + 3, s] = panel[3][t, i]
    state[row + 4, s] += panel[4][t, i]
