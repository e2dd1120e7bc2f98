"""Smoother averages, straight lines and channels."""

from __future__ import annotations

from intraday.core.expression import (
    Expr,
    close,
    ema,
    high,
    highest,
    kama,
    low,
    lowest,
    prev,
    r2,
    ratio,
    resi,
    slope,
    sqrt,
    std,
    where,
    wma,
)
from intraday.core.feature import Feature
from intraday.core.registry.oscillators import in_atr
from intraday.core.registry.parts import typical

LINE = 14  # decision bars


def features() -> list[Feature]:
    """Family ``trend``, second part."""
    return [*_averages(), *_lines(), *_channels()]


def _averages() -> list[Feature]:
    c = close()
    one = ema(c, 20)
    two = ema(one, 20)
    three = ema(two, 20)
    mulloy = "Mulloy (1994), Stocks & Commodities 12"
    return [
        Feature("dema_dist_20", "trend", _distance(one * 2.0 - two), "close / (2 EMA20 - EMA20 of EMA20) - 1", "fraction",
                f"{mulloy}:1; TA-Lib DEMA"),
        Feature("tema_dist_20", "trend", _distance(one * 3.0 - two * 3.0 + three), "close / (3 EMA20 - 3 EMA20(2) + EMA20(3)) - 1",
                "fraction", f"{mulloy}:2; TA-Lib TEMA"),
        Feature("wma_dist_20", "trend", _distance(wma(c, 20)), "close / linearly weighted mean of the last 20 - 1", "fraction",
                "TA-Lib WMA"),
        Feature("kama_dist_10", "trend", _distance(kama(c, 10)), "close / KAMA10 - 1", "fraction",
                "Kaufman (1995), adaptive average; TA-Lib KAMA"),
    ]  # fmt: skip


def _distance(average: Expr) -> Expr:
    return ratio(close(), average) - 1.0


def _lines() -> list[Feature]:
    c = close()
    rise = in_atr(slope(c, LINE), 14)
    flat = c * 0.0
    return [
        Feature("linreg_slope_14", "trend", ratio(slope(c, LINE), c),
                "slope of the straight line through the last 14 closes / close", "fraction a bar", "TA-Lib LINEARREG_SLOPE"),
        Feature("linreg_dist_14", "trend", ratio(resi(c, LINE), c), "(close - end of that line) / close", "fraction",
                "TA-Lib LINEARREG"),
        Feature("linreg_angle_14", "trend", ratio(rise, sqrt(rise * rise + 1.0)),
                "sine of that line's angle where one ATR14 a bar is 45 degrees; 0 if flat", "-1 .. 1",
                "TA-Lib LINEARREG_SLOPE, ATR"),
        Feature("linreg_r2_14", "trend", where(std(c, LINE), r2(c, LINE), flat),
                "share of the variance that line explains; 0 if flat", "0 .. 1",
                "coefficient of determination"),
    ]  # fmt: skip


def _channels() -> list[Feature]:
    c = close()
    top, bottom = highest(high(), 20), lowest(low(), 20)
    donchian = "Donchian (1960); TA-Lib DONCHIAN"
    return [
        Feature("donchian_up_20", "trend", _distance(prev(top)),
                "close / highest high of the 20 bars before - 1; > 0: a breakout", "fraction", donchian),
        Feature("donchian_down_20", "trend", _distance(prev(bottom)),
                "close / lowest low of the 20 bars before - 1; < 0: a breakout", "fraction", donchian),
        Feature("donchian_width_20", "trend", ratio(top - bottom, c), "(high20 - low20) / close", "fraction of price", donchian),
        Feature("keltner_20", "trend", in_atr(c - ema(typical(), 20), 10) / 2.0,
                "(close - EMA20 of the typical price) / (2 ATR10); 0 if flat", "half widths of the channel",
                "Keltner (1960), Raschke's form; TA-Lib KC(20, 10, 2)"),
    ]  # fmt: skip
