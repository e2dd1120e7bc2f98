"""What the catalogue says to a person: comments on everything; what the small tables refuse."""

from __future__ import annotations

import psycopg
import pytest

from intraday.database import schema
from intraday.database.features import FeatureRepository
from intraday.database.pool import Database
from intraday.domain.ports import FeatureSetRecord

pytestmark = pytest.mark.integration
DEFINITION = '{"features": [{"name": "rsi", "family": "momentum", "formula": "100 - 100 / (1 + up / down)", "units": "points"}]}'


def test_everything_has_a_comment(database: Database) -> None:
    """Tables, views, functions and every column, those of a generated view too; on TimescaleDB continuous aggregates too."""
    FeatureRepository(database).register(FeatureSetRecord("abc", 5, ("rsi", 'odd "name'), DEFINITION))
    with database.autocommit() as connection:
        silent = connection.execute(
            """SELECT c.relname, a.attname FROM pg_class c
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
                 AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)
                 AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
               UNION ALL
               SELECT p.oid::regprocedure::text, NULL FROM pg_proc p
               WHERE p.pronamespace = 'public'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
                 AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"""
        ).fetchall()
        said = connection.execute(
            """SELECT col_description('features_abc'::regclass, attnum) FROM pg_attribute
               WHERE attrelid = 'features_abc'::regclass ORDER BY attnum OFFSET 3"""
        ).fetchall()
    assert silent == []
    assert said == [("momentum: 100 - 100 / (1 + up / down) (points)",), ("Number 2 of the vector.",)]


RUN = "INSERT INTO runs (id, command, config, started_at, status) VALUES ('r', 'live', '{}', now(), 'ok')"
GAP = "INSERT INTO candle_gaps VALUES (%s, '2024-01-01 04:00+00', '2024-01-01 04:0%s+00', 'x', 1)"
BROKEN = [
    (GAP % (8, 5), "candle_gaps_instrument"),
    (GAP % (7, 0), "candle_gaps_span"),
    ("INSERT INTO candle_fetches VALUES (8, '2024-01-01', now(), 1, true, NULL, now())", "candle_fetches_instrument"),
    (RUN.replace("'ok'", "'fine'"), "runs_status"),
    ("INSERT INTO alerts VALUES ('a', 'none', 'tick', 1, 'info', 't', 'c')", "alerts_run"),
    (f"{RUN}; INSERT INTO alerts VALUES ('a', 'r', 'tick', 1, 'loud', 't', 'c')", "alerts_level"),
    (f"{RUN}; INSERT INTO tick_rejects VALUES ('r', 1, 7, now(), 'late', 0)", "tick_rejects_n"),
    ("INSERT INTO tick_rejects VALUES ('none', 1, 7, now(), 'late', 1)", "tick_rejects_run"),
    ("INSERT INTO run_days VALUES ('tick', '2024-01-01', 'none', 'j', 'f', 'm', '{7}', 5)", "run_days_run"),
    ("INSERT INTO sessions VALUES ('2024-01-01', 19723, now(), now() + interval '1 hour', now(), 'odd')", "sessions_kind"),
    ("INSERT INTO sessions VALUES ('2024-01-01', 1, now(), now() + interval '1 hour', now(), 'regular')", "sessions_hours"),
    ("INSERT INTO feature_sets VALUES ('f', 5, '{}', '{}')", "feature_sets_size"),
    ("INSERT INTO instrument_dumps VALUES ('NSE', '2024-01-01', 3, 4)", "instrument_dumps_size"),
]


def test_the_small_tables_refuse_what_can_not_be(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO instruments VALUES (7, 'NSE', 'INFY', 'equity', 5, 1)")
        for statement, rule in BROKEN:
            with pytest.raises(psycopg.errors.IntegrityError, match=rule), connection.transaction():
                connection.execute(statement)


def test_rows_that_broke_a_rule_before_it_was_made_stay(empty_dsn: str) -> None:
    """The migration goes through; new rows keep to the rule, and the rule is not said to hold for the old ones."""
    schema.migrate(empty_dsn, "0003")
    with psycopg.connect(empty_dsn) as connection:
        connection.execute(GAP % (8, 5))
    schema.migrate(empty_dsn)
    with psycopg.connect(empty_dsn) as connection:
        unsure = connection.execute("SELECT conname FROM pg_constraint WHERE NOT convalidated").fetchall()
        assert unsure == [("candle_gaps_instrument",)]
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute(GAP % (8, 6))
