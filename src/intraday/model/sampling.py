"""Fewer rows where more would tell no more: rows of a session are alike, so a figure is as good as its sessions are many."""

from __future__ import annotations

import numpy as np

from intraday.domain.arrays import F8, I4, I8

_GOLDEN = (5.0**0.5 - 1.0) / 2.0  # its multiples fall evenly between 0 and 1 (Weyl), so no stride picks one instrument alone


def spread_over_sessions(session: I4, most: int) -> I8:
    """At most ``most`` rows, as many of each session as of any other while there are, ascending int64 row numbers.

    ``session`` [n] ascending. Within a session one row of each of equally long stretches; at least one row of each session.
    """
    assert np.all(session[1:] >= session[:-1]), "rows must be in order of their sessions"
    if len(session) <= most:
        return np.arange(len(session), dtype=np.int64)
    _, first, count = np.unique(session, return_index=True, return_counts=True)
    wanted = np.minimum(count, max(_equal_share(count, most), 1))
    parts = [f + _spaced(n, k) for f, n, k in zip(first.tolist(), count.tolist(), wanted.tolist(), strict=True)]
    return np.concatenate(parts)


def _equal_share(count: I8, most: int) -> int:
    """The largest number of rows a session that keeps their sum within ``most``."""
    low, high = 0, int(count.max())
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(count, middle).sum()) <= most:
            low = middle
        else:
            high = middle - 1
    return low


def _spaced(n: int, k: int) -> I8:
    """k of n numbers, one of each of k stretches."""
    edges = np.arange(k + 1) * n // k
    within: F8 = np.mod(np.arange(k) * _GOLDEN, 1.0)
    return (edges[:-1] + (within * np.diff(edges)).astype(np.int64)).astype(np.int64)
