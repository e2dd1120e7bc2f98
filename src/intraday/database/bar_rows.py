"""Bars as rows of ``ohlcv_1min`` and the tables that look like it: from Arrow to BAR, from BAR into COPY."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intraday.database.copying import Column, copy_rows, floats, ints, room, times
from intraday.database.partitions import rows_of
from intraday.database.pool import Connection
from intraday.domain.arrays import BAR, I8, Bars
from intraday.domain.ports import Source

SELECT = "instrument_id, ts, open, high, low, close, volume::double precision AS volume, flags, n_ticks"
_BLOCK = 1 << 14
VALUES = ("open", "high", "low", "close", "volume", "flags", "n_ticks")


def bars_of(rows: pa.Table, ids: Sequence[int]) -> Bars:
    """The rows of a query of SELECT, in the query's order.

    Some at a time, so that a block of BAR is still in the processor's cache when its next column comes.
    """
    columns = [rows_of(ids, ints(rows, "instrument_id")), times(rows, "ts"), *(floats(rows, name) for name in VALUES)]
    bars = room(rows.num_rows, BAR)
    for start in range(0, rows.num_rows, _BLOCK):
        block = slice(start, start + _BLOCK)
        for name, values in zip(("inst", "ts_ns", *VALUES), columns, strict=True):
            bars[name][block] = values[block]
    return bars


def in_order(pieces: Sequence[Bars]) -> Bars:
    """All pieces as one array ordered by (ts, inst). ``pieces`` may be in any order; no bar is copied more than once.

    A bar is moved as so many machine words: picking rows of a structured array costs three times as much.
    """
    inst, ts_ns = (np.concatenate([piece[name] for piece in pieces] or [np.empty(0, dtype=np.int64)]) for name in ("inst", "ts_ns"))
    n = ts_ns.shape[0]
    place = np.empty(n, dtype=np.int64)
    place[np.lexsort((inst, ts_ns))] = np.arange(n)
    bars = room(n, BAR)
    words, at = _words(bars), 0
    for piece in pieces:
        words[place[at : at + piece.shape[0]]] = _words(piece)
        at += piece.shape[0]
    return bars


def _words(bars: Bars) -> NDArray[np.int64]:
    return bars.view(np.int64).reshape(-1, BAR.itemsize // 8)


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
