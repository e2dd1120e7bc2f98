"""Proxies of spread, impact and noise from bars alone: what the order book would say better."""

from __future__ import annotations

import math

from intraday.core.expression import (
    Expr,
    abs_,
    at_start,
    beta,
    clip,
    close,
    corr,
    equal,
    exp,
    high,
    log,
    low,
    max_,
    mean,
    min_,
    open_,
    prev,
    ratio,
    sqrt,
    std,
    total,
    volume,
)
from intraday.core.feature import Feature
from intraday.core.registry.parts import CRORE, NO_TRADE, at_least_zero, close_location, directed, intraday_return

FAMILY = "microstructure"
N = 20


def features() -> list[Feature]:
    """Family ``microstructure``; ``roll_spread_20`` stands with volatility."""
    return [*_spreads(), *_impact(), *_noise()]


def _corwin_schultz() -> Expr:
    """One pair of bars: ``2 (e^a - 1) / (1 + e^a)``, a = (sqrt(beta) - sqrt(gamma)) / (sqrt(2) - 1), negative ones 0.

    The paper's a, (sqrt(2 beta) - sqrt(beta)) / k - sqrt(gamma / k) with k = 3 - 2 sqrt(2) = (sqrt(2) - 1)^2, in one fraction.
    A bar that lies wholly beyond the close before it is moved there first (the paper's correction for nights).
    """
    last = prev(close())
    jump = clip(low() - last, 0.0, math.inf) + clip(high() - last, -math.inf, 0.0)
    top, bottom = high() - jump, low() - jump
    now, before = log(ratio(top, bottom)), prev(log(ratio(high(), low())))
    both = log(ratio(max_(top, prev(high())), min_(bottom, prev(low()))))
    a = (sqrt(now * now + before * before) - both) / (math.sqrt(2.0) - 1.0)
    return at_least_zero(ratio(exp(a) - 1.0, exp(a) + 1.0) * 2.0)


def _abdi_ranaldo() -> Expr:
    """One pair of bars: (c - m of the bar before) (c before - m of this bar); a session's first bar compares with its own open."""
    c, middle = log(close()), (log(high()) + log(low())) / 2.0
    base = log(at_start(open_(), prev(close())))
    return prev(c - middle) * (base - middle)


def _spreads() -> list[Feature]:
    return [
        Feature("corwin_schultz_20", FAMILY, mean(_corwin_schultz(), N),
                "mean over 20 pairs of bars of max(0, 2 (e^a - 1) / (1 + e^a)), a = (sqrt(2 b) - sqrt(b)) / k - sqrt(g / k), "
                "k = 3 - 2 sqrt(2), b = ln(h/l)^2 of both bars, g = ln(h/l)^2 of the two as one; gaps taken out",
                "fraction of price", "Corwin, Schultz (2012)"),
        Feature("abdi_ranaldo_20", FAMILY, sqrt(at_least_zero(mean(_abdi_ranaldo(), N))) * 2.0,
                "2 sqrt(max(0, mean over 20 of (c' - m') (c' - m))), c = ln close, m = ln of the mid-range, ' = the bar before; "
                "without nights", "fraction of price", "Abdi, Ranaldo (2017)"),
    ]  # fmt: skip


def _impact() -> list[Feature]:
    turnover = close() * volume() / CRORE
    r = intraday_return()
    return [
        Feature("amihud_20", FAMILY, ratio(mean(abs_(r), N), mean(close() * volume(), N) / CRORE),
                "mean |intraday return| / mean turnover in crore rupees, 20", "log return a crore rupees",
                "Amihud (2002), as a ratio of means", NO_TRADE),
        Feature("kyle_lambda_60", FAMILY, beta(r, directed(r, turnover), 60),
                "slope of intraday returns on turnover signed by them, crore rupees, 60", "log return a crore rupees",
                "Kyle (1985), lambda on bars", "nothing moved on a trade in the window"),
    ]  # fmt: skip


def _noise() -> list[Feature]:
    r = intraday_return()
    one, five = std(r, 60), std(total(r, 5), 60)
    return [
        Feature("zero_ret_20", FAMILY, mean(equal(close(), prev(close())), N),
                "share of the last 20 closes equal to the one before", "0 .. 1", "Lesmond, Ogden, Trzcinka (1999)"),
        Feature("close_loc_20", FAMILY, mean(close_location(), N), "mean of close_loc, 20", "-1 .. 1",
                "Chaikin, close location value"),
        Feature("autocorr_20", FAMILY, corr(r, prev(r), N), "correlation of intraday returns with the ones before, 20", "-1 .. 1",
                "Campbell, Lo, MacKinlay (1997), 2.4", "flat window"),
        Feature("var_ratio_5_60", FAMILY, ratio(five * five, one * one * 5.0, 1.0),
                "variance of 5-bar intraday returns / (5 x variance of 1-bar ones), 60; 1 if flat", "ratio; 1 on a random walk",
                "Lo, MacKinlay (1988)"),
    ]  # fmt: skip
