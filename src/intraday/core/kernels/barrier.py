"""Triple barriers: one trade walked minute by minute, and all decisions of one session.

Times are int64 ns UTC, prices rupees, rows one-minute bars with NaN prices where the instrument has none. Rules: docs/labels.md.
A short trade is walked as a long one in mirrored prices (negated, high and low swapped), so there is one rule, not two.
"""

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
I1 = NDArray[np.int8]

MINUTE_NS = 60_000_000_000
UNKNOWN, TARGET, STOP, VERTICAL, SKIPPED = 0, 1, 2, 3, 4  # how a trade ended

# Bits of LABEL.barrier; `core.labels.Barrier` names them.
LONG_TARGET, LONG_STOP, SHORT_TARGET, SHORT_STOP, ANY_VERTICAL, BOTH_IN_BAR, ANY_SKIPPED = 1, 2, 4, 8, 16, 32, 64


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
def barrier_prices(close: F8, distance: F8, tick: I8, side: int, out: F8) -> None:
    """``barrier_price`` of each row: close, distance float64 [n], tick int64 [n] paise, into ``out`` float64 [n]."""
    for k in range(close.shape[0]):
        out[k] = barrier_price(close[k], distance[k], tick[k], side)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def find_entry(ts: I8, open_: F8, first: int, due_ns: int, max_wait_ns: int, vertical_ns: int) -> int:
    """The row of the first bar from ``first`` on that opens no later than ``due + max_wait`` and before the vertical; else -1."""
    for m in range(first, ts.shape[0]):
        if ts[m] > due_ns + max_wait_ns or ts[m] >= vertical_ns:
            return -1
        if open_[m] == open_[m]:
            return m
    return -1


@nb.njit(cache=True, nogil=True, error_model="numpy")
def walk(
    ts: I8, open_: F8, high: F8, low: F8, close: F8, entry: int, side: float, target: float, stop: float,
    vertical_ns: int, known_ns: int, max_hole_ns: int,
) -> tuple[int, float, int, bool]:  # fmt: skip
    """One trade from the open of row ``entry``: (how it ended, exit price, ns when that was known, both barriers in one bar).

    At the entry's open: at or beyond a barrier, not entered. At a later open: beyond the stop fills there (worse), beyond the
    target fills there (better). Inside a bar: the stop first. Otherwise the last close before ``vertical_ns``, known then.
    UNKNOWN: nothing was decided by ``known_ns``, up to which the bars are complete, or before a hole longer than ``max_hole_ns``.
    """
    up, down = side * target, side * stop
    seen_ns, last = ts[entry], open_[entry]
    for m in range(entry, ts.shape[0]):
        if ts[m] >= vertical_ns or ts[m] + MINUTE_NS > known_ns:
            break
        if not close[m] == close[m]:
            continue
        if ts[m] - seen_ns > max_hole_ns:
            return UNKNOWN, np.nan, 0, False
        first = side * open_[m]
        best, worst = (high[m], low[m]) if side > 0 else (-low[m], -high[m])
        end_ns = ts[m] + MINUTE_NS
        if first <= down or first >= up:
            how = SKIPPED if m == entry else (STOP if first <= down else TARGET)
            return how, open_[m], end_ns, False
        if worst <= down:
            return STOP, stop, end_ns, best >= up
        if best >= up:
            return TARGET, target, end_ns, False
        seen_ns, last = end_ns, close[m]
    if vertical_ns > known_ns or vertical_ns - seen_ns > max_hole_ns:
        return UNKNOWN, np.nan, 0, False
    return VERTICAL, last, vertical_ns, False


@nb.njit(cache=True, nogil=True, error_model="numpy")
def decide(how_long: int, how_short: int, long_ns: int, short_ns: int) -> int:
    """+1 if the long trade reached its target (first, if both did), -1 if the short one, 0 if neither or both in one minute."""
    long_won, short_won = how_long == TARGET, how_short == TARGET
    if long_won and (not short_won or long_ns < short_ns):
        return 1
    if short_won and (not long_won or short_ns < long_ns):
        return -1
    return 0


@nb.njit(cache=True, nogil=True, error_model="numpy")
def bits(how_long: int, how_short: int, long_ns: int, short_ns: int, both: bool) -> int:
    """LABEL.barrier of two ended trades."""
    out = 0
    if how_long == TARGET:
        out |= LONG_TARGET
    elif how_long == STOP:
        out |= LONG_STOP
    if how_short == TARGET:
        out |= SHORT_TARGET
    elif how_short == STOP:
        out |= SHORT_STOP
    if how_long == VERTICAL or how_short == VERTICAL:
        out |= ANY_VERTICAL
    if how_long == SKIPPED or how_short == SKIPPED:
        out |= ANY_SKIPPED
    if both or (how_long == TARGET and how_short == TARGET and long_ns == short_ns):
        out |= BOTH_IN_BAR
    return out


@nb.njit(cache=True, nogil=True, error_model="numpy")
def label_session(
    ts: I8, open_: F8, high: F8, low: F8, close: F8, barrier: F8, due_ns: I8, vertical_ns: I8, known_ns: int, max_wait_ns: int,
    label: I1, flags: I1, ret: F8, when: I8,
) -> int:  # fmt: skip
    """Both trades of every decision of one session.

    ts int64 [M]; open_ .. close float64 [S, M], NaN where missing; barrier float64 [4, S, D]: long target, long stop, short
    target, short stop (NaN: no decision); due_ns, vertical_ns int64 [D]. Fills label int8 [S, D], flags int8 [S, D], ret float64
    [2, S, D] (long, short) and when int64 [2, S, D] (entry, t1; entry 0: no label). Returns the number of labels.
    """
    n = 0
    for s in range(open_.shape[0]):
        o, h, lo, c = open_[s], high[s], low[s], close[s]
        first = 0
        for d in range(due_ns.shape[0]):
            when[0, s, d] = 0
            if not barrier[0, s, d] == barrier[0, s, d]:
                continue
            while first < ts.shape[0] and ts[first] < due_ns[d]:
                first += 1
            m = find_entry(ts, o, first, due_ns[d], max_wait_ns, vertical_ns[d])
            if m < 0:
                continue
            up, long_exit, long_ns, both_long = walk(
                ts, o, h, lo, c, m, 1.0, barrier[0, s, d], barrier[1, s, d], vertical_ns[d], known_ns, max_wait_ns
            )
            down, short_exit, short_ns, both_short = walk(
                ts, o, h, lo, c, m, -1.0, barrier[2, s, d], barrier[3, s, d], vertical_ns[d], known_ns, max_wait_ns
            )
            if up == UNKNOWN or down == UNKNOWN:
                continue
            label[s, d] = decide(up, down, long_ns, short_ns)
            flags[s, d] = bits(up, down, long_ns, short_ns, both_long or both_short)
            ret[0, s, d] = long_exit / o[m] - 1.0
            ret[1, s, d] = 1.0 - short_exit / o[m]
            when[0, s, d], when[1, s, d] = ts[m], max(long_ns, short_ns)
            n += 1
    return n
