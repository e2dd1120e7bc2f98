"""Triple-barrier labels as mlfinpy 0.1.2 makes them, faults and all; for comparisons, never to learn from.

Kept faults, each shown by docs/comparison.md:

* without a side the stop multiple is ignored: both barriers are ``profit * target`` away;
* the *label* is then decided again at the touch, from the log return against ``log(1 + target) * multiple``, with the true stop
  multiple this time, so exit time and label answer to different barriers;
* closes alone are looked at, the entry is the event's own close, a touch must be exceeded, and nothing ends with the session;
* a vertical barrier beyond the last price leaves a label to chance: none, unless a barrier is touched before the prices end.

Source: mlfinpy 0.1.2, ``labeling/labeling.py`` (``get_events``, ``triple_barriers``, ``get_bins``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F8, I8, MINUTE_NS

EVENT = np.dtype([("t0_ns", "i8"), ("t1_ns", "i8"), ("ret", "f8"), ("label", "i1")])  # ``ret`` of the side taken, long without one

Events = NDArray[Any]  # EVENT[n]


@dataclass(frozen=True, slots=True)
class MlfinpySpec:
    """Multiples of the target (0: no such barrier), minutes to the vertical barrier, and the least target."""

    profit: float
    stop: float
    vertical_min: int
    min_ret: float = 0.0


def mlfinpy_labels(
    spec: MlfinpySpec, ts_ns: I8, close: F8, event_ns: I8, target: F8, side: NDArray[np.int8] | None = None
) -> Events:
    """EVENT rows of the events that get a label, in their order.

    ``ts_ns`` int64 [T] ascending and ``close`` float64 [T]; ``event_ns`` int64 [n], each one of ``ts_ns``; ``target`` float64 [n]
    returns; ``side`` int8 [n] +1 or -1 makes the labels 0 and 1 (was it right?), None: -1, 0, 1.
    """
    first = np.searchsorted(ts_ns, event_ns)
    assert np.array_equal(ts_ns[first], event_ns), "an event that is no bar"
    last = np.searchsorted(ts_ns, event_ns + spec.vertical_min * MINUTE_NS)
    out = np.zeros(len(event_ns), EVENT)
    keep = np.zeros(len(event_ns), np.bool_)
    for k in np.flatnonzero(target > spec.min_ret):
        sign = 1.0 if side is None else float(side[k])
        end = _end(spec, close, int(first[k]), int(last[k]), float(target[k]), sign, side is None)
        if end is not None:
            log_ret = (np.log(close[end]) - np.log(close[first[k]])) * sign
            out[k] = event_ns[k], ts_ns[end], np.exp(log_ret) - 1.0, _label(spec, log_ret, float(target[k]), side is not None)
            keep[k] = True
    return out[keep]


def _end(spec: MlfinpySpec, close: F8, first: int, last: int, target: float, sign: float, symmetric: bool) -> int | None:
    """The row at which mlfinpy lets the event end; None: it gets no label."""
    path = (close[first : last + 1] / close[first] - 1.0) * sign
    stop = spec.profit if symmetric else spec.stop
    above = np.flatnonzero(path > spec.profit * target) if spec.profit > 0 else path[:0]
    below = np.flatnonzero(path < -stop * target) if stop > 0 else path[:0]
    ends = [first + int(rows[0]) for rows in (above, below) if len(rows)]
    return min([*ends, last], default=None) if last < len(close) else min(ends, default=None)


def _label(spec: MlfinpySpec, log_ret: float, target: float, sided: bool) -> int:
    width = np.log(1.0 + target)
    if log_ret > 0.0 and log_ret > width * spec.profit:
        return 1
    if log_ret < 0.0 and log_ret < -width * spec.stop:
        return 0 if sided else -1
    return 0
