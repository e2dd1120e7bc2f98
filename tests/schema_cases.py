"""Schemas for tests: what a catalogue says, filled databases of older revisions, what is in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg

from intraday.database import schema

GOLDEN = Path(__file__).parent / "golden" / "schema"
TIMEFRAMES = ("ohlcv_5min", "ohlcv_15min", "ohlcv_60min")
_OURS = "NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = '{0}'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
_RELATION = f"c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND {_OURS.format('pg_class')}"
_CATALOGUE = {
    "relation": f"""SELECT c.relname, c.relkind::text FROM pg_class c WHERE {_RELATION} AND c.relkind IN ('r', 'p', 'v', 'S')""",
    "column": f"""SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text,
                         pg_get_expr(f.adbin, f.adrelid)
                  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                  LEFT JOIN pg_attrdef f ON f.adrelid = c.oid AND f.adnum = a.attnum
                  WHERE {_RELATION} AND c.relkind IN ('r', 'p', 'v')""",
    "constraint": f"""SELECT c.relname, k.conname, pg_get_constraintdef(k.oid)
                      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
                      WHERE {_RELATION} AND k.contype NOT IN ('n', 't')""",
    "index": f"""SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
                 WHERE {_RELATION}""",
    "function": f"""SELECT c.oid::regprocedure::text, pg_get_functiondef(c.oid), obj_description(c.oid, 'pg_proc') FROM pg_proc c
                    WHERE c.pronamespace = 'public'::regnamespace AND {_OURS.format("pg_proc")}""",
    "view": f"""SELECT c.relname, pg_get_viewdef(c.oid) FROM pg_class c WHERE {_RELATION} AND c.relkind = 'v'""",
    "type": "SELECT typname, enum_range(NULL::source)::text FROM pg_type WHERE typname = 'source'",
    "about": f"""SELECT c.relname, obj_description(c.oid, 'pg_class') FROM pg_class c
                 WHERE {_RELATION} AND c.relkind IN ('r', 'p', 'v') AND c.relname <> 'alembic_version'""",
}
_RIGHTS = {
    "column comment": f"""SELECT c.relname, a.attname, col_description(c.oid, a.attnum) FROM pg_class c
                          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                          WHERE {_RELATION} AND c.relkind IN ('r', 'p', 'v')""",
    "owner": f"""SELECT c.relname, c.relowner::regrole::text,
                        (SELECT array_agg(x::text ORDER BY x::text) FROM unnest(c.relacl) AS x)
                 FROM pg_class c WHERE {_RELATION} AND c.relkind IN ('r', 'p', 'v', 'S')""",
    "function right": f"""SELECT c.oid::regprocedure::text, c.proowner::regrole::text,
                                 (SELECT array_agg(x::text ORDER BY x::text) FROM unnest(c.proacl) AS x)
                          FROM pg_proc c WHERE c.pronamespace = 'public'::regnamespace AND {_OURS.format("pg_proc")}""",
    "default right": "SELECT defaclrole::regrole::text, defaclobjtype::text, defaclacl::text FROM pg_default_acl",
}


def catalogue(dsn: str, *, whole: bool = True) -> set[tuple[Any, ...]]:
    """Everything the schema is, one fact a row; not ``whole``: without column comments and rights, which stay on the way down."""
    found: set[tuple[Any, ...]] = set()
    with psycopg.connect(dsn) as connection:
        known = connection.execute("SELECT 1 FROM pg_type WHERE typname = 'source'").fetchone()
        for what, query in {**_CATALOGUE, **(_RIGHTS if whole else {})}.items():
            if what != "type" or known:
                found |= {(what, *map(_steady, row)) for row in connection.execute(query).fetchall()}
    return found


def _steady(value: Any) -> Any:
    """Without the numbers TimescaleDB gives to what is behind a continuous aggregate."""
    if isinstance(value, list):
        return tuple(value)
    return re.sub(r"_hypertable_\d+", "_hypertable_N", value) if isinstance(value, str) else value


def make_filled(dsn: str, revision: str) -> None:
    """A database at revision 0001 or 0002 with something in every table, written in the SQL of its time."""
    schema.migrate(dsn, revision)
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        for name in ("0001", "0002"):
            if name <= revision:
                connection.execute((GOLDEN / f"filled_{name}.sql").read_bytes())


def content(dsn: str, without: Iterable[str] = ()) -> dict[str, tuple[int, Any]]:
    """By table of revision 0001 and 0002: rows, and a checksum of the columns that every revision has."""
    found = {}
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        for name in tables(connection):
            if name in {*without, "alembic_version"}:
                continue
            late = "- 'valid_from' - 'from_ts' - 'closing_auction' - 'tradable' - 'universe'"
            late += " - 'reason'" if name == "bar_superseded" else ""
            late += " - 'expected' - 'chase' - 'quantity' - 'reasons' - 'note'" if name == "signals" else ""
            row = connection.execute(
                f"SELECT count(*), sum(hashtextextended((to_jsonb(t) {late})::text, 0)::numeric) FROM {name} t"
            ).fetchone()
            assert row is not None
            found[name] = (row[0], row[1])
    return found


def tables(connection: psycopg.Connection[Any]) -> list[str]:
    """Our tables and timeframes, without partitions."""
    return [
        row[0]
        for row in connection.execute(
            f"""SELECT c.relname FROM pg_class c WHERE {_RELATION}
                  AND (c.relkind IN ('r', 'p') OR c.relname = ANY (%s)) ORDER BY 1""",
            (list(TIMEFRAMES),),
        ).fetchall()
    ]
