"""Circuit limits by session (``domain.limits``), each with the moment it became known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np

from intraday.database.copying import ids_literal, ints, stamp, times
from intraday.database.pool import Database
from intraday.domain.limits import LIMIT, Limits
from intraday.domain.ports import WriteReport
from intraday.domain.session import EPOCH

# What differs from the version known by then; a key that is stored with other values is corrected.
_STORE = """
WITH changed AS (
  SELECT t.* FROM told t LEFT JOIN LATERAL (
    SELECT p.lower, p.upper FROM price_limits p
    WHERE p.instrument_id = t.instrument_id AND p.session = t.session AND p.known_at <= t.known_at
    ORDER BY p.known_at DESC LIMIT 1) held ON true
  WHERE (held.lower, held.upper) IS DISTINCT FROM (t.lower, t.upper)
)
INSERT INTO price_limits AS p (instrument_id, session, known_at, lower, upper, source)
SELECT instrument_id, session, known_at, lower, upper, %s FROM changed
ON CONFLICT (instrument_id, session, known_at) DO UPDATE
  SET lower = excluded.lower, upper = excluded.upper, source = excluded.source
RETURNING p.xmax = 0"""


class LimitRepository:
    """``domain.limits.LimitStore``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def write(self, limits: Limits, source: str) -> WriteReport:
        """Store what differs from what was known at that moment, in one transaction; the same again changes nothing."""
        with self._db.transaction() as connection:
            connection.execute(
                "CREATE TEMP TABLE told (instrument_id integer, session date, known_at timestamptz, lower integer, upper integer) "
                "ON COMMIT DROP"
            )
            with connection.cursor().copy("COPY told (instrument_id, session, known_at, lower, upper) FROM STDIN") as copy:
                for row in limits:
                    day = EPOCH + timedelta(days=int(row["session"]))
                    known = stamp(int(row["known_ns"]))
                    copy.write_row((int(row["instrument_id"]), day, known, int(row["lower"]), int(row["upper"])))
            made = [new for (new,) in connection.execute(_STORE, (source,)).fetchall()]
            return WriteReport(inserted=sum(made), revised=len(made) - sum(made), unchanged=len(limits) - len(made))

    def read(self, ids: Sequence[int], first: date, last: date) -> Limits:
        """Those of sessions ``first .. last``, ordered by (session, instrument, known)."""
        table = self._db.arrow(
            f"""SELECT instrument_id, session - date '1970-01-01' AS session, lower, upper, known_at FROM price_limits
                WHERE instrument_id = ANY ({ids_literal(ids)}) AND session BETWEEN date '{first}' AND date '{last}'
                ORDER BY session, instrument_id, known_at"""  # nosec B608
        )
        out = np.empty(table.num_rows, LIMIT)
        for name in ("instrument_id", "session", "lower", "upper"):
            out[name] = ints(table, name)
        out["known_ns"] = times(table, "known_at")
        return out
