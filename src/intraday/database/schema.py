"""The schema's life: make it, migrate it, say where it stands. Alembic, driven from here; there is no alembic.ini.

Two programs starting at once take turns on an advisory lock. A schema newer than this program is refused, never touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from intraday.database import timescale
from intraday.database.errors import mapped
from intraday.database.pool import check_server
from intraday.domain.errors import StorageError

_LOCK = 0x696E7472_61646179  # "intraday"
_MIGRATIONS = Path(__file__).parent / "migrations"


def init(dsn: str) -> str:
    """Prepare an empty or existing database: TimescaleDB's extension where the server preloads it, then all migrations."""
    with mapped(), psycopg.connect(dsn, autocommit=True) as connection:
        check_server(connection)
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        fresh = connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,)
        offered = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone()
        if fresh and offered and not timescale.installed(connection) and timescale.preloaded(connection):
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    return migrate(dsn)


def migrate(dsn: str) -> str:
    """Bring the schema to this program's revision in one transaction; returns the revision. A second call changes nothing.

    Raises StorageError on a schema newer than the program, StorageUnavailable without a server.
    """
    with mapped(), _connected(dsn) as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        config = _config()
        script = ScriptDirectory.from_config(config)
        found, head = _found(connection), script.get_current_head()
        _refuse_newer(found, script)
        if found != head:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        connection.commit()
        return str(head)


def current(dsn: str) -> tuple[str | None, str]:
    """(revision in the database or None, revision of this program)."""
    with mapped(), _connected(dsn) as connection:
        return _found(connection), str(ScriptDirectory.from_config(_config()).get_current_head())


def require_current(dsn: str) -> None:
    """Raise StorageError unless the schema is this program's, saying what to run."""
    found, head = current(dsn)
    if found != head:
        _refuse_newer(found, ScriptDirectory.from_config(_config()))
        raise StorageError(f"expected schema revision {head}, found {found or 'no schema'}: run 'make db-migrate'")


def _refuse_newer(found: str | None, script: ScriptDirectory) -> None:
    known = [revision.revision for revision in script.walk_revisions()]
    if found is not None and found not in known:
        raise StorageError(
            f"the database's schema has revision {found}, this program knows up to {known[0]}: "
            "it was made by a newer intraday, update this one"
        )


def _found(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _connected(dsn: str) -> Iterator[Connection]:
    """A SQLAlchemy connection over psycopg, in UTC; driver errors come out as psycopg's own."""

    def connect() -> psycopg.Connection[Any]:
        connection = psycopg.connect(dsn, client_encoding="UTF8")
        connection.execute("SET TIME ZONE 'UTC'")
        connection.commit()
        return connection

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
