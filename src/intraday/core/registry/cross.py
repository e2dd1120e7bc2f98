"""Against the other instruments at the same decision bar.

Compared are the universe's members that have a bar, and a value, now. One without takes no part: it is not carried forward, not
ranked and changes nobody's value but through the count. Fewer than five: no value.
"""

from __future__ import annotations

from intraday.core.expression import (
    Expr,
    abs_,
    across_mean,
    across_rank,
    across_std,
    affine,
    close,
    greater,
    log,
    ratio,
    session_before,
    where,
)
from intraday.core.feature import Feature
from intraday.core.registry.parts import TIE, intraday_return, log_return, session_open, sigma, vwap
from intraday.core.registry.seasonal import volume_surprise

FAMILY = "cross-section"
FEW = "fewer than 5 members with a value now"
NO_MEMBER = f"no member now, or {FEW}"
JT = "Jegadeesh, Titman (1993), ranks within the universe"
RANK = "share of the members not above it (ties: mean rank)"


def features() -> list[Feature]:
    """Family ``cross-section``."""
    return [*_ranks(), *_market()]


def _rank(name: str, x: Expr, what: str, undefined: str = NO_MEMBER) -> Feature:
    return Feature(f"xs_{name}", FAMILY, across_rank(x), f"{RANK}, of {what}", "0 .. 1", JT, undefined)


def _session_return() -> Expr:
    return log(ratio(close(), session_open()))


def _from_vwap() -> Expr:
    """Close over VWAP, exactly 1 where they differ by rounding alone: ranks would make an order of it."""
    away = close() - vwap()
    return where(abs_(away) - TIE, ratio(close(), vwap()), affine(away, 0.0, 1.0))


def _ranks() -> list[Feature]:
    ret = log_return(12)
    return [
        _rank("ret_1", log_return(1), "ret_1"),
        _rank("ret_12", ret, "ret_12"),
        _rank("ret_session", _session_return(), "ret_session"),
        _rank("gap", log(ratio(session_open(), session_before(close()))), "gap"),
        _rank("sigma", sigma(), "sigma"),
        _rank("vol_slot_rel", volume_surprise(), "vol_slot_rel"),
        _rank("vwap_dist", _from_vwap(), "vwap_dist"),
        Feature("xs_z_ret_12", FAMILY, ratio(ret - across_mean(ret), across_std(ret)),
                "(ret_12 - mean) / population sd of the members", "standard deviations", JT, f"{FEW}, or all the same"),
    ]  # fmt: skip


def _market() -> list[Feature]:
    above = greater(close() - TIE, vwap())
    rising = greater(_session_return(), _session_return() * 0.0)
    return [
        Feature("breadth_vwap", FAMILY, across_mean(above), "share of the members that closed above their session VWAP", "0 .. 1",
                "breadth", FEW),
        Feature("breadth_session", FAMILY, across_mean(rising), "share of the members above their session's open", "0 .. 1",
                "breadth", FEW),
        Feature("dispersion_1", FAMILY, across_std(intraday_return()), "population sd across the members of intraday returns",
                "log return", "Stivers (2003), return dispersion", FEW),
        Feature("dispersion_session", FAMILY, across_std(_session_return()), "population sd across the members of ret_session",
                "log return", "Stivers (2003), return dispersion", FEW),
    ]  # fmt: skip
