"""What the feature language refuses, and how it says so; every name that ``import *`` gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from intraday.core import expression
from intraday.domain.errors import ConfigError

e: Any = expression  # much of what stands below is what a type checker would refuse as well
C, V = e.close(), e.volume()
BARS = "expected a whole number of bars, 1 to 10,000; found"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda: e.ema(C, 0), f"ema: {BARS} 0"),
        (lambda: e.ema(C, -3), f"ema: {BARS} -3"),
        (lambda: e.mean(C, 20.5), f"mean: {BARS} 20.5"),
        (lambda: e.mean(C, 0), f"mean: {BARS} 0"),
        (lambda: e.mean(C, True), f"mean: {BARS} True"),
        (lambda: e.mean(C, math.nan), f"mean: {BARS} nan"),
        (lambda: e.mean(C, "20"), f"mean: {BARS} '20'"),
        (lambda: e.lag(C, 2.5), f"lag: {BARS} 2.5"),
        (lambda: e.lag(C, 0), f"lag: {BARS} 0"),
        (lambda: e.lag(C, 10**9), f"lag: {BARS} 1000000000"),
        (lambda: e.wilder(C, 0), f"wilder: {BARS} 0"),
        (lambda: e.slot_mean(V, -1), "slot_mean: expected a whole number of sessions, 1 to 10,000; found -1"),
        (lambda: e.slot_mean(V, 0.1), "slot_mean: expected a whole number of sessions, 1 to 10,000; found 0.1"),
        (lambda: e.slot_std(V, 0), "slot_std: expected a whole number of sessions, 1 to 10,000; found 0"),
        (lambda: e.ewm_std(C, 0, 3), f"ewm_std: {BARS} 0"),
        (lambda: e.ewm_std(C, 9, 0), f"ewm_std: {BARS} 0"),
        (lambda: e.clip(C, 5, 1), "clip: expected two numbers, the lower bound first; found 5 and 1"),
        (lambda: e.clip(C, math.nan, 1), "clip: expected two numbers"),
        (lambda: e.clip(C, e.low(), 1), r"clip: .*; found the expression \(low\) and 1"),
        (lambda: e.quantile(C, 9, 1.5), "quantile: expected a share, 0 to 1; found 1.5"),
        (lambda: e.slope(C, 1), "slope: expected a whole number of bars, 2 to 10,000; found 1"),
        (lambda: e.skew(C, 2), "skew: expected a whole number of bars, 3 to"),
        (lambda: e.kurt(C, 3), "kurt: expected a whole number of bars, 4 to"),
        (lambda: e.corr(C, V, 1), "corr: expected a whole number of bars, 2 to"),
        (lambda: e.corr(C, V, 9, math.nan), "corr: expected a finite number; found nan"),
        (lambda: e.bucket_close(0), "bucket_close: expected a whole number of minutes, 1 to 480; found 0"),
        (lambda: e.affine(C, math.nan, 0.0), "affine: expected a finite number; found nan"),
        (lambda: e.power(C, math.inf), "power: expected a finite number; found inf"),
        (lambda: e.ratio(C, V, math.inf), "ratio: expected a finite number; found inf"),
        (lambda: e.at_start(e.prev(C), C), "at_start: expected what needs no earlier bar, then what needs one; found 1 and 0 bars"),
        (lambda: C / 0, "/: expected a number other than 0"),
        (lambda: C * math.nan, "affine: expected a finite number; found nan"),
        (lambda: e.ema(e.close, 20), r"ema: expected an expression .*, found the function close; with brackets .*: close\(\)"),
        (lambda: e.mean(e.close, 20), r"mean: expected an expression .*, found the function close"),
        (lambda: e.max_(C, 0.0), r"max_: expected an expression such as close\(\), found 0.0; .* affine\(x, 0.0, 0.0\)"),
        (lambda: e.where(C == V, C, V), r"where: .* found False \(== compares how .* use equal\(\)\)"),
        (lambda: C + "1", "add: expected an expression such as close"),
        (lambda: C and V, "has no truth value"),
        (lambda: max(C, V), r"has no truth value .* min\(\) and max\(\) min_\(x, y\) and max_\(x, y\)"),
        (lambda: 1 < C < 5, "for a < b < c both comparisons"),
        (lambda: C >= V, r"write max_\(greater\(x, y\), equal\(x, y\)\)"),
        (lambda: math.log(C), r"use log\(\)"),
        (lambda: np.log(C), r"np.log: \(close\) is no array before there are bars; use log\(\)"),
        (lambda: np.maximum(C, V), r"np.maximum: .* use max_\(\)"),
        (lambda: np.mean(C), r"np.mean: .* use mean\(\)"),
        (lambda: np.arctan(C), "np.arctan: .* use the functions of intraday.core.expression, or a FunctionFeature"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_told_where_it_is_written(write: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        write()


@pytest.mark.parametrize("name", [n for n in expression.__all__ if n not in ("Expr", "INF", "NAN", "OPS")])
@pytest.mark.parametrize("wrong", [0, -1, 2.5, math.nan, 10**9, "9", None, True])
def test_every_primitive_gives_an_expression_or_says_what_is_wrong(name: str, wrong: Any) -> None:
    """In each place in turn that is no expression; never another error, never an endless tree."""
    made: Callable[..., Any] = getattr(e, name)
    annotations = [a for n, a in made.__annotations__.items() if n != "return"]
    for i, annotation in enumerate(annotations):
        given = [wrong if k == i else C if a == "Expr" else 9 for k, a in enumerate(annotations)]
        try:
            assert isinstance(made(*given), e.Expr)
            assert annotation == "float" or wrong != wrong, "an operand or a window is never one of these"
        except ConfigError as error:
            assert str(error).split(":")[0] not in ("window", "sorted")


def test_operators_write_what_the_functions_do() -> None:
    assert C**2 == e.power(C, 2.0)
    assert abs(C) == e.abs_(C)
    assert (C > V, C < V) == (e.greater(C, V), e.greater(V, C))
    assert (C > 5) == e.greater(C, e.affine(C, 0.0, 5.0))
    assert (5 > C) == (C < 5) == e.greater(e.affine(C, 0.0, 5.0), C)
    assert 2 * C + 1 == C * 2 + 1 == 1 + C * 2
    assert 1 - C == e.affine(C, -1.0, 1.0)
    assert 1 / C == e.affine(C, 0.0, 1.0) / C
    assert np.float64(2) * C == C * np.int64(2) == C * 2
    assert np.float64(2) - C == 2 - C
    assert e.mean(C, 20) == e.mean(C, np.int64(20)) == e.mean(C, 20.0)


def test_a_star_import_gives_every_primitive() -> None:
    public = {
        n
        for n, v in vars(expression).items()
        if callable(v) and getattr(v, "__module__", "").endswith("expression") and n[0] != "_"
    }
    assert set(e.__all__) == public | {"Expr", "INF", "NAN", "OPS"}
    assert len(e.__all__) > 70
