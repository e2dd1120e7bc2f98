"""Rows between numpy and PostgreSQL in bulk: COPY's binary form built with numpy, Arrow columns back to numpy, SQL literals.

Source: PostgreSQL documentation, "COPY", file formats, binary format. Each field is a 4-byte big-endian length and its bytes, so
rows of fixed-width columns are one structured array; 345 k rows/s from numpy against 5-6 s of building tuples (DATABASE.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from numpy.typing import NDArray

from intraday.domain.arrays import F8, I8
from intraday.domain.errors import StorageError

PG_EPOCH_NS = 946_684_800_000_000_000  # 2000-01-01 UTC
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_BLOCK = 1 << 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS_MAX = 61_000_000_000_000_000  # about the year 3900
_CODES = {"smallint": ">i2", "integer": ">i4", "bigint": ">i8", "double": ">f8", "timestamptz": ">i8"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a COPY. ``kind``: smallint, integer, bigint, double, timestamptz (values int64 ns), text (one string for
    all rows), bytes (uint8 [n, width]) or null (no value in any row)."""

    name: str
    kind: str
    values: Any = None


def copy_rows(connection: psycopg.Connection[Any], table: str, columns: Sequence[Column], keep: NDArray[Any] | None = None) -> int:
    """COPY the rows into ``table``; ``keep`` picks rows by index or mask. Returns how many. Rows go in blocks: memory is bounded.

    Rows of which some lack a value in a column are written by two calls, one with the column as ``null``.
    """
    rows = None if keep is None else np.flatnonzero(keep) if keep.dtype == bool else keep
    n = _count(columns) if rows is None else rows.shape[0]
    if n == 0:
        return 0
    names = ", ".join(c.name for c in columns)
    with connection.cursor().copy(f"COPY {table} ({names}) FROM STDIN (FORMAT binary)") as copy:
        copy.write(_HEADER)
        for block in encode(columns, n, rows):
            copy.write(block)
        copy.write(_TRAILER)
    return n


def encode(columns: Sequence[Column], n: int, rows: NDArray[Any] | None = None) -> Iterator[bytes]:
    """The first ``n`` rows, or the ``n`` of these numbers, in COPY's binary form, without header and trailer, in blocks."""
    layout = _layout(columns)
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        picked = slice(start, stop) if rows is None else rows[start:stop]
        block = np.zeros(stop - start, dtype=layout)
        block["n"] = len(columns)
        for k, column in enumerate(columns):
            block[f"l{k}"] = -1 if column.kind == "null" else layout[f"v{k}"].itemsize
            if column.kind != "null":
                block[f"v{k}"] = _values(column, picked)
        yield block.tobytes()


def _layout(columns: Sequence[Column]) -> np.dtype[Any]:
    fields: list[Any] = [("n", ">i2")]
    for k, column in enumerate(columns):
        fields.append((f"l{k}", ">i4"))
        if column.kind == "text":
            fields.append((f"v{k}", f"S{len(column.values.encode())}"))
        elif column.kind == "bytes":
            fields.append((f"v{k}", "u1", (column.values.shape[1],)))
        elif column.kind != "null":
            fields.append((f"v{k}", _CODES[column.kind]))
    return np.dtype(fields)


def _values(column: Column, rows: slice | NDArray[Any]) -> Any:
    if column.kind == "text":
        return column.values.encode()
    part = column.values[rows]
    return (part - PG_EPOCH_NS) // 1000 if column.kind == "timestamptz" else part


def _count(columns: Sequence[Column]) -> int:
    return next(int(c.values.shape[0]) for c in columns if c.kind not in {"text", "null"})


def ints(table: pa.Table, name: str) -> I8:
    """An integer column without NULLs as int64."""
    return np.asarray(table.column(name).to_numpy(), dtype=np.int64)


def floats(table: pa.Table, name: str) -> F8:
    """A double column as float64; NULL becomes NaN."""
    return np.asarray(table.column(name).to_numpy(), dtype=np.float64)


def times(table: pa.Table, name: str) -> I8:
    """A timestamptz column as int64 ns since the epoch, UTC."""
    column = table.column(name)
    if column.type != pa.timestamp("us", "UTC"):
        column = column.cast(pa.timestamp("us", "UTC"))
    return np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64) * 1000


def room(n: int, dtype: Any) -> NDArray[Any]:
    """[n], values undefined, in Arrow's pool, which keeps its pages: touching new ones costs as much as filling them."""
    size = np.dtype(dtype)
    return np.frombuffer(pa.allocate_buffer(n * size.itemsize), dtype=size) if n else np.empty(0, dtype=size)


def vectors(table: pa.Table, name: str, width: int, order: I8 | None = None) -> NDArray[np.uint8]:
    """A bytea column, every value ``width`` bytes long, as uint8 [n, width]; row ``k`` is that of number ``order[k]``.

    StorageError when a value has another length.
    """
    n = table.num_rows
    place = np.arange(n)
    if order is not None:
        place[order] = np.arange(n)
    out = room(n * width, np.uint8).reshape(n, width)
    at = 0
    for chunk in table.column(name).chunks:
        out[place[at : at + len(chunk)]] = _bytes(chunk, width)
        at += len(chunk)
    return out


def _bytes(chunk: pa.Array, width: int) -> NDArray[np.uint8]:
    """The values of a piece of a binary column as uint8 [n, width], nothing copied."""
    n = len(chunk)
    ends = np.frombuffer(chunk.buffers()[1], dtype=np.int32, count=chunk.offset + n + 1)[chunk.offset :] if n else np.zeros(1)
    if not bool((np.diff(ends) == width).all()):
        raise StorageError(f"expected vectors of {width} bytes, found others: `intraday db check` tells which")
    first = int(ends[0])
    return np.frombuffer(chunk.buffers()[2] or b"", dtype=np.uint8, count=n * width, offset=first).reshape(n, width)


def time_literal(ns: int) -> str:
    """A timestamptz literal, exact to the microsecond; open ends beyond PostgreSQL's range become infinities."""
    if ns >= 9_000_000_000_000_000_000:
        return "'infinity'::timestamptz"
    if ns <= -9_000_000_000_000_000_000:
        return "'-infinity'::timestamptz"
    stamp = np.datetime64(-(-ns // 1000), "us")  # rounded up: ts >= bound and ts < bound stay right between microseconds
    return f"'{stamp}+00'::timestamptz"


def ids_literal(ids: Sequence[int]) -> str:
    """An integer array literal."""
    return f"'{{{','.join(str(int(i)) for i in ids)}}}'::integer[]"


def text_literal(text: str) -> str:
    """A string literal; the server has standard_conforming_strings on, as every one since 9.1."""
    return "'" + text.replace("'", "''") + "'"


def stamp(ns: int) -> datetime:
    """A datetime in UTC, rounded up to the microsecond like ``time_literal``; far ends are cut to 1900 years from the epoch."""
    micros = max(min(-(-ns // 1000), _MICROS_MAX), -_MICROS_MAX)
    return _EPOCH + timedelta(microseconds=micros)


def nanoseconds(at: datetime) -> int:
    """A datetime as ns since the epoch, exact."""
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000
