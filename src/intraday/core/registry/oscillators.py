"""Oscillators and rates of change: TA-Lib's, made free of the price's scale where they are not an index of 0 .. 100."""

from __future__ import annotations

from intraday.core.expression import (
    Expr,
    abs_,
    affine,
    argmax,
    close,
    ema,
    equal,
    high,
    highest,
    lag,
    low,
    lowest,
    mean,
    min_,
    open_,
    prev,
    ratio,
    running_sum,
    where,
    wilder,
)
from intraday.core.feature import Feature
from intraday.core.registry.momentum import rsi
from intraday.core.registry.parts import true_range, typical

ROUNDING = 1e-6  # rupees, or points of an index of 100: moves below it are rounding, and must not be divided by
LATER = 1e-9  # rupees a bar: far below any tick, far above rounding


def features() -> list[Feature]:
    """Family ``momentum``, second part."""
    return [*_changes(), *_positions(), *_pressure(), *_aroon()]


def in_atr(x: Expr, period: int) -> Expr:
    """``x`` rupees in average true ranges; 0 where the market has been flat for so long that the range is rounding."""
    span = wilder(true_range(), period)
    return where(span - ROUNDING, ratio(x, span), span * 0.0)


def _changes() -> list[Feature]:
    c = close()
    third = ema(ema(ema(c, 15), 15), 15)
    return [
        Feature("roc_20", "momentum", ratio(c, lag(c, 20)) - 1.0, "close / close 20 bars ago - 1, nights included", "fraction",
                "TA-Lib ROCP"),
        Feature("mom_atr_10", "momentum", in_atr(c - lag(c, 10), 14), "(close - close 10 bars ago) / ATR14; 0 if flat",
                "average true ranges", "TA-Lib MOM, ATR"),
        Feature("ppo_21_50", "momentum", ratio(ema(c, 21), ema(c, 50)) - 1.0, "EMA21 / EMA50 - 1", "fraction",
                "Appel (2005), Technical Analysis; TA-Lib PPO with EMA, / 100"),
        Feature("apo_12_26", "momentum", in_atr(ema(c, 12) - ema(c, 26), 14), "(EMA12 - EMA26) / ATR14; 0 if flat",
                "average true ranges", "TA-Lib APO with EMA, ATR"),
        Feature("trix_15", "momentum", ratio(third, prev(third)) - 1.0, "EMA15 of EMA15 of EMA15 / the one before - 1",
                "fraction a bar", "Hutson (1983); TA-Lib TRIX, / 100"),
        Feature("cmo_14", "momentum", _chande(14), "100 (U - D) / (U + D), means of the last 14 rises and falls; 0 if flat",
                "-100 .. 100", "Chande, Kroll (1994); TA-Lib CMOU"),
    ]  # fmt: skip


def _chande(period: int) -> Expr:
    change = close() - prev(close())
    moved = mean(abs_(change), period)
    return ratio(mean(change, period), moved, 0.0) * 100.0


def _positions() -> list[Feature]:
    c = close()
    top = highest(high(), 60)
    return [
        Feature("willr_60", "momentum", ratio(c - top, top - lowest(low(), 60), -0.5) * 100.0,
                "100 (close - high60) / (high60 - low60); -50 if flat", "-100 .. 0", "Williams (1973); TA-Lib WILLR"),
        Feature("stoch_rsi_14", "momentum", _stochastic_rsi(14),
                "100 (RSI14 - lowest14) / (highest14 - lowest14) of RSI14; 50 if it did not move", "0 .. 100",
                "Chande, Kroll (1994); TA-Lib STOCHRSI(14, 14)"),
        Feature("cci_14", "momentum", _commodity_channel(14),
                "(typical price - its mean14) / (0.015 mean |typical price - mean14|); 0 if flat", "0.015 mean deviations",
                "Lambert (1980); TA-Lib CCI"),
    ]  # fmt: skip


def _stochastic_rsi(period: int) -> Expr:
    index = rsi(period)
    bottom = lowest(index, period)
    span = highest(index, period) - bottom
    return where(span - ROUNDING, ratio(index - bottom, span) * 100.0, affine(span, 0.0, 50.0))


def _commodity_channel(period: int) -> Expr:
    """No primitive keeps distances from the present mean, so the last observations are read one by one from their ring."""
    centre = mean(typical(), period)
    distance = abs_(typical() - centre)
    for k in range(1, period):
        distance = distance + abs_(lag(typical(), k) - centre)
    spread = distance * (0.015 / period)
    return where(spread - ROUNDING, ratio(typical() - centre, spread), spread * 0.0)


def _pressure() -> list[Feature]:
    bop = ratio(close() - open_(), high() - low(), 0.0)
    return [
        Feature("ultosc", "momentum", _ultimate(),
                "100 (4 A7 + 2 A14 + A28) / 7, A = mean of close - min(low, previous close) / mean true range, 0.5 if flat",
                "0 .. 100", "Williams (1985); TA-Lib ULTOSC(7, 14, 28)"),
        Feature("bop_14", "momentum", mean(bop, 14),
                "mean of the last 14 (close - open) / (high - low), 0 for a flat bar", "-1 .. 1",
                "Livshin (2001), balance of power; TA-Lib BOP, SMA"),
    ]  # fmt: skip


def _ultimate() -> Expr:
    pressure = close() - min_(low(), prev(close()))

    def average(bars: int) -> Expr:
        return ratio(mean(pressure, bars), mean(true_range(), bars), 0.5)

    return (average(7) * 4.0 + average(14) * 2.0 + average(28)) * (100.0 / 7.0)


def _aroon() -> list[Feature]:
    """``argmax`` is the first of equals, Aroon the last: a billionth of a rupee a bar makes the later one the larger."""
    age = running_sum(equal(close(), close())) * LATER
    up, down = _recent(high() + age, 25), _recent(age - low(), 25)
    chande = "Chande (1995); TA-Lib AROON"
    return [
        Feature("aroon_up_25", "momentum", up, "100 (25 - bars since the highest high of the last 26) / 25", "0 .. 100", chande),
        Feature("aroon_down_25", "momentum", down, "100 (25 - bars since the lowest low of the last 26) / 25", "0 .. 100", chande),
        Feature("aroon_osc_25", "momentum", up - down, "aroon_up_25 - aroon_down_25", "-100 .. 100", f"{chande}OSC"),
    ]


def _recent(x: Expr, period: int) -> Expr:
    return (argmax(x, period + 1) - 1.0) * (100.0 / period)
