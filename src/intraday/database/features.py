"""Feature vectors: float32 bytes in one column, compared and replaced by range."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from intraday.database.chunks import blocks
from intraday.database.copying import Column, ints, text_literal, times, vectors
from intraday.database.partitions import range_condition, rows_of
from intraday.database.pool import Connection, Database
from intraday.database.ranges import Range, Rows, replace_range
from intraday.domain.arrays import F4, I4, I8
from intraday.domain.errors import StorageError
from intraday.domain.ports import FeatureSetRecord, Source, WriteReport

_COPIES = 4  # of a row that is read: as Arrow has it, in its builders' spare room, in the matrix, and in the piece before
_KEY_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


class FeatureRepository:
    """``domain.ports.FeatureStore``."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._shapes: dict[str, tuple[int, int]] = {}  # a set never changes

    def register(self, record: FeatureSetRecord) -> None:
        """Store the definition and its view ``features_<id>`` of named columns once.

        Raises StorageError when the id is known with another definition: it is a hash of it.
        """
        if not _NAME.fullmatch(record.id):
            raise StorageError(f"expected a feature set id of letters, digits, - and _, found {record.id!r}")
        with self._db.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('register'), 0)")
            row = connection.execute("SELECT timeframe, names FROM feature_sets WHERE id = %s", (record.id,)).fetchone()
            if row is None:
                connection.execute(
                    "INSERT INTO feature_sets (id, timeframe, names, definition) VALUES (%s, %s, %s, %s)",
                    (record.id, record.timeframe, list(record.names), record.definition),
                )
                create_view(connection, record)
            elif row != (record.timeframe, list(record.names)):
                raise StorageError(f"feature set {record.id} is known with other columns: expected {row}, found {record.names}")

    def sets(self) -> list[FeatureSetRecord]:
        """Every registered set, ordered by id."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                'SELECT id, timeframe, names, definition::text FROM feature_sets ORDER BY id COLLATE "C"'
            ).fetchall()
        return [FeatureSetRecord(number, timeframe, tuple(names), text) for number, timeframe, names, text in rows]

    def write(self, set_id: str, source: Source, ids: Sequence[int], ts_ns: I8, inst: I4, x: F4) -> WriteReport:
        """Replace the range covered by ``ts_ns`` for these ids where anything differs.

        ``ts_ns`` int64 [n], ``inst`` int32 [n] dense rows, ``x`` float32 [n, F] in the order of the set's names.
        """
        if ts_ns.shape[0] == 0:
            return WriteReport()
        width, _ = self._shape(set_id)
        assert x.shape[1] * 4 == width, f"feature set {set_id} has {width // 4} columns, the matrix {x.shape[1]}"
        payload = np.ascontiguousarray(x, dtype="<f4").view(np.uint8)
        new = Rows(np.asarray(ids, dtype=np.int64)[inst], ts_ns, payload)
        columns = (
            Column("instrument_id", "integer", new.instrument),
            Column("ts", "timestamptz", ts_ns),
            Column("source", "text", source.value),
            Column("feature_set_id", "text", set_id),
            Column("vector", "bytes", payload),
        )

        def decode(table: pa.Table) -> Rows:
            return Rows(ints(table, "instrument_id"), times(table, "ts"), vectors(table, "vector", width))

        span = int(ts_ns.min()), int(ts_ns.max()) + 1
        target = Range("features", _condition(set_id, source), ids, *span, "instrument_id, ts, vector", decode)
        return replace_range(self._db, target, new, columns)

    def read(self, set_id: str, source: Source, ids: Sequence[int], start_ns: int, end_ns: int) -> tuple[I8, I4, F4]:
        """(ts_ns [n], inst [n], x [n, F]) ordered by (ts, inst)."""
        width, _ = self._shape(set_id)
        where = f"{_condition(set_id, source)} AND {range_condition(ids, start_ns, end_ns)}"
        table = self._db.arrow(f"SELECT instrument_id, ts, vector FROM features WHERE {where}")  # nosec B608
        ts_ns = times(table, "ts")
        inst = rows_of(ids, ints(table, "instrument_id")).astype(np.int32)
        order = np.lexsort((inst, ts_ns))
        return ts_ns[order], inst[order], vectors(table, "vector", width, order).view("<f4")

    def chunks(
        self, set_id: str, source: Source, ids: Sequence[int], start_ns: int, end_ns: int, mib: int
    ) -> Iterator[tuple[Sequence[int], I8, I4, F4]]:
        """The same in pieces of at most ``mib`` MiB, each some of ``ids`` over some months: (those ids, ts_ns, inst among them, x).

        As ``BarRepository.chunks``; the labels of a piece are ``LabelRepository.read(ids, ts_ns[0], ts_ns[-1] + 1)``.
        """
        width, minutes = self._shape(set_id)
        row_bytes = _COPIES * (width + _KEY_BYTES)
        for block in blocks(self._db, "features", ids, start_ns, end_ns, mib=mib, row_bytes=row_bytes, minutes=minutes):
            ts_ns, inst, x = self.read(set_id, source, block.ids, block.start_ns, block.end_ns)
            if ts_ns.shape[0]:
                yield block.ids, ts_ns, inst, x

    def _shape(self, set_id: str) -> tuple[int, int]:
        """(bytes of a vector of the set, minutes of its bars). Raises StorageError when it was never registered."""
        if set_id not in self._shapes:
            query = "SELECT 4 * cardinality(names), timeframe FROM feature_sets WHERE id = %s"
            with self._db.autocommit() as connection:
                row = connection.execute(query, (set_id,)).fetchone()
            if row is None:
                raise StorageError(f"expected a registered feature set, found no {set_id!r} in feature_sets")
            self._shapes[set_id] = (int(row[0]), int(row[1]))
        return self._shapes[set_id]


def _condition(set_id: str, source: Source) -> str:
    return f"feature_set_id = {text_literal(set_id)} AND source = {text_literal(source.value)}"


def create_view(connection: Connection, record: FeatureSetRecord) -> None:
    """Make or renew the view ``features_<id>`` of a registered set; with the tables' owner's rights, a writer has none to do it."""
    connection.execute("SELECT create_feature_view(%s)", (record.id,))
