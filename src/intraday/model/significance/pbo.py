"""Probability of backtest overfitting by combinatorially symmetric cross-validation (CSCV).

Bailey, Borwein, Lopez de Prado & Zhu 2015, "The probability of backtest overfitting": T sessions are cut into S blocks; for each
of the C(S, S/2) halves the best trial inside is looked up by its rank outside. A trial's performance is its Sharpe ratio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from intraday.domain.arrays import F8
from intraday.domain.errors import InputError

BLOCKS = 16
_CELLS = 2_000_000  # combinations times trials worked on at once


@dataclass(frozen=True, slots=True)
class Overfitting:
    """What CSCV found over ``splits`` halves.

    ``pbo``: share of halves whose best trial inside is at or below the median outside (on the median itself: half a share).
    ``logits`` float64 [splits] of that trial's relative rank outside, rank / (N + 1), in order of the combinations.
    ``slope``, ``intercept``: least squares of the best trial's ratio outside on inside; ``probability_of_loss``: share of halves
    in which it is below zero outside. ``slope`` NaN where all ratios inside are equal.
    """

    pbo: float
    logits: F8
    slope: float
    intercept: float
    probability_of_loss: float
    trials: int
    sessions: int  # used: a multiple of the blocks, the oldest left out

    @property
    def splits(self) -> int:
        """How many halves."""
        return int(self.logits.size)


def overfitting(paths: F8, blocks: int = BLOCKS) -> Overfitting:
    """CSCV of ``paths`` float64 [T, N], net P&L a session (rows ascending, the same for all) of each trial.

    A trial without spread in a half has ratio 0 there. InputError under two trials, or where a block would have less than two rows.
    """
    assert blocks >= 2 and blocks % 2 == 0, blocks
    sessions, trials = paths.shape
    if trials < 2 or sessions < 2 * blocks:
        raise InputError(
            f"PBO of {trials} trials over {sessions} sessions: expected two trials and {2 * blocks} sessions at least; "
            "record more trials or use fewer blocks"
        )
    rows = sessions // blocks
    used = paths[sessions - rows * blocks :].reshape(blocks, rows, trials)
    centred = used - used.mean(axis=(0, 1))  # keeps the sums of squares exact where means are large
    sums = np.stack([used.sum(axis=1), centred.sum(axis=1), np.square(centred).sum(axis=1)])
    halves = _halves(blocks)
    step = max(1, _CELLS // trials)
    parts = [_ranks(sums, halves[k : k + step], rows * blocks // 2) for k in range(0, len(halves), step)]
    rank, inside, outside = (np.concatenate([p[i] for p in parts] + [p[i + 3][::-1] for p in reversed(parts)]) for i in range(3))
    share = rank / (trials + 1.0)
    logits = np.log(share / (1.0 - share))
    slope, intercept = _line(inside, outside)
    below = np.where(logits < 0.0, 1.0, np.where(logits == 0.0, 0.5, 0.0))
    return Overfitting(float(below.mean()), logits, slope, intercept, float(np.mean(outside < 0.0)), trials, rows * blocks)


def _halves(blocks: int) -> F8:
    """Which blocks are inside, ones and zeros, float64 [C(blocks, blocks / 2) / 2, blocks].

    The first half of the combinations in their order: the last one is the complement of the first, and so on inwards.
    """
    chosen = np.array(list(combinations(range(blocks), blocks // 2)))[: math.comb(blocks, blocks // 2) // 2]
    out = np.zeros((len(chosen), blocks))
    np.put_along_axis(out, chosen, 1.0, axis=1)
    return out


def _ranks(sums: F8, halves: F8, n: int) -> tuple[F8, F8, F8, F8, F8, F8]:
    """Of each half's best trial its rank outside, its ratio inside and outside; then the same of the complements."""
    one, other = _ratios(sums, halves, n), _ratios(sums, 1.0 - halves, n)
    return *_of_best(one, other), *_of_best(other, one)


def _of_best(inside: F8, outside: F8) -> tuple[F8, F8, F8]:
    """Rank outside (1 the worst; ties in the middle) of the trial that is best inside, and its two ratios."""
    best = inside.argmax(axis=1)[:, None]
    at = np.take_along_axis(outside, best, axis=1)
    rank: F8 = (outside < at).sum(axis=1) + 0.5 * ((outside == at).sum(axis=1) + 1.0)
    return rank, np.take_along_axis(inside, best, axis=1)[:, 0], at[:, 0]


def _ratios(sums: F8, halves: F8, n: int) -> F8:
    """Sharpe ratio of each trial over the blocks of each half, [halves, trials]."""
    total, off, squares = (halves @ s for s in sums)
    variance = (squares - off**2 / n) / (n - 1)
    floor = 1e-20 * np.maximum(squares, 1e-280)
    ratio: F8 = np.where(variance > floor, total / n / np.sqrt(np.maximum(variance, floor)), 0.0)
    return ratio


def _line(x: F8, y: F8) -> tuple[float, float]:
    off = x - x.mean()
    spread = float(off @ off)
    if spread == 0.0:
        return float("nan"), float("nan")
    slope = float(off @ y) / spread
    return slope, float(y.mean()) - slope * float(x.mean())
