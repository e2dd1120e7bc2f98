"""Sums over sessions of a sample and of its bootstrap draws: figures of sums get intervals without touching rows again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from intraday.domain.arrays import F8, I4, I8
from intraday.model.metrics import Interval

NAN = float("nan")
NOTHING = Interval(NAN, NAN, NAN)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Sessions of n rows, and draws of them with replacement.

    ``at`` int64 [n]: the session of each row, 0..S-1; ``counts`` float64 [1 + draws, S]: how often each session is in the sample
    (once; the first row) and in each draw.
    """

    at: I8
    counts: F8

    @classmethod
    def of(cls, session: I4, draws: int, rng: np.random.Generator) -> Blocks:
        """Of the session numbers [n] of rows, in any order. Takes ``draws * S`` integers from ``rng``."""
        sessions, at = np.unique(session, return_inverse=True)
        size = sessions.size
        drawn = rng.integers(0, size, size=(draws, size)) + size * np.arange(draws)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=draws * size).reshape(draws, size)
        return cls(at.astype(np.int64), np.vstack([np.ones(size), counts]).astype(np.float64))

    @property
    def size(self) -> int:
        """S, the number of sessions."""
        return int(self.counts.shape[1])

    def per_session(self, values: F8) -> F8:
        """Sums of ``values`` [n] or [n, K] over the rows of each session, [S, K]."""
        columns = values.reshape(len(self.at), -1)
        return np.column_stack([np.bincount(self.at, weights=column, minlength=self.size) for column in columns.T])

    def sums(self, values: F8) -> F8:
        """Sums of ``values`` [n] or [n, K] over the sample and over each draw, [1 + draws, K]."""
        out: F8 = self.counts @ self.per_session(values)
        return out

    def chunks(self, rows: int = 262_144) -> Iterator[tuple[slice, Blocks]]:
        """The rows a chunk at a time, so that what is computed of each takes bounded memory; sums by session add up."""
        for k in range(0, len(self.at), rows):
            yield slice(k, k + rows), Blocks(self.at[k : k + rows], self.counts)

    def binned(self, values: F8, bins: I8, n_bins: int) -> F8:
        """Sums of ``values`` [n] over the rows of each session and bin (int64 [n], 0..n_bins-1), [S, n_bins]."""
        flat = np.bincount(self.at * n_bins + bins, weights=values, minlength=self.size * n_bins)
        return flat.reshape(self.size, n_bins).astype(np.float64)

    def interval(self, found: F8) -> Interval:
        """A figure of the sample, ``found[0]``, and its 95 % interval from those of the draws, ``found[1:]``.

        Each end is the farther of two: the draws' percentile, and Student's t (S - 1) times their standard deviation, widened by
        the square root of S / (S - 1); percentiles alone are too narrow with few sessions (``metrics.bootstrap_mean``). Draws
        without a value are left out; NaN ends where they are more than half, or sessions fewer than 3.
        """
        draws = found[1:][np.isfinite(found[1:])]
        if not np.isfinite(found[0]) or self.size < 3 or 2 * draws.size < found.size - 1:
            return Interval(float(found[0]), NAN, NAN)
        from scipy.stats import t as student_t  # loaded where it is used: most commands need none of it

        middle, (low, high) = float(found[0]), np.quantile(draws, [0.025, 0.975])
        reach = float(student_t.ppf(0.975, self.size - 1) * draws.std() * (self.size / (self.size - 1)) ** 0.5)
        return Interval(middle, min(float(low), middle - reach), max(float(high), middle + reach))


def ratio(top: F8, bottom: F8) -> F8:
    """``top / bottom``, NaN where ``bottom`` is not above 0."""
    out: F8 = np.divide(top, bottom, out=np.full(np.broadcast(top, bottom).shape, np.nan), where=bottom > 0.0)
    return out
