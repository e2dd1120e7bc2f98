"""One-minute bars: each version of a minute stored exactly once, the best one in ``ohlcv_1min``, the timeframes beside it.

Minutes nobody has said anything about go straight in by COPY; what the source has said before is recognised and costs a read; only
the rest (other values, another source) takes the slow road through the SQL function ``store_bars``, which holds the rules. The live
writer calls the same function. docs/adr/0011-bar-versions.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

from psycopg.types.json import Jsonb

from intraday.database.bar_rows import SELECT, bars_of, in_order
from intraday.database.bar_writing import Incoming, store
from intraday.database.chunks import blocks
from intraday.database.copying import nanoseconds, stamp
from intraday.database.gaps import insert_gaps, settle
from intraday.database.kept import check_kept, kept_from
from intraday.database.partitions import ensure_partitions, range_condition
from intraday.database.pool import Connection, Database
from intraday.domain.arrays import MINUTE_NS, Bars
from intraday.domain.instruments import Instrument
from intraday.domain.ports import Gap, Quarantined, Source, WriteReport

_ROW_BYTES = 320  # a bar with its index entries, its share of the timeframes, and their log
_READ_BYTES = 320  # a bar as BAR, as it came and in its place, and of the piece before; its key; its share of the batches


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
        new = Incoming.of(ids, bars)
        owners, start, stop = new.owners, int(bars["ts_ns"].min()), int(bars["ts_ns"].max()) + MINUTE_NS
        for table in ("ohlcv_1min", "bar_superseded"):
            ensure_partitions(self._db, table, start, stop)

        def work(connection: Connection) -> WriteReport:
            check_kept(connection, "bars", start)
            connection.execute("SELECT lock_instruments(%s)", (owners,))
            report = WriteReport()
            for block in new.blocks():
                report += store(self._db, connection, block, source, known_ns)
            if also is not None:
                also(connection)
            return report

        return self._db.run(work, need=_ROW_BYTES * bars.shape[0])

    def read(self, ids: Sequence[int], start_ns: int, end_ns: int, source: Source | None = None) -> Bars:
        """Bars with ``start_ns <= ts < end_ns``, ordered by (ts, inst). ``source`` None: the best version of each minute;
        otherwise that source's newest version."""
        where = range_condition(ids, start_ns, end_ns)
        if source is None:
            query = f"SELECT {SELECT} FROM ohlcv_1min WHERE {where}"  # nosec B608
        else:
            query = (
                f"SELECT DISTINCT ON (instrument_id, ts) {SELECT} FROM bar_versions "
                f"WHERE {where} AND source = '{source.value}' ORDER BY instrument_id, ts, known_at DESC, version DESC"  # nosec B608
            )
        return in_order(self._db.each(query, lambda batch: bars_of(batch, ids)))

    def chunks(
        self, ids: Sequence[int], start_ns: int, end_ns: int, mib: int, source: Source | None = None
    ) -> Iterator[tuple[Sequence[int], Bars]]:
        """The same in pieces, each some of ``ids`` over some months: (those ids, their bars with ``inst`` by position among them).

        Together with the piece before, which the caller may still hold, a piece takes at most ``mib`` MiB while it is read.
        Pieces without bars are left out. Each is a look at the database of its own: what is written meanwhile is in some of them.
        """
        for block in blocks(self._db, "ohlcv_1min", ids, start_ns, end_ns, mib=mib, row_bytes=_READ_BYTES):
            bars = self.read(block.ids, block.start_ns, block.end_ns, source)
            if bars.shape[0]:
                yield block.ids, bars

    def kept_ns(self) -> int:
        """First moment (ns) whose bars are kept, a Thursday 00:00 UTC; 0 as long as none were dropped. Older ones are refused."""
        with self._db.autocommit() as connection:
            return kept_from(connection).get("bars", 0)

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


def _refused(row: Quarantined) -> tuple[Any, ...]:
    symbol, origin, reason = _text(row.symbol), _text(row.origin), _text(row.reason)
    found = {_text(key): _text(value) if isinstance(value, str) else value for key, value in row.row.items()}
    content = json.dumps(found, default=str, sort_keys=True, allow_nan=True)
    key = "\x1f".join((symbol, origin, str(row.ts_ns), reason, content))
    at = None if row.ts_ns is None else stamp(row.ts_ns)
    return (
        hashlib.sha256(key.encode()).digest()[:16],
        symbol,
        origin,
        at,
        reason,
        Jsonb(json.loads(content, parse_constant=str)),
    )


def _text(value: str) -> str:
    """As PostgreSQL can keep it, for a person to read: it has no NUL, and no half of a character (a file name may)."""
    return value.replace("\0", "\ufffd").encode(errors="replace").decode()
