"""Where in the day, and where in the day's prices."""

from __future__ import annotations

import math

from intraday.core.expression import (
    Expr,
    affine,
    clip,
    close,
    cos,
    high,
    log,
    low,
    minute,
    minutes,
    open_,
    ratio,
    session_before,
    session_first,
    session_max,
    session_min,
    sin,
    where,
)
from intraday.core.feature import Feature
from intraday.core.registry.parts import session_open

OPENING_MINUTES = 30.0


def features() -> list[Feature]:
    """Families ``time`` and ``session``."""
    return [*_time(), *_today(), *_yesterday(), *_bar()]


def _time() -> list[Feature]:
    position = ratio(minute(), minutes())
    turn = position * (2.0 * math.pi)
    return [
        Feature("session_pos", "time", position, "minutes since the session opened / its length", "0 .. 1", "definition"),
        Feature("tod_sin", "time", sin(turn), "sin(2 pi session_pos)", "-1 .. 1", "definition"),
        Feature("tod_cos", "time", cos(turn), "cos(2 pi session_pos)", "-1 .. 1", "definition"),
    ]


def _within(low_: Expr, high_: Expr) -> Expr:
    return ratio(close() - low_, high_ - low_, 0.5)


def _today() -> list[Feature]:
    c, top, bottom = close(), session_max(high()), session_min(low())
    early = affine(minute(), -1.0, OPENING_MINUTES)  # > 0 in the first half hour
    or_top = session_max(where(early, high(), session_first(high())))
    or_bottom = session_min(where(early, low(), session_first(low())))
    return [
        Feature("ret_session", "session", log(ratio(c, session_open())), "ln(close / session's open)", "log return", "definition"),
        Feature("dist_high", "session", ratio(c, top) - 1.0, "close / session's high so far - 1", "fraction, <= 0", "definition"),
        Feature("dist_low", "session", ratio(c, bottom) - 1.0, "close / session's low so far - 1", "fraction, >= 0", "definition"),
        Feature("range_pos", "session", _within(bottom, top), "(close - low) / (high - low) of the session so far; 0.5 if flat",
                "0 .. 1", "definition"),
        Feature("or_pos", "session", clip(_within(or_bottom, or_top), -5.0, 6.0),
                "(close - low) / (high - low) of the bars that open in the session's first 30 minutes (so far; at least the "
                "instrument's first bar), within -5 .. 6; 0.5 if flat", "share of the range", "Crabel (1990), opening range"),
    ]  # fmt: skip


def _yesterday() -> list[Feature]:
    c = close()
    last = session_before(c)
    top, bottom = session_before(session_max(high())), session_before(session_min(low()))
    return [
        Feature("gap", "session", ratio(session_open(), last) - 1.0, "session's open / last close of the session before - 1",
                "fraction", "definition"),
        Feature("dist_prev_close", "session", ratio(c, last) - 1.0, "close / last close of the session before - 1", "fraction",
                "definition"),
        Feature("dist_prev_high", "session", ratio(c, top) - 1.0, "close / last session's high - 1", "fraction", "definition"),
        Feature("dist_prev_low", "session", ratio(c, bottom) - 1.0, "close / last session's low - 1", "fraction", "definition"),
    ]  # fmt: skip


def _bar() -> list[Feature]:
    span = high() - low()
    return [
        Feature("body", "session", ratio(close() - open_(), span, 0.0), "(close - open) / (high - low); 0 if flat", "-1 .. 1",
                "Nison (1991), real body"),
        Feature("close_loc", "session", ratio(close() * 2.0 - high() - low(), span, 0.0),
                "(2 close - high - low) / (high - low); 0 if flat", "-1 .. 1", "Chaikin, close location value"),
    ]  # fmt: skip
