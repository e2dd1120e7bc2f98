"""Expressions that several families share."""

from __future__ import annotations

import math

from intraday.core.expression import (
    Expr,
    at_start,
    clip,
    close,
    ewm_std,
    high,
    lag,
    log,
    low,
    max_,
    min_,
    open_,
    prev,
    ratio,
    session_first,
    session_sum,
    volume,
    where,
)

SIGMA_SPAN = 60  # decision bars
SIGMA_LEAST = 20
CRORE = 1e7  # rupees
TIE = 1e-6  # rupees: sums and thirds of equal prices differ by rounding, and must not count as a rise
NO_TRADE = "no trade in the window"
NO_TRADE_TODAY = "no trade yet in the session"


def at_least_zero(x: Expr) -> Expr:
    """What falls below zero, by rounding or by sampling, is zero."""
    return clip(x, 0.0, math.inf)


def log_return(bars: int) -> Expr:
    """ln(close / close ``bars`` ago); the night counts."""
    return log(close()) - lag(log(close()), bars)


def intraday_return() -> Expr:
    """Log return of the bar without the night: from the bar's own open at the session's first bar, else from the last close."""
    return log(ratio(close(), at_start(open_(), prev(close()))))


def sigma() -> Expr:
    """The volatility target: EWM standard deviation of ``intraday_return``, per bar."""
    return ewm_std(intraday_return(), SIGMA_SPAN, SIGMA_LEAST)


def true_range() -> Expr:
    """Wilder's true range, rupees; the night counts."""
    return max_(high(), prev(close())) - min_(low(), prev(close()))


def typical() -> Expr:
    """(high + low + close) / 3."""
    return (high() + low() + close()) / 3.0


def vwap() -> Expr:
    """Volume-weighted mean of the typical price since the session's open; NaN until something traded."""
    return ratio(session_sum(typical() * volume()), session_sum(volume()))


def session_open() -> Expr:
    """Open of the instrument's first bar of the session."""
    return session_first(open_())


def close_location() -> Expr:
    """Where in its range the bar closed: -1 at the low, 1 at the high, 0 if flat."""
    return ratio(close() * 2.0 - high() - low(), high() - low(), 0.0)


def directed(change: Expr, amount: Expr) -> Expr:
    """``amount`` with the sign of ``change``, 0 when there was none."""
    return where(change, amount, where(-change, -amount, amount * 0.0))
