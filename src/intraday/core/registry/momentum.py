"""Oscillators: how one-sided the last bars were."""

from __future__ import annotations

import math

from intraday.core.expression import (
    Expr,
    abs_,
    clip,
    close,
    greater,
    high,
    highest,
    lag,
    low,
    lowest,
    mean,
    prev,
    ratio,
    where,
    wilder,
)
from intraday.core.feature import Feature
from intraday.core.registry.parts import sigma, true_range
from intraday.core.registry.trend import log_return

WILDER = "Wilder (1978), New Concepts in Technical Trading Systems"


def features() -> list[Feature]:
    """Family ``momentum``."""
    return [*_oscillators(), *_directional(), *_paths()]


def _positive(x: Expr) -> Expr:
    return clip(x, 0.0, math.inf)


def rsi(period: int) -> Expr:
    """Wilder's relative strength index of the close, 0 .. 100; 50 while it has never moved."""
    change = close() - prev(close())
    up, down = wilder(_positive(change), period), wilder(_positive(-change), period)
    return ratio(up, up + down, 0.5) * 100.0


def _oscillators() -> list[Feature]:
    lowest_low = lowest(low(), 14)
    k = ratio(close() - lowest_low, highest(high(), 14) - lowest_low, 0.5) * 100.0
    lane = "Lane (1984); TA-Lib STOCHF(14, 3)"
    return [
        Feature("rsi_14", "momentum", rsi(14), "100 U/(U+D), Wilder14 of rises and falls; 50 if flat", "0 .. 100", WILDER),
        Feature("rsi_5", "momentum", rsi(5), "as rsi_14 over 5", "0 .. 100", WILDER),
        Feature("stoch_k_14", "momentum", k, "100 (close - low14) / (high14 - low14); 50 if flat", "0 .. 100", lane),
        Feature("stoch_d_14", "momentum", mean(k, 3), "mean of the last 3 stoch_k_14", "0 .. 100", lane),
    ]


def _directional() -> list[Feature]:
    up, down = high() - prev(high()), prev(low()) - low()
    zero = up * 0.0
    span = wilder(true_range(), 14)
    plus = ratio(wilder(where(greater(up, down), _positive(up), zero), 14), span, 0.0) * 100.0
    minus = ratio(wilder(where(greater(down, up), _positive(down), zero), 14), span, 0.0) * 100.0
    dx = ratio(abs_(plus - minus), plus + minus, 0.0) * 100.0
    return [
        Feature("plus_di_14", "momentum", plus, "100 Wilder14(+DM) / Wilder14(true range)", "0 .. 100", WILDER),
        Feature("minus_di_14", "momentum", minus, "100 Wilder14(-DM) / Wilder14(true range)", "0 .. 100", WILDER),
        Feature("adx_14", "momentum", wilder(dx, 14), "Wilder14 of 100 |+DI - -DI| / (+DI + -DI)", "0 .. 100", WILDER),
        Feature("dx_14", "momentum", dx, "100 |+DI - -DI| / (+DI + -DI); 0 if flat", "0 .. 100", WILDER),
    ]


def _paths() -> list[Feature]:
    change = close() - prev(close())
    path = mean(abs_(change), 10) * 10.0
    return [
        Feature("efficiency_10", "momentum", ratio(abs_(close() - lag(close(), 10)), path, 0.0),
                "|close - close 10 ago| / sum of |changes|; 0 if flat", "0 .. 1", "Kaufman (1995), efficiency ratio"),
        Feature("mom_12", "momentum", ratio(log_return(12), sigma() * math.sqrt(12.0), 0.0),
                "ret_12 / (sigma sqrt(12)); 0 if flat", "standard deviations", "Moskowitz, Ooi, Pedersen (2012), scaled"),
    ]  # fmt: skip
