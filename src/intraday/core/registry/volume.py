"""What volume says. Missing, never zero, for instruments without volume."""

from __future__ import annotations

from intraday.core.expression import (
    Expr,
    abs_,
    close,
    ema,
    log,
    mean,
    prev,
    ratio,
    running_sum,
    slope,
    volume,
    where,
)
from intraday.core.feature import Feature
from intraday.core.registry.parts import CRORE, NO_TRADE, TIE, close_location, directed, typical

FAMILY = "volume"
N = 20


def features() -> list[Feature]:
    """Family ``volume``."""
    return [*_amounts(), *_flows(), *_lines()]


def _amounts() -> list[Feature]:
    v = volume()
    return [
        Feature("vol_rel_20", FAMILY, ratio(v, mean(v, N)), "volume / mean20, itself included", "ratio", "definition", NO_TRADE),
        Feature("vol_trend_5_20", FAMILY, ratio(mean(v, 5), mean(v, N)), "mean5 of volume / mean20", "ratio", "definition",
                NO_TRADE),
        Feature("turnover_20", FAMILY, log(mean(close() * v, N) / CRORE), "ln of the mean of close x volume in crore rupees, 20",
                "ln crore rupees", "definition", NO_TRADE),
    ]  # fmt: skip


def _money_flow(period: int) -> Expr:
    change, flow = typical() - prev(typical()), typical() * volume()
    up = mean(where(change - TIE, flow, flow * 0.0), period)
    down = mean(where(-change - TIE, flow, flow * 0.0), period)
    return ratio(up, up + down, 0.5) * 100.0


def _flows() -> list[Feature]:
    v = volume()
    change = close() - prev(close())
    force = change * v
    return [
        Feature("signed_vol_20", FAMILY, ratio(mean(directed(change, v), N), mean(v, N), 0.0),
                "mean of volume signed by the close's change / mean volume, 20; 0 if nothing traded", "-1 .. 1",
                "Granville (1963), OBV, as a share"),
        Feature("mfi_14", FAMILY, _money_flow(14),
                "100 times share of the typical price x volume of the last 14 that rose; 50 if none moved", "0 .. 100",
                "Quong, Soudack (1989); TA-Lib MFI"),
        Feature("cmf_20", FAMILY, ratio(mean(close_location() * v, N), mean(v, N), 0.0),
                "mean of close location x volume / mean volume, 20; 0 if nothing traded", "-1 .. 1", "Chaikin money flow"),
        Feature("force_13", FAMILY, ratio(ema(force, 13), ema(abs_(force), 13), 0.0),
                "EMA13 of f / EMA13 of |f|, f = change of the close x volume; 0 if none moved", "-1 .. 1",
                "Elder (1993), force index, scaled"),
    ]  # fmt: skip


def _lines() -> list[Feature]:
    v = volume()
    usual = mean(v, N)
    balance = running_sum(directed(close() - prev(close()), v))
    distribution = running_sum(close_location() * v)
    oscillator = ema(distribution, 3) - ema(distribution, 10)
    return [
        Feature("obv_slope_20", FAMILY, ratio(slope(balance, N), usual, 0.0),
                "least-squares slope of on-balance volume over 20 bars / mean20 of volume; 0 if nothing traded", "volumes of a bar",
                "Granville (1963); TA-Lib LINEARREG_SLOPE of OBV"),
        Feature("ad_slope_20", FAMILY, ratio(slope(distribution, N), usual, 0.0),
                "least-squares slope of the accumulation/distribution line over 20 bars / mean20 of volume; 0 if nothing traded",
                "volumes of a bar", "Chaikin; TA-Lib LINEARREG_SLOPE of AD"),
        Feature("adosc_3_10", FAMILY, ratio(oscillator, usual, 0.0),
                "(EMA3 - EMA10) of the accumulation/distribution line / mean20 of volume; 0 if nothing traded", "volumes of a bar",
                "Chaikin oscillator; TA-Lib ADOSC(3, 10)"),
    ]  # fmt: skip
