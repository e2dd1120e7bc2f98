"""Timeframes made again by the hour, for the repair."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from intraday.database import timescale
from intraday.database.check_block import hour_of
from intraday.database.copying import stamp
from intraday.database.pool import Connection, Database
from intraday.database.rollups import TIMEFRAMES
from intraday.domain.arrays import DAY_NS, MINUTE_NS


def rebuild_timeframes(database: Database, spots: Sequence[tuple[int, ...]]) -> None:
    """Make the buckets at (instrument, ns) again, and the others of their hours; day by day, one program at a time.

    Both servers believe that these buckets are right: plain PostgreSQL loses them first, TimescaleDB is forced.
    """
    days: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for spot in spots:
        days[hour_of(spot[1]) // DAY_NS].append(spot)
    with database.autocommit() as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('rollups'), 0)")
        try:
            for day in sorted(days):
                _rebuild(connection, days[day])
        finally:
            if not connection.closed and not connection.broken:
                connection.execute("SELECT pg_advisory_unlock(hashtext('rollups'), 0)")


def _rebuild(connection: Connection, spots: Sequence[tuple[int, ...]]) -> None:
    hours = [hour_of(ts_ns) for _, ts_ns in spots]
    start, stop = stamp(min(hours)), stamp(max(hours) + 60 * MINUTE_NS)
    if timescale.installed(connection):
        for timeframe in TIMEFRAMES:
            connection.execute(
                "CALL refresh_continuous_aggregate(%s, %s::timestamptz, %s::timestamptz, force => true)", (timeframe, start, stop)
            )
        return
    ids = sorted({i for i, _ in spots})
    with connection.transaction():
        for timeframe in TIMEFRAMES:
            query = f"DELETE FROM {timeframe} WHERE instrument_id = ANY (%s) AND ts >= %s AND ts < %s"  # nosec B608
            connection.execute(query, (ids, start, stop))
        connection.execute("SELECT refresh_rollups(%s, %s, %s)", (ids, start, stop))
