"""Realised measures: what the squares, products and powers of intraday returns say. Per bar, without nights."""

from __future__ import annotations

import math

from intraday.core.expression import Expr, abs_, clip, mean, prev, ratio, session_count, session_sum, sqrt, std, wilder
from intraday.core.feature import Feature
from intraday.core.registry.parts import intraday_return, true_range

N = 20


def features() -> list[Feature]:
    """Family ``volatility``, second part. r: ``intraday_return``, the log return of a bar without the night."""
    return [*_jumps(), *_sides(), *_others()]


def variance() -> Expr:
    """Mean of the last ``N`` squared intraday returns."""
    return mean(intraday_return() * intraday_return(), N)


def _jumps() -> list[Feature]:
    size = abs_(intraday_return())
    smooth = mean(size * prev(size), N) * (math.pi / 2.0)
    share = clip(ratio(smooth, variance(), 1.0) * -1.0 + 1.0, 0.0, 1.0)
    return [
        Feature("bipower_20", "volatility", sqrt(smooth), "sqrt(pi/2 mean(|r| |previous r|)) over 20", "log return a bar",
                "Barndorff-Nielsen, Shephard (2004), J. Financial Econometrics 2"),
        Feature("jump_share_20", "volatility", share, "max(0, 1 - bipower_20^2 / rvol_20^2); 0 if flat", "0 .. 1",
                "Huang, Tauchen (2005), relative jump"),
    ]  # fmt: skip


def _sides() -> list[Feature]:
    r = intraday_return()
    rise, fall = clip(r, 0.0, math.inf), clip(r, -math.inf, 0.0)
    up, down = mean(rise * rise, N), mean(fall * fall, N)
    source = "Barndorff-Nielsen, Kinnebrock, Shephard (2010), realised semivariance"
    return [
        Feature("semi_up_20", "volatility", sqrt(up),
                "sqrt(mean of squared r > 0, others 0) over 20", "log return a bar", source),
        Feature("semi_down_20", "volatility", sqrt(down),
                "sqrt(mean of squared r < 0, others 0) over 20", "log return a bar", source),
        Feature("semi_balance_20", "volatility", ratio(up - down, variance(), 0.0),
                "(semi_up_20^2 - semi_down_20^2) / rvol_20^2; 0 if flat", "-1 .. 1",
                "Patton, Sheppard (2015), signed jump variation"),
    ]  # fmt: skip


def _others() -> list[Feature]:
    r = intraday_return()
    v = variance()
    vol = sqrt(v)
    cubes, fourths = mean(r * r * r, N), mean(r * r * (r * r), N)
    amaya = "Amaya et al. (2015), J. Financial Economics 118"
    return [
        Feature("rskew_20", "volatility", ratio(cubes, v * vol, 0.0),
                "mean r^3 / (mean r^2)^1.5 over 20; 0 if flat", "ratio", amaya),
        Feature("rkurt_20", "volatility", ratio(fourths, v * v, 0.0),
                "mean r^4 / (mean r^2)^2 over 20; 0 if flat", "ratio", amaya),
        Feature("vol_of_vol_20", "volatility", ratio(std(vol, N), mean(vol, N), 0.0),
                "population sd of the last 20 rvol_20 / their mean; 0 if flat", "ratio", "definition"),
        Feature("rvol_session", "volatility", sqrt(ratio(session_sum(r * r), session_count(r))),
                "sqrt(mean r^2 of the session so far)", "log return a bar", "Andersen, Bollerslev (1998)"),
        Feature("trange_rel_14", "volatility", ratio(true_range(), wilder(true_range(), 14), 0.0), "true range / ATR14; 0 if flat",
                "ratio", "Wilder (1978); TA-Lib TRANGE, ATR"),
    ]  # fmt: skip
