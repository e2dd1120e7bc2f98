"""The one migration helper that knows plain PostgreSQL from TimescaleDB.

SQL files write ``/* SERIES name */`` after the closing bracket of a time series' CREATE TABLE. On plain PostgreSQL it becomes
native range partitioning by ``ts``; with TimescaleDB the table becomes a hypertable of 7-day chunks. Either way the names, the
columns, the primary key and ``ensure_partitions(table, from, to)``, which writers call first, are the same. What can't be one text
lies in two files, ``<name>_plain.sql`` and ``<name>_timescale.sql``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import psycopg
from alembic import context, op

from intraday.database import timescale

_SQL = Path(__file__).parent / "migrations" / "sql"
_MARK = re.compile(r"/\* SERIES (\w+) \*/")
_HYPER = "SELECT create_hypertable('{0}'::regclass, by_range('ts', INTERVAL '7 days'), create_default_indexes => false);\n"


def hyper() -> bool:
    """Whether the database of the running migration has TimescaleDB; of a script (``--sql``): whether it is written for it."""
    if context.is_offline_mode():
        return bool(context.config.attributes["timescaledb"])
    return timescale.installed(_driver())


def run_file(name: str) -> None:
    """Run a migration's SQL file (without ``.sql``), its time series declared as the server at hand wants them."""
    sql = (_SQL / f"{name}.sql").read_text("utf-8")
    run_sql(_MARK.sub("" if hyper() else "PARTITION BY RANGE (ts)", sql))
    if hyper():
        for table in _MARK.findall(sql):
            run_sql(_HYPER.format(table))


def run_variant(name: str) -> None:
    """Run the file that is for the server at hand: ``<name>_plain.sql`` or ``<name>_timescale.sql``."""
    run_file(f"{name}_{'timescale' if hyper() else 'plain'}")


def run_sql(sql: str) -> None:
    """Run statements as they are, or write them down where the migration only makes a script."""
    if context.is_offline_mode():
        context.get_context().impl.static_output(sql)
    else:
        _driver().execute(sql)


def _driver() -> psycopg.Connection[Any]:
    return cast("psycopg.Connection[Any]", op.get_bind().connection.driver_connection)
