"""Expressions printed as Python: what is pasted gives the same expression."""

from __future__ import annotations

import pytest
from hypothesis import given

from intraday.core import expression as e
from intraday.core.operations import Expr
from intraday.core.python_text import python_text
from intraday.core.registry import default_registry
from property.test_language_laws import QUICK, TREES

CHANGE = e.close() - e.prev(e.close())
NAMES = {name: getattr(e, name) for name in e.__all__}


def pasted(text: str) -> object:
    return eval(text, dict(NAMES))


def test_every_registered_feature_can_be_pasted() -> None:
    registry = default_registry().values()
    assert [f.name for f in registry if pasted(python_text(f.expr)) != f.expr] == []
    assert [f.name for f in registry if "Expr(" in python_text(f.expr)] == [], "each has a function of the language for all of it"
    assert len(registry) >= 300


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (e.close() / e.ema(e.close(), 9) - 1.0, "close() / ema(close(), 9) - 1"),
        (e.wilder(CHANGE, 14) * 100.0, "100 * wilder(close() - prev(close()), 14)"),
        (e.std(e.close(), 20), "std(close(), 20)"),
        (e.skew(e.close(), 20), "skew(close(), 20)"),
        (e.quantile(e.close(), 20, 0.2), "quantile(close(), 20, 0.2)"),
        (e.session_max(-e.close() + 2.0), "session_max(-close() + 2)"),
        (e.ratio(e.close(), e.volume(), 0.5), "ratio(close(), volume(), 0.5)"),
        (e.hold(e.bucket_high(60), e.close()), "hold(bucket_high(60), close())"),
        (e.at_start(e.open_(), e.prev(e.close())), "at_start(open_(), prev(close()))"),
        (e.cov(e.close(), e.volume(), 9), "cov(close(), volume(), 9)"),
        (e.slot_mean(e.volume(), 19), "slot_mean(volume(), 19)"),
        (e.slot_std(e.volume(), 7), "slot_std(volume(), 7)"),
        (e.ewm_std(e.close(), 30, 5), "ewm_std(close(), 30, 5)"),
        (e.kama(e.close(), 10), "kama(close(), 10)"),
        (e.max_(e.abs_(e.close()), e.min_(e.open_(), e.low())), "max_(abs_(close()), min_(open_(), low()))"),
        (e.clip(e.close(), 0.0, e.INF), "clip(close(), 0, INF)"),
        (e.affine(e.close(), 3.0, -2.5), "affine(close(), 3, -2.5)"),
        (e.close() / 20.0, "close() / 20"),
        (e.close() * e.open_() / e.low(), "(close() * open_()) / low()"),
        (e.close() - (e.open_() - e.low()), "close() - (open_() - low())"),
        (e.close() - e.open_() - e.low(), "close() - open_() - low()"),
        ((-e.close()) * (e.close() + 1.0), "(-close()) * (close() + 1)"),
        (Expr("carried", (), (1.0,)), 'Expr("carried", (), (1, ))'),
        (Expr("ema", (e.close(),), (5.0, 0.9)), 'Expr("ema", (close(), ), (5, 0.9, ))'),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_an_expression_reads_as_it_is_written(expr: Expr, expected: str) -> None:
    assert python_text(expr) == expected
    assert pasted(expected) == expr


def test_what_is_long_and_used_twice_is_named_where_it_first_occurs() -> None:
    band = e.mean(e.high() * e.volume(), 20) / e.mean(e.volume(), 20)
    whole = e.max_(band, band * (e.close() - band))
    text = python_text(whole)
    assert text == "max_((x1 := mean(high() * volume(), 20) / mean(volume(), 20)), x1 * (close() - x1))"
    assert pasted(text) == whole


@QUICK
@given(trees=TREES)
def test_whatever_is_written_can_be_pasted(trees: list[Expr]) -> None:
    assert [pasted(python_text(x)) for x in trees] == trees
