"""One-minute bars as they were known when their minute closed: what a live run decided on, whatever came later."""

from __future__ import annotations

from collections.abc import Sequence

from intraday.database.bar_rows import SELECT, bars_of, in_order
from intraday.database.partitions import range_condition
from intraday.database.pool import Database
from intraday.domain.arrays import BarFlag, Bars
from intraday.domain.ports import Source


class KnownBars:
    """Reads the first on-time version of each minute that ``source`` told of; minutes that only came late are left out."""

    def __init__(self, database: Database, source: Source) -> None:
        self._db = database
        self._source = source

    def read(self, ids: Sequence[int], start_ns: int, end_ns: int) -> Bars:
        """Bars with ``start_ns <= ts < end_ns``, ordered by (ts, inst); ``inst`` by position among ``ids``."""
        query = (
            f"SELECT DISTINCT ON (instrument_id, ts) {SELECT} FROM bar_versions WHERE {range_condition(ids, start_ns, end_ns)} "  # nosec B608
            f"AND source = '{self._source.value}' AND flags & {BarFlag.LATE} = 0 ORDER BY instrument_id, ts, known_at, version"
        )
        return in_order(self._db.each(query, lambda batch: bars_of(batch, ids)))
