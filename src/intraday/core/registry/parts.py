"""Expressions that several families share."""

from __future__ import annotations

from intraday.core.expression import (
    Expr,
    at_start,
    close,
    ewm_std,
    high,
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


def directed(change: Expr, amount: Expr) -> Expr:
    """``amount`` with the sign of ``change``, 0 when there was none."""
    return where(change, amount, where(-change, -amount, amount * 0.0))
