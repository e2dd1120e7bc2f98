"""Expressions, plans, feature sets and snapshots: what they are and what they refuse."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest

from intraday.core import expression as e
from intraday.core.anchor import AnchorRule
from intraday.core.feature import Feature
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.panel import Day
from intraday.core.plan import compile_plan
from intraday.core.registry import default_registry
from intraday.core.sources import FEATURE_HASH
from intraday.domain.arrays import Panel
from intraday.domain.errors import ArtifactError, ConfigError, SkewError

REGISTRY = default_registry()


def feature(expr: e.Expr) -> Feature:
    return Feature("x", "test", expr, "", "", "")


def panel(close: list[list[float]], session: list[int] | None = None) -> Panel:
    prices = np.array(close)
    n = len(prices)
    ones = np.ones_like(prices)
    return Panel(
        5, np.arange(n), np.array(session or [1] * n, np.int32), np.arange(n) * 5.0, ones * 375.0, ones == 1.0,
        prices, prices, prices, prices, ones, ~np.isnan(prices),
    )  # fmt: skip


def run(expr: e.Expr, close: list[float], session: list[int] | None = None) -> list[float]:
    one = FeatureSet(5, (feature(expr),), AnchorRule())
    out = FeatureCalculator(one, np.ones(1, np.bool_)).batch(panel([[c] for c in close], session))
    return [float(v) for v in out[:, 0, 0]]


NAN = float("nan")


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (e.prev(e.close()), [NAN, 1, 2, NAN, 4]),
        (e.lag(e.close(), 2), [NAN, NAN, 1, NAN, 2]),
        (e.mean(e.close(), 2), [NAN, 1.5, 3, NAN, 6]),
        (e.highest(e.close(), 3), [NAN, NAN, 4, NAN, 8]),
        (e.lowest(e.close(), 3), [NAN, NAN, 1, NAN, 2]),
        (e.ema(e.close(), 2), [NAN, 1.5, 3.1666667, NAN, 6.3888889]),
        (e.close() + e.close(), [2, 4, 8, NAN, 16]),
        (-e.close() + 1.0, [0, -1, -3, NAN, -7]),
        (e.close() / (e.close() - 4.0), [-0.33333334, -1, NAN, NAN, 2]),
        (e.ratio(e.close(), e.close() - 4.0, 9.0), [-0.33333334, -1, 9, NAN, 2]),
        (e.max_(e.close(), e.prev(e.close())), [NAN, 2, 4, NAN, 8]),
        (e.min_(e.close(), e.prev(e.close())), [NAN, 1, 2, NAN, 4]),
        (e.greater(e.close(), e.prev(e.close())), [NAN, 1, 1, NAN, 1]),
        (e.clip(e.close(), 2.0, 5.0), [2, 2, 4, NAN, 5]),
        (e.log(e.close() - 1.0), [NAN, 0, 1.0986123, NAN, 1.9459101]),
        (e.sqrt(e.close() - 2.0), [NAN, 0, 1.4142135, NAN, 2.4494898]),
        (e.abs_(e.close() - 3.0), [2, 1, 1, NAN, 5]),
        (e.hold(e.where(e.close() - 3.0, e.minute(), e.log(-e.close())), e.close()), [NAN, NAN, 10, NAN, 20]),
        (e.start(), [1, 0, 0, NAN, 1]),
        (e.session_sum(e.close()), [1, 3, 7, NAN, 8]),
        (e.session_first(e.close()), [1, 1, 1, NAN, 8]),
        (e.session_max(-e.close()), [-1, -1, -1, NAN, -8]),
        (e.session_min(-e.close()), [-1, -2, -4, NAN, -8]),
        (e.session_before(e.close()), [NAN, NAN, NAN, NAN, 4]),
    ],
    ids=lambda x: x.text if isinstance(x, e.Expr) else "",
)
def test_a_primitive_by_hand(expr: e.Expr, expected: list[float]) -> None:
    """Close 1, 2, 4, no bar, 8, the last in a new session."""
    found = run(expr, [1, 2, 4, NAN, 8], [1, 1, 1, 1, 2])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_slot_learns_only_after_it_has_spoken() -> None:
    by_time = panel([[10.0], [20.0], [30.0], [40.0]], [1, 1, 2, 2])
    by_time = dataclasses.replace(by_time, minute=np.array([0.0, 5.0, 0.0, 5.0]))
    calculator = FeatureCalculator(FeatureSet(5, (feature(e.slot_mean(e.close(), 19)),), AnchorRule()), np.ones(1, np.bool_))
    np.testing.assert_allclose(calculator.batch(by_time)[:, 0, 0], [NAN, NAN, 10, 20])
    outside = dataclasses.replace(by_time, minute=np.array([-45.0, 480.0, 0.0, 5.0]), session=np.full(4, 3, np.int32))
    np.testing.assert_allclose(calculator.batch(outside)[:, 0, 0], [NAN, NAN, 12, 22])


def test_common_expressions_are_computed_once() -> None:
    both = [e.ema(e.close(), 9) - e.ema(e.close(), 21), e.ema(e.close(), 9)]
    assert compile_plan(both, 5).n_nodes == 4
    widths = [e.mean(e.close(), 20), e.std(e.close(), 20), e.total(e.close(), 20), e.mean(e.close(), 10), e.lag(e.close(), 7)]
    assert (
        compile_plan(widths, 5).n_nodes == 2 + 2 + 4
    )  # one ring for all, which knows what leaves the longest, what leaves the others, figures
    cut = compile_plan([e.ema(e.close() - e.across_mean(e.close()), 3), e.across_rank(e.close())], 5)
    assert [len(p.code) for p in cut.phases] == [1, 5] and [len(a.code) for a in cut.across] == [2] and cut.n_carried == 3


def test_warmup_adds_up() -> None:
    macd = e.ema(e.close(), 12) - e.ema(e.close(), 26)
    assert e.ema(macd, 9).warmup == 33
    assert e.mean(e.lag(e.close(), 3), 5).warmup == 7
    assert e.session_before(e.close()).sessions == 1


def test_registry_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        REGISTRY["mine"] = REGISTRY["sigma"]  # type: ignore[index]
    assert len(REGISTRY) >= 30 and "sigma" in REGISTRY
    assert {f.family for f in REGISTRY.values()} >= {"returns", "trend", "momentum", "volatility", "volume", "session", "time"}


def test_id_says_what_the_values_depend_on() -> None:
    base = FeatureSet.of(5, ["ret_1", "sigma"], REGISTRY, AnchorRule())
    assert base.id == FeatureSet.of(5, ["ret_1", "sigma"], REGISTRY, AnchorRule()).id
    assert len(base.id) == 16 and int(base.id, 16) >= 0
    altered = dict(REGISTRY) | {"ret_1": dataclasses.replace(REGISTRY["ret_1"], expr=e.log(e.close()))}
    others = [
        FeatureSet.of(15, ["ret_1", "sigma"], REGISTRY, AnchorRule()),
        FeatureSet.of(5, ["sigma", "ret_1"], REGISTRY, AnchorRule()),
        FeatureSet.of(5, ["ret_1", "sigma"], REGISTRY, AnchorRule("2021-03-26")),
        FeatureSet.of(5, ["ret_1", "sigma"], altered, AnchorRule()),
    ]
    assert len({base.id, *(o.id for o in others)}) == 5
    definition = json.loads(base.definition())
    assert definition["code"] == FEATURE_HASH
    assert [f["name"] for f in definition["features"]] == ["ret_1", "sigma"]


def test_a_user_s_feature_is_one_more_entry() -> None:
    mine = {**REGISTRY, "mine": feature(e.mean(e.close(), 3))}
    found = FeatureSet.of(5, ["mine"], mine, AnchorRule())
    out = FeatureCalculator(found, np.ones(1, np.bool_)).batch(panel([[1.0], [2.0], [6.0]]))
    assert out[2, 0, 0] == 3.0


@pytest.mark.parametrize(("names", "message"), [(["rsi_41"], "rsi_41"), (["ret_1", "ret_1"], "once"), ([], "at least one")])
def test_feature_set_refuses(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FeatureSet.of(5, names, REGISTRY, AnchorRule())
    with pytest.raises(ConfigError, match="ret_3"):
        FeatureSet.of(5, ["ret_1"], REGISTRY, AnchorRule()).column("ret_3")


def calculator(names: list[str], n: int = 2) -> FeatureCalculator:
    return FeatureCalculator(FeatureSet.of(5, names, REGISTRY, AnchorRule()), np.ones(n, np.bool_))


def test_the_index_is_a_row_or_nobody() -> None:
    of_index = FeatureSet(5, (feature(e.of_index(e.prev(e.close()))),), AnchorRule())
    three = panel([[1.0, 10.0, 100.0], [2.0, 20.0, 200.0], [3.0, NAN, 300.0], [4.0, 40.0, 400.0]])
    yes = np.ones(3, np.bool_)
    whole = FeatureCalculator(of_index, yes, 1)
    found = whole.batch(three.rows(0, 3))[:, :, 0]
    np.testing.assert_array_equal(found, [[NAN] * 3, [10.0] * 3, [NAN] * 3])
    np.testing.assert_array_equal(FeatureCalculator(of_index, yes).batch(three)[:, :, 0], np.full((4, 3), NAN))
    with pytest.raises(SkewError, match="index in row 2"):
        FeatureCalculator(of_index, yes, 2).restore(whole.snapshot())
    keep = np.array([2, 1])
    np.testing.assert_array_equal(whole.columns(keep).batch(three.columns(keep).rows(3, 4))[:, :, 0], [[20.0, 20.0]])
    without = whole.columns(np.array([0, 2])).batch(three.columns(np.array([0, 2])).rows(3, 4))
    assert np.isnan(without).all()


def test_a_bucket_s_warmup_depends_on_the_timeframe() -> None:
    expr = e.ema(e.bucket_close(60), 20)
    assert (expr.warmup_at(5), expr.warmup_at(15), expr.warmup) == (239, 79, 1199)
    assert e.lag(e.hold(expr, e.close()), 2).warmup_at(5) == 241
    assert feature(e.bucket_volume(15)).needs_volume and not feature(expr).needs_volume


def test_snapshot_of_something_else_is_refused() -> None:
    snapshot = calculator(["ret_1"]).snapshot()
    with pytest.raises(SkewError, match="set"):
        calculator(["ret_3"]).restore(snapshot)
    with pytest.raises(SkewError, match="instruments"):
        calculator(["ret_1"], 3).restore(snapshot)
    for damaged in (b"", snapshot[:40], snapshot[: len(snapshot) // 2], b"not a zip at all"):
        with pytest.raises(ArtifactError):
            calculator(["ret_1"]).restore(damaged)
    buffer = io.BytesIO()
    np.savez(buffer, feature_set=np.array(["x"], dtype=object))
    with pytest.raises(ArtifactError):
        calculator(["ret_1"]).restore(buffer.getvalue())


def test_read_only_panels_of_one_instrument_are_fine() -> None:
    prices = panel([[1.0], [2.0], [3.0]])
    for name in ("open", "close", "mask", "session", "minute"):
        getattr(prices, name).setflags(write=False)
    assert calculator(["ret_1"], 1).batch(prices).shape == (3, 1, 1)


def test_no_bars_no_rows() -> None:
    assert calculator(["ret_1"]).batch(panel([[1.0, 1.0]]).rows(0, 0)).shape == (0, 2, 1)
    empty = np.zeros(0, np.dtype([("inst", "i4"), *((k, "f8") for k in ("open", "high", "low", "close", "volume"))]))
    assert calculator(["ret_1"]).update(empty, 0, Day(1, 0, np.full(1, 375.0), np.ones(1, np.bool_))).shape == (0, 1)
