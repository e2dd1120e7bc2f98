"""Drift by sessions: what moved is found, a spell of volatility is not called another world."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from intraday.domain.arrays import F8, I8
from intraday.model.drift import DriftSpec, Histograms, bin_edges, decay, discoveries, gains, judged, moved

SPEC = DriftSpec()
ROWS = 150


def world(sessions: int, features: int, rng: np.random.Generator, shift: F8 | float = 0.0, common: float = 0.5) -> F8:
    """[T, n, F]: rows of a session share a part that persists from session to session."""
    level = np.zeros((sessions, 1, features))
    for t in range(1, sessions):
        level[t] = 0.5 * level[t - 1] + common * rng.standard_normal((1, features))
    return level + rng.standard_normal((sessions, ROWS, features)) + shift


def counts(edges: F8, x: F8) -> I8:
    histograms = Histograms(edges)
    for number, rows in enumerate(x):
        histograms.add(number, rows[:60])
        histograms.add(number, rows[60:])  # a session may come in pieces
    return histograms.of(range(len(x)))


def compared(before: F8, now: F8, seed: int = 0):  # type: ignore[no-untyped-def]
    edges = bin_edges(before.reshape(-1, before.shape[-1]))
    names = [f"f{k}" for k in range(before.shape[-1])]
    return moved(names, counts(edges, before), counts(edges, now), SPEC, np.random.default_rng(seed))


def test_the_index_and_the_distance_are_those_of_the_books() -> None:
    rng = np.random.default_rng(1)
    before, now = rng.standard_normal((40, ROWS, 1)), 0.5 + 1.3 * rng.standard_normal((12, ROWS, 1))
    (found,) = compared(before, now)
    deciles = np.quantile(before, np.arange(1, 10) / 10)
    a = np.bincount(np.searchsorted(deciles, before.ravel(), side="right"), minlength=10) / before.size
    b = np.bincount(np.searchsorted(deciles, now.ravel(), side="right"), minlength=10) / now.size
    assert found.psi == pytest.approx(float(((a - b) * np.log(a / b)).sum()), rel=1e-6)
    exact = stats.ks_2samp(before.ravel(), now.ravel()).statistic
    assert exact - 0.06 < found.ks <= exact  # on the grid of twenty bins


def test_false_discoveries_are_scipys() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        p = np.concatenate([rng.random(30), 0.01 * rng.random(int(rng.integers(0, 6)))])
        np.testing.assert_array_equal(discoveries(p, 0.05), stats.false_discovery_control(p) <= 0.05)
    assert not discoveries(np.array([0.2, 0.9]), 0.05).any()


def test_what_was_moved_is_found_and_nothing_else() -> None:
    rng, shift = np.random.default_rng(3), np.zeros(40)
    shift[[4, 17, 30]] = (1.5, -1.5, 2.0)
    found = compared(world(100, 40, rng), world(25, 40, rng, shift))
    assert {f.name for f in found if f.moved} == {"f4", "f17", "f30"}


def test_a_common_part_of_each_day_is_no_drift() -> None:
    """Rows tested one by one call nearly all of these features another world; sessions do not."""
    rng = np.random.default_rng(4)
    before, now = world(100, 60, rng), world(20, 60, rng)
    naive = [stats.ks_2samp(before[..., k].ravel(), now[..., k].ravel()).pvalue < 0.05 for k in range(60)]
    found = compared(before, now)
    assert sum(naive) > 40
    assert sum(f.moved for f in found) == 0
    assert sum(f.p_value <= 0.05 for f in found) <= 11  # 3 expected


def test_a_shift_too_small_to_matter_is_no_drift() -> None:
    rng = np.random.default_rng(9)
    (found,) = compared(world(100, 1, rng, common=0.0), world(30, 1, rng, 0.2, common=0.0))
    assert found.p_value <= 0.01
    assert found.psi < SPEC.psi
    assert not found.moved


def test_values_that_go_missing_are_drift() -> None:
    rng = np.random.default_rng(5)
    before, now = world(60, 3, rng, common=0.0), world(20, 3, rng, common=0.0)
    now[:, :90, 1] = np.nan
    assert [f.moved for f in compared(before, now)] == [False, True, False]


def test_a_constant_or_empty_column_is_nothing() -> None:
    rng = np.random.default_rng(6)
    before, now = world(30, 3, rng), world(12, 3, rng)
    before[..., 0], now[..., 0] = 1.0, 1.0
    before[..., 1], now[..., 1] = np.nan, np.nan
    found = compared(before, now)
    assert [(f.psi, f.ks, f.moved) for f in found[:2]] == [(0.0, 0.0, False)] * 2


def test_calibration_that_decays_is_told_from_noise() -> None:
    rng = np.random.default_rng(7)
    before = 0.02 + 0.01 * rng.standard_normal(80)
    gone = decay(before, -0.01 + 0.01 * rng.standard_normal(20), SPEC, rng)
    assert gone.decayed
    assert gone.change.mean == pytest.approx(gone.now - gone.before)
    better = decay(before, 0.04 + 0.01 * rng.standard_normal(20), SPEC, rng)
    assert not better.decayed
    fired = sum(decay(0.01 * rng.standard_normal(60), 0.01 * rng.standard_normal(20), SPEC, rng).decayed for _ in range(100))
    assert fired <= 12  # one-sided 5 %: 5 expected


def test_gains_are_means_by_session() -> None:
    session = np.array([7, 7, 9], np.int32)
    label, p = np.array([-1, 1, 0], np.int8), np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
    prior = np.full((3, 3), 1 / 3)
    sessions, found = gains(session, label, p, prior)
    assert sessions.tolist() == [7, 9]
    np.testing.assert_allclose(found, [np.log(1.5), np.log(2.4)])


def test_the_decision_says_why_in_words() -> None:
    rng = np.random.default_rng(8)
    shift = np.where(np.arange(20) < 4, 2.0, 0.0)
    features = compared(world(60, 20, rng, common=0.0), world(20, 20, rng, shift, common=0.0))
    calm = compared(world(60, 3, rng, common=0.0), world(20, 3, rng, common=0.0))
    steady = decay(0.01 * rng.standard_normal(60), 0.02 + 0.01 * rng.standard_normal(20), SPEC, rng)
    found = judged((60, 20), features, calm, steady, SPEC)
    assert found.drifted
    assert found.share_moved == 0.2
    (reason,) = found.reasons
    assert reason.startswith("4 of 20 features moved, 10% may: f")
    assert found.features[0].psi == max(f.psi for f in features)
    none = judged((60, 20), calm, calm, None, SPEC)
    assert not none.drifted
    assert [words.split()[0] for words in none.reasons] == ["0", "predictions:", "calibration:"]
    assert "no later session has labels yet" in none.reasons[2]
