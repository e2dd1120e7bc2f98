from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from intraday.core.weights import time_decay
from intraday.domain.arrays import F8
from intraday.model.dataset import Dataset
from intraday.model.splits import SplitSpec
from intraday.model.trainer import LGBMTrainer, TrainSpec
from intraday.model.weighting import Weighting, row_weights, uniqueness
from model_cases import dataset

SPEC = TrainSpec(split=SplitSpec(min_train=6, test=3), num_boost_round=5, min_data_in_leaf=20, threads=1)


@pytest.fixture(scope="module")
def data() -> Dataset:
    found = dataset(sessions=10)
    return replace(found, attribution=np.random.default_rng(2).uniform(0.0, 1e-3, len(found)))


@pytest.fixture(scope="module")
def unique(data: Dataset) -> F8:
    return uniqueness(data)


def weights(weighting: Weighting, data: Dataset, unique: F8, last: float = 1.0) -> F8:
    found = row_weights(weighting, last, data, unique, np.arange(50, 250))
    assert found is not None
    return found


def test_rows_weigh_as_configured(data: Dataset, unique: F8) -> None:
    own = unique[50:250]
    assert 0.0 < own.min() < own.max() <= 1.0
    np.testing.assert_array_equal(weights(Weighting.UNIQUENESS, data, unique), own)
    share = weights(Weighting.RETURN_ATTRIBUTION, data, unique)
    np.testing.assert_allclose(share / share.sum(), data.attribution[50:250] / data.attribution[50:250].sum())
    assert share.sum() == pytest.approx(own.sum())  # as much in all as there are labels without overlap
    assert row_weights(Weighting.NONE, 1.0, data, unique, np.arange(200)) is None


def test_rows_decay_with_time_from_the_newest_of_them(data: Dataset, unique: F8) -> None:
    fall = time_decay(unique[50:250], 0.25)
    assert fall[-1] == 1.0 and 0.25 < fall[0] < 0.27
    for weighting in (Weighting.UNIQUENESS, Weighting.RETURN_ATTRIBUTION):
        plain = weights(weighting, data, unique)
        np.testing.assert_array_equal(weights(weighting, data, unique, 0.25), plain * fall)
    np.testing.assert_array_equal(weights(Weighting.NONE, data, unique, 0.25), fall)


def test_other_rows_do_not_matter(data: Dataset, unique: F8) -> None:
    at = np.arange(50, 250)
    later = replace(data, attribution=np.where(np.arange(len(data)) < 250, data.attribution, 9.0))
    for weighting in Weighting:
        ours, theirs = (row_weights(weighting, 0.5, d, unique, at) for d in (data, later))
        np.testing.assert_array_equal(ours, theirs)


def test_uniqueness_stands_in_where_no_price_moved(data: Dataset, unique: F8) -> None:
    still = replace(data, attribution=np.zeros(len(data)))
    np.testing.assert_array_equal(weights(Weighting.RETURN_ATTRIBUTION, still, unique), unique[50:250])


def test_the_model_is_another_one_with_each_weighting(data: Dataset) -> None:
    specs = [SPEC, *(replace(SPEC, weights=w) for w in list(Weighting)[1:]), replace(SPEC, time_decay=0.1)]
    names = tuple(f"f{k}" for k in range(data.x.shape[1]))
    texts = {LGBMTrainer(spec).train(data, names).model_text for spec in specs}
    assert len(texts) == len(specs)
