"""The one migration helper that knows plain PostgreSQL from TimescaleDB.

SQL files write ``/* SERIES name */`` after the closing bracket of a time series' CREATE TABLE. On plain PostgreSQL it becomes
native range partitioning by ``ts``; with TimescaleDB the table becomes a hypertable of 7-day chunks. Either way the names, the
columns, the primary key and ``ensure_partitions(table, from, to)``, which writers call first, are the same.
"""

from __future__ import annotations

import re
from typing import Any, cast

import psycopg
from sqlalchemy import Connection

from intraday.database import timescale

_MARK = re.compile(r"/\* SERIES (\w+) \*/")

_PLAIN = """
CREATE FUNCTION ensure_partitions(p_table text, p_from timestamptz, p_to timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    month timestamptz;
    part text;
    made integer := 0;
BEGIN
    FOR month IN SELECT generate_series(date_trunc('month', p_from, 'UTC'), p_to, interval '1 month') LOOP
        part := p_table || to_char(month AT TIME ZONE 'UTC', '_"y"YYYY"m"MM');
        CONTINUE WHEN to_regclass(part) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(hashtext('ensure_partitions'), 0);
        -- Another writer may have been faster; a query sees that, to_regclass may answer from this session's cache.
        CONTINUE WHEN EXISTS (SELECT 1 FROM pg_class WHERE relname = part AND relnamespace = current_schema::regnamespace);
        -- Attaching lets readers and writers of the parent go on; CREATE TABLE ... PARTITION OF would stop them.
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', part, p_table);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                       p_table, part, month, month + interval '1 month');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION ensure_partitions IS
    'Makes the monthly partitions (UTC) of a time series that '
    'cover p_from to p_to; returns how many were missing. '
    'Safe under concurrency; call it before a write, in a transaction of its own.';
"""

_HYPER = """
CREATE FUNCTION ensure_partitions(p_table text, p_from timestamptz, p_to timestamptz) RETURNS integer
LANGUAGE sql AS 'SELECT 0';
COMMENT ON FUNCTION ensure_partitions IS 'TimescaleDB makes chunks by itself: nothing to do.';
"""


def run_sql(connection: Connection, sql: str) -> None:
    """Run a migration's SQL file, its time series declared as the server at hand wants them."""
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    hyper = timescale.installed(driver)
    driver.execute(_MARK.sub("" if hyper else "PARTITION BY RANGE (ts)", sql))
    if hyper:
        for table in _MARK.findall(sql):
            driver.execute(
                "SELECT create_hypertable(%s::regclass, by_range('ts', INTERVAL '7 days'), create_default_indexes => false)",
                (table,),
            )


def create_partitioner(connection: Connection) -> None:
    """Create ``ensure_partitions``; once, by the first migration."""
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    driver.execute(_HYPER if timescale.installed(driver) else _PLAIN)
