"""The interpreter of feature plans: one compiled function runs any feature set, batch or one decision bar.

A plan is data. A phase is what can be computed without looking at other instruments; ``kernels.across`` runs between phases.
Node i of a phase has ``code[i]``, two parameters ``par[i]``, and of its operands and itself the registers, ``arg[i]``, and the
first of the rows in the state, ``row[i]``; ``cell[i]`` says where in the rings its series is kept. Instruments are worked in blocks
of W columns that keep their state together; blocks never meet, so S changes no bit.
"""

import numba as nb
import numpy as np

from intraday.core.kernels import opcodes as op
from intraday.core.kernels.accumulate import accumulate, session_before, session_start, slot_mean, slot_std
from intraday.core.kernels.bucket import GIVEN, bucket
from intraday.core.kernels.elementwise import broadcast, copy, load, load_volume, one_operand, two_operands, where
from intraday.core.kernels.recursive import adaptive, bars_since, ema, ewvar, hold, previous, read_where, running_sum
from intraday.core.kernels.rolling import HEAD, insert_sorted, mean_rank, quantile, rank, reduce_window, where_full, window
from intraday.core.kernels.sums import RUN, covariance, deviation, displaced, mean, push, slope, total
from intraday.core.kernels.types import B1, BARE, F4, F8, I8, ClockArrays, PanelArrays, PlanTables, State

OWN = 6  # column of ``arg`` and ``row`` with the node's own, behind six operands
SCRATCH = 2  # registers behind those of the plan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def run_phase(
    plan: PlanTables,
    panel: PanelArrays,
    clock: ClockArrays,
    state: State,
    blocks: tuple[int, int],
    carried: F8,
    reg: F8,
    place: I8,
    out: F4,
) -> None:
    """Advance the instruments of the blocks ``blocks[0] <= b < blocks[1]`` by T steps.

    plan: (code int64[N], arg int64[N, 7], par float64[N, 2], row int64[N, 7], cell int64[N], outputs int64[F', 2],
    carries int64[C', 2]); the last two say which register goes to which column of ``out`` and which row of ``carried``.
    panel: (open, high, low, close, volume float64[T, S], mask, member bool[T, S], has_volume bool[S]).
    clock: (session int32[T], minute float64[T], minute from 09:15 IST float64[T], minutes float64[T, S]).
    state: rows float64[B, R, W] and rings float64[B, Q, W, 8], changed in place.
    carried: float64[C, T, S], read and written. reg: float64[registers + SCRATCH, W]. out: float[T, S', F], NaN without a bar;
    place: int64[S], each instrument's row in it, -1: none.
    """
    mask = panel[5]
    n_steps, n_instruments = mask.shape
    for b in range(blocks[0], blocks[1]):
        rows, rings = state[0][b], state[1][b]
        first = b * rows.shape[1]
        last = min(first + rows.shape[1], n_instruments)
        for t in range(n_steps):
            run_step(plan, panel, clock, rows, rings, carried, reg, t, first, last - first)
            emit(plan[5], mask[t, first:last], reg, place[first:last], out[t])
            carry(plan[6], reg, carried[:, t, first:last])


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def run_step(
    plan: PlanTables,
    panel: PanelArrays,
    clock: ClockArrays,
    state: F8,
    rings: F8,
    carried: F8,
    reg: F8,
    t: int,
    first: int,
    width: int,
) -> None:
    """All nodes of one step for the ``width`` instruments from ``first`` on. state: their block's [R, W], rings: [Q, W, 8]."""
    code, arg, par, row = plan[0], plan[1], plan[2], plan[3]
    for i in range(code.shape[0]):
        group = code[i] >> 4
        out = reg[arg[i, OWN], :width]
        x = reg[arg[i, 0], :width]
        y = reg[arg[i, 1], :width]
        if group == 1:
            one_operand(code[i], x, par[i, 0], par[i, 1], out)
        elif group == 2 and code[i] == op.WHERE:
            where(x, y, reg[arg[i, 2], :width], out)
        elif group == 2:
            two_operands(code[i], x, y, par[i, 0], out)
        elif group == 4:
            roll(code[i], arg[i], par[i], row[i], state, reg, x, out)
        elif group == 3:
            recur(code[i], x, y, reg[arg[i, 2], :width], par[i], state, row[i], out)
        elif group == 5:
            in_session(code[i], x, y, par[i], clock[1][t], state, row[i, OWN], out)
        elif group == 6:
            sum_up(code[i], arg[i], par[i], row[i], plan[4][i], state, rings, reg, x, y, out)
        elif code[i] == op.CARRIED:
            copy(carried[int(par[i, 0]), t, first : first + width], out)
        else:
            load_input(code[i], par[i], panel, clock, state, row[i, OWN], t, first, out)


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def load_input(
    code: int, par: F8, panel: PanelArrays, clock: ClockArrays, state: F8, row: int, t: int, first: int, out: F8
) -> None:
    """Group 0."""
    last = first + out.shape[0]
    mask = panel[5][t, first:last]
    if code == op.BUCKET:
        bucket(par[0], par[1], panel, clock, t, first, state, row, out)
    elif code == op.START:
        session_start(float(clock[0][t]), mask, state[row], out)
    elif code == op.MINUTES:
        load(clock[3][t, first:last], mask, out)
    elif code == op.MINUTE:
        broadcast(clock[1][t], mask, out)
    elif code == op.GRID_MINUTE:
        broadcast(clock[2][t], mask, out)
    elif code == op.WEEKDAY:
        broadcast(float((clock[0][t] + 3) % 7), mask, out)  # day 0 of the session numbers, 1970-01-01, was a Thursday
    else:
        load_price(code, panel, mask, t, first, last, out)


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def load_price(code: int, panel: PanelArrays, mask: B1, t: int, first: int, last: int, out: F8) -> None:
    """Fields of the bar."""
    if code == op.OPEN:
        load(panel[0][t, first:last], mask, out)
    elif code == op.HIGH:
        load(panel[1][t, first:last], mask, out)
    elif code == op.LOW:
        load(panel[2][t, first:last], mask, out)
    elif code == op.CLOSE:
        load(panel[3][t, first:last], mask, out)
    elif code == op.VOLUME:
        load_volume(panel[4][t, first:last], mask, panel[7][first:last], out)


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def recur(code: int, x: F8, y: F8, z: F8, par: F8, state: F8, row: I8, out: F8) -> None:
    """Group 3."""
    at = row[OWN]
    if code == op.PREV:
        previous(x, state[at], out)
    elif code == op.EMA:
        ema(x, par[0], par[1], state[at], state[at + 1], out)
    elif code == op.EWVAR:
        ewvar(x, par[0], par[1], state[at], state[at + 1], state[at + 2], out)
    elif code == op.HOLD:
        hold(x, y, state[at], out)
    elif code == op.RUNNING_SUM:
        running_sum(x, state[at], state[at + 1], out)
    elif code == op.BARS_SINCE:
        bars_since(x, state[at], out)
    elif code == op.ADAPTIVE:
        adaptive(x, y, z, state[at], out)
    elif code == op.BUCKET_FIELD:
        read_where(x, state[row[0] + GIVEN + int(par[0])], out)


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def roll(code: int, arg: I8, par: F8, row: I8, state: F8, reg: F8, x: F8, out: F8) -> None:
    """Group 4. Operands of what puts in order: ring, series, what the ring displaced. A statistic reads its operand's rows."""
    width, n = int(par[0]), out.shape[0]
    y, z = reg[arg[1], :n], reg[arg[2], :n]
    scratch = reg[reg.shape[0] - SCRATCH :]
    if code == op.WINDOW:
        window(x, width, state, row[OWN], out)
    elif code == op.SORTED:
        insert_sorted(y, z, width, state, row[OWN], scratch, out)
        where_full(y, par[0] - par[1], state[row[0]], out)
    elif code == op.RANK:
        rank(x, width, state, row[0], out)
    elif code == op.MEAN_RANK:
        mean_rank(x, width, state, row[0], out)
    elif code == op.QUANTILE:
        quantile(x, par[1], state, row[0], width, out)
    else:
        reduce_window(code, x, y, z, par, state, row[0] + HEAD, scratch, out)


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def sum_up(code: int, arg: I8, par: F8, row: I8, cell: int, state: F8, rings: F8, reg: F8, x: F8, y: F8, out: F8) -> None:
    """Group 6. Operands of a figure: ring, series, what its width displaced (nothing of a total's), mean.

    A covariance has series, displaced and mean of both.
    """
    n, at = out.shape[0], row[OWN]
    z, u = reg[arg[2], :n], reg[arg[3], :n]
    if code == op.RING:
        push(x, int(par[0]), state, at, rings, cell, out)
    elif code == op.DISPLACED:
        displaced(y, int(par[0]), int(par[1]), state, row[0], rings, cell, out)
    elif code == op.SUM_MEAN:
        mean(y, z, par[0], par[1], state[row[0]], state[row[0] + RUN], state[at], state[at + 1], out)
    elif code == op.SUM_TOTAL:
        total(z, y, par[0], state[row[0] + RUN], state[row[2]], out)
    elif code == op.SUM_STD:
        sums = row[3]
        deviation(y, z, u, par[0], state[row[0] + RUN], state[sums], state[sums + 1], state[at], state[at + 1], out)
    elif code == op.SUM_SLOPE:
        sums, place, run = row[3], state[row[0]], state[row[0] + RUN]
        slope(y, z, u, par, place, run, state[sums], state[sums + 1], state[at], state[at + 1], out)
    elif code == op.SUM_COV:
        covariance(x, y, z, u, reg[arg[4], :n], par[0], state, row[4], row[5], at, out)


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def in_session(code: int, x: F8, start: F8, par: F8, minute: float, state: F8, row: int, out: F8) -> None:
    """Group 5. A slot's par is (alpha, minutes a slot); outside its rows it knows and learns nothing."""
    if code == op.SESSION_BEFORE:
        session_before(x, start, state[row], state[row + 1], out)
    elif code == op.SLOT or code == op.SLOT_STD:
        slot = int(np.floor(minute / par[1]))
        if not 0 <= slot < op.LONGEST_SESSION // par[1]:
            out[:] = np.nan
        elif code == op.SLOT:
            slot_mean(x, par[0], state[row + slot], out)
        else:
            slot_std(x, par[0], state[row + 3 * slot], state[row + 3 * slot + 1], state[row + 3 * slot + 2], out)
    else:
        accumulate(code, x, start, state[row], out)


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def emit(outputs: I8, mask: B1, reg: F8, place: I8, out: F4) -> None:
    """Cast the chosen registers to their columns of [S', F]; NaN without a bar."""
    for f in range(outputs.shape[0]):
        value, column = reg[outputs[f, 0]], outputs[f, 1]
        for s in range(place.shape[0]):
            if place[s] >= 0:
                out[place[s], column] = value[s] if mask[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def carry(carries: I8, reg: F8, carried: F8) -> None:
    """Keep the chosen registers for later phases: float64 [C, S]."""
    for k in range(carries.shape[0]):
        value, target = reg[carries[k, 0]], carried[carries[k, 1]]
        for s in range(target.shape[0]):
            target[s] = value[s]
