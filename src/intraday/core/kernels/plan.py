"""The interpreter of feature plans: one compiled function runs any feature set, batch or one decision bar.

A plan is data. Node i has ``code[i]``, up to four input nodes ``arg[i]`` (all below i), two parameters ``par[i]`` and the first
of its rows in ``state``, ``row[i]``. Its value is the vector ``reg[i]``. Instruments are worked in blocks of ``reg.shape[1]``
columns so that a block's state stays in the processor's cache over all T; blocks never meet, so S changes no bit.
"""

import numba as nb
import numpy as np

from intraday.core.kernels import opcodes as op
from intraday.core.kernels.accumulate import accumulate, session_before, session_start, slot_mean
from intraday.core.kernels.elementwise import broadcast, load, load_volume, one_operand, two_operands, where
from intraday.core.kernels.recursive import ema, ewvar, hold, lag, previous
from intraday.core.kernels.rolling import reduce_window, window
from intraday.core.kernels.types import B1, F4, F8, I4, ClockArrays, PanelArrays, PlanTables


@nb.njit(cache=True, nogil=True, error_model="numpy")
def run_plan(plan: PlanTables, panel: PanelArrays, clock: ClockArrays, state: F8, reg: F8, out: F4) -> None:
    """Advance all S instruments by T steps.

    plan: (code int32[N], arg int32[N, 4], par float64[N, 2], row int32[N], outputs int32[F]).
    panel: (open, high, low, close, volume float64[T, S], mask bool[T, S], has_volume bool[S]).
    clock: (session int32[T], minute float64[T], minutes float64[T, S]).
    state: float64[R, S], changed in place. reg: float64[N + 1, block], scratch. out: float32[T, S, F], NaN without a bar.
    """
    n_steps, n_instruments = panel[5].shape
    for first in range(0, n_instruments, reg.shape[1]):
        last = min(first + reg.shape[1], n_instruments)
        for t in range(n_steps):
            run_step(plan, panel, clock, state, reg, t, first, last)
            emit(plan[4], panel[5][t, first:last], reg, out[t, first:last])


@nb.njit(cache=True, nogil=True, error_model="numpy")
def run_step(plan: PlanTables, panel: PanelArrays, clock: ClockArrays, state: F8, reg: F8, t: int, first: int, last: int) -> None:
    """All nodes of one step for the instruments ``first <= s < last``."""
    code, arg, par, row, _ = plan
    width = last - first
    for i in range(code.shape[0]):
        group = code[i] >> 4
        out = reg[i, :width]
        x = reg[arg[i, 0], :width]
        y = reg[arg[i, 1], :width]
        if group == 0:
            load_input(code[i], panel, clock, state, row[i], t, first, last, out)
        elif group == 1:
            one_operand(code[i], x, par[i, 0], par[i, 1], out)
        elif group == 2 and code[i] == op.WHERE:
            where(x, y, reg[arg[i, 2], :width], out)
        elif group == 2:
            two_operands(code[i], x, y, par[i, 0], out)
        elif group == 3:
            recur(code[i], x, y, par[i], state, row[i], first, last, out)
        elif group == 4:
            roll(code[i], x, par[i], state, row[i], first, last, reg[code.shape[0], :width], out)
        else:
            in_session(code[i], x, y, par[i], clock[1][t], state, row[i], first, last, out)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def load_input(
    code: int, panel: PanelArrays, clock: ClockArrays, state: F8, row: int, t: int, first: int, last: int, out: F8
) -> None:
    """Group 0."""
    mask = panel[5][t, first:last]
    if code == op.OPEN:
        load(panel[0][t, first:last], mask, out)
    elif code == op.HIGH:
        load(panel[1][t, first:last], mask, out)
    elif code == op.LOW:
        load(panel[2][t, first:last], mask, out)
    elif code == op.CLOSE:
        load(panel[3][t, first:last], mask, out)
    elif code == op.VOLUME:
        load_volume(panel[4][t, first:last], mask, panel[6][first:last], out)
    elif code == op.MINUTE:
        broadcast(clock[1][t], mask, out)
    elif code == op.MINUTES:
        load(clock[2][t, first:last], mask, out)
    elif code == op.START:
        session_start(float(clock[0][t]), mask, state[row, first:last], out)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def recur(code: int, x: F8, y: F8, par: F8, state: F8, row: int, first: int, last: int, out: F8) -> None:
    """Group 3. State vectors are cut as ``state[row, first:last]``: that is contiguous, so the loops vectorise."""
    own = state[row, first:last]
    if code == op.PREV:
        previous(x, own, out)
    elif code == op.LAG:
        lag(x, int(par[0]), own, state, row + 1, first, out)
    elif code == op.EMA:
        ema(x, par[0], par[1], own, state[row + 1, first:last], out)
    elif code == op.EWVAR:
        ewvar(x, par[0], par[1], own, state[row + 1, first:last], state[row + 2, first:last], out)
    elif code == op.HOLD:
        hold(x, y, own, out)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def roll(code: int, x: F8, par: F8, state: F8, row: int, first: int, last: int, scratch: F8, out: F8) -> None:
    """Group 4. A statistic has the same state rows as the window it reads."""
    width = int(par[0])
    if code == op.WINDOW:
        window(x, width, state[row, first:last], state[row + 1, first:last], state[row + 2, first:last], state, row + 3, first, out)
    else:
        reduce_window(code, x, width, state, row + 3, first, last, scratch, out)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def in_session(code: int, x: F8, start: F8, par: F8, minute: float, state: F8, row: int, first: int, last: int, out: F8) -> None:
    """Group 5. SLOT: par is (alpha, minutes a slot); outside its rows it knows and learns nothing."""
    if code == op.SESSION_BEFORE:
        session_before(x, start, state[row, first:last], state[row + 1, first:last], out)
    elif code == op.SLOT:
        slot = int(np.floor(minute / par[1]))
        if 0 <= slot < op.LONGEST_SESSION // par[1]:
            slot_mean(x, par[0], state[row + slot, first:last], out)
        else:
            out[:] = np.nan
    else:
        accumulate(code, x, start, state[row, first:last], out)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def emit(outputs: I4, mask: B1, reg: F8, out: F4) -> None:
    """Cast the chosen registers to float32 [S, F]; NaN without a bar."""
    for f in range(outputs.shape[0]):
        value = reg[outputs[f]]
        for s in range(out.shape[0]):
            out[s, f] = value[s] if mask[s] else np.nan
