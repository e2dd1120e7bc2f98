"""A long read of a time series, cut into blocks of some instruments over some months: it takes the memory that was configured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from intraday.database.copying import time_literal
from intraday.database.pool import Database

MIB = 1 << 20
_SESSIONS = 25  # most sessions of a month: 23 working days and special ones on Saturdays
_MINUTES = 375  # of a session; an evening of an hour is no session of its own length
_FIRST, _STOP = np.datetime64("1970-01", "M"), np.datetime64("2100-01", "M")  # NSE began in 1994


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of ``ids`` with ``start_ns <= ts < end_ns``."""

    ids: Sequence[int]
    start_ns: int
    end_ns: int


def blocks(
    database: Database, table: str, ids: Sequence[int], start_ns: int, end_ns: int, *, mib: int, row_bytes: int, minutes: int = 1
) -> Iterator[Block]:
    """Blocks that together are the whole read, months first, then instruments in the order given; months without rows are left out.

    ``row_bytes``: memory that a row takes while it is read, everything counted. ``minutes``: between rows of one instrument.
    A block is some instruments over one month, or, where all of them fit, all over several months. Whatever ``mib`` says, one
    instrument over a month stays together.
    """
    per_month = _SESSIONS * -(-_MINUTES // minutes) * row_bytes  # of one instrument
    size = max(1, mib * MIB // per_month)
    first = max(_FIRST, np.datetime64(start_ns, "ns").astype("M8[M]"))
    stop = min(_STOP, np.datetime64(end_ns - 1, "ns").astype("M8[M]") + 1)
    edges = np.arange(first, stop + 1).astype("M8[ns]").astype(np.int64).tolist()
    months = list(_occupied(database, table, edges))
    together = max(1, size // max(1, len(ids)))
    for spans in (months[k : k + together] for k in range(0, len(months), together)):
        for part in (ids[k : k + size] for k in range(0, len(ids), size)):
            yield Block(part, max(start_ns, spans[0][0]), min(end_ns, spans[-1][1]))


def _occupied(database: Database, table: str, edges: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(start, end) of the months between these edges (UTC, as partitions are) in which the table has any row, found by halving.

    A question with the times written into it costs the planner a millisecond; one that asks for all months in a join would read
    every chunk for each on TimescaleDB.
    """
    if len(edges) < 2:
        return
    span = f"ts >= {time_literal(edges[0])} AND ts < {time_literal(edges[-1])}"
    with database.autocommit() as connection:
        row = connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {span})").fetchone()  # nosec B608
    if row is None or not row[0]:
        return
    if len(edges) == 2:
        yield edges[0], edges[1]
        return
    middle = len(edges) // 2
    yield from _occupied(database, table, edges[: middle + 1])
    yield from _occupied(database, table, edges[middle:])
