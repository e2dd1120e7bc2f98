"""A user's functions in a feature set and its calculator: columns after the expressions', and every law of both."""

from __future__ import annotations

import numpy as np
import pytest

from intraday.core.anchor import AnchorRule
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.function_features import FunctionCalculator, FunctionFeature, FunctionSet
from intraday.core.registry import default_registry
from intraday.domain.arrays import Mask
from intraday.domain.errors import ConfigError, SkewError
from intraday.domain.session import SessionTable
from property import laws
from unit.test_user_features import functions, market_panel


def joined(*names: str, digest: str = "d1") -> FeatureSet:
    made = FunctionSet(functions().features, digest, functions().sessions)
    return FeatureSet.of(5, names or ("cross", "rsi_14", "change", "ret_3"), default_registry(), AnchorRule(), made)


def make(has_volume: Mask) -> FeatureCalculator:
    return FeatureCalculator(joined(), has_volume)


def test_expressions_come_first_and_every_value_is_what_it_is_alone() -> None:
    panel, chosen = market_panel(), joined()
    assert chosen.names == ("rsi_14", "ret_3", "cross", "change")
    assert chosen.column("change") == 3
    found = make(laws.volumes(panel)).batch(panel)
    assert chosen.functions is not None
    own = FunctionCalculator(chosen.functions, 5, 4).batch(panel)
    plain = FeatureCalculator(FeatureSet(5, chosen.features, chosen.anchor), laws.volumes(panel)).batch(panel)
    laws.same(found, np.concatenate([plain, own], axis=2), "joined")
    assert len(joined(*default_registry(), *functions().names).names) == len(default_registry()) + 3
    assert joined("change", "ret_3").warmup == 3


def test_the_laws_hold_for_both_together() -> None:
    panel = market_panel()
    laws.chunks(make, panel, [1, 80, 200])
    laws.steps(make, panel, np.random.default_rng(1))
    laws.truncation(make, panel, 120)
    whole = make(laws.volumes(panel)).batch(panel)
    first, again = make(laws.volumes(panel)), make(laws.volumes(panel))
    first.batch(panel.rows(0, 100))
    assert not first.same_state(again).any()
    again.restore(first.snapshot())
    assert first.same_state(again).all()
    laws.same(again.batch(panel.rows(100, len(panel))), whole[100:], "restored")
    assert first.columns(np.array([2, 0])).batch(panel.columns(np.array([2, 0])).rows(100, 101)).shape == (1, 2, 4)
    first.silence()
    assert np.isnan(first.batch(panel.rows(100, 140))).all()


def test_the_file_is_part_of_the_set_as_soon_as_a_function_is() -> None:
    assert joined().id != joined(digest="d2").id
    assert joined("ret_3").id == joined("ret_3", digest="d2").id == FeatureSet.of(5, ["ret_3"], default_registry(), AnchorRule()).id
    with pytest.raises(SkewError):
        FeatureCalculator(joined(digest="d2"), np.ones(4, np.bool_)).restore(make(np.ones(4, np.bool_)).snapshot())
    with pytest.raises(ConfigError, match="unknown feature 'nonesuch'"):
        joined("nonesuch")


def test_a_failing_function_is_named() -> None:
    bad = FunctionSet((FunctionFeature("bad", lambda bars: bars.close[0], 1, "", ""),), "d", SessionTable.load())
    one = FeatureSet.of(5, ("ret_3", "bad"), default_registry(), AnchorRule(), bad)
    with pytest.raises(ConfigError, match="user feature 'bad'"):
        FeatureCalculator(one, np.ones(4, np.bool_)).batch(market_panel())


def test_a_set_may_be_of_functions_alone() -> None:
    panel = market_panel()
    mine = functions(FunctionFeature("twice", lambda bars: bars.close * 2.0, 3, "", ""))
    alone = FeatureSet.of(5, ["twice"], {}, AnchorRule(), mine)
    found = FeatureCalculator(alone, np.ones(4, np.bool_)).batch(panel)
    np.testing.assert_array_equal(found, FunctionCalculator(mine, 5, 4).batch(panel))
    laws.chunks(lambda has_volume: FeatureCalculator(alone, has_volume), panel, [1, 80])
    laws.steps(lambda has_volume: FeatureCalculator(alone, has_volume), panel, np.random.default_rng(1))
