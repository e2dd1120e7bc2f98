"""Revision 0010: what signals carry, on chunks that are compressed too, and the way down."""

from __future__ import annotations

import psycopg
import pytest

from chunk_cases import compress_all, has_timescale
from intraday.database import schema
from intraday.database.pool import Database
from intraday.database.studies import storage_url
from intraday.domain.errors import StorageError
from schema_cases import catalogue

pytestmark = pytest.mark.integration
OLD = """INSERT INTO signals (instrument_id, ts, source, observe, decided_ns, valid_until_ns, confidence, p_down, p_hold, p_up,
                              price, action, model_id, feature_set_id, run_id)
         VALUES (7, '2024-01-01 04:00+00', 'tick', true, 1, 2, 0.5, 0.2, 0.3, 0.5, 100, 'HOLD', 'm', 'f', 'r')"""
COMPARED = "champion_id, challenger_id, declared_ns, declared_session, n_sessions, alpha, statistic"
NEW = "SELECT expected, chase, quantity, reasons, note FROM signals"
WRITTEN = (0.001, 101.5, 12, [["rsi_14", 0.4]], "no shorts")


def filled_before(dsn: str) -> None:
    """A database at revision 0009 with a signal, compressed where the server can."""
    schema.migrate(dsn, "0009")
    with Database(dsn) as database:
        with database.autocommit() as connection:
            connection.execute("SELECT ensure_partitions('signals', '2024-01-01', '2024-01-02')")
            connection.execute(OLD)
        if has_timescale(database):
            assert compress_all(database) > 0


def test_signals_that_are_stored_get_the_new_columns(empty_dsn: str) -> None:
    filled_before(empty_dsn)
    schema.migrate(empty_dsn)
    with psycopg.connect(empty_dsn) as connection:
        assert connection.execute(NEW).fetchall() == [(None, None, 0, None, "")]
        connection.execute(
            "UPDATE signals SET expected = 0.001, chase = 101.5, quantity = 12, note = 'no shorts', reasons = '[[\"rsi_14\", 0.4]]'"
        )
        assert connection.execute(NEW).fetchall() == [WRITTEN]


def test_the_way_down_is_refused_while_something_was_learnt(empty_dsn: str) -> None:
    filled_before(empty_dsn)
    before = catalogue(empty_dsn)
    schema.migrate(empty_dsn)
    for said, statement in (
        ("signals", "UPDATE signals SET quantity = 1"),
        ("signals", "UPDATE signals SET note = 'x'"),
        ("trials", "INSERT INTO trials VALUES ('s', 'a', 'tuning', 1, 'r', '', '{}', 0.5, 'pruned', '', '', '')"),
        ("promotions", "INSERT INTO promotions (model_id, previous_id, at_ns, kind, reason) VALUES ('m', '', 1, 'first', 'r')"),
        ("comparisons", f"INSERT INTO comparisons ({COMPARED}) VALUES ('a', 'b', 1, 2, 3, 0.05, 'net')"),
    ):  # fmt: skip
        with psycopg.connect(empty_dsn) as connection:
            connection.execute(statement)
        with pytest.raises(StorageError, match=f"way down from revision 0010 loses the rows of {said}"):
            schema.migrate(empty_dsn, "0009")
        with psycopg.connect(empty_dsn) as connection:
            connection.execute("UPDATE signals SET quantity = 0, note = ''")
            connection.execute("DELETE FROM trials; DELETE FROM promotions; DELETE FROM comparisons")
    schema.migrate(empty_dsn, "0009")
    assert catalogue(empty_dsn) == before
    with psycopg.connect(empty_dsn) as connection:
        assert connection.execute("SELECT to_regnamespace('optuna')").fetchone() == (None,)


def test_studies_outlive_the_way_down(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE optuna.studies (name text)")
    schema.migrate(dsn, "0009")
    schema.migrate(dsn)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT to_regclass('optuna.studies') IS NOT NULL").fetchone() == (True,)


def test_optuna_keeps_its_studies_beside_our_tables(database: Database) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    before = tables_of_public(database)
    url = storage_url(database)
    study = optuna.create_study(storage=url, study_name="s")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    again = optuna.create_study(storage=url, study_name="s", load_if_exists=True)
    assert [t.value for t in again.trials] == [t.value for t in study.trials]
    assert tables_of_public(database) == before
    with database.autocommit() as connection:
        connection.execute("DROP SCHEMA optuna CASCADE")
    with pytest.raises(StorageError, match="CREATE SCHEMA optuna"):
        storage_url(database)


def tables_of_public(database: Database) -> set[str]:
    with database.autocommit() as connection:
        return {row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()}
