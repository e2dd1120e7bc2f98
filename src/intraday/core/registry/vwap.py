"""Where prices stand against what was paid on average today. Missing, never zero, for instruments without volume."""

from __future__ import annotations

from intraday.core.expression import (
    Expr,
    clip,
    close,
    greater,
    log,
    ratio,
    session_before,
    session_count,
    session_max,
    session_sum,
    sqrt,
    total,
    volume,
    where,
)
from intraday.core.feature import Feature
from intraday.core.registry.parts import NO_TRADE, NO_TRADE_TODAY, TIE, at_least_zero, session_open, sigma, typical, vwap

FAMILY = "vwap"
BERKOWITZ = "Berkowitz, Logue, Noser (1988)"
BANDS = "volume-weighted standard deviation of the day's typical prices"


def features() -> list[Feature]:
    """Family ``vwap``."""
    return [*_distances(), *_bands(), *_sides()]


def _distances() -> list[Feature]:
    c, v = close(), volume()
    rolling = ratio(total(typical() * v, 20), total(v, 20))
    return [
        Feature("vwap_dist", FAMILY, ratio(c, vwap()) - 1.0, "close / session VWAP of the typical price - 1", "fraction", BERKOWITZ,
                NO_TRADE_TODAY),
        Feature("vwap_dist_sigma", FAMILY, ratio(log(ratio(c, vwap())), sigma(), 0.0), "ln(close / VWAP) / sigma; 0 if flat",
                "standard deviations of a bar", "definition", NO_TRADE_TODAY),
        Feature("vwap_roll_dist_20", FAMILY, ratio(c, rolling) - 1.0, "close / VWAP of the last 20 bars - 1", "fraction", BERKOWITZ,
                NO_TRADE),
        Feature("vwap_prev_dist", FAMILY, ratio(c, session_before(vwap())) - 1.0,
                "close / last VWAP of an earlier session - 1", "fraction", "definition",
                "nothing traded yet in the session, or in any before"),
        Feature("vwap_drift", FAMILY, log(ratio(vwap(), session_open())), "ln(VWAP / session's open)", "log return", "definition",
                NO_TRADE_TODAY),
    ]  # fmt: skip


def _spread() -> Expr:
    """Volume-weighted standard deviation of the typical price since the session's open, rupees; 0 below ``TIE``.

    Deviations are taken from the session's open, so that the difference of squares keeps its digits.
    """
    v, x = volume(), typical() - session_open()
    day = session_sum(v)
    centre = ratio(session_sum(x * v), day)
    found = sqrt(at_least_zero(ratio(session_sum(x * x * v), day) - centre * centre))
    return where(found - TIE, found, found * 0.0)


def _bands() -> list[Feature]:
    deviation = _spread()
    z = clip(ratio(close() - vwap(), deviation, 0.0), -10.0, 10.0)
    return [
        Feature("vwap_z", FAMILY, z, f"(close - VWAP) / sd, within -10 .. 10; 0 if flat; sd: {BANDS}", "standard deviations",
                "VWAP bands", NO_TRADE_TODAY),
        Feature("vwap_width", FAMILY, ratio(deviation * 4.0, vwap()), f"width of the bands VWAP +/- 2 sd, / VWAP; sd: {BANDS}",
                "fraction of price", "VWAP bands", NO_TRADE_TODAY),
    ]  # fmt: skip


def _sides() -> list[Feature]:
    v = volume()
    above = greater(close() - TIE, vwap())
    n = session_count(above)
    last_below, last_above = session_max(where(above, n * 0.0, n)), session_max(where(above, n, n * 0.0))
    heavy = session_sum(where(greater(typical() - TIE, vwap()), v, v * 0.0))
    return [
        Feature("vwap_side_bars", FAMILY, where(above, n - last_below, n - last_above) - 1.0,
                "bars since the close changed sides of the VWAP, or the session began", "bars", "definition", NO_TRADE_TODAY),
        Feature("vwap_above_share", FAMILY, ratio(session_sum(above), session_count(above)),
                "share of the session's bars that closed above the VWAP as it stood", "0 .. 1", "definition", NO_TRADE_TODAY),
        Feature("vol_above_vwap", FAMILY, ratio(heavy, session_sum(v)),
                "share of the session's volume in bars whose typical price was above the VWAP as it stood at that bar", "0 .. 1",
                "volume profile of the day", NO_TRADE_TODAY),
    ]  # fmt: skip
