"""Longer bars out of decision bars: one observation for each closed bucket of the grid that starts at 09:15 IST."""

import numba as nb
import numpy as np

from intraday.core.kernels.types import F8, ClockArrays, PanelArrays

# rows of a bucket's state: the bucket under construction, two flags, then three bars of open, high, low, close, volume
SESSION, NUMBER, UNDER, WAITING, BUILT, WAITS, GIVEN = 0, 1, 2, 3, 4, 9, 14


@nb.njit(cache=True, nogil=True, error_model="numpy")
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
        own = state[row : row + 19, s]
        if own[WAITING] == 1.0:
            own[GIVEN : GIVEN + 5] = own[WAITS : WAITS + 5]
            own[WAITING], out[s] = 0.0, 1.0
        elif own[UNDER] == 1.0 and (own[SESSION] != session or own[NUMBER] != number):
            own[GIVEN : GIVEN + 5] = own[BUILT : BUILT + 5]
            own[UNDER], out[s] = 0.0, 1.0
        grow(own, session, number, panel, t, first + s)
        if is_last or minute + timeframe >= clock[3][t, first + s]:
            own[UNDER] = 0.0
            if out[s] == 1.0:
                own[WAITS : WAITS + 5] = own[BUILT : BUILT + 5]
                own[WAITING] = 1.0
            else:
                own[GIVEN : GIVEN + 5] = own[BUILT : BUILT + 5]
                out[s] = 1.0


@nb.njit(cache=True, nogil=True, error_model="numpy")
def grow(own: F8, session: float, number: float, panel: PanelArrays, t: int, s: int) -> None:
    """Put this bar into the bucket under construction, a new one if there is none."""
    open_, high, low, close = panel[0][t, s], panel[1][t, s], panel[2][t, s], panel[3][t, s]
    volume = panel[4][t, s] if panel[7][s] else np.nan
    if own[UNDER] == 0.0:
        own[UNDER], own[SESSION], own[NUMBER] = 1.0, session, number
        own[BUILT], own[BUILT + 1], own[BUILT + 2], own[BUILT + 3], own[BUILT + 4] = open_, high, low, close, volume
        return
    own[BUILT + 1] = high if high > own[BUILT + 1] else own[BUILT + 1]
    own[BUILT + 2] = low if low < own[BUILT + 2] else own[BUILT + 2]
    own[BUILT + 3] = close
    own[BUILT + 4] += volume
