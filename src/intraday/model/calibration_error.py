"""Calibration error of one class in bins of equal mass, without the part that is noise, and the curve behind it.

In bin b forecasts average ``m_b`` and outcomes ``f_b``. The plain error ``sum w_b |f_b - m_b|`` is above zero even for perfect
forecasts, since ``f_b`` is noisy. What the noise adds to each bin's absolute difference is known when it is normal with standard
error ``s_b`` (the folded normal distribution: Leone, Nelson & Nottingham 1961, Technometrics 3(4)) and is taken off, as Kumar,
Liang & Ma 2019, "Verified uncertainty calibration", NeurIPS, do by resampling; ``s_b`` here lets rows of one session go together
(clustered), where theirs treats all rows as independent. Bins hide what cancels inside them: the true error is no smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from intraday.domain.arrays import F8, I8
from intraday.model.blocks import Blocks, ratio
from intraday.model.metrics import Interval


@dataclass(frozen=True, slots=True)
class CurveRow:
    """A bin: ``n`` rows whose forecasts average ``mean_p``, and how often it then happened, with a 95 % interval."""

    n: int
    mean_p: float
    frequency: float
    low: float
    high: float


class Error(NamedTuple):
    """``ece`` debiased; ``plain`` not; ``largest`` difference of a bin (MCE), its interval as if it had not been picked."""

    ece: Interval
    plain: float
    largest: Interval
    curve: tuple[CurveRow, ...]


def calibration_error(p: F8, hit: F8, blocks: Blocks, n_bins: int) -> Error:
    """Of forecasts ``p`` [n] of one class and outcomes ``hit`` [n] (0 or 1)."""
    bins, count = equal_mass(p, n_bins)
    n, said, came = (blocks.binned(values, bins, count) for values in (np.ones(p.size), p, hit))
    gap, error = _gaps(came - said, n, blocks.counts)
    weight = blocks.counts @ n
    weight = weight / weight.sum(axis=1, keepdims=True)
    size = np.abs(gap)
    plain = np.nansum(weight * size, axis=1)
    ece = np.nansum(weight * (2.0 * size - _folded(size, error)), axis=1)
    noise = np.nansum(weight * np.abs(gap - gap[0]), axis=1)[1:]
    return Error(
        ece=_bounded(ece, float(plain[0]), noise),
        plain=float(plain[0]),
        largest=_largest(gap, blocks),
        curve=_curve(n, said, came, blocks),
    )


def equal_mass(values: F8, n_bins: int) -> tuple[I8, int]:
    """The bin of each value, int64 [n], and how many bins there are: quantiles of the values; equal ones stay together."""
    edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, n_bins + 1)[1:-1]))
    bins = np.searchsorted(edges, values, side="right")
    used, where = np.unique(bins, return_inverse=True)
    return where.astype(np.int64), int(used.size)


def _gaps(difference: F8, n: F8, counts: F8) -> tuple[F8, F8]:
    """Frequency less forecast of each bin and its clustered standard error, [1 + draws, bins]; sums come by session, [S, bins]."""
    rows = counts @ n
    gap = ratio(counts @ difference, rows)
    squares = counts @ difference**2 - 2.0 * gap * (counts @ (difference * n)) + gap**2 * (counts @ n**2)
    clusters = counts.shape[1]
    return gap, ratio(np.sqrt(np.maximum(squares, 0.0) * clusters / max(clusters - 1, 1)), rows)


def _folded(mean: F8, error: F8) -> F8:
    """Mean of the absolute value of a normal variable."""
    from scipy.special import ndtr  # loaded where it is used: most commands need none of it

    z = ratio(mean, error)
    folded = error * np.sqrt(2.0 / np.pi) * np.exp(-0.5 * z**2) + mean * (1.0 - 2.0 * ndtr(-z))
    return np.where(error > 0.0, folded, mean)


def _bounded(ece: F8, plain: float, noise: F8) -> Interval:
    """The debiased figure, ``ece`` [1 + draws], between a lower and an upper end; ``plain`` is the sample's plain one.

    ``noise`` [draws]: mean absolute difference of the draws' gaps from the sample's. The plain error can't lie farther from the
    true one (triangle inequality): hence the lower end, 0 where noise alone may have made it. The upper end is the basic
    bootstrap's; its lower one, and percentiles, are wrong near 0, where a draw adds noise to the sample's.
    """
    middle = max(float(ece[0]), 0.0)
    low = plain - float(np.quantile(noise, 0.975))
    high = middle - float(np.quantile(ece[1:] - plain, 0.025))
    return Interval(middle, min(max(low, 0.0), middle), max(high, middle))


def _largest(gap: F8, blocks: Blocks) -> Interval:
    worst = int(np.argmax(np.abs(gap[0])))
    found = blocks.interval(gap[:, worst] * (1.0 if gap[0, worst] >= 0.0 else -1.0))
    return Interval(found.mean, max(found.low, 0.0), found.high)


def _curve(n: F8, said: F8, came: F8, blocks: Blocks) -> tuple[CurveRow, ...]:
    frequency = ratio(blocks.counts @ came, blocks.counts @ n)
    out = []
    for b in range(n.shape[1]):
        found, rows = blocks.interval(frequency[:, b]), float(n[:, b].sum())
        mean_p = float(said[:, b].sum()) / rows
        out.append(CurveRow(int(rows), mean_p, found.mean, max(found.low, 0.0), min(found.high, 1.0)))
    return tuple(out)
