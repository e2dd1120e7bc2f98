"""PBO: 0.5 on noise, 0 with a real best trial, 1 where the best inside must be the worst outside.

INTRADAY_PBO_MATRICES sets how many matrices of noise are averaged (40; the whole check is 200).
"""

from __future__ import annotations

import os
from itertools import combinations

import numpy as np
import pytest

from intraday.domain.errors import InputError
from intraday.model.significance.pbo import overfitting

MATRICES = int(os.environ.get("INTRADAY_PBO_MATRICES", "40"))


@pytest.mark.parametrize(("sessions", "trials", "blocks"), [(240, 20, 16), (250, 9, 10)])
def test_noise_averages_a_half(sessions: int, trials: int, blocks: int) -> None:
    rng = np.random.default_rng(20260802)
    found = np.array([overfitting(rng.standard_normal((sessions, trials)), blocks).pbo for _ in range(MATRICES)])
    error = found.std(ddof=1) / MATRICES**0.5
    assert abs(found.mean() - 0.5) <= 2.6 * error and error < 0.05


def test_a_trial_that_is_better_everywhere() -> None:
    paths = np.random.default_rng(1).standard_normal((240, 10))
    paths[:, 3] += 2.0
    found = overfitting(paths)
    assert found.pbo == 0.0 and found.probability_of_loss == 0.0 and found.trials == 10 and found.sessions == 240
    assert found.splits == 12870 and np.allclose(found.logits, np.log(10.0))


def test_logits_are_in_order_of_the_combinations() -> None:
    paths = np.random.default_rng(6).standard_normal((60, 8))
    blocks = paths.reshape(6, 10, 8)
    expected = []
    for half in combinations(range(6), 3):
        inside, outside = (np.concatenate([blocks[b] for b in range(6) if (b in half) == own]) for own in (True, False))
        best = int((inside.mean(axis=0) / inside.std(axis=0)).argmax())
        ratio = outside.mean(axis=0) / outside.std(axis=0)
        rank = 1 + int((ratio < ratio[best]).sum())
        expected.append(np.log(rank / (9 - rank)))
    np.testing.assert_allclose(overfitting(paths, 6).logits, expected, rtol=1e-12)


def test_luck_that_must_turn() -> None:
    """Each trial gains in its own half of the blocks and loses in the other: the best inside is the worst outside."""
    paths = np.random.default_rng(2).standard_normal((80, 6)) * 0.01
    for column, half in enumerate(list(combinations(range(4), 2))):
        for block in range(4):
            paths[block * 20 : block * 20 + 20, column] += 1.0 if block in half else -1.0
    found = overfitting(paths, blocks=4)
    assert found.pbo == 1.0 and found.probability_of_loss == 1.0


def test_order_and_scale_of_trials_do_not_matter() -> None:
    paths = np.random.default_rng(3).standard_normal((96, 7)) + 5.0
    order = np.random.default_rng(4).permutation(7)
    first, second = overfitting(paths, 8), overfitting(paths[:, order] * 1e-4, 8)
    np.testing.assert_allclose(first.logits, second.logits)
    assert first.slope == pytest.approx(second.slope, rel=1e-9)


def test_the_oldest_sessions_are_left_out() -> None:
    paths = np.random.default_rng(5).standard_normal((100, 4))
    np.testing.assert_array_equal(overfitting(paths, 8).logits, overfitting(paths[4:], 8).logits)


def test_trials_that_never_trade() -> None:
    paths = np.zeros((64, 3))
    found = overfitting(paths, 8)
    assert found.pbo == 0.5 and np.isnan(found.slope) and found.probability_of_loss == 0.0


@pytest.mark.parametrize("shape", [(240, 1), (31, 5)])
def test_too_little_to_say(shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="expected two trials and 32 sessions"):
        overfitting(np.zeros(shape))
