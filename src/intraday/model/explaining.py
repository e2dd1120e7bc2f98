"""Which rows are explained, and what the explanations of all folds come to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intraday.domain.arrays import F4, I8
from intraday.model.boosting import FitResult
from intraday.model.trained import Explained

SHOWN = 20  # features kept row by row


def sample_of(rows: I8, n: int, seed: Sequence[int]) -> I8:
    """At most ``n`` of ``rows``, drawn without looking at them, ascending."""
    if n <= 0 or len(rows) == 0:
        return rows[:0]
    return np.sort(np.random.default_rng(list(seed)).choice(rows, min(n, len(rows)), replace=False))


def explained_of(x: F4, rows: Sequence[I8], results: Sequence[FitResult], names: tuple[str, ...]) -> Explained | None:
    """Of every fold's explained ``rows`` of ``x`` float32 [n, F]; None where there are none."""
    at = np.concatenate(list(rows))
    if at.size == 0:
        return None
    size = np.stack([r.size for r in results])
    shown = np.argsort(-np.nanmean(size, axis=(0, 1)), kind="stable")[:SHOWN]
    toward_up = np.concatenate([r.toward_up for r in results])[:, shown]
    values = np.ascontiguousarray(x[at])[:, shown]
    return Explained(size, tuple(names[k] for k in shown.tolist()), toward_up, _quantiles(values))


def _quantiles(values: F4) -> F4:
    """Rank of each value in its column from 0 to 1, the mean of equal ones; NaN stays."""
    from scipy.stats import rankdata  # loaded where it is used: most commands need none of it

    rank = rankdata(values, axis=0, nan_policy="omit") - 1.0
    most = np.maximum(np.isfinite(values).sum(axis=0) - 1, 1)
    out: F4 = (rank / most).astype(np.float32)
    return out
