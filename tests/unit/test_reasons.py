"""Reasons of a signal: the parts add up, the feature that decides comes first, and a row's do not depend on the others."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest

from intraday.model.boosting import raw_scores
from intraday.model.reasons import contributions, largest

NAMES = ("noise", "decides", "helps")


@pytest.fixture(scope="module")
def booster() -> lgb.Booster:
    """Up where ``decides`` is high, down where it is low; ``helps`` tells both from hold."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3000, 3)).astype(np.float32)
    label = np.where(np.abs(x[:, 1]) + 0.5 * x[:, 2] > 0.8, np.sign(x[:, 1]), 0) + 1
    rows = lgb.Dataset(x, label=label, params={"verbosity": -1})
    spec = {"objective": "multiclass", "num_class": 3, "num_leaves": 7, "verbosity": -1, "seed": 1, "num_threads": 1}
    return lgb.train(spec, rows, num_boost_round=30)


def rows(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.standard_normal((n, 3)).astype(np.float32), rng.choice([-1, 1], n).astype(np.int8)


def test_parts_add_up_to_the_score_against_hold(booster: lgb.Booster) -> None:
    x, side = rows()
    raw = raw_scores(booster, x)
    np.testing.assert_allclose(contributions(booster, x, side).sum(axis=1), raw[np.arange(len(x)), 1 + side] - raw[:, 1], atol=1e-9)


def test_a_row_alone_has_the_same_bits(booster: lgb.Booster) -> None:
    x, side = rows()
    alone = [contributions(booster, x[k : k + 1], side[k : k + 1])[0] for k in range(len(x))]
    np.testing.assert_array_equal(contributions(booster, x, side), alone)


def test_the_feature_that_decides_comes_first(booster: lgb.Booster) -> None:
    x = np.array([[0.1, 2.0, 1.5], [0.1, -2.0, 1.5]], np.float32)
    for said in largest(NAMES, contributions(booster, x, np.array([1, -1], np.int8)), 2):
        assert [name for name, _ in said] == ["decides", "helps"]
        assert said[0][1] > said[1][1] > 0.0
    against = largest(NAMES, contributions(booster, x, np.array([-1, 1], np.int8)), 3)
    assert "decides" not in [name for name, _ in against[0]]  # it spoke against what was said


def test_largest_by_hand() -> None:
    parts = np.array([[0.2, -1.0, 0.5, 9.0], [0.0, 0.3, 0.3, 9.0], [-0.1, -0.2, -0.3, 9.0]])
    assert largest(NAMES, parts, 5) == [
        (("helps", 0.5), ("noise", 0.2)), (("decides", 0.3), ("helps", 0.3)), (),
    ]  # fmt: skip
    assert largest(NAMES, parts, 1)[0] == (("helps", 0.5),)
