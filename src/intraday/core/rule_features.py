"""The simple rules of ``core.rules`` as features, so that a model can be put on top of one, in history and live alike.

Each is an expression whose value's sign is the side that ``rule_sides`` says of the same bar; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping

from intraday.core.expression import (
    Expr,
    abs_,
    affine,
    close,
    equal,
    greater,
    high,
    low,
    minute,
    prev,
    session_count,
    session_first,
    session_max,
    session_min,
    session_sum,
    total,
    when,
    where,
)
from intraday.core.feature import Feature
from intraday.core.rules import LENGTHS, OPENING_MIN, RULES

TIE = 5e-5  # rupees; sums of prices that are nearer than half of 1/100 paise are equal (``core.rules`` adds whole ones)


def rule_features(timeframe: int) -> Mapping[str, Feature]:
    """One for each of RULES by name, for decision bars of ``timeframe`` minutes: the first and the last of LENGTHS differ."""
    breakout, cross = RULES
    fast, slow = LENGTHS[timeframe]
    return {
        breakout: Feature(
            breakout, "rule", _opening_range_breakout(),
            "1 at the session's first close above the range of the bars that open in its first 30 minutes, -1 at the first below, "
            "else 0",
            "-1, 0, 1", "Crabel (1990), opening range", "no bar in the first 30 minutes: 0",
        ),
        cross: Feature(
            cross, "rule", _moving_average_cross(fast, slow),
            f"1 where the mean of the session's last {fast} closes comes to lie above that of the last {slow}, -1 below; else 0",
            "-1, 0, 1", "Brock, Lakonishok, LeBaron (1992)",
        ),
    }  # fmt: skip


def _opening_range_breakout() -> Expr:
    early = affine(minute(), -1.0, OPENING_MIN)  # > 0 while the range forms
    none = close() * 0.0
    ranged = session_max(where(early, none + 1.0, none))
    top = session_max(where(early, high(), session_first(high())))
    bottom = session_min(where(early, low(), session_first(low())))
    later = where(early, none, ranged)
    return _first(later * greater(close(), top)) - _first(later * greater(bottom, close()))


def _first(found: Expr) -> Expr:
    """Of 0 and 1: the session's first 1 alone."""
    return found * equal(session_sum(found), found)


def _moving_average_cross(fast: int, slow: int) -> Expr:
    none = close() * 0.0
    mean = {width: total(close(), width) if width > 1 else close() for width in (fast, slow)}
    ahead = mean[fast] * float(slow) - mean[slow] * float(fast)
    sign = where(ahead - TIE, none + 1.0, where(affine(ahead, -1.0, -TIE), none - 1.0, none))
    sign = where(session_count(close()) - (slow - 0.5), sign, none)
    lying = when(abs_(sign), sign)  # where neither is above, the side before goes on
    turned = where(session_count(lying) - 1.5, lying * (equal(lying, prev(lying)) * -1.0 + 1.0), lying * 0.0)
    return turned
