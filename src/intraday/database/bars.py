"""One-minute bars: each version of a minute stored exactly once, the best one in ``ohlcv_1min``, the timeframes beside it.

Minutes nobody has said anything about go straight in by COPY; what the source has said before is recognised and costs a read; only
the rest (other values, another source) takes the slow road through the SQL function ``store_bars``, which holds the rules. The live
writer calls the same function. docs/adr/0011-bar-versions.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb

from intraday.database.copying import (
    Column,
    copy_rows,
    floats,
    ids_literal,
    ints,
    nanoseconds,
    stamp,
    text_literal,
    time_literal,
    times,
)
from intraday.database.gaps import insert_gaps, settle
from intraday.database.partitions import ensure_partitions, key_of, range_condition, rows_of
from intraday.database.pool import Connection, Database
from intraday.domain.arrays import BAR, I8, MINUTE_NS, Bars, Mask, empty
from intraday.domain.instruments import Instrument
from intraday.domain.ports import Gap, Quarantined, Source, WriteReport

_ROW_BYTES = 320  # a bar with its index entries, its share of the timeframes, and their log
_COLUMNS = "instrument_id, ts, open, high, low, close, volume::double precision AS volume, flags, n_ticks"


class BarRepository:
    """``domain.ports.BarStore`` and ``GapStore``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def write(
        self,
        ids: Sequence[int],
        bars: Bars,
        source: Source,
        known_ns: int,
        also: Callable[[Connection], None] | None = None,
    ) -> WriteReport:
        """Store bars idempotently in one transaction and note what the timeframes lack; keep every superseded version.

        Order is free; a minute of an instrument may occur once. Bars without change cost a read and write nothing. ``also``: what
        else belongs to the transaction; it runs in it, after the bars, and without any bars too.
        """
        if bars.shape[0] == 0:
            if also is not None:
                with self._db.transaction() as connection:
                    also(connection)
            return WriteReport()
        new = _Incoming.of(ids, bars)
        owners = sorted(set(new.instrument.tolist()))
        start, stop = int(new.bars["ts_ns"].min()), int(new.bars["ts_ns"].max()) + MINUTE_NS
        for table in ("ohlcv_1min", "bar_superseded"):
            ensure_partitions(self._db, table, start, stop)
        with self._db.transaction(need=_ROW_BYTES * bars.shape[0]) as connection:
            connection.execute("SELECT lock_instruments(%s)", (owners,))
            fresh, same = self._compare(connection, new, source, owners, start, stop)
            _copy_bars(connection, "ohlcv_1min", new, fresh, source, known_ns)
            n_new, n_same = int(fresh.sum()), int(same.sum())
            inserted, unchanged, revised, changed = _store_others(connection, new, ~(fresh | same), source, known_ns)
            if n_new + changed:
                touched = new.bars["ts_ns"][~same]
                _note(connection, owners, int(touched.min()), int(touched.max()) + MINUTE_NS)
            if also is not None:
                also(connection)
        return WriteReport(n_new + inserted, n_same + unchanged, revised)

    def read(self, ids: Sequence[int], start_ns: int, end_ns: int, source: Source | None = None) -> Bars:
        """Bars with ``start_ns <= ts < end_ns``, ordered by (ts, inst). ``source`` None: the best version of each minute;
        otherwise that source's newest version."""
        where = range_condition(ids, start_ns, end_ns)
        if source is None:
            query = f"SELECT {_COLUMNS} FROM ohlcv_1min WHERE {where}"  # nosec B608
        else:
            query = (
                f"SELECT DISTINCT ON (instrument_id, ts) {_COLUMNS} FROM bar_versions "
                f"WHERE {where} AND source = '{source.value}' ORDER BY instrument_id, ts, known_at DESC, version DESC"  # nosec B608
            )
        table = self._db.arrow(query)
        bars = empty(BAR, table.num_rows)
        bars["ts_ns"] = times(table, "ts")
        bars["inst"] = rows_of(ids, ints(table, "instrument_id"))
        for name in ("open", "high", "low", "close", "volume"):
            bars[name] = floats(table, name)
        for name in ("flags", "n_ticks"):
            bars[name] = ints(table, name)
        return bars[np.lexsort((bars["inst"], bars["ts_ns"]))]

    def coverage(self) -> list[tuple[int, date, int]]:
        """(instrument id, IST day, number of best bars), ordered."""
        with self._db.autocommit() as connection:
            return connection.execute(
                """SELECT instrument_id, (ts AT TIME ZONE 'Asia/Kolkata')::date AS day, count(*)
                   FROM ohlcv_1min GROUP BY 1, 2 ORDER BY 1, 2"""
            ).fetchall()

    def has_any(self, start_ns: int, end_ns: int) -> bool:
        """Whether any instrument has a bar with ``start_ns <= ts < end_ns``."""
        query = "SELECT EXISTS (SELECT 1 FROM ohlcv_1min WHERE ts >= %s AND ts < %s)"
        with self._db.autocommit() as connection:
            row = connection.execute(query, (stamp(start_ns), stamp(end_ns))).fetchone()
        assert row is not None
        return bool(row[0])

    def quarantine(self, rows: Sequence[Quarantined]) -> int:
        """Keep rejected rows; the same row twice is kept once. Returns how many were new."""
        if not rows:
            return 0
        columns = "digest, symbol, origin, ts, reason, content"
        with self._db.transaction(need=400 * len(rows)) as connection:
            connection.execute(f"CREATE TEMP TABLE refused ON COMMIT DROP AS SELECT {columns} FROM quarantine LIMIT 0")  # nosec B608
            with connection.cursor().copy(f"COPY refused ({columns}) FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["bytea", "text", "text", "timestamptz", "text", "jsonb"])
                for row in rows:
                    copy.write_row(_refused(row))
            done = connection.execute(
                f"INSERT INTO quarantine ({columns}) SELECT {columns} FROM refused ON CONFLICT (digest) DO NOTHING"  # nosec B608
            )
            return done.rowcount

    def save_gaps(self, gaps: Sequence[Gap]) -> int:
        """Remember missing minutes; returns how many rows were new or changed."""
        if not gaps:
            return 0
        with self._db.transaction() as connection:
            return insert_gaps(connection, gaps)

    def settle_gaps(self, instrument: Instrument, start_ns: int, end_ns: int, found: Sequence[Gap]) -> int:
        """The importer's gaps of whole days, of all its files together; see ``GapStore``."""
        return settle(self._db, instrument, start_ns, end_ns, found)

    def gaps(self, ids: Sequence[int], start_ns: int, end_ns: int) -> list[Gap]:
        """Known gaps that begin in the range, ordered by (instrument, start)."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                """SELECT instrument_id, start_ts, end_ts, reason, n_minutes FROM candle_gaps
                   WHERE instrument_id = ANY (%s) AND start_ts >= %s AND start_ts < %s ORDER BY instrument_id, start_ts""",
                (list(ids), stamp(start_ns), stamp(end_ns)),
            ).fetchall()
        return [Gap(i, nanoseconds(start), nanoseconds(end), reason, n) for i, start, end, reason, n in rows]

    def _compare(
        self, connection: Connection, new: _Incoming, source: Source, owners: Sequence[int], start_ns: int, end_ns: int
    ) -> tuple[Mask, Mask]:
        """(nobody has a bar for it yet, this source's best bar is the same) for each incoming row."""
        n = new.keys.shape[0]
        where = range_condition(owners, start_ns, end_ns)
        if connection.execute(f"SELECT 1 FROM ohlcv_1min WHERE {where} LIMIT 1").fetchone() is None:  # nosec B608
            return np.ones(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
        # Another connection may read: whoever could change these rows waits for our lock.
        table = self._db.arrow(
            f"SELECT {_COLUMNS}, source = {text_literal(source.value)}::source AS own FROM ohlcv_1min WHERE {where}"  # nosec B608
        )
        keys = key_of(ints(table, "instrument_id"), times(table, "ts"))
        order = np.argsort(keys)
        at = np.minimum(np.searchsorted(keys, new.keys, sorter=order), keys.shape[0] - 1)
        match = order[at]
        known = keys[match] == new.keys
        same = known & np.asarray(table.column("own").to_numpy(), dtype=np.bool_)[match]
        for name in ("open", "high", "low", "close", "volume", "flags", "n_ticks"):
            old = floats(table, name)[match]
            same &= (old == new.bars[name]) | (np.isnan(old) & np.isnan(new.bars[name].astype(np.float64)))
        return ~known, same


@dataclass(frozen=True, slots=True)
class _Incoming:
    """Bars to store, in the order of the primary key."""

    bars: Bars
    instrument: I8
    keys: I8

    @classmethod
    def of(cls, ids: Sequence[int], bars: Bars) -> _Incoming:
        assert bool((bars["ts_ns"] % MINUTE_NS == 0).all()), "bars are named by a whole minute"
        instrument = np.asarray(ids, dtype=np.int64)[bars["inst"]]
        keys = key_of(instrument, bars["ts_ns"])
        if not bool((keys[1:] > keys[:-1]).all()):
            order = np.argsort(keys, kind="stable")
            bars, instrument, keys = bars[order], instrument[order], keys[order]
            assert bool((keys[1:] > keys[:-1]).all()), "two bars for one minute of an instrument"
        return cls(bars, instrument, keys)


def _copy_bars(connection: Connection, table: str, new: _Incoming, keep: Mask, source: Source, known_ns: int) -> None:
    """COPY the kept rows; those without volume in a second run, since a missing value has another width."""
    bars = new.bars
    base = [
        Column("instrument_id", "integer", new.instrument),
        Column("ts", "timestamptz", bars["ts_ns"]),
        *(Column(name, "double", bars[name]) for name in ("open", "high", "low", "close")),
        Column("n_ticks", "integer", bars["n_ticks"]),
        Column("version", "integer", np.broadcast_to(np.int64(1), bars.shape)),
        Column("known_at", "timestamptz", np.broadcast_to(np.int64(known_ns), bars.shape)),
        Column("source", "text", source.value),
        Column("flags", "smallint", bars["flags"]),
    ]
    none = np.isnan(bars["volume"])
    copy_rows(
        connection, table, [*base, Column("volume", "bigint", np.where(none, 0.0, bars["volume"]).astype(np.int64))], keep & ~none
    )
    copy_rows(connection, table, [*base, Column("volume", "null")], keep & none)


def _store_others(connection: Connection, new: _Incoming, keep: Mask, source: Source, known_ns: int) -> tuple[int, int, int, int]:
    """The slow road: (inserted, unchanged, revised, best rows changed) by ``store_bars``."""
    if not keep.any():
        return 0, 0, 0, 0
    connection.execute("CREATE TEMP TABLE incoming (LIKE ohlcv_1min) ON COMMIT DROP")
    _copy_bars(connection, "incoming", new, keep, source, known_ns)
    row: Any = connection.execute(
        """SELECT inserted, unchanged, revised, best_changed FROM (
             SELECT array_agg(instrument_id) a, array_agg(ts) b, array_agg(open) c, array_agg(high) d, array_agg(low) e,
                    array_agg(close) f, array_agg(volume) g, array_agg(n_ticks) h, array_agg(flags) i FROM incoming) x
           CROSS JOIN LATERAL store_bars(%s::source, %s::timestamptz, a, b, c, d, e, f, g, h, i)""",
        (source.value, stamp(known_ns // 1000 * 1000)),
    ).fetchone()
    connection.execute("DROP TABLE incoming")
    return int(row[0]), int(row[1]), int(row[2]), int(row[3])


def _note(connection: Connection, ids: Sequence[int], start_ns: int, end_ns: int) -> None:
    connection.execute(f"SELECT note_rollups({ids_literal(ids)}, {time_literal(start_ns)}, {time_literal(end_ns)})")


def _refused(row: Quarantined) -> tuple[Any, ...]:
    content = json.dumps(dict(row.row), default=str, sort_keys=True, allow_nan=True)
    key = "\x1f".join((row.symbol, row.origin, str(row.ts_ns), row.reason, content))
    at = None if row.ts_ns is None else stamp(row.ts_ns)
    return (
        hashlib.sha256(key.encode()).digest()[:16],
        row.symbol,
        row.origin,
        at,
        row.reason,
        Jsonb(json.loads(content, parse_constant=str)),
    )
