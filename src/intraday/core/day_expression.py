"""The part of the feature language that knows the day and the others: sessions, times of day, longer bars, cross-sections.

Re-exported by ``core.expression``, which says how to read the docstrings.
"""

from __future__ import annotations

from typing import Final

from intraday.core.arguments import whole
from intraday.core.kernels import opcodes
from intraday.core.operations import BUCKET_FIELDS, Expr

START: Final = Expr("start")


def session_first(x: Expr) -> Expr:
    """First observation of the session. NaN: before it. Units: of x."""
    return Expr("session_first", (x, START))


def session_sum(x: Expr) -> Expr:
    """Sum of the session so far. NaN: where x is. Units: of x."""
    return Expr("session_sum", (x, START))


def session_count(x: Expr) -> Expr:
    """Observations of the session so far. NaN: where x is. Units: observations."""
    return session_sum(Expr("equal", (x, x)))


def session_max(x: Expr) -> Expr:
    """Largest of the session so far. NaN: before the first. Units: of x."""
    return Expr("session_max", (x, START))


def session_min(x: Expr) -> Expr:
    """Smallest of the session so far. NaN: before the first. Units: of x."""
    return Expr("session_min", (x, START))


def session_before(x: Expr) -> Expr:
    """Last observation of the instrument's session before. NaN: in its first. Units: of x."""
    return Expr("session_before", (x, START))


def slot_mean(x: Expr, span: int) -> Expr:
    """Exponential mean over earlier sessions (``span`` of them: weight 2/(span+1)) of ``x`` at this time of day.

    A time of day is a bar of the feature set's timeframe, counted from the session's open. NaN: in the first session. Units: of x.
    """
    return Expr("slot", (x,), (2.0 / (whole("slot_mean", span, "sessions") + 1.0),))


def slot_std(x: Expr, span: int) -> Expr:
    """Exponential deviation, over ``span`` earlier sessions, of ``x`` at this time of day, about its own mean.

    Weights max(2/(span+1), 1/n), as ``ewm_std``: with few sessions all count alike. NaN: in the first two. Units: of x.
    """
    return Expr("slot_std", (x,), (2.0 / (whole("slot_std", span, "sessions") + 1.0),))


def _bucket(name: str, minutes_: int) -> Expr:
    length = float(whole(f"bucket_{name}", minutes_, "minutes", most=opcodes.LONGEST_SESSION))
    return Expr(f"bucket_{name}", (Expr("bucket", (), (length,)),), (float(BUCKET_FIELDS.index(name)),))


def bucket_open(minutes_: int) -> Expr:
    """Open of the last closed bar of ``minutes_`` minutes, as one observation a bar of that length.

    The grid starts at 09:15 IST. The observation comes with the decision bar that completes the bucket: its last slot, or the
    instrument's last slot of the session; where the instrument had no bar in that slot, with its next bar. In order, at most one a
    decision bar: a second waits for the next. NaN at every other bar, and always where ``minutes_`` is no multiple of the feature
    set's timeframe. ``hold(ema(bucket_close(60), 20), close())`` is the EMA20 of 60-minute bars at every bar.

    NaN: at every bar that completes none. Units: rupees.
    """
    return _bucket("open", minutes_)


def bucket_high(minutes_: int) -> Expr:
    """High of the last closed bar of ``minutes_`` minutes; see ``bucket_open``. NaN: as there. Units: rupees."""
    return _bucket("high", minutes_)


def bucket_low(minutes_: int) -> Expr:
    """Low of the last closed bar of ``minutes_`` minutes; see ``bucket_open``. NaN: as there. Units: rupees."""
    return _bucket("low", minutes_)


def bucket_close(minutes_: int) -> Expr:
    """Close of the last closed bar of ``minutes_`` minutes; see ``bucket_open``. NaN: as there. Units: rupees."""
    return _bucket("close", minutes_)


def bucket_volume(minutes_: int) -> Expr:
    """Volume of the last closed bar of ``minutes_`` minutes; see ``bucket_open``. NaN: as there. Units: shares."""
    return _bucket("volume", minutes_)


def across_rank(x: Expr) -> Expr:
    """Share of the members observed at this decision bar that is not above this one, ties at their mean rank.

    Like all of the ``across`` functions it looks at members (``Panel.member``) with an observation at this very bar and at nobody
    else: one that has no bar takes no part and changes nobody's state. NaN: for an instrument that is no member; for fewer than 5
    members. Units: 1/n .. 1.
    """
    return Expr("across_rank", (x,))


def across_mean(x: Expr) -> Expr:
    """Mean of the members observed at this decision bar, for every instrument with a bar. NaN: for fewer than 5. Units: of x."""
    return Expr("across_mean", (x,))


def across_std(x: Expr) -> Expr:
    """Population standard deviation of the members observed at this decision bar. NaN: for fewer than 5. Units: of x."""
    return Expr("across_std", (x,))


def across_count(x: Expr) -> Expr:
    """How many members are observed at this decision bar. NaN: never. Units: members."""
    return Expr("across_count", (x,))


def of_index(x: Expr) -> Expr:
    """``x`` of the market index at this decision bar. NaN: when it has no bar now, or is not in the list. Units: of x."""
    return Expr("of_index", (x,))
