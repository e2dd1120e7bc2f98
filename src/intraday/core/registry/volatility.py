"""How far prices move, from closes and from ranges. All per bar unless the name says otherwise."""

from __future__ import annotations

import math

from intraday.core.expression import Expr, at_start, clip, close, high, log, low, mean, open_, prev, ratio, sqrt, std, wilder
from intraday.core.feature import Feature
from intraday.core.registry.parts import SIGMA_LEAST, SIGMA_SPAN, intraday_return, sigma, true_range

N = 20


def features() -> list[Feature]:
    """Family ``volatility``, with the target ``sigma``."""
    return [*_from_closes(), *_from_ranges()]


def _from_closes() -> list[Feature]:
    r = intraday_return()
    realised = sqrt(mean(r * r, N))
    serial = mean(r * prev(r), N) - mean(r, N) * mean(prev(r), N)
    what = "ln(close / previous close), from the bar's own open at the first bar of a session, so without nights"
    return [
        Feature("sigma", "volatility", sigma(),
                f"EWM sd (span {SIGMA_SPAN}, weight max(2/(span+1), 1/n), from {SIGMA_LEAST} on) of {what}", "log return a bar",
                "the volatility target of labels and stops; West (1979)"),
        Feature("rvol_20", "volatility", realised, "sqrt(mean of squared intraday returns, 20)", "log return a bar",
                "Andersen, Bollerslev (1998)"),
        Feature("vol_ratio", "volatility", ratio(sqrt(mean(r * r, 6)), sigma(), 1.0), "rvol over 6 / sigma; 1 if flat", "ratio",
                "definition"),
        Feature("roll_spread_20", "volatility", sqrt(clip(-serial, 0.0, math.inf)) * 2.0,
                "2 sqrt(max(0, -cov(r, previous r))) over 20 intraday returns", "fraction of price", "Roll (1984)"),
    ]  # fmt: skip


def _from_ranges() -> list[Feature]:
    span, body = log(high()) - log(low()), log(close()) - log(open_())
    garman_klass = span * span * 0.5 - body * body * (2.0 * math.log(2.0) - 1.0)
    return [
        Feature("atr_pct_14", "volatility", ratio(wilder(true_range(), 14), close()), "ATR14 / close",
                "fraction of price", "Wilder (1978); TA-Lib ATR"),
        Feature("parkinson_20", "volatility", sqrt(mean(span * span, N) / (4.0 * math.log(2.0))),
                "sqrt(mean ln(high/low)^2 / (4 ln 2)) over 20", "log return a bar", "Parkinson (1980)"),
        Feature("garman_klass_20", "volatility", _root(mean(garman_klass, N)),
                "sqrt(mean(ln(h/l)^2 / 2 - (2 ln 2 - 1) ln(c/o)^2)) over 20", "log return a bar", "Garman, Klass (1980)"),
        Feature("rogers_satchell_20", "volatility", _root(_rogers_satchell()),
                "sqrt(mean(ln(h/c) ln(h/o) + ln(l/c) ln(l/o))) over 20", "log return a bar", "Rogers, Satchell (1991)"),
        Feature("yang_zhang_20", "volatility", _root(_yang_zhang()),
                "sqrt(var ln(o/previous c) + k var ln(c/o) + (1 - k) rogers_satchell_20^2) over 20, sample variances, "
                "k = 0.34 / (1.34 + 21/19); a session's first bar has no jump before it", "log return a bar",
                "Yang, Zhang (2000), J. Business 73; between bars, not days"),
        Feature("range_pct", "volatility", ratio(high() - low(), close()), "(high - low) / close", "fraction of price",
                "definition"),
    ]  # fmt: skip


def _rogers_satchell() -> Expr:
    """A logarithm costs ten subtractions: each price's is taken once, and the ratios are differences."""
    o, h, lo, c = log(open_()), log(high()), log(low()), log(close())
    return mean((h - c) * (h - o) + (lo - c) * (lo - o), N)


def _yang_zhang() -> Expr:
    jump = std(at_start(open_() * 0.0, log(open_()) - prev(log(close()))), N)
    body = std(log(close()) - log(open_()), N)
    share = 0.34 / (1.34 + (N + 1.0) / (N - 1.0))
    sample = N / (N - 1.0)
    return jump * jump * sample + body * body * (share * sample) + _rogers_satchell() * (1.0 - share)


def _root(x: Expr) -> Expr:
    """Square root of what is not negative but for rounding."""
    return sqrt(clip(x, 0.0, math.inf))
