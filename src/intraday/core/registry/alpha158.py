"""Qlib's Alpha158: 9 shapes of the bar, 4 prices against the close, 29 rolling statistics over 5, 10, 20, 30 and 60 bars.

A feature is ``a158_`` and qlib's name in lower case, in qlib's order; ``formula`` is qlib's own expression, letter by letter, which
the golden test compares. A "day" there is a bar here. Where a value differs from qlib's is on ``docs/alpha158.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from intraday.core.expression import (
    Expr,
    abs_,
    argmax,
    argmin,
    clip,
    close,
    corr,
    greater,
    high,
    highest,
    lag,
    log,
    low,
    lowest,
    max_,
    mean,
    mean_rank,
    min_,
    open_,
    prev,
    quantile,
    r2,
    ratio,
    resi,
    slope,
    std,
    total,
    volume,
)
from intraday.core.feature import Feature
from intraday.core.registry.parts import typical

WINDOWS = (5, 10, 20, 30, 60)
SOURCE = "Yang et al. (2020), Qlib, arXiv:2009.11189; qlib.contrib.data.loader.Alpha158DL"
SHARE = "share of the close"
STILL = 2e-5  # qlib gives no R2 and no correlation where a sample deviation is at most this, whatever the units
STUCK = "the close stood still in the window"


@dataclass(frozen=True, slots=True)
class _Kind:
    """A rolling feature before its window is chosen; ``formula`` has %d where the window goes."""

    name: str
    build: Callable[[int], Expr]
    formula: str
    units: str
    undefined: str = ""


def features() -> list[Feature]:
    """Family ``alpha158``, 158 features in qlib's order."""
    kinds = [*_trends(), *_places(), *_correlations(), *_counts(), *_moves(), *_volumes()]
    rolling = [
        _feature(f"{k.name}{d}", k.build(d), k.formula.replace("%d", str(d)), k.units.replace("%d", str(d)), k.undefined)
        for k in kinds
        for d in WINDOWS
    ]
    return [*_bar(), *_prices(), *rolling]


def _feature(name: str, expr: Expr, formula: str, units: str, undefined: str = "") -> Feature:
    return Feature(f"a158_{name}", "alpha158", expr, formula, units, SOURCE, undefined)


def _bar() -> list[Feature]:
    o, h, low_, c = open_(), high(), low(), close()
    span, top, bottom = h - low_, h - max_(o, c), min_(o, c) - low_
    shift = c * 2.0 - h - low_
    share, part = "share of the open", "share of the bar's range"
    flat = "($high-$low+1e-12)"
    return [
        _feature("kmid", ratio(c - o, o), "($close-$open)/$open", share),
        _feature("klen", ratio(span, o), "($high-$low)/$open", share),
        _feature("kmid2", ratio(c - o, span, 0.0), f"($close-$open)/{flat}", part),
        _feature("kup", ratio(top, o), "($high-Greater($open, $close))/$open", share),
        _feature("kup2", ratio(top, span, 0.0), f"($high-Greater($open, $close))/{flat}", part),
        _feature("klow", ratio(bottom, o), "(Less($open, $close)-$low)/$open", share),
        _feature("klow2", ratio(bottom, span, 0.0), f"(Less($open, $close)-$low)/{flat}", part),
        _feature("ksft", ratio(shift, o), "(2*$close-$high-$low)/$open", share),
        _feature("ksft2", ratio(shift, span, 0.0), f"(2*$close-$high-$low)/{flat}", part),
    ]


def _prices() -> list[Feature]:
    fields = {"open": open_(), "high": high(), "low": low(), "vwap": typical()}  # bars carry no VWAP of their own
    return [_feature(f"{name}0", ratio(x, close()), f"${name}/$close", SHARE) for name, x in fields.items()]


def _sample_std(x: Expr, width: int) -> Expr:
    return std(x, width) * math.sqrt(width / (width - 1.0))


def _trends() -> list[_Kind]:
    c = close()
    return [
        _Kind("roc", lambda d: ratio(lag(c, d), c), "Ref($close, %d)/$close", SHARE),
        _Kind("ma", lambda d: ratio(mean(c, d), c), "Mean($close, %d)/$close", SHARE),
        _Kind("std", lambda d: ratio(_sample_std(c, d), c), "Std($close, %d)/$close", SHARE),
        _Kind("beta", lambda d: ratio(slope(c, d), c), "Slope($close, %d)/$close", f"{SHARE} a bar"),
        _Kind("rsqr", lambda d: r2(c, d, STILL), "Rsquare($close, %d)", "0 .. 1", STUCK),
        _Kind("resi", lambda d: ratio(resi(c, d), c), "Resi($close, %d)/$close", SHARE),
        _Kind("max", lambda d: ratio(highest(high(), d), c), "Max($high, %d)/$close", SHARE),
        _Kind("min", lambda d: ratio(lowest(low(), d), c), "Min($low, %d)/$close", SHARE),
    ]


def _places() -> list[_Kind]:
    c, h, low_ = close(), high(), low()
    age = "place in the window, oldest 1, as a share"
    return [
        _Kind("qtlu", lambda d: ratio(quantile(c, d, 0.8), c), "Quantile($close, %d, 0.8)/$close", SHARE),
        _Kind("qtld", lambda d: ratio(quantile(c, d, 0.2), c), "Quantile($close, %d, 0.2)/$close", SHARE),
        _Kind("rank", lambda d: mean_rank(c, d), "Rank($close, %d)", "1/%d .. 1"),
        _Kind("rsv", lambda d: ratio(c - lowest(low_, d), highest(h, d) - lowest(low_, d), 0.0),
              "($close-Min($low, %d))/(Max($high, %d)-Min($low, %d)+1e-12)", "0 .. 1"),
        _Kind("imax", lambda d: argmax(h, d) / d, "IdxMax($high, %d)/%d", age),
        _Kind("imin", lambda d: argmin(low_, d) / d, "IdxMin($low, %d)/%d", age),
        _Kind("imxd", lambda d: (argmax(h, d) - argmin(low_, d)) / d, "(IdxMax($high, %d)-IdxMin($low, %d))/%d", "-1 .. 1"),
    ]  # fmt: skip


def _correlations() -> list[_Kind]:
    c, v = close(), volume()
    level = log(v + 1.0)
    change = log(ratio(v, prev(v)) + 1.0)
    still = "close or volume stood still in the window"
    return [
        _Kind("corr", lambda d: corr(c, level, d, STILL), "Corr($close, Log($volume+1), %d)", "-1 .. 1", still),
        _Kind("cord", lambda d: corr(ratio(c, prev(c)), change, d, STILL),
              "Corr($close/Ref($close,1), Log($volume/Ref($volume, 1)+1), %d)", "-1 .. 1",
              f"{still}, or nothing traded in the bar before"),
    ]  # fmt: skip


def _counts() -> list[_Kind]:
    up, down = greater(close(), prev(close())), greater(prev(close()), close())
    rose, fell = "Mean($close>Ref($close, 1), %d)", "Mean($close<Ref($close, 1), %d)"
    return [
        _Kind("cntp", lambda d: total(up, d) / d, rose, "share of the bars"),
        _Kind("cntn", lambda d: total(down, d) / d, fell, "share of the bars"),
        _Kind("cntd", lambda d: (total(up, d) - total(down, d)) / d, f"{rose}-{fell}", "-1 .. 1"),  # counts: equal ones give 0
    ]


def _moves() -> list[_Kind]:
    return _directions("sum", close(), "$close")


def _volumes() -> list[_Kind]:
    v = volume()
    money = abs_(ratio(close(), prev(close())) - 1.0) * v
    moved = "Abs($close/Ref($close, 1)-1)*$volume"
    dry = "nothing traded in the bar"
    return [
        _Kind("vma", lambda d: ratio(mean(v, d), v), "Mean($volume, %d)/($volume+1e-12)", "share of the volume", dry),
        _Kind("vstd", lambda d: ratio(_sample_std(v, d), v), "Std($volume, %d)/($volume+1e-12)", "share of the volume", dry),
        _Kind("wvma", lambda d: ratio(_sample_std(money, d), mean(money, d), 0.0),
              f"Std({moved}, %d)/(Mean({moved}, %d)+1e-12)", "ratio"),
        *_directions("vsum", v, "$volume"),
    ]  # fmt: skip


def _directions(name: str, x: Expr, field: str) -> list[_Kind]:
    """Rises and falls of ``x`` against both together. All changes are the rises and the falls: no third ring for |change|."""
    change = x - prev(x)

    def up(d: int) -> Expr:
        return total(clip(change, 0.0, math.inf), d)

    def down(d: int) -> Expr:
        return total(clip(-change, 0.0, math.inf), d)

    before = f"Ref({field}, 1)"
    rises, falls = f"Sum(Greater({field}-{before}, 0), %d)", f"Sum(Greater({before}-{field}, 0), %d)"
    both = f"(Sum(Abs({field}-{before}), %d)+1e-12)"
    return [
        _Kind(f"{name}p", lambda d: ratio(up(d), up(d) + down(d), 0.0), f"{rises}/{both}", "0 .. 1"),
        _Kind(f"{name}n", lambda d: ratio(down(d), up(d) + down(d), 0.0), f"{falls}/{both}", "0 .. 1"),
        _Kind(f"{name}d", lambda d: ratio(up(d) - down(d), up(d) + down(d), 0.0), f"({rises}-{falls})/{both}", "-1 .. 1"),
    ]
