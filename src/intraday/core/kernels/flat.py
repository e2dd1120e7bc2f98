"""One open signal per instrument, over rows in order of time."""

import numba as nb
import numpy as np
from numpy.typing import NDArray

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Mask = NDArray[np.bool_]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def take_while_flat(side: I1, inst: I4, close_ns: I8, end_ns: I8, free_ns: I8, out: Mask) -> None:
    """``out`` [n]: True for a side other than 0 whose instrument is free at ``close_ns``; it is then taken until ``end_ns``.

    ``free_ns`` int64 [S], from when each instrument is free, is written.
    """
    for i in range(side.shape[0]):
        out[i] = side[i] != 0 and close_ns[i] >= free_ns[inst[i]]
        if out[i]:
            free_ns[inst[i]] = end_ns[i]
