"""Bars as rows of ``ohlcv_1min`` and the tables that look like it: from Arrow to BAR, from BAR into COPY."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intraday.database.copying import Column, copy_rows, floats, ints, times
from intraday.database.partitions import rows_of
from intraday.database.pool import Connection
from intraday.domain.arrays import BAR, I8, Bars
from intraday.domain.ports import Source

SELECT = "instrument_id, ts, open, high, low, close, volume::double precision AS volume, flags, n_ticks"
VALUES = ("open", "high", "low", "close", "volume", "flags", "n_ticks")


def bars_of(table: pa.Table, ids: Sequence[int]) -> Bars:
    """The rows of a query of SELECT, ordered by (ts, inst).

    Column by column: picking whole rows of a structured array costs three times as much, and a second array.
    """
    inst, ts_ns = rows_of(ids, ints(table, "instrument_id")), times(table, "ts")
    order = np.lexsort((inst, ts_ns))
    bars = np.empty(table.num_rows, dtype=BAR)
    bars["ts_ns"] = ts_ns.take(order)
    bars["inst"] = inst.take(order)
    for name in VALUES:
        bars[name] = floats(table, name).take(order)
    return bars


def copy_bars(
    connection: Connection, table: str, instrument: I8, bars: Bars, source: Source, known_ns: int, keep: NDArray[Any] | None = None
) -> None:
    """COPY the kept bars as first versions; those without volume in a second run, since a missing value has another width.

    ``instrument``: the database id of each bar.
    """
    base = [
        Column("instrument_id", "integer", instrument),
        Column("ts", "timestamptz", bars["ts_ns"]),
        *(Column(name, "double", bars[name]) for name in ("open", "high", "low", "close")),
        Column("n_ticks", "integer", bars["n_ticks"]),
        Column("version", "integer", np.broadcast_to(np.int64(1), bars.shape)),
        Column("known_at", "timestamptz", np.broadcast_to(np.int64(known_ns), bars.shape)),
        Column("source", "text", source.value),
        Column("flags", "smallint", bars["flags"]),
    ]
    none = np.isnan(bars["volume"])
    kept = np.ones(bars.shape, dtype=np.bool_) if keep is None else keep
    volume = Column("volume", "bigint", np.where(none, 0.0, bars["volume"]).astype(np.int64))
    copy_rows(connection, table, [*base, volume], kept & ~none)
    copy_rows(connection, table, [*base, Column("volume", "null")], kept & none)
