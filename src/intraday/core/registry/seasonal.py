"""Volume and volatility against what is usual at this time of day: the day's U-shape taken out.

What is usual is learnt from the earlier sessions alone, by bar of the timeframe counted from the session's open.
"""

from __future__ import annotations

from intraday.core.expression import Expr, close, given, high, low, ratio, session_sum, slot_mean, slot_std, sqrt, volume
from intraday.core.feature import Feature
from intraday.core.registry.parts import intraday_return

FAMILY = "seasonality"
SPAN = 19  # sessions: weight 0.1
BUSY = "volume profile of the day"
CALM = "Andersen, Bollerslev (1997), intraday periodicity"
USUAL = "its mean at this time on earlier sessions (exponential, weight 0.1)"
FIRST_SEEN = "first session that has a bar at this time of day, or nothing traded there before"
STILL = "first session that has a bar at this time of day, or nothing moved there before"


def features() -> list[Feature]:
    """Family ``seasonality``."""
    return [*_volume(), *_volatility()]


def volume_surprise() -> Expr:
    """Volume over its mean at this time of day."""
    return ratio(volume(), slot_mean(volume(), SPAN))


def _volume() -> list[Feature]:
    v, day = volume(), session_sum(volume())
    usual = slot_mean(v, SPAN)
    return [
        Feature("vol_profile", FAMILY, ratio(day, slot_mean(day, SPAN)), f"session's volume so far / {USUAL}", "ratio", BUSY,
                FIRST_SEEN),
        Feature("vol_slot_rel", FAMILY, volume_surprise(), f"volume / {USUAL}", "ratio", BUSY, FIRST_SEEN),
        Feature("vol_slot_z", FAMILY, ratio(v - usual, slot_std(v, SPAN)),
                "(volume - mean) / sd, of this time on earlier sessions (exponential, mean's weight 0.1, sd's max(0.1, 1/n))",
                "standard deviations", BUSY, "first two sessions that have a bar at this time of day, or always the same there"),
    ]  # fmt: skip


def _volatility() -> list[Feature]:
    r, span = intraday_return(), ratio(high() - low(), close())
    usual = slot_mean(r * r, SPAN)
    return [
        Feature("ret_slot_z", FAMILY, ratio(r, sqrt(usual)),
                "intraday return / root mean square of those at this time on earlier sessions (exponential, weight 0.1)",
                "standard deviations", CALM, STILL),
        Feature("rvol_profile", FAMILY, sqrt(ratio(session_sum(given(r * r, usual)), session_sum(usual))),
                "realised volatility of the session so far / the usual one to this time: square root of the sum of squared "
                "intraday returns / sum of their means at those times on earlier sessions (exponential, weight 0.1)",
                "ratio; 1 is usual", CALM, STILL),
        Feature("range_slot_rel", FAMILY, ratio(span, slot_mean(span, SPAN)), f"(high - low) / close, over {USUAL}", "ratio", CALM,
                STILL),
    ]  # fmt: skip
