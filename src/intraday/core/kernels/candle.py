"""Candle logic, stated once: what a usable tick is, how ticks become minutes, how minutes become longer bars (docs/sessions.md).

Two drivers call these kernels: ``LiveAggregator`` a frame at a time, ``HistoricalAggregator`` a day at a time. Both give the same
bits because every rule below looks at one tick (or one minute) and the instrument's own state, never at the chunk it came in.

State is one structured row an instrument (``CHECK``, ``FOLD``, ``BUCKET``), changed in place. Prices are paise until a bar is
emitted. Rules and their evidence: KITE_SPEC 8.5 (cumulative volume, cached first packet, regressing packets).
"""

import numba as nb
import numpy as np

from intraday.core.kernels.types import I1, I8, Rows

MINUTE_NS = 60_000_000_000

# Why a tick was refused; 0 is accepted. `core.candles.TickReject` names them.
OK, UNKNOWN, ZERO_TIME, BAD_PRICE, OTHER_DAY, PRE_OPEN, HALT, AUCTION, OUT_OF_SESSION = range(9)
FUTURE, OUT_OF_ORDER, VOLUME_REGRESSED, DUPLICATE, VOLUME_LEAPT = range(9, 14)

PARTIAL, LATE = 1, 2  # bits of BAR.flags

RECOVER = 10  # ticks in a row that agree on another day's volume: then it was the held one that was wrong
LEAP, LEAP_TIMES = 100_000_000, 20  # shares from one tick to the next, and times all that was traded before: nobody trades so

CHECK = np.dtype(
    [
        ("event_ns", "i8"),
        ("volume", "i8"),
        ("price", "i8"),
        ("low_volume", "i8"),  # of the last tick refused for its volume
        ("n_low", "i8"),  # how many of them in a row agreed with each other
    ]
)

FOLD = np.dtype(
    [
        ("minute_ns", "i8"),  # open time of the minute under construction; -1: none
        ("open", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        ("n", "i8"),
        ("base", "i8"),  # cumulative volume before this minute
        ("volume", "i8"),  # cumulative volume at the last tick; -1: the instrument has none
        ("flags", "i4"),
        ("issued", "i1"),  # the minute was handed out already
        ("dirty", "i1"),  # and changed since
        ("seen", "i1"),  # a tick was folded this session
        ("cut", "i1"),  # the link was lost since the last tick
    ],
)

BUCKET = np.dtype(
    [
        ("ts_ns", "i8"),  # open time of the bucket under construction; -1: none
        ("flags", "i8"),
        ("open", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
        ("volume", "f8"),
        ("n", "i8"),
    ],
)


@nb.njit(cache=True, nogil=True)
def judge_stamp(event_ns: int, price: int, latest_ns: int, day_ns: int, open_ns: int, close_ns: int, after: int) -> int:
    """Why a tick cannot be one of this session, whatever came before it; OK if it can.

    ``latest_ns``: no stamp may be later. ``close_ns``: the end of the instrument's own continuous trading, ``after``: what a tick
    from then on is, AUCTION for a closing-auction stock and OUT_OF_SESSION for others.
    """
    if event_ns < 86_400_000_000_000:
        return ZERO_TIME
    if price <= 0:
        return BAD_PRICE
    if event_ns < day_ns or event_ns >= day_ns + 86_400_000_000_000:
        return OTHER_DAY
    if event_ns < open_ns:
        return PRE_OPEN
    if event_ns >= close_ns:
        return after
    if event_ns > latest_ns:
        return FUTURE
    return OK


@nb.njit(cache=True, nogil=True)
def judge_order(state: Rows, inst: int, event_ns: int, price: int, volume: int) -> int:
    """Why a tick cannot follow the last usable one of its instrument; OK if it can."""
    if event_ns < state[inst]["event_ns"]:
        return OUT_OF_ORDER
    if volume < state[inst]["volume"]:
        return VOLUME_REGRESSED
    if state[inst]["volume"] >= 0 and volume - state[inst]["volume"] > max(LEAP, LEAP_TIMES * state[inst]["volume"]):
        return VOLUME_LEAPT
    if event_ns == state[inst]["event_ns"] and volume == state[inst]["volume"] and price == state[inst]["price"]:
        return DUPLICATE
    return OK


@nb.njit(cache=True, nogil=True)
def in_pause(event_ns: int, pauses: I8) -> bool:
    """Whether the exchange had halted trading; pauses: int64 [k, 2], start and end."""
    for i in range(pauses.shape[0]):
        if pauses[i, 0] <= event_ns < pauses[i, 1]:
            return True
    return False


@nb.njit(cache=True, nogil=True)
def recovers(state: Rows, inst: int, volume: int) -> bool:
    """Count a tick refused for its volume; True when enough agree with each other that the held volume must be wrong.

    Without this one glitch would silence an instrument for the rest of the day.
    """
    agrees = state[inst]["n_low"] > 0 and volume >= state[inst]["low_volume"]
    state[inst]["n_low"] = state[inst]["n_low"] + 1 if agrees else 1
    state[inst]["low_volume"] = volume
    return bool(state[inst]["n_low"] >= RECOVER)


@nb.njit(cache=True, nogil=True)
def check_ticks(
    state: Rows, ticks: Rows, day_ns: int, open_ns: int, close_ns: I8, after: I1, pauses: I8, future_ns: int, kept: Rows, reason: I1
) -> int:
    """Copy the usable ticks of a frame to ``kept`` and say why each other one is not.

    state: CHECK[S]; ticks: TICK[n]; day_ns: midnight IST of the session's day; ``close_ns`` int64 [S] and ``after`` int8 [S]: when
    each instrument's continuous trading ends and what its later ticks are; pauses: halts, int64 [k, 2]; ``kept``: TICK[>= n];
    ``reason``: int8[n]. A tick is compared with the last *usable* tick of its instrument: it may repeat neither it nor an earlier
    time or volume. Returns the number of usable ticks.
    """
    n_kept = 0
    for k in range(ticks.shape[0]):
        inst = ticks[k]["inst"]
        why = UNKNOWN
        if inst >= 0 and inst < state.shape[0]:
            latest_ns = ticks[k]["recv_ns"] + future_ns
            why = judge_stamp(ticks[k]["event_ns"], ticks[k]["price"], latest_ns, day_ns, open_ns, close_ns[inst], after[inst])
            if why == OK and in_pause(ticks[k]["event_ns"], pauses):
                why = HALT
            if why == OK:
                why = judge_order(state, inst, ticks[k]["event_ns"], ticks[k]["price"], ticks[k]["volume"])
            if (why == VOLUME_REGRESSED or why == VOLUME_LEAPT) and recovers(state, inst, ticks[k]["volume"]):
                why = OK
        reason[k] = why
        if why == OK:
            state[inst]["event_ns"] = ticks[k]["event_ns"]
            state[inst]["volume"] = ticks[k]["volume"]
            state[inst]["price"] = ticks[k]["price"]
            state[inst]["n_low"] = 0
            kept[n_kept] = ticks[k]
            n_kept += 1
    return n_kept


@nb.njit(cache=True, nogil=True)
def emit(state: Rows, s: int, late: bool, out: Rows, n: int) -> int:
    """Write the minute under construction of instrument ``s`` to ``out[n]``; paise become rupees. Returns n + 1."""
    out[n]["ts_ns"] = state[s]["minute_ns"]
    out[n]["inst"] = s
    out[n]["flags"] = state[s]["flags"] | (LATE if late else 0)
    out[n]["open"] = state[s]["open"] / 100.0
    out[n]["high"] = state[s]["high"] / 100.0
    out[n]["low"] = state[s]["low"] / 100.0
    out[n]["close"] = state[s]["close"] / 100.0
    out[n]["volume"] = np.float64(state[s]["volume"] - state[s]["base"]) if state[s]["volume"] >= 0 else np.nan
    out[n]["n_ticks"] = state[s]["n"]
    return n + 1


@nb.njit(cache=True, nogil=True)
def begin_minute(state: Rows, s: int, minute_ns: int, price: int, volume: int, issued_ns: int) -> None:
    """Start the minute ``minute_ns`` of instrument ``s``.

    Its volume counts from the last tick before it, from zero for the day's first (the pre-open auction is part of the day's
    volume). After a lost link, which a late start is too, it counts from the tick itself: what came before may belong to other
    minutes (flag PARTIAL). A minute that was handed out already without this instrument is late from its first tick on.
    """
    if state[s]["cut"] == 1:
        state[s]["base"] = volume
        state[s]["flags"] = PARTIAL
    else:
        state[s]["base"] = state[s]["volume"] if state[s]["seen"] == 1 else 0
        state[s]["flags"] = 0
    state[s]["minute_ns"] = minute_ns
    state[s]["open"] = price
    state[s]["high"] = price
    state[s]["low"] = price
    state[s]["n"] = 0
    late = minute_ns < issued_ns
    state[s]["issued"] = 1 if late else 0
    state[s]["dirty"] = 0
    state[s]["seen"] = 1
    state[s]["cut"] = 0


@nb.njit(cache=True, nogil=True)
def restart_volume(state: Rows, s: int, volume: int) -> None:
    """A lower volume is usable only after a recovery (`recovers`): what was counted from the wrong one is not known.

    Nor is what was traded before the first tick that tells a volume, when there were ticks without.
    """
    untold = state[s]["volume"] < 0 and volume >= 0
    if state[s]["seen"] == 1 and (untold or volume < state[s]["volume"]):
        state[s]["cut"] = 1
        if untold or volume < state[s]["base"]:
            state[s]["base"] = volume


@nb.njit(cache=True, nogil=True)
def fold_ticks(state: Rows, ticks: Rows, issued_ns: int, out: Rows) -> int:
    """Fold usable ticks (in time order for each instrument) into the minutes under construction.

    state: FOLD[S]; ticks: TICK[n] from `check_ticks`; issued_ns: every minute before it was handed out; ``out``: BAR[>= n].
    A tick of a newer minute completes the older one, which goes to ``out``: with flag LATE if that minute was handed out before.
    Returns how many rows of ``out`` were written.
    """
    n = 0
    for k in range(ticks.shape[0]):
        s = ticks[k]["inst"]
        price = ticks[k]["price"]
        volume = ticks[k]["volume"]
        minute_ns = ticks[k]["event_ns"] - ticks[k]["event_ns"] % MINUTE_NS
        restart_volume(state, s, volume)
        if minute_ns != state[s]["minute_ns"]:
            if state[s]["minute_ns"] >= 0:
                if state[s]["issued"] == 0:
                    n = emit(state, s, False, out, n)
                elif state[s]["dirty"] == 1:
                    n = emit(state, s, True, out, n)
            begin_minute(state, s, minute_ns, price, volume, issued_ns)
        elif state[s]["cut"] == 1:
            state[s]["flags"] |= PARTIAL
            state[s]["cut"] = 0
        if price > state[s]["high"]:
            state[s]["high"] = price
        if price < state[s]["low"]:
            state[s]["low"] = price
        state[s]["close"] = price
        state[s]["volume"] = volume
        state[s]["n"] += 1
        if state[s]["issued"] == 1:
            state[s]["dirty"] = 1
    return n


@nb.njit(cache=True, nogil=True)
def close_minutes(state: Rows, boundary_ns: int, out: Rows) -> int:
    """Hand out every minute under construction that ends at or before ``boundary_ns``, and late changes of handed-out ones.

    state: FOLD[S]; ``out``: BAR[>= S]. Returns how many rows of ``out`` were written, in order of instrument.
    """
    n = 0
    for s in range(state.shape[0]):
        if state[s]["minute_ns"] < 0 or state[s]["minute_ns"] + MINUTE_NS > boundary_ns:
            continue
        if state[s]["issued"] == 0:
            n = emit(state, s, False, out, n)
            state[s]["issued"] = 1
        elif state[s]["dirty"] == 1:
            n = emit(state, s, True, out, n)
            state[s]["dirty"] = 0
    return n


@nb.njit(cache=True, nogil=True)
def emit_bucket(state: Rows, s: int, out: Rows, n: int) -> int:
    """Write the bucket under construction of instrument ``s`` to ``out[n]``. Returns n + 1."""
    out[n]["ts_ns"] = state[s]["ts_ns"]
    out[n]["inst"] = s
    out[n]["flags"] = state[s]["flags"]
    out[n]["open"] = state[s]["open"]
    out[n]["high"] = state[s]["high"]
    out[n]["low"] = state[s]["low"]
    out[n]["close"] = state[s]["close"]
    out[n]["volume"] = state[s]["volume"]
    out[n]["n_ticks"] = state[s]["n"]
    state[s]["ts_ns"] = -1
    return n + 1


@nb.njit(cache=True, nogil=True)
def fold_minutes(state: Rows, bars: Rows, origin_ns: int, frame_ns: int, out: Rows) -> int:
    """Fold one-minute bars (in time order) into buckets of ``frame_ns`` on the grid that starts at ``origin_ns``.

    state: BUCKET[S]; bars: BAR[n]; ``out``: BAR[>= n]. A bar of a newer bucket completes the older one, which goes to ``out``.
    Volume of an instrument without volume stays NaN. Returns how many rows of ``out`` were written.
    """
    n = 0
    for k in range(bars.shape[0]):
        s = bars[k]["inst"]
        ts_ns = bars[k]["ts_ns"]
        bucket_ns = ts_ns - (ts_ns - origin_ns) % frame_ns
        if state[s]["ts_ns"] != bucket_ns:
            if state[s]["ts_ns"] >= 0:
                n = emit_bucket(state, s, out, n)
            state[s]["ts_ns"] = bucket_ns
            state[s]["flags"] = 0
            state[s]["open"] = bars[k]["open"]
            state[s]["high"] = bars[k]["high"]
            state[s]["low"] = bars[k]["low"]
            state[s]["volume"] = 0.0
            state[s]["n"] = 0
        if bars[k]["high"] > state[s]["high"]:
            state[s]["high"] = bars[k]["high"]
        if bars[k]["low"] < state[s]["low"]:
            state[s]["low"] = bars[k]["low"]
        state[s]["close"] = bars[k]["close"]
        state[s]["volume"] += bars[k]["volume"]
        state[s]["flags"] |= bars[k]["flags"]
        state[s]["n"] += bars[k]["n_ticks"]
    return n


@nb.njit(cache=True, nogil=True)
def close_buckets(state: Rows, boundary_ns: int, frame_ns: int, close_ns: I8, out: Rows) -> int:
    """Hand out every bucket under construction that ends at or before ``boundary_ns``: a last short one at its instrument's close.

    state: BUCKET[S]; close_ns: int64 [S]; ``out``: BAR[>= S]. Returns how many rows were written, in order of instrument.
    """
    n = 0
    for s in range(state.shape[0]):
        if state[s]["ts_ns"] >= 0 and (state[s]["ts_ns"] + frame_ns <= boundary_ns or close_ns[s] <= boundary_ns):
            n = emit_bucket(state, s, out, n)
    return n
