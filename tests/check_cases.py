"""Checking a test's database: every defect is planted by SQL, told by rule, and gone after the repair."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from intraday.database.check import Checker
from intraday.database.check_block import Scope
from intraday.database.check_rules import Finding
from intraday.database.pool import Database
from intraday.database.rollups import RollupRepository
from intraday.domain.session import SessionTable, midnight_ns
from job_cases import quiet

SESSIONS = SessionTable.load()
EVERYTHING = Scope(midnight_ns(SESSIONS.first), midnight_ns(SESSIONS.last))
# The test server's disk and what a test's own folder lacks: no defects of the data.
SURROUNDINGS = {"checksums", "model_files", "journal"}


def checked(database: Database, rows_max: int = 5_000, scope: Scope = EVERYTHING) -> dict[str, Finding]:
    """Findings by rule, in small blocks."""
    checker = Checker(database, SESSIONS, lambda instrument_id, day: False, rows_max)
    return {f.rule.name: f for f in checker.run(scope, quiet) if f.n and f.rule.name not in SURROUNDINGS}


def told(database: Database) -> dict[str, int]:
    """How many findings by rule."""
    return {name: finding.n for name, finding in checked(database).items()}


def plant(database: Database, *statements: str) -> None:
    """Run SQL as a vandal would."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def refreshed(database: Database, *tables: str) -> None:
    """Let the timeframes know of everything."""
    plant(database, "SELECT note_rollups('{}', min(ts), max(ts) + interval '1 minute') FROM ohlcv_1min")
    RollupRepository(database).refresh()


@contextmanager
def on(dsn: str) -> Iterator[Database]:
    """A database to check."""
    with Database(dsn) as database:
        yield database
