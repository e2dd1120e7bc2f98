"""Triple barriers: one trade walked minute by minute, and all decisions of one session.

A session is a grid of its minutes: row m opens m minutes after the session does, with NaN prices where the instrument has no bar.
Prices are rupees, and bars hold what bars must (low <= open, close <= high). Rules: docs/labels.md. Circuit limits are NaN where
unknown: every comparison with them is then false.
"""

import math
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

F4 = NDArray[np.float32]
F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
Mask = NDArray[np.bool_]
Table = NDArray[Any]  # LABEL[D, S]

MINUTE_NS = 60_000_000_000
UNKNOWN, TARGET, STOP, VERTICAL, SKIPPED = 0, 1, 2, 3, 4  # how a trade ended

# Bits of LABEL.barrier, a byte; `core.labels.Barrier` names them.
LONG_TARGET, LONG_STOP, SHORT_TARGET, SHORT_STOP, ANY_VERTICAL, BOTH_IN_BAR, ANY_SKIPPED, ANY_LOCKED = 1, 2, 4, 8, 16, 32, 64, 128
OPEN, HIGH, LOW, CLOSE = 0, 1, 2, 3  # of a grid [4, M]
DUE, WAIT, END, KNOWN = 0, 1, 2, 3  # rows of `clock`: first and last row of an entry, of the vertical barrier, of what is known


@nb.njit(cache=True, nogil=True, error_model="numpy")
def barrier_price(close: float, distance: float, tick: int, side: int) -> float:
    """The barrier ``distance`` above (side +1) or below (-1) ``close``, rounded away from it to the grid of ``tick`` paise.

    At least one tick away and above zero, so rounding never makes a barrier easier to reach. The result is whole paise over 100,
    the same double a bar's price has. NaN in, NaN out.
    """
    if not (close > 0.0 and distance > 0.0 and distance < math.inf):
        return np.nan
    slack = 1e-6  # of a tick: a double's error must not push a price on the grid to the next step
    at, to = close * 100.0 / tick, (close + side * distance) * 100.0 / tick
    if side > 0:
        steps = max(math.ceil(to - slack), math.floor(at + slack) + 1)
    else:
        steps = max(min(math.floor(to + slack), math.ceil(at - slack) - 1), 1)
    return steps * tick / 100.0


@nb.njit(cache=True, nogil=True, error_model="numpy")
def four_barriers(
    close: float, sigma: float, tick: int, root: float, target: float, stop: float
) -> tuple[float, float, float, float]:
    """Long target, long stop, short target and short stop of a decision; ``root`` is the square root of its horizon in bars.

    An infinite ``target`` means that there are no horizontal barriers. NaN where close or sigma is not above zero.
    """
    unit = close * sigma * root
    if target == math.inf and unit > 0.0:
        return math.inf, -math.inf, -math.inf, math.inf
    above, below = barrier_price(close, target * unit, tick, 1), barrier_price(close, stop * unit, tick, -1)
    if target == stop:
        return above, below, below, above
    return above, below, barrier_price(close, target * unit, tick, -1), barrier_price(close, stop * unit, tick, 1)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def barrier_prices(close: F8, sigma: F8, tick: I8, root: float, target: float, stop: float, out: F8) -> None:
    """``four_barriers`` of each row: close, sigma float64 [n], tick int64 [n] paise, into ``out`` float64 [4, n]."""
    for k in range(close.shape[0]):
        out[0, k], out[1, k], out[2, k], out[3, k] = four_barriers(close[k], sigma[k], tick[k], root, target, stop)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def to_grid(values: F8, column: int, row: int, field: int, out: F8) -> None:
    """Transpose columns ``column ..`` of ``values`` float64 [T, S] into ``field`` of ``out`` float64 [n, 4, M], from ``row`` on.

    In squares of eight by eight, whose cache lines are used up before the next: three times as fast as line by line.
    """
    n_rows, n = values.shape[0], out.shape[0]
    for s0 in range(0, n - n % 8, 8):
        for t0 in range(0, n_rows - n_rows % 8, 8):
            for s in range(8):
                for t in range(8):
                    out[s0 + s, field, row + t0 + t] = values[t0 + t, column + s0 + s]
        for t in range(n_rows - n_rows % 8, n_rows):
            for s in range(s0, s0 + 8):
                out[s, field, row + t] = values[t, column + s]
    for s in range(n - n % 8, n):
        for t in range(n_rows):
            out[s, field, row + t] = values[t, column + s]


@nb.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def find_entry(bars: F8, due: int, wait: int, end: int) -> int:
    """The first row with a bar from ``due`` to ``wait`` and before ``end``; else -1."""
    for m in range(due, min(wait + 1, end, bars.shape[1])):
        if bars[OPEN, m] == bars[OPEN, m]:
            return m
    return -1


@nb.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def at_limit(price: float, lower: float, upper: float, margin: float) -> bool:
    """Whether the price is at a circuit limit or within ``margin`` of it. A price beyond a limit shows that the limit was moved."""
    return upper - margin <= price <= upper or lower <= price <= lower + margin


@nb.njit(cache=True, nogil=True, error_model="numpy")
def release(bars: F8, first: int, last: int, known: int, how: int, lower: float, upper: float) -> tuple[int, float, int]:
    """A locked position leaves at the first open inside the limits from row ``first`` on: (how, price, known at that row's open).

    None before ``last``, when every trade must be over: VERTICAL at the last close, which is a mark and no fill.
    """
    mark = np.nan
    for m in range(min(last, known)):
        if m >= first and bars[OPEN, m] == bars[OPEN, m] and not at_limit(bars[OPEN, m], lower, upper, 0.0):
            return how, bars[OPEN, m], m + 1
        if bars[CLOSE, m] == bars[CLOSE, m]:
            mark = bars[CLOSE, m]
    return (UNKNOWN, np.nan, 0) if known < last else (VERTICAL, mark, last)


@nb.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def first_touch(bars: F8, first: int, until: int, above: float, below: float) -> int:
    """The first row from ``first`` on that reaches ``above`` or ``below``, or has no bar; ``until`` if there is none.

    Eight rows at a time without a branch, which a compiler makes vector code of; then row by row. Unsigned, because a signed index
    could count from the end, and numba would look each time.
    """
    k, n = np.uint64(first), np.uint64(until)
    one, eight = np.uint64(1), np.uint64(8)
    while k + eight <= n:
        quiet = True
        for j in range(8):
            row = k + np.uint64(j)
            quiet &= (bars[HIGH, row] < above) & (bars[LOW, row] > below)
        if not quiet:
            break
        k += eight
    while k < n and bars[HIGH, k] < above and bars[LOW, k] > below:
        k += one
    return int(np.int64(k))


@nb.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def touch(bars: F8, m: int, side: int, target: float, stop: float) -> tuple[int, float, bool]:
    """How a trade ends in a bar that reaches a barrier: (how, price, both barriers inside the bar). The stop comes first.

    Nobody can predict which it is, a processor neither: selects, no branches.
    """
    first, high, low = bars[OPEN, m], bars[HIGH, m], bars[LOW, m]
    gap_stop, gap_target = side * first <= side * stop, side * first >= side * target
    stopped, won = (low <= stop, high >= target) if side > 0 else (high >= stop, low <= target)
    gap, stopped = gap_stop | gap_target, gap_stop | (stopped & (not gap_target))
    price = stop if stopped else target
    return (STOP if stopped else TARGET), (first if gap else price), stopped & won & (not gap)


@nb.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def walk(
    bars: F8, entry: int, end: int, last: int, known: int, hole: int,
    side: int, target: float, stop: float, lower: float, upper: float,
) -> tuple[int, float, int, bool, bool]:  # fmt: skip
    """One trade from the open of row ``entry``: (how it ended, exit price, row at whose open that was known, both, locked).

    ``bars`` float64 [4, M]. At the entry's open: at or beyond a barrier, not entered. At a later open: beyond the stop fills there
    (worse), beyond the target fills there (better). Inside a bar: the stop first, ``both`` if the target was in it too. Otherwise
    the last close before row ``end``. An exit at a circuit limit does not fill: the position is ``locked`` and leaves by
    ``release``, before row ``last``. UNKNOWN: nothing was decided before row ``known`` or before a hole of more than ``hole`` rows
    (what is locked has none).
    """
    above, below = max(target, stop), min(target, stop)
    m, seen, until = entry, entry, min(end, known)
    while m < until:
        first = m
        m = first_touch(bars, first, until, above, below)
        seen = m - 1 if m > first else seen
        if m == until:
            break
        if not bars[CLOSE, m] == bars[CLOSE, m]:
            while m < until and not bars[CLOSE, m] == bars[CLOSE, m]:
                m += 1
            if m - seen - 1 > hole and not at_limit(bars[CLOSE, seen], lower, upper, 0.0):
                return UNKNOWN, np.nan, 0, False, False
            continue
        how, price, both = touch(bars, m, side, target, stop)
        if m == entry and price == bars[OPEN, m]:
            return SKIPPED, price, m + 1, False, False
        if not at_limit(price, lower, upper, 0.0):
            return how, price, m + 1, both, False
        how, price, row = release(bars, m + 1, last, known, how, lower, upper)
        return how, price, row, both, True
    locked = at_limit(bars[CLOSE, seen], lower, upper, 0.0)
    if known < end or (end - seen - 1 > hole and not locked):
        return UNKNOWN, np.nan, 0, False, False
    if not locked:
        return VERTICAL, bars[CLOSE, seen], end, False, False
    how, price, row = release(bars, end, last, known, VERTICAL, lower, upper)
    return how, price, row, False, True


@nb.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def other_side(how: int, price: float, both: bool, stop: float) -> tuple[int, float]:
    """How the short trade of a long one ends whose barriers are the same two prices: in the same bar, the stop first here too."""
    ended = (how == TARGET) | (how == STOP)
    won = (how == STOP) & (not both)
    return ((TARGET if won else STOP) if ended else how), (stop if both else price)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def decide(how_long: int, how_short: int, long_row: int, short_row: int) -> int:
    """+1 if the long trade reached its target (first, if both did), -1 if the short one, 0 if neither or both in one minute."""
    long_won, short_won = how_long == TARGET, how_short == TARGET
    up = long_won & ((not short_won) | (long_row < short_row))
    down = short_won & ((not long_won) | (short_row < long_row))
    return int(up) - int(down)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def bits(how_long: int, how_short: int, long_row: int, short_row: int, both: bool) -> int:
    """LABEL.barrier of two ended trades."""
    tie = (how_long == TARGET) & (how_short == TARGET) & (long_row == short_row)
    long = (LONG_TARGET if how_long == TARGET else 0) | (LONG_STOP if how_long == STOP else 0)
    short = (SHORT_TARGET if how_short == TARGET else 0) | (SHORT_STOP if how_short == STOP else 0)
    vertical = ANY_VERTICAL if (how_long == VERTICAL) | (how_short == VERTICAL) else 0
    skipped = ANY_SKIPPED if (how_long == SKIPPED) | (how_short == SKIPPED) else 0
    return long | short | vertical | skipped | (BOTH_IN_BAR if both | tie else 0)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def label_session(
    grid: F8, keep: I8, decided: F8, sigma: F4, tick: I8, root: float, target: float, stop: float,
    lower: F8, upper: F8, margin: F8, clock: I8, last: int, hole: int, open_ns: int, ts: I8, out: Table, done: Mask,
) -> None:  # fmt: skip
    """Both trades of every decision of the instruments ``keep`` (rows of S) in one session.

    grid float64 [len(keep), 4, M]; decided (the decision bars' closes, NaN: none) float64, sigma float32 [D, S]; tick int64 [S]
    paise; lower, upper, margin float64 [S]: circuit limits and how near to them nobody enters; clock int64 [4, D]; ts int64 [D].
    Fills ``out`` LABEL [D, S] where it sets ``done`` bool [D, S].
    """
    for i, s in enumerate(keep):
        bars = grid[i]
        for d in range(clock.shape[1]):
            long_target, long_stop, short_target, short_stop = four_barriers(
                decided[d, s], sigma[d, s], tick[s], root, target, stop
            )
            end, known = clock[END, d], clock[KNOWN, d]
            m = -1 if not long_target == long_target else find_entry(bars, clock[DUE, d], clock[WAIT, d], end)
            if m < 0 or m >= known:
                continue
            paid = bars[OPEN, m]
            near = at_limit(paid, lower[s], upper[s], margin[s])
            up, long_exit, long_row, both_long, locked_long = SKIPPED, paid, m + 1, False, False
            if not near:
                up, long_exit, long_row, both_long, locked_long = walk(
                    bars, m, end, last, known, hole, 1, long_target, long_stop, lower[s], upper[s]
                )
            if up == UNKNOWN:
                continue
            down, short_exit, short_row, both_short, locked_short = UNKNOWN, np.nan, long_row, both_long, False
            if near or (target == stop and not locked_long):
                down, short_exit = other_side(up, long_exit, both_long, short_stop)
                if both_long and at_limit(short_exit, lower[s], upper[s], 0.0):
                    down = UNKNOWN
            if down == UNKNOWN:
                down, short_exit, short_row, both_short, locked_short = walk(
                    bars, m, end, last, known, hole, -1, short_target, short_stop, lower[s], upper[s]
                )
            if down == UNKNOWN:
                continue
            row = out[d, s]
            row["ts_ns"], row["inst"], row["sigma"] = ts[d], s, sigma[d, s]
            row["label"] = decide(up, down, long_row, short_row)
            row["barrier"] = bits(up, down, long_row, short_row, both_long or both_short) | (
                ANY_LOCKED if locked_long or locked_short else 0
            )
            row["ret_long"], row["ret_short"] = long_exit / paid - 1.0, 1.0 - short_exit / paid
            row["entry_ns"] = open_ns + m * MINUTE_NS
            row["t1_ns"] = open_ns + max(long_row, short_row) * MINUTE_NS
            done[d, s] = True


@nb.njit(cache=True, nogil=True, error_model="numpy")
def collect(table: Table, done: Mask, out: Table, n: int) -> int:
    """Append the rows of ``table`` [D, S] that are ``done`` to ``out`` from row ``n`` on, in order; returns the next free row.

    ``table`` may be ``out`` itself from row ``n`` on: no row is overwritten before it was read.
    """
    for d in range(table.shape[0]):
        for s in range(table.shape[1]):
            if done[d, s]:
                out[n] = table[d, s]
                n += 1
    return n
