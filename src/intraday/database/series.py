"""The one migration helper that knows plain PostgreSQL from TimescaleDB.

SQL files write ``/* SERIES name */`` after the closing bracket of a time series' CREATE TABLE. On plain PostgreSQL it becomes
native range partitioning by ``ts``; with TimescaleDB the table becomes a hypertable of 7-day chunks. Either way the names, the
columns, the primary key and ``ensure_partitions(table, from, to)``, which writers call first, are the same. What can't be one text
lies in two files, ``<name>_plain.sql`` and ``<name>_timescale.sql``. Everything is SQL text: it can be a script (``--sql``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import psycopg
from alembic import context, op

from intraday.database import timescale

_SQL = Path(__file__).parent / "migrations" / "sql"
_MARK = re.compile(r"/\* SERIES (\w+) \*/")
_HYPER = "SELECT create_hypertable('{0}'::regclass, by_range('ts', INTERVAL '7 days'), create_default_indexes => false);\n"
_LOSS = """DO $$
DECLARE
    filled text[] := '{{}}';
    what text;
    has_rows boolean;
BEGIN
    IF coalesce(current_setting('intraday.lose_data', true), 'off') = 'on' THEN RETURN; END IF;
    FOREACH what IN ARRAY ARRAY[{0}] LOOP
        EXECUTE 'SELECT EXISTS (SELECT 1 FROM ' || what || ')' INTO has_rows;
        IF has_rows THEN filled := filled || what; END IF;
    END LOOP;
    IF cardinality(filled) > 0 THEN
        RAISE EXCEPTION 'the way down from revision {1} loses the rows of %; keep the schema, or repeat it with --lose-data',
            array_to_string(filled, ', ');
    END IF;
END $$;
"""


def hyper() -> bool:
    """Whether the database of the running migration has TimescaleDB; of a script (``--sql``): whether it is written for it."""
    if context.is_offline_mode():
        return bool(context.config.attributes["timescaledb"])
    return timescale.installed(_driver())


def run_file(name: str) -> None:
    """Run a migration's SQL file (without ``.sql``), its time series declared as the server at hand wants them."""
    sql = _text(name)
    run_sql(_MARK.sub("" if hyper() else "PARTITION BY RANGE (ts)", sql))
    if hyper():
        for table in _MARK.findall(sql):
            run_sql(_HYPER.format(table))


def run_variant(name: str) -> None:
    """Run the file that is for the server at hand: ``<name>_plain.sql`` or ``<name>_timescale.sql``."""
    run_file(f"{name}_{'timescale' if hyper() else 'plain'}")


def run_function(name: str, function: str) -> None:
    """Put a function (and its comment) back as an earlier migration's SQL file has it. Its parameters must not have changed."""
    found = re.search(
        rf"^CREATE (?:OR REPLACE )?FUNCTION {function}\(.*?^COMMENT ON FUNCTION {function} .*?;$", _text(name), re.M | re.S
    )
    assert found is not None, f"no function {function} in {name}.sql"
    run_sql(re.sub(r"^CREATE (OR REPLACE )?FUNCTION", "CREATE OR REPLACE FUNCTION", found[0]))


def refuse_loss(revision: str, filled: Sequence[str]) -> None:
    """Stop the way down from a revision when any of these has rows: tables, or ``table WHERE condition``."""
    quoted = ", ".join("'" + what.replace("'", "''") + "'" for what in filled)
    run_sql(_LOSS.format(quoted, revision))


def run_sql(sql: str) -> None:
    """Run statements as they are, or write them down where the migration only makes a script."""
    if context.is_offline_mode():
        context.get_context().impl.static_output(sql)
    else:
        _driver().execute(sql)


def _text(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text("utf-8")


def _driver() -> psycopg.Connection[Any]:
    return cast("psycopg.Connection[Any]", op.get_bind().connection.driver_connection)
