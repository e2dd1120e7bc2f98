"""What volume says. Missing, never zero, for instruments without volume."""

from __future__ import annotations

from intraday.core.expression import (
    Expr,
    abs_,
    close,
    greater,
    mean,
    prev,
    ratio,
    session_sum,
    slot_mean,
    volume,
    where,
)
from intraday.core.feature import Feature
from intraday.core.registry.parts import directed, intraday_return, typical, vwap

CRORE = 1e7  # rupees
TIE = 1e-6  # rupees: sums and thirds of equal prices differ by rounding, and must not count as a rise
PROFILE_SPAN = 19  # sessions: weight 0.1
NO_TRADE = "no trade in the window"
NO_TRADE_TODAY = "no trade yet in the session"
FIRST_SEEN = "first session that has a bar at this time of day, or nothing traded there before"


def features() -> list[Feature]:
    """Family ``volume``."""
    return [*_rolling(), *_of_the_day()]


def _money_flow(period: int) -> Expr:
    change, flow = typical() - prev(typical()), typical() * volume()
    up = mean(where(change - TIE, flow, flow * 0.0), period)
    down = mean(where(-change - TIE, flow, flow * 0.0), period)
    return ratio(up, up + down, 0.5) * 100.0


def _rolling() -> list[Feature]:
    v = volume()
    change = close() - prev(close())
    turnover = mean(close() * v, 20) / CRORE
    return [
        Feature("vol_rel_20", "volume", ratio(v, mean(v, 20)), "volume / mean20, itself included", "ratio", "definition", NO_TRADE),
        Feature("signed_vol_20", "volume", ratio(mean(directed(change, v), 20), mean(v, 20), 0.0),
                "mean of volume signed by the close's change / mean volume, 20; 0 if nothing traded", "-1 .. 1",
                "Granville (1963), OBV, as a share"),
        Feature("mfi_14", "volume", _money_flow(14),
                "100 times share of the typical price x volume of the last 14 that rose; 50 if none moved", "0 .. 100",
                "Quong, Soudack (1989); TA-Lib MFI"),
        Feature("amihud_20", "volume", ratio(mean(abs_(intraday_return()), 20), turnover),
                "mean |intraday return| / mean turnover in crore rupees, 20", "log return a crore rupees",
                "Amihud (2002), as a ratio of means", NO_TRADE),
    ]  # fmt: skip


def _of_the_day() -> list[Feature]:
    v = volume()
    day = session_sum(v)
    above = session_sum(where(greater(typical() - TIE, vwap()), v, v * 0.0))
    return [
        Feature("vwap_dist", "volume", ratio(close(), vwap()) - 1.0, "close / session VWAP of the typical price - 1", "fraction",
                "Berkowitz, Logue, Noser (1988)", NO_TRADE_TODAY),
        Feature("vol_above_vwap", "volume", ratio(above, day),
                "share of the session's volume in bars whose typical price was above the VWAP as it stood at that bar", "0 .. 1",
                "volume profile of the day", NO_TRADE_TODAY),
        Feature("vol_profile", "volume", ratio(day, slot_mean(day, PROFILE_SPAN)),
                "session's volume so far / its mean at this time on earlier sessions (exponential, weight 0.1)", "ratio",
                "volume profile of the day", FIRST_SEEN),
        Feature("vol_slot_rel", "volume", ratio(v, slot_mean(v, PROFILE_SPAN)),
                "volume / its mean at this time on earlier sessions (exponential, weight 0.1)", "ratio",
                "volume profile of the day", FIRST_SEEN),
    ]  # fmt: skip
