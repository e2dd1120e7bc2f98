"""Array types of the kernels' signatures; for readers and mypy, numba infers its own."""

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

F8: TypeAlias = NDArray[np.float64]
F4: TypeAlias = NDArray[np.float32]
I8: TypeAlias = NDArray[np.int64]
I4: TypeAlias = NDArray[np.int32]
I1: TypeAlias = NDArray[np.int8]
B1: TypeAlias = NDArray[np.bool_]
PlanTables: TypeAlias = tuple[I8, I8, F8, I8, I8, I8, I8]  # code, arg, par, row, cell [N], outputs [F], carries [C]; core.plan
PanelArrays: TypeAlias = tuple[F8, F8, F8, F8, F8, B1, B1, B1]  # open .. volume, mask, member [T, S], has_volume [S]
State: TypeAlias = tuple[F8, F8]  # rows [B, R, W] and rings [B, Q, W, 8] of the blocks; core.plan
ClockArrays: TypeAlias = tuple[I4, F8, F8, F8]  # session, minute, minute from 09:15 IST [T], minutes [T, S]
Rows: TypeAlias = NDArray[np.void]  # structured rows: CHECK, FOLD, BUCKET, TICK, BAR

# Options of a kernel that neither allocates nor returns an array: without the runtime's reference counts a call from the
# interpreter costs a third. Numba does not document the option, so its stubs do not know it.
BARE: Final[dict[str, Any]] = {"_nrt": False}
