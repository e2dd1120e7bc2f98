"""The statistics against other people's code: arch for the bootstrap and Hansen's test, pypbo (numbers kept) for CSCV."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from arch.bootstrap import SPA, StationaryBootstrap, optimal_block_length
from scipy import stats

from intraday.model.significance.bootstrap import block_length, bootstrap_error, stationary_indices
from intraday.model.significance.pbo import overfitting
from intraday.model.significance.spa import superior_ability_of

PBO = json.loads((Path(__file__).parent / "pbo_pypbo.json").read_text(encoding="utf-8"))


def correlated(seed: int, n: int, rho: float) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal(n)
    for i in range(1, n):
        x[i] += rho * x[i - 1]
    return x


def test_block_length_is_archs() -> None:
    """All but two of 48: arch's correlation has another divisor, which now and then moves the first quiet lag by one."""
    pairs = []
    for seed in range(48):
        x = correlated(seed, (60, 130, 400)[seed % 3], (0.0, 0.3, 0.7, -0.4)[seed % 4])
        pairs.append((block_length(x), max(1.0, float(optimal_block_length(x).iloc[0, 0]))))
    ours, theirs = np.array(pairs).T
    assert np.isclose(ours, theirs, rtol=1e-9).sum() >= 46
    np.testing.assert_allclose(ours, theirs, rtol=0.25)


def test_resamples_are_distributed_as_archs() -> None:
    x, block = correlated(1, 120, 0.4), 5.0
    ours = x[stationary_indices(120, block, 3000, np.random.default_rng(2))].mean(axis=1)
    theirs = StationaryBootstrap(block, x, seed=3).apply(np.mean, 3000)[:, 0]
    assert stats.ks_2samp(ours, theirs).pvalue > 0.01
    assert theirs.std() == pytest.approx(float(bootstrap_error(x, block)), rel=0.05)
    assert ours.std() == pytest.approx(float(bootstrap_error(x, block)), rel=0.05)


def test_blocks_start_anywhere_run_on_and_are_as_long_as_asked() -> None:
    n, block = 50, 4.0
    rows = stationary_indices(n, block, 4000, np.random.default_rng(4))
    counts = np.bincount(rows.ravel(), minlength=n)
    assert counts.size == n and counts.min() > 0.93 * counts.mean()
    follows = (rows[:, 1:] == (rows[:, :-1] + 1) % n).mean()
    assert follows == pytest.approx(1 - 1 / block + 1 / block / n, abs=0.005)
    assert (rows[:, 1:] == (rows[:, :-1] + 1) % n)[rows[:, :-1] == n - 1].mean() == pytest.approx(
        follows, abs=0.03
    )  # round the end


@pytest.mark.parametrize(("seed", "shift"), [(1, 0.0), (2, 0.1), (3, 0.25), (4, -0.3)])
def test_spa_is_archs_on_the_same_resamples(seed: int, shift: float) -> None:
    n, k, block, draws = 90, 6, 4.0, 500
    better = np.stack([correlated(10 * seed + j, n, 0.2) * (1 + j) for j in range(k)], axis=1)
    better += shift * np.arange(k)[::-1] - 0.4
    bootstrap = StationaryBootstrap(block, np.arange(n), seed=99)
    indices = np.stack([data[0][0] for data in bootstrap.bootstrap(draws)])
    ours = superior_ability_of(better, indices, block)

    # arch takes the maximum of plain means: White's check. Columns of standard error 1 make it Hansen's studentised test.
    plain, scaled = (
        SPA(np.zeros(n), -values, block_size=block, reps=draws, bootstrap="stationary", seed=99)
        for values in (better, better / bootstrap_error(better.T, block))
    )
    plain.compute()
    scaled.compute()
    assert ours.reality_check == plain.pvalues["upper"]
    if ours.statistic > 0.0:
        assert (ours.lower, ours.consistent, ours.upper) == tuple(scaled.pvalues[w] for w in ("lower", "consistent", "upper"))
    assert ours.lower <= ours.consistent <= ours.upper
    np.testing.assert_allclose(bootstrap_error(better.T, block), np.sqrt(plain._loss_diff_var / n), rtol=1e-9)


def pseudo_paths(seed: int, sessions: int, trials: int, edge: float) -> np.ndarray:
    """The matrix that pypbo was given: fractions of large sines, no generator."""
    i, j = np.arange(sessions)[:, None].astype(float), np.arange(trials)[None, :].astype(float)
    x = np.sin(12.9898 * (i + 1) * (1 + 0.37 * seed) + 78.233 * (j + 1)) * 43758.5453
    return np.asarray(x - np.floor(x) - 0.5 + edge * j / trials)


@pytest.mark.parametrize("case", PBO, ids=lambda c: f"T{c['T']}N{c['N']}S{c['S']}")
def test_pbo_is_pypbos(case: dict[str, float]) -> None:
    found = overfitting(pseudo_paths(int(case["seed"]), int(case["T"]), int(case["N"]), case["edge"]), int(case["S"]))
    assert found.splits == case["n"]
    ties = int((np.abs(found.logits) < 1e-12).sum())
    assert ties == case["zero"] and found.pbo + 0.5 * ties / case["n"] == pytest.approx(
        case["pbo"], abs=1e-12
    )  # it counts them whole
    assert (found.logits.sum(), np.square(found.logits).sum()) == pytest.approx((case["logit_sum"], case["logit_sq"]), rel=1e-9)
    assert (found.slope, found.intercept) == pytest.approx((case["slope"], case["intercept"]), rel=1e-7)
    assert found.probability_of_loss == pytest.approx(case["loss"], abs=1e-12)
