"""The paired test of a challenger against the champion: one difference a session, both on the same sessions.

What is tested is the mean of the daily differences in net P&L, one-sided: "the challenger is not better". Sessions
are the unit, those on which neither traded are zeros. Two p-values, of which the larger counts:

* stationary bootstrap of sessions (Politis & Romano 1994), studentised, with the block length that suits the differences
  (Patton, Politis & White 2009);
* sign flips of blocks of that length: if neither model is better, a block's differences might as well have had the other sign
  (Fisher 1935; Canay, Romano & Shaikh 2017 for blocks).

Where they differ, one of them leans on what it should not: the bootstrap on few sessions, the flips on symmetry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from intraday.domain.arrays import F8
from intraday.domain.errors import NotEnoughData
from intraday.model.metrics import Interval
from intraday.model.path import DailyPath
from intraday.model.significance.bootstrap import block_length, bootstrap_error, mean_interval, stationary_indices

MIN_SESSIONS = 60  # with fewer the test fires too often by luck: docs/registry.md
DRAWS = 4000


@dataclass(frozen=True, slots=True)
class PairedTest:
    """What the sessions say. Means are of net P&L a session, on one trade's notional (0.001 is 10 bps).

    ``difference`` is challenger less champion with its 95 % interval. ``p_value`` is the larger of the two, 1 where no session
    differs. ``block`` is the mean length of the blocks in sessions.
    """

    sessions: int
    champion: float
    challenger: float
    difference: Interval
    block: float
    p_bootstrap: float
    p_flips: float
    p_value: float
    champion_trades: int
    challenger_trades: int


def on_sessions(path: DailyPath, sessions: Sequence[int]) -> DailyPath:
    """``path`` on exactly ``sessions``. NotEnoughData where it has not all of them: a session that was not looked at is no zero."""
    wanted = np.unique(np.asarray(sessions, dtype=np.int32))
    missing = np.setdiff1d(wanted, path.session)
    if missing.size:
        raise NotEnoughData(f"expected {wanted.size} sessions of both models, found {missing.size} that one of them was not run on")
    at = np.searchsorted(path.session, wanted)
    return DailyPath(wanted, path.gross[at], path.cost[at], path.trades[at])


def paired_test(champion: DailyPath, challenger: DailyPath, rng: np.random.Generator) -> PairedTest:
    """Compare two paths over the same sessions (``on_sessions``), in their order."""
    assert np.array_equal(champion.session, challenger.session), "the two are compared session by session"
    difference: F8 = challenger.net - champion.net
    block = block_length(difference)
    p_bootstrap, p_flips = _bootstrap(difference, block, rng), _flips(difference, block, rng)
    return PairedTest(
        sessions=len(champion),
        champion=_mean(champion.net),
        challenger=_mean(challenger.net),
        difference=mean_interval(difference, rng, block),
        block=block,
        p_bootstrap=p_bootstrap,
        p_flips=p_flips,
        p_value=max(p_bootstrap, p_flips),
        champion_trades=int(champion.trades.sum()),
        challenger_trades=int(challenger.trades.sum()),
    )


def detectable(difference: F8, sessions: int, alpha: float, power: float = 0.8) -> float:
    """The mean difference a session that a test over ``sessions`` finds with chance ``power``, the spread being that of
    ``difference`` (float64 [T], of sessions known before); NaN where T < 3. Normal approximation, blocks included."""
    if difference.size < 3:
        return math.nan
    from scipy.stats import norm  # loaded where it is used: most commands need none of it

    error = float(bootstrap_error(difference, block_length(difference))) * math.sqrt(difference.size / sessions)
    return float(norm.isf(alpha) + norm.ppf(power)) * error


def _bootstrap(values: F8, block: float, rng: np.random.Generator) -> float:
    """Share of resamples whose studentised mean is as far above the truth as ours is above zero."""
    if float(np.ptp(values)) <= 1e-12 * float(np.abs(values).max()):  # the same every session, which no resample can better
        return 1.0 / (1 + DRAWS) if values[0] > 0.0 else 1.0
    sample = values[stationary_indices(values.size, block, DRAWS, rng)]
    found = float(values.mean()) / float(bootstrap_error(values, block))
    error = bootstrap_error(sample, block)
    usable = error > 1e-9 * np.abs(values).max()
    t = (sample.mean(axis=1)[usable] - values.mean()) / error[usable]
    return float((1 + np.count_nonzero(t >= found) + np.count_nonzero(~usable)) / (1 + DRAWS))


def _flips(values: F8, block: float, rng: np.random.Generator) -> float:
    """Share of sign flips of blocks whose sum is at least ours."""
    sums = np.add.reduceat(values, np.arange(0, values.size, max(1, round(block))))
    flipped = rng.choice(np.array([-1.0, 1.0]), size=(DRAWS, sums.size)) @ sums
    least = float(values.sum()) - 1e-12 * float(np.abs(sums).sum())
    return float((1 + np.count_nonzero(flipped >= least)) / (1 + DRAWS))


def _mean(values: F8) -> float:
    return float(values.mean()) if values.size else math.nan
