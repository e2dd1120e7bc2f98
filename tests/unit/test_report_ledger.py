"""From the trials ledger: every try once, luck measured on the sessions all have, and what is not defined left out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from intraday.domain.arrays import F8
from intraday.domain.learning import Trial, TrialKind
from intraday.model.path import DailyPath
from intraday.model.significance.sharpe import sharpe_ratio
from intraday.report.from_ledger import aligned, differences, overfitting_of, trials_of

T = 120
NONE = np.zeros(0)


def trial(k: int, net: F8 | None = None, kind: TrialKind = TrialKind.CONFIGURATION, first: int = 100) -> Trial:
    values = np.random.default_rng(k).normal(0.0, 0.004, T) if net is None else net
    session = np.arange(first, first + values.size, dtype=np.int32)
    return Trial(f"t{k}", "scope", kind, k, "run", f"m{k}", "{}", float("nan"), "complete", session, values)


def path(mean: float = 0.0, seed: int = 9) -> DailyPath:
    net = np.random.default_rng(seed).normal(mean, 0.004, T)
    return DailyPath(np.arange(100, 100 + T, dtype=np.int32), net + 0.001, np.full(T, 0.001), np.ones(T, dtype=np.int64))


def section(p: DailyPath) -> dict[str, object]:
    return {"path": {"session": p.session.tolist(), "gross": p.gross.tolist(), "cost": p.cost.tolist()}}


def test_every_trial_is_a_row_and_only_configurations_count() -> None:
    ledger = [trial(0), trial(1), trial(2, NONE, TrialKind.TUNING)]
    found = trials_of(ledger, {"t1", "t2"}, {"n_trials": 2.0, "variance_of_sharpes": 0.01, "expected_maximum_sharpe": 0.1})
    assert found is not None
    assert (found.n, found.n_tuning, found.variance, found.expected_best) == (2, 1, 0.01, 0.1)
    assert [r.own for r in found.rows] == [False, True, False]
    assert found.rows[0].sharpe == pytest.approx(sharpe_ratio(ledger[0].net).value)
    assert math.isnan(found.rows[2].sharpe)
    assert math.isnan(found.effective)
    assert trials_of([], {"t1"}, {}) is None


def test_without_figures_the_configurations_are_counted_here() -> None:
    found = trials_of([trial(0), trial(1, NONE, TrialKind.TUNING)], (), {})
    assert found is not None
    assert found.n == 1
    assert not any(r.own for r in found.rows)


def test_paths_meet_on_the_sessions_all_have() -> None:
    a, b = trial(0), trial(1, first=110)
    found = aligned([(a.session, a.net), (b.session, b.net)])
    assert found.shape == (110, 2)
    assert np.array_equal(found[:, 0], a.net[10:])
    assert np.array_equal(found[:, 1], b.net[:110])
    assert aligned([]).shape == (0, 0)


def test_noise_is_called_overfitted_and_beats_nothing() -> None:
    found = overfitting_of([trial(k) for k in range(12)], path(), [section(path(seed=3))])
    assert found is not None
    assert 0.1 < found.pbo < 0.95
    assert found.logits is not None
    assert found.logits.size > 1000
    assert found.spa > 0.05
    assert found.spa_low <= found.spa <= found.spa_high
    assert found.beaten > 0.05


def test_a_real_difference_shows() -> None:
    strong = trial(99, np.random.default_rng(5).normal(0.003, 0.004, T))
    found = overfitting_of([*(trial(k) for k in range(6)), strong], path(), [section(path(0.004, seed=4))])
    assert found is not None
    assert found.pbo < 0.05
    assert found.spa < 0.01
    assert found.beaten < 0.01


def test_one_configuration_has_no_overfitting_but_is_tested() -> None:
    found = overfitting_of([trial(0)], path(), None)
    assert found is not None
    assert math.isnan(found.pbo)
    assert found.logits is None
    assert math.isfinite(found.spa)
    assert math.isnan(found.beaten)


def test_a_trial_on_other_years_is_left_out_and_counted() -> None:
    """It would leave no session that all have, and with it every figure."""
    near = [trial(k) for k in range(12)]
    alone, with_old = overfitting_of(near, path(), None), overfitting_of([trial(50, first=5000), *near], path(), None)
    assert alone is not None and with_old is not None
    assert (with_old.n, with_old.left_out, alone.left_out) == (12, 1, 0)
    assert (with_old.pbo, with_old.spa) == (alone.pbo, alone.spa)
    assert with_old.pbo > 0.0


def test_nothing_to_compare_is_none() -> None:
    assert overfitting_of([], path(), None) is None
    assert overfitting_of([trial(0, np.zeros(5))], path(), []) is None
    assert overfitting_of([trial(0, NONE, TrialKind.TUNING)], path(), None) is None


def test_the_same_ledger_gives_the_same_figures() -> None:
    ledger = [trial(k) for k in range(3)]
    first, second = (overfitting_of(ledger, path(), [section(path(seed=3))]) for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first.spa, first.reality_check, first.beaten) == (second.spa, second.reality_check, second.beaten)


def test_only_what_differs_is_told_of_parameters() -> None:
    texts = ['{"a": 1, "spec": {"leaves": 31, "seed": 7}}', '{"a": 1, "spec": {"leaves": 15, "seed": 7}, "kind": "x"}', "by hand"]
    assert differences(texts) == ["spec.leaves 31", "kind x, spec.leaves 15", "by hand"]
    assert differences(texts[:1]) == [""]
    assert differences([]) == []


def test_where_nothing_is_better_p_is_one() -> None:
    worse = trial(0, np.random.default_rng(5).normal(-0.003, 0.004, T))
    found = overfitting_of([worse], path(), [section(path(-0.004, seed=4))])
    assert found is not None
    assert (found.spa_low, found.spa, found.spa_high, found.beaten) == (1.0, 1.0, 1.0, 1.0)
