"""Make a range of a time series hold exactly the rows given, touching only rows that differ. Features and labels use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intraday.database.copying import Column, copy_rows, time_literal
from intraday.database.kept import check_kept
from intraday.database.partitions import ensure_partitions, key_of, range_condition
from intraday.database.pool import Connection, Database
from intraday.domain.arrays import I8, Mask
from intraday.domain.ports import WriteReport

_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class Rows:
    """Database ids [n], open times in ns [n], and everything else that counts as bytes uint8 [n, width]."""

    instrument: I8
    ts_ns: I8
    payload: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Range:
    """What is replaced: rows of ``table`` that meet ``condition`` (a set, a source), of ``ids``, ``start_ns <= ts < end_ns``.

    ``select`` names the columns that ``decode`` turns into Rows.
    """

    table: str
    condition: str
    ids: Sequence[int]
    start_ns: int
    end_ns: int
    select: str
    decode: Callable[[pa.Table], Rows]

    @property
    def where(self) -> str:
        """The whole condition, in SQL."""
        return f"{self.condition} AND {range_condition(self.ids, self.start_ns, self.end_ns)}"


def replace_range(database: Database, target: Range, new: Rows, columns: Sequence[Column]) -> WriteReport:
    """Make the range hold exactly ``new``, in one transaction. ``columns`` are the same rows for COPY, in the same order.

    ``revised`` counts rows that changed or vanished. The same call again writes nothing.
    """
    keys = key_of(new.instrument, new.ts_ns)
    assert np.unique(keys).shape == keys.shape, f"two rows of {target.table} for one instrument and time"
    if keys.shape[0]:
        ensure_partitions(database, target.table, int(new.ts_ns.min()), int(new.ts_ns.max()) + 1)

    def work(connection: Connection) -> WriteReport:
        if keys.shape[0]:
            check_kept(connection, target.table, int(new.ts_ns.min()))
        # Not the lock of the bars: a live minute must never wait for a long write of what can be made again.
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtext('replace_range'), hashtext(%s))", (target.table + target.condition,)
        )
        if connection.execute(f"SELECT 1 FROM {target.table} WHERE {target.where} LIMIT 1").fetchone() is None:  # nosec B608
            return WriteReport(inserted=copy_rows(connection, target.table, columns))
        old = target.decode(database.arrow(f"SELECT {target.select} FROM {target.table} WHERE {target.where}"))  # nosec B608
        known, same, stale = _compare(new, keys, old)
        _delete(connection, target, old, stale)
        copy_rows(connection, target.table, columns, ~same)
        return WriteReport(int((~known).sum()), int(same.sum()), int(stale.sum()))

    return database.run(work, need=2 * keys.shape[0] * (new.payload.shape[1] + 100), durable=False)


def _compare(new: Rows, keys: I8, old: Rows) -> tuple[Mask, Mask, Mask]:
    """(new rows whose key exists, new rows that are there already, old rows that must go)."""
    old_keys = key_of(old.instrument, old.ts_ns)
    order = np.argsort(old_keys)
    at = np.minimum(np.searchsorted(old_keys, keys, sorter=order), old_keys.shape[0] - 1)
    match = order[at]
    known = old_keys[match] == keys
    same = np.zeros_like(known)
    if old.payload.shape[1] == new.payload.shape[1]:
        for start in range(0, keys.shape[0], _BLOCK):  # whole vectors are picked: bounded memory
            part = slice(start, start + _BLOCK)
            same[part] = known[part] & (old.payload[match[part]] == new.payload[part]).all(axis=1)
    stale = np.ones(old_keys.shape[0], dtype=np.bool_)
    stale[match[same]] = False
    return known, same, stale


def _delete(connection: Connection, target: Range, old: Rows, stale: Mask) -> None:
    if not stale.any():
        return
    rows = [Column("instrument_id", "integer", old.instrument), Column("ts", "timestamptz", old.ts_ns)]
    connection.execute("CREATE TEMP TABLE stale (instrument_id integer, ts timestamptz) ON COMMIT DROP")
    copy_rows(connection, "stale", rows, stale)
    bounds = f"t.ts >= {time_literal(target.start_ns)} AND t.ts < {time_literal(target.end_ns)}"
    connection.execute(
        f"DELETE FROM {target.table} t USING stale s "
        f"WHERE {target.condition} AND {bounds} AND t.instrument_id = s.instrument_id AND t.ts = s.ts"  # nosec B608
    )
