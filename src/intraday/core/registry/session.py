"""Where in the day, and where in the day's prices."""

from __future__ import annotations

import math

from intraday.core.expression import (
    Expr,
    affine,
    bars_since,
    clip,
    close,
    cos,
    equal,
    greater,
    high,
    hold,
    log,
    low,
    max_,
    minute,
    minutes,
    open_,
    ratio,
    session_before,
    session_first,
    session_max,
    session_min,
    sin,
    start,
    weekday,
    when,
    where,
)
from intraday.core.feature import Feature
from intraday.core.registry.parts import close_location, session_open

FIRST_HOUR = 60.0
FLAT_BEFORE = "the session before did not move"
CRABEL = "Crabel (1990), opening range"


def features() -> list[Feature]:
    """Families ``time`` and ``session``."""
    return [
        *_time(),
        *_today(),
        *_opening_range(30),
        *_opening_range(15),
        *_first_hour(),
        *_yesterday(),
        *_yesterdays_range(),
        *_bar(),
    ]


def _time() -> list[Feature]:
    position = clip(ratio(minute(), minutes()), 0.0, 1.0)  # a bar of an hour may begin before an evening session does
    turn = position * (2.0 * math.pi)
    return [
        Feature("session_pos", "time", position, "minutes since the session opened / its length", "0 .. 1", "definition"),
        Feature("tod_sin", "time", sin(turn), "sin(2 pi session_pos)", "-1 .. 1", "definition"),
        Feature("tod_cos", "time", cos(turn), "cos(2 pi session_pos)", "-1 .. 1", "definition"),
        Feature("mins_from_open", "time", minute(), "minutes from the session's open to the bar's open", "minutes", "definition"),
        Feature("mins_to_close", "time", minutes() - minute(),
                "minutes from the bar's open to the end of the instrument's continuous trading that day", "minutes", "definition"),
        Feature("weekday", "time", weekday(), "0 Monday .. 4 Friday; 5 and 6 on special sessions", "0 .. 6",
                "French (1980), weekend effect"),
    ]  # fmt: skip


def _within(low_: Expr, high_: Expr) -> Expr:
    return ratio(close() - low_, high_ - low_, 0.5)


def _today() -> list[Feature]:
    c, top, bottom = close(), session_max(high()), session_min(low())
    return [
        Feature("ret_session", "session", log(ratio(c, session_open())), "ln(close / session's open)", "log return", "definition"),
        Feature("dist_high", "session", ratio(c, top) - 1.0, "close / session's high so far - 1", "fraction, <= 0", "definition"),
        Feature("dist_low", "session", ratio(c, bottom) - 1.0, "close / session's low so far - 1", "fraction, >= 0", "definition"),
        Feature("range_pos", "session", _within(bottom, top), "(close - low) / (high - low) of the session so far; 0.5 if flat",
                "0 .. 1", "definition"),
        Feature("bars_since_high", "session", bars_since(equal(high(), top)),
                "bars since the session's high so far was last touched", "bars", "definition"),
        Feature("bars_since_low", "session", bars_since(equal(low(), bottom)),
                "bars since the session's low so far was last touched", "bars", "definition"),
    ]  # fmt: skip


def _opening_range(length: int) -> list[Feature]:
    c = close()
    early = affine(minute(), -1.0, float(length))  # > 0 while the range forms
    top = session_max(where(early, high(), session_first(high())))
    bottom = session_min(where(early, low(), session_first(low())))
    beyond = greater(c, top) - greater(bottom, c)
    bars = f"bars that open in the session's first {length} minutes (so far; at least the instrument's first bar)"
    name = "or" if length == 30 else f"or{length}"
    return [
        Feature(f"{name}_pos", "session", clip(_within(bottom, top), -5.0, 6.0),
                f"(close - low) / (high - low) of the {bars}, within -5 .. 6; 0.5 if flat", "share of the range", CRABEL),
        Feature(f"{name}_break", "session", where(early, c * 0.0, beyond),
                f"1 if the close is above, -1 if below the range of the {bars}; 0 inside and while it forms", "-1, 0, 1", CRABEL),
        Feature(f"{name}_width", "session", ratio(top - bottom, session_open()), f"(high - low) of the {bars} / session's open",
                "fraction of price", CRABEL),
    ]  # fmt: skip


def _first_hour() -> list[Feature]:
    so_far = log(ratio(close(), session_open()))
    early = max_(affine(minute(), -1.0, FIRST_HOUR), start())
    return [
        Feature("ret_first_hour", "session", hold(when(early, so_far), close()),
                "ln(close / session's open) at the last bar that opened in the session's first 60 minutes, so far; at least the "
                "instrument's first bar", "log return", "Gao, Han, Li, Zhou (2018), market intraday momentum"),
    ]  # fmt: skip


def _yesterday() -> list[Feature]:
    c, opened = close(), session_open()
    last = session_before(c)
    return [
        Feature("gap", "session", ratio(opened, last) - 1.0, "session's open / last close of the session before - 1", "fraction",
                "definition"),
        Feature("gap_fill", "session", clip(ratio(opened - c, opened - last, 0.0), -1.0, 2.0),
                "(session's open - close) / (session's open - last close of the session before), within -1 .. 2; 0 without a gap",
                "share of the gap", "definition"),
        Feature("dist_prev_close", "session", ratio(c, last) - 1.0, "close / last close of the session before - 1", "fraction",
                "definition"),
        Feature("prev_ret_session", "session", session_before(log(ratio(c, opened))),
                "ret_session at the end of the session before", "log return", "definition"),
    ]  # fmt: skip


def _yesterdays_range() -> list[Feature]:
    c, top, bottom = close(), session_max(high()), session_min(low())
    high_, low_ = session_before(top), session_before(bottom)
    return [
        Feature("dist_prev_high", "session", ratio(c, high_) - 1.0, "close / last session's high - 1", "fraction", "definition"),
        Feature("dist_prev_low", "session", ratio(c, low_) - 1.0, "close / last session's low - 1", "fraction", "definition"),
        Feature("prev_range_pos", "session", clip(_within(low_, high_), -5.0, 6.0),
                "(close - low) / (high - low) of the session before, within -5 .. 6; 0.5 if it was flat", "share of the range",
                "definition"),
        Feature("range_rel_prev", "session", ratio(top - bottom, high_ - low_),
                "high - low of the session so far / of the one before", "ratio", "definition", FLAT_BEFORE),
    ]  # fmt: skip


def _bar() -> list[Feature]:
    span = high() - low()
    return [
        Feature("body", "session", ratio(close() - open_(), span, 0.0), "(close - open) / (high - low); 0 if flat", "-1 .. 1",
                "Nison (1991), real body"),
        Feature("close_loc", "session", close_location(), "(2 close - high - low) / (high - low); 0 if flat", "-1 .. 1",
                "Chaikin, close location value"),
    ]  # fmt: skip
