"""Days, or the rest of a day, of one source, forgotten so that a run that is authoritative for them can tell them again."""

from __future__ import annotations

from intraday.database.copying import stamp
from intraday.database.pool import Connection, Database
from intraday.domain.ports import Source

_DERIVED = (
    "DELETE FROM features WHERE source = %(source)s::source AND ts >= %(start)s AND ts < %(end)s",
    "DELETE FROM signals WHERE source = %(source)s::source AND ts >= %(start)s AND ts < %(end)s",
)
_RUN_DAYS = """DELETE FROM run_days WHERE source = %(source)s::source
  AND day >= (%(start)s AT TIME ZONE 'Asia/Kolkata')::date AND day < (%(end)s AT TIME ZONE 'Asia/Kolkata')::date"""


class DayRepository:
    """``domain.ports.DayStore``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def clear(self, source: Source, start_ns: int, end_ns: int) -> int:
        """Forget what ``source`` stored of the range, in one transaction; see ``DayStore``."""
        span = {"source": source.value, "start": stamp(start_ns), "end": stamp(end_ns)}

        def forget(connection: Connection) -> int:
            row = connection.execute("SELECT forget_bars(%(source)s::source, %(start)s, %(end)s)", span).fetchone()
            assert row is not None
            connection.execute(_RUN_DAYS, span)
            return int(row[0]) + sum(connection.execute(statement, span).rowcount for statement in _DERIVED)

        return self._db.run(forget)
