"""Whole days of one source, forgotten so that a run that is authoritative for them can tell them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from intraday.database.copying import stamp
from intraday.database.pool import Connection, Database
from intraday.domain.ports import Source

_RANGE = "instrument_id = ANY (%(ids)s) AND ts >= %(start)s AND ts < %(end)s"
_OWN = f"{_RANGE} AND source = %(source)s::source"
_PROMOTE = f"""
INSERT INTO ohlcv_1min (instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags)
SELECT DISTINCT ON (instrument_id, ts) instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags
FROM bar_superseded s WHERE {_RANGE}
  AND NOT EXISTS (SELECT 1 FROM ohlcv_1min b WHERE b.instrument_id = s.instrument_id AND b.ts = s.ts)
ORDER BY instrument_id, ts, source, known_at DESC, version DESC"""
_DEMOTE = f"""
DELETE FROM bar_superseded s USING ohlcv_1min b
WHERE s.instrument_id = ANY (%(ids)s) AND s.ts >= %(start)s AND s.ts < %(end)s
  AND (b.instrument_id, b.ts, b.source, b.version) = (s.instrument_id, s.ts, s.source, s.version)"""


class DayRepository:
    """``domain.ports.DayStore``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def clear(self, source: Source, ids: Sequence[int], start_ns: int, end_ns: int) -> int:
        """Forget what ``source`` stored of the range, in one transaction; see ``DayStore``."""
        span = {"source": source.value, "ids": list(ids), "start": stamp(start_ns), "end": stamp(end_ns)}
        with self._db.transaction() as connection:
            connection.execute("SELECT lock_instruments(%(ids)s)", span)
            best = connection.execute(f"DELETE FROM ohlcv_1min WHERE {_OWN}", span).rowcount
            n = best + sum(
                connection.execute(f"DELETE FROM {t} WHERE {_OWN}", span).rowcount
                for t in ("bar_superseded", "features", "signals")
            )
            if best:
                _mend(connection, span)
        return n


def _mend(connection: Connection, span: dict[str, Any]) -> None:
    """The next best version becomes the best; the longer bars follow."""
    connection.execute(_PROMOTE, span)
    connection.execute(_DEMOTE, span)
    for table in ("ohlcv_5min", "ohlcv_15min", "ohlcv_60min"):
        connection.execute(f"DELETE FROM {table} WHERE {_RANGE}", span)
    connection.execute("SELECT refresh_rollups(%(ids)s, %(start)s, %(end)s)", span)
