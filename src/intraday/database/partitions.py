"""Addresses of rows in a time series: the partition they need, the key that finds them, the condition that selects a range."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intraday.database.copying import ids_literal, time_literal
from intraday.database.pool import Database
from intraday.domain.arrays import I8, MINUTE_NS


def ensure_partitions(database: Database, table: str, start_ns: int, end_ns: int) -> None:
    """Make the partitions a write to ``start_ns <= ts < end_ns`` needs; remembered, so that it usually costs nothing."""
    missing = missing_months(database, table, start_ns, end_ns)
    if missing:
        with database.transaction() as connection:
            for month in missing:  # one by one: a range across a gap of years makes no empty partitions
                connection.execute("SELECT ensure_partitions(%s, %s::timestamptz, %s::timestamptz)", (table, month, month))
        database.partitions.update((table, month) for month in missing)


def missing_months(database: Database, table: str, start_ns: int, end_ns: int) -> list[str]:
    """First days (UTC) of the months of the range whose partitions are not known to exist."""
    first, last = np.datetime64(start_ns, "ns").astype("M8[M]"), np.datetime64(end_ns - 1, "ns").astype("M8[M]")
    months = [f"{month}-01 00:00+00" for month in np.arange(first, last + 1)]
    return [month for month in months if (table, month) not in database.partitions]


def key_of(instrument: I8, ts_ns: I8) -> I8:
    """One integer per (database id, minute), in the order of the primary key."""
    return np.asarray(instrument * (1 << 32) + ts_ns // MINUTE_NS, dtype=np.int64)


def rows_of(ids: Sequence[int], instrument: I8) -> I8:
    """Database ids to dense rows: the position of each in ``ids``."""
    known = np.asarray(ids, dtype=np.int64)
    order = np.argsort(known)
    return np.asarray(order[np.searchsorted(known, instrument, sorter=order)], dtype=np.int64)


def range_condition(ids: Sequence[int], start_ns: int, end_ns: int) -> str:
    """SQL for these ids and ``start_ns <= ts < end_ns``."""
    return f"instrument_id = ANY ({ids_literal(ids)}) AND ts >= {time_literal(start_ns)} AND ts < {time_literal(end_ns)}"
