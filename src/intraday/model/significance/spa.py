"""Is the best of several better than a benchmark, given that one looked at all of them?

Hansen 2005, "A test for superior predictive ability", and White 2000, "A reality check for data snooping", by the stationary
bootstrap. The null says that no alternative is better than the benchmark on average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from intraday.domain.arrays import F8, I8
from intraday.domain.errors import InputError
from intraday.model.significance.bootstrap import DRAWS, block_length, bootstrap_error, stationary_indices


@dataclass(frozen=True, slots=True)
class Superiority:
    """p-values of the null. ``consistent`` is the one to read; ``lower`` and ``upper`` bound it (Hansen 2005, section 3).

    ``reality_check`` is White's, not studentised. ``best`` is the column with the largest studentised mean, ``statistic`` that
    value (0 if none is positive). All p-values 1 where no alternative differs from the benchmark.
    """

    lower: float
    consistent: float
    upper: float
    reality_check: float
    statistic: float
    best: int
    block: float


def superior_ability(better: F8, rng: np.random.Generator, block: float | None = None, draws: int = DRAWS) -> Superiority:
    """Test ``better`` float64 [T, k]: by how much each alternative beat the benchmark in each session (rows ascending).

    Trials against always-HOLD: their paths. Is any baseline better than the model: baselines less the model. ``block`` None takes
    the longest of the columns' own. InputError under three sessions.
    """
    sessions = better.shape[0]
    if sessions < 3:
        raise InputError(f"SPA test over {sessions} sessions: expected 3 at least; score more sessions")
    length = max(block_length(column) for column in better.T) if block is None else block
    return superior_ability_of(better, stationary_indices(sessions, length, draws, rng), length)


def superior_ability_of(better: F8, indices: I8, block: float) -> Superiority:
    """The same on given resamples, row numbers [draws, T] of mean block length ``block``."""
    n = better.shape[0]
    errors = bootstrap_error(better.T, block)
    moving = errors > 1e-12 * np.abs(better).max(initial=0.0)
    if not moving.any():
        return Superiority(1.0, 1.0, 1.0, 1.0, 0.0, 0, block)
    used, error = better[:, moving], errors[moving]
    mean = used.mean(axis=0)
    t = mean / error
    resampled = np.stack([used[rows].mean(axis=0) for rows in indices]) - mean  # [draws, k], centred
    bound = -math.sqrt(2.0 * math.log(math.log(n))) if n > 3 else 0.0
    statistic = max(float(t.max()), 0.0)

    def p_value(kept: F8) -> float:
        """``kept``: the mean each alternative has under the null; where it is far below zero it can't matter."""
        drawn = np.maximum(((resampled + kept) / error).max(axis=1), 0.0)
        return float(np.mean(drawn > statistic))

    check = float(np.mean(resampled.max(axis=1) > mean.max()))
    best = int(np.flatnonzero(moving)[int(t.argmax())])
    return Superiority(
        lower=p_value(np.minimum(mean, 0.0)),
        consistent=p_value(np.where(t <= bound, mean, 0.0)),
        upper=p_value(np.zeros_like(mean)),
        reality_check=check,
        statistic=statistic,
        best=best,
        block=block,
    )
