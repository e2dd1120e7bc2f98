"""Labels, replaced by range; a range that holds them already is left alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from intraday.database.chunks import blocks
from intraday.database.copying import Column, floats, ints, room, text_literal, times
from intraday.database.partitions import range_condition, rows_of
from intraday.database.pool import Database
from intraday.database.ranges import Range, Rows, replace_range
from intraday.domain.arrays import I8, LABEL, Labels
from intraday.domain.errors import StorageError
from intraday.domain.ports import WriteReport

_READ_BYTES = 256  # a label as Arrow holds it, in its builders' spare room, as LABEL, and as LABEL of the piece before
_SELECT = "instrument_id, ts, entry_ts, t1, ret_long, ret_short, sigma, label, barrier"


class LabelRepository:
    """``domain.ports.LabelStore``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def register(self, set_id: str, definition: str) -> None:
        """Store the definition (JSON) once. Raises StorageError when the id is known with another one."""
        with self._db.transaction() as connection:
            connection.execute(
                "INSERT INTO label_sets (id, definition) VALUES (%s, %s) ON CONFLICT (id) DO NOTHING", (set_id, definition)
            )
            row = connection.execute("SELECT definition::text FROM label_sets WHERE id = %s", (set_id,)).fetchone()
            if row != (definition,):
                raise StorageError(f"label set {set_id} is known with another definition: expected {row}, found {definition}")

    def write(self, set_id: str, ids: Sequence[int], labels: Labels, start_ns: int, end_ns: int) -> WriteReport:
        """Make ``start_ns <= ts < end_ns`` of these ids hold exactly ``labels``."""
        inside = (labels["ts_ns"] >= start_ns) & (labels["ts_ns"] < end_ns)
        assert bool(inside.all()), "labels outside the range they replace"
        instrument = np.asarray(ids, dtype=np.int64)[labels["inst"]]
        columns = (
            Column("instrument_id", "integer", instrument),
            Column("ts", "timestamptz", labels["ts_ns"]),
            Column("entry_ts", "timestamptz", labels["entry_ns"]),
            Column("t1", "timestamptz", labels["t1_ns"]),
            *(Column(name, "double", labels[name]) for name in ("ret_long", "ret_short", "sigma")),
            *(Column(name, "smallint", labels[name]) for name in ("label", "barrier")),
            Column("label_set_id", "text", set_id),
        )
        target = Range("labels", _condition(set_id), ids, start_ns, end_ns, _SELECT, _rows)
        return replace_range(self._db, target, Rows(instrument, labels["ts_ns"], _payload(labels)), columns)

    def read(self, set_id: str, ids: Sequence[int], start_ns: int, end_ns: int) -> Labels:
        """LABEL rows ordered by (ts, inst)."""
        where = f"{_condition(set_id)} AND {range_condition(ids, start_ns, end_ns)}"
        table = self._db.arrow(f"SELECT {_SELECT} FROM labels WHERE {where}")  # nosec B608
        inst, ts_ns = rows_of(ids, ints(table, "instrument_id")), times(table, "ts")
        return _labels(table, inst, ts_ns, np.lexsort((inst, ts_ns)))

    def chunks(
        self, set_id: str, ids: Sequence[int], start_ns: int, end_ns: int, mib: int, minutes: int = 1
    ) -> Iterator[tuple[Sequence[int], Labels]]:
        """The same in pieces of at most ``mib`` MiB, each some of ``ids`` over some months: (those ids, LABEL rows).

        As ``BarRepository.chunks``. ``minutes`` between decision bars; pieces are smaller than they could be where it is too low.
        """
        for block in blocks(self._db, "labels", ids, start_ns, end_ns, mib=mib, row_bytes=_READ_BYTES, minutes=minutes):
            labels = self.read(set_id, block.ids, block.start_ns, block.end_ns)
            if labels.shape[0]:
                yield block.ids, labels


def _condition(set_id: str) -> str:
    return f"label_set_id = {text_literal(set_id)}"


def _labels(table: pa.Table, inst: I8, ts_ns: I8, order: I8) -> Labels:
    """Row ``k`` is that of number ``order[k]``; column by column, as bars are read."""
    labels = room(table.num_rows, LABEL)
    labels["ts_ns"] = ts_ns.take(order)
    labels["inst"] = inst.take(order)
    for name, column in (("entry_ns", "entry_ts"), ("t1_ns", "t1")):
        labels[name] = times(table, column).take(order)
    for name in ("ret_long", "ret_short", "sigma"):
        labels[name] = floats(table, name).take(order)
    for name in ("label", "barrier"):
        labels[name] = ints(table, name).take(order)
    return labels


def _rows(table: pa.Table) -> Rows:
    instrument, ts_ns = ints(table, "instrument_id"), times(table, "ts")
    n = table.num_rows
    return Rows(instrument, ts_ns, _payload(_labels(table, np.zeros(n, dtype=np.int64), ts_ns, np.arange(n))))


def _payload(labels: Labels) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Everything but the key, as bytes."""
    bare = labels.copy()
    bare["inst"] = 0
    return bare.view(np.uint8).reshape(labels.shape[0], LABEL.itemsize)
