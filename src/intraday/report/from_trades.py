"""From out-of-sample rows to tables of trades: by instrument, by hour of decision, and both at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F8, I8, IST_NS, MINUTE_NS
from intraday.model.metrics import BPS, OutOfSample
from intraday.report.parts import Group, HeatMap

OPEN_MINUTE, HOUR, DAY_MINUTES = 555, 60, 1440  # hours are counted from 09:15


def by_instrument(oos: OutOfSample, symbols: Sequence[str]) -> tuple[Group, ...]:
    """Instruments with trades, most trades first; ``symbols`` by dense row."""
    rows = oos.inst[oos.trade].astype(np.int64)
    groups = [_group(symbols[k], oos, rows == k) for k in np.unique(rows).tolist()]
    return tuple(sorted(groups, key=lambda g: (-g.trades, g.name)))


def by_hour(oos: OutOfSample) -> tuple[Group, ...]:
    """Hours of decision with trades, in order."""
    hour = _hours(oos)
    return tuple(_group(f"{_clock(k)} to {_clock(k + 1)}", oos, hour == k) for k in np.unique(hour).tolist())


def heat_map(oos: OutOfSample, symbols: Sequence[str]) -> HeatMap | None:
    """Mean net bps a trade by instrument and hour; None without trades."""
    hour, inst = _hours(oos), oos.inst[oos.trade].astype(np.int64)
    if hour.size == 0:
        return None
    rows, columns = np.unique(inst), np.unique(hour)
    cell = np.searchsorted(rows, inst) * columns.size + np.searchsorted(columns, hour)
    size = rows.size * columns.size
    n = np.bincount(cell, minlength=size)
    total = np.bincount(cell, weights=_net(oos), minlength=size)
    mean = np.divide(total, n, out=np.full(size, np.nan), where=n > 0)
    shape = rows.size, columns.size
    names = [symbols[k] for k in rows.tolist()]
    return HeatMap(names, [_clock(k) for k in columns.tolist()], mean.reshape(shape), n.astype(np.int64).reshape(shape))


def _group(name: str, oos: OutOfSample, rows: NDArray[np.bool_]) -> Group:
    """``rows`` bool [trades]."""
    gross, cost = oos.gross[oos.trade][rows] * BPS, oos.paid[oos.trade][rows] * BPS
    net = gross - cost
    return Group(
        name=name,
        trades=int(rows.sum()),
        hit=float((gross > 0).mean()),
        gross=float(gross.mean()),
        cost=float(cost.mean()),
        net=float(net.mean()),
        total=float(net.sum()),
    )


def _net(oos: OutOfSample) -> F8:
    out: F8 = (oos.gross - oos.paid)[oos.trade] * BPS
    return out


def _hours(oos: OutOfSample) -> I8:
    """Hour of each trade's decision, int64 [trades]: 0 is 09:15 to 10:15."""
    minute = (oos.close_ns[oos.trade] + IST_NS) // MINUTE_NS % DAY_MINUTES
    return np.asarray((minute - OPEN_MINUTE) // HOUR, dtype=np.int64)


def _clock(hour: int) -> str:
    minute = OPEN_MINUTE + HOUR * hour
    return f"{minute // 60:02d}:{minute % 60:02d}"
