"""What retention left: where a series begins, and the refusal to write before that."""

from __future__ import annotations

from intraday.database.copying import nanoseconds, stamp
from intraday.database.pool import Connection
from intraday.domain.errors import StorageError

SERIES = ("bars", "features", "labels", "signals")


def kept_from(connection: Connection) -> dict[str, int]:
    """First moment (ns) whose rows are kept, by series (``SERIES``); a series without retention is not in it."""
    return {series: nanoseconds(at) for series, at in connection.execute("SELECT series, ts FROM kept_from").fetchall()}


def check_kept(connection: Connection, series: str, start_ns: int) -> None:
    """Raise StorageError when rows of ``series`` from ``start_ns`` on would be older than what is kept. One read by key.

    Of minutes that came back after their neighbours were dropped the timeframes would be made anew, from too little.
    """
    row = connection.execute("SELECT ts FROM kept_from WHERE series = %s AND ts > %s", (series, stamp(start_ns))).fetchone()
    if row is not None:
        raise StorageError(
            f"expected {series} from {row[0]:%Y-%m-%d} on, found some of {stamp(start_ns):%Y-%m-%d}: retention dropped what is "
            f"older, and it can't come back; keep more (database.retention.{series}_days) or leave those days out"
        )
