"""Rows of a feature matrix handed to LightGBM in chunks. Imports LightGBM, so it is imported where it is used."""

from __future__ import annotations

import mmap
from typing import Any, cast

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F4, I8


class RowSequence(lgb.Sequence):
    """The rows ``at`` (int64, ascending) of float32 ``x`` [n, F], which may be memory-mapped, as float64 in chunks."""

    batch_size = 16_384

    def __init__(self, x: F4, at: I8) -> None:
        self._mapped = x
        self._x = np.asarray(x)  # a memory map's own indexing takes ten times as long a row
        self._at = at

    def __len__(self) -> int:
        """How many rows."""
        return int(self._at.shape[0])

    def __getitem__(self, k: Any) -> NDArray[np.float64]:
        """One row [F] or a slice of them [m, F], an array of its own."""
        out: NDArray[np.float64] = self._x[self._at[k]].astype(np.float64)
        if isinstance(k, slice):
            release(self._mapped)
        return out


def release(x: F4) -> None:
    """Let go of the pages of a memory-mapped array: they stay in the cache of the system."""
    base = cast(object, x.base)
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)
