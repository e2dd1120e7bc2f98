"""Who is no member changes nothing that is said of the others."""

from __future__ import annotations

from datetime import date
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from intraday.core.anchor import AnchorRule
from intraday.core.audit.laws import Group
from intraday.core.audit.members import members_law
from intraday.core.audit.result import Finding, Law, Outcome
from intraday.core.expression import across_mean, ema
from intraday.core.feature import Feature
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.function_features import BarWindow, Function, FunctionCalculator, FunctionFeature, FunctionSet
from intraday.core.panel import Lists, panel_of
from intraday.core.registry import default_registry
from intraday.core.registry.parts import log_return
from intraday.domain.arrays import BAR, MINUTE_NS, Panel
from intraday.domain.session import SessionTable

TABLE = SessionTable.load()
N, INDEX = 6, 5
EVERYBODY = Lists(member=tuple((row, 0, 99_999) for row in range(N - 1)))
SOME = Lists(member=((0, 0, 99_999), (1, 0, 99_999), (3, 0, 99_999)))


def panel(lists: Lists, n: int = N) -> Panel:
    rng, open_ns = np.random.default_rng(1), TABLE.get(date(2024, 1, 10)).open_ns
    rows = np.zeros(40 * n, BAR)
    rows["ts_ns"], rows["inst"] = open_ns + np.repeat(np.arange(40), n) * 5 * MINUTE_NS, np.tile(np.arange(n), 40)
    rows["open"], rows["close"] = 100.0, 100.0 * np.exp(rng.normal(0.0, 0.01, 40 * n))
    rows["high"], rows["low"] = np.maximum(rows["open"], rows["close"]), np.minimum(rows["open"], rows["close"])
    rows["volume"] = 10.0
    return panel_of(rows[rng.random(40 * n) > 0.1], n, 5, TABLE, lists)


def gap(bars: BarWindow) -> NDArray[np.float64]:
    return np.asarray(bars.close - np.nanmean(bars.close, axis=1, keepdims=True))


def gap_to_members(bars: BarWindow) -> NDArray[np.float64]:
    return np.asarray(bars.close - np.nanmean(np.where(bars.member, bars.close, np.nan), axis=1, keepdims=True))


def gap_to_index(bars: BarWindow) -> NDArray[np.float64]:
    assert bars.index is not None
    return bars.close - bars.close[:, bars.index : bars.index + 1]


def gap_to_fifth(bars: BarWindow) -> NDArray[np.float64]:
    return bars.close - bars.close[:, 4:5]


def law(function: Function, lists: Lists) -> Finding:
    functions = FunctionSet((FunctionFeature("own", function, 2, "", ""),), "d", TABLE)
    make = partial(FunctionCalculator, functions, 5, N, INDEX)
    (found,) = members_law(Group(functions.features, make, own=True), panel(lists), INDEX, np.random.default_rng(0))
    assert found.law is Law.MEMBERS
    return found


@pytest.mark.parametrize("lists", [EVERYBODY, SOME])
@pytest.mark.parametrize(
    ("function", "passes"), [(gap, False), (gap_to_fifth, False), (gap_to_members, True), (gap_to_index, True)]
)
def test_a_function_that_looks_outside_is_caught(function: Function, passes: bool, lists: Lists) -> None:
    found = law(function, lists)
    assert found.outcome is (Outcome.PASSED if passes else Outcome.FAILED)
    assert passes or "bars.member" in found.detail


def test_every_feature_that_compares_keeps_to_members() -> None:
    chosen = FeatureSet.of(5, None, default_registry(), AnchorRule())
    own = Feature("market", "user", ema(across_mean(log_return(1)), 12), "", "", "")
    features = (*(f for f in chosen.features if f.name in chosen.comparing), own)
    some = FeatureSet(5, features, AnchorRule())
    make = partial(FeatureCalculator, some, np.arange(N) != INDEX, INDEX)
    for lists in (EVERYBODY, SOME):
        found = list(members_law(Group(features, make), panel(lists), INDEX, np.random.default_rng(0)))
        assert len(found) == len(features) > 10
        assert {f.outcome for f in found} <= {Outcome.PASSED, Outcome.NOT_CHECKED}
        assert sum(f.outcome is Outcome.PASSED for f in found) > 5


def test_two_instruments_cannot_tell() -> None:
    some = FeatureSet.of(5, ("ret_1",), default_registry(), AnchorRule())
    make = partial(FeatureCalculator, some, np.ones(2, np.bool_))
    (found,) = members_law(Group(some.features, make), panel(Lists(), 2), None, np.random.default_rng(0))
    assert found.outcome is Outcome.NOT_CHECKED
