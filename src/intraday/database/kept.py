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
    """Raise StorageError when rows of ``series`` from ``start_ns`` on would be older than what is kept.

    The first thing a writer's transaction does: until that ends retention takes nothing of the series, so what is kept now is kept
    then. Of minutes that came back after their neighbours were dropped the timeframes would be made anew, from too little.
    """
    row = connection.execute("SELECT kept_since(%s)", (series,)).fetchone()
    assert row is not None
    limit, start = row[0], stamp(start_ns)
    if limit is not None and start < limit:
        raise StorageError(
            f"expected {series} from {limit:%Y-%m-%d} on, found some of {start:%Y-%m-%d}: retention dropped what is "
            f"older, and it can't come back; keep more (database.retention.{series}_days) or leave those days out"
        )
