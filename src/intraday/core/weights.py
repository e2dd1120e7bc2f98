"""How much each label counts: overlapping labels tell the same story, and old ones an old story.

Lives are ``entry_ns <= t < t1_ns``. After López de Prado 2018, ch. 4, in time instead of bars: a minute without a bar is a minute
all the same. On lives given as bar numbers ``[i, j + 1)`` the values are the book's (and mlfinpy's).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intraday.core.kernels import weights as kernel
from intraday.domain.arrays import F8, I4, I8, Panel


def average_uniqueness(start: I8, end: I8, group: I4 | None = None) -> F8:
    """The mean over each label's life of 1 / (labels then alive), float64 [n] in (0, 1]; a life of no length: 1.

    ``start``, ``end`` int64 [n]. ``group`` int [n] (the instrument): only labels of the same group count; None: all of them, for
    labels of many instruments that move together. Source: section 4.4.
    """
    out = np.empty(len(start), dtype=np.float64)
    for rows in _groups(group, len(start)):
        at, first, last, alive = lives(start[rows], end[rows])
        part = np.empty(len(rows), dtype=np.float64)
        kernel.mean_inverse(first, last, at, alive, part)
        out[rows] = part
    return out


def concurrency(start: I8, end: I8, at: I8) -> I8:
    """How many lives hold each instant of ``at`` int64 [m], int64 [m]. Source: section 4.3."""
    began, over = np.searchsorted(np.sort(start), at, side="right"), np.searchsorted(np.sort(end), at, side="right")
    return (began - over).astype(np.int64)


def attributed_returns(entry_ns: I8, t1_ns: I8, inst: I4, minutes: Panel) -> F8:
    """``|sum over the life of log return / labels of the instrument then alive|`` of each label, float64 [n].

    ``inst``: columns of ``minutes``, the one-minute panel the labels were made from. The entry minute's return is from its open,
    so the sum over a lone label's life is its log return. Source: section 4.6, there scaled to a sum of n.
    """
    out = np.zeros(len(inst), dtype=np.float64)
    for column in np.unique(inst):
        rows = np.flatnonzero(inst == column)
        start, end = entry_ns[rows], t1_ns[rows]
        seen = np.flatnonzero(minutes.mask[:, column])
        ts = minutes.ts_ns[seen]
        alive = concurrency(start, end, ts)
        close, opened = np.log(minutes.close[seen, column]), np.log(minutes.open[seen, column])
        part = np.empty(len(rows), dtype=np.float64)
        kernel.attribute(
            np.searchsorted(ts, start), np.searchsorted(ts, end), close - opened, np.diff(close, prepend=np.nan), alive, part
        )
        out[rows] = part
    return out


def time_decay(uniqueness: F8, last: float) -> F8:
    """Weights that fall along a line from 1 for the newest label, float64 [n]; ``uniqueness`` float64 [n] in order of time.

    Age is measured in cumulated uniqueness, so crowded hours do not age faster. ``last``: the weight of the oldest label, 1 is no
    decay; below 0, that share of the oldest is forgotten (-1 < last <= 1). Source: section 4.7.
    """
    assert -1.0 < last <= 1.0, last
    age = np.cumsum(uniqueness)
    if len(age) == 0:
        return age
    slope = (1.0 - last) / age[-1] if last >= 0.0 else 1.0 / ((last + 1.0) * age[-1])
    return np.asarray(np.maximum(1.0 - slope * age[-1] + slope * age, 0.0), dtype=np.float64)


def effective_labels(uniqueness: F8) -> float:
    """How many labels that do not overlap tell as much: the sum of uniqueness."""
    return float(np.sum(uniqueness))


def _groups(group: I4 | None, n: int) -> list[NDArray[np.intp]]:
    if group is None:
        return [np.arange(n)]
    order = np.argsort(group, kind="stable")
    cuts = np.flatnonzero(np.diff(group[order])) + 1
    return [rows for rows in np.split(order, cuts) if len(rows)]


def lives(start: I8, end: I8) -> tuple[I8, I8, I8, I8]:
    """The instants at which a life begins or ends, each life's first and last of them, and how many live between."""
    at = np.unique(np.concatenate([start, end]))
    return at, np.searchsorted(at, start), np.searchsorted(at, end), concurrency(start, end, at)
