"""The schema's life: make it, migrate it up and down, say where it stands. Alembic, driven from here; there is no alembic.ini.

A migration is one transaction: it succeeds as a whole or leaves the revision that was there. Programs starting at once take turns
on an advisory lock, and it begins only when it has every table to itself, so that it never waits for a writer that waits for it. A
schema newer than this program is refused, never touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from alembic import command
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from intraday.database import roles, timescale
from intraday.database.errors import mapped
from intraday.database.pool import check_server
from intraday.database.revisions import HEAD, Chain, Revision
from intraday.domain.errors import StorageError, StorageUnavailable

_LOCK = 0x696E7472_61646179  # "intraday"
_LOCK_TIMEOUT = "30s"
_PATIENCE = 600  # attempts to have all tables, a twentieth of a second apart


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


def migrate(dsn: str, to: str = HEAD, *, lose_data: bool = False, patience: int = _PATIENCE) -> str:
    """Bring the schema to a revision, this program's by default, in one transaction; returns it. A second call changes nothing.

    ``to`` may lie below: the way down refuses to lose rows unless ``lose_data``. Raises StorageError then, for a schema newer than
    the program and for an unknown revision; StorageUnavailable without a server and while others use the tables, who are tried
    ``patience`` times.
    """
    with mapped(), _connected(dsn) as connection:
        driver = _driver(connection)
        driver.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        _check_place(driver)
        chain = Chain()
        found, target = chain.known(_found(connection)), chain.target(to)
        if found != target:
            driver.execute("SELECT set_config('intraday.lose_data', %s, true)", ("on" if lose_data else "off",))
            chain.config.attributes["connection"] = connection
            with _explained(found, target):
                roles.become_owner(driver)
                _stand_alone(driver, patience)
                (command.upgrade if chain.below(found, target) else command.downgrade)(chain.config, target)
                roles.grant(driver)
        connection.commit()
        return target


def grant_roles(dsn: str) -> str | None:
    """Make the roles and their rights where they are missing, as after a restore; what is still missing and why, None: nothing."""
    with mapped(), psycopg.connect(dsn) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        return roles.grant(connection)


def plan(dsn: str, to: str = HEAD) -> list[Revision]:
    """The revisions ``migrate`` would put in (``applied`` False) or take out (True), in that order. Changes nothing."""
    with mapped(), _connected(dsn) as connection:
        chain = Chain()
        return chain.steps(chain.known(_found(connection)), chain.target(to))


def history(dsn: str) -> list[Revision]:
    """All revisions, the oldest first, and which of them the database has."""
    with mapped(), _connected(dsn) as connection:
        chain = Chain()
        return chain.history(chain.known(_found(connection)))


def current(dsn: str) -> tuple[str | None, str]:
    """(revision in the database or None, revision of this program)."""
    with mapped(), _connected(dsn) as connection:
        return _found(connection), Chain().head


def _check_place(driver: psycopg.Connection[Any]) -> None:
    """What a migration makes goes to the first schema of the search path: the tables must be there, not in a later one."""
    row = driver.execute(
        """SELECT current_schema::text, relnamespace::regnamespace::text FROM pg_class
           WHERE oid = to_regclass('alembic_version') AND relnamespace <> current_schema::regnamespace"""
    ).fetchone()
    if row is not None:
        raise StorageError(
            f"expected the tables in schema {row[0]}, the first of this role's search_path, found them in {row[1]}; nothing was "
            f"changed. Put {row[1]} first: set search_path in database.dsn (options), or for this role"
        )


def _stand_alone(driver: psycopg.Connection[Any], patience: int) -> None:
    """Lock every table at once or none, until it succeeds: waiting for one while holding another is how deadlocks are made.

    A parent's lock keeps everybody from its partitions or chunks too; those are not locked one by one, there may be thousands.
    Tables of another owner than ours are another program's.
    """
    rows = driver.execute(
        """SELECT quote_ident(relname) FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
             AND relnamespace = current_schema::regnamespace
             AND relowner = (SELECT relowner FROM pg_class WHERE oid = to_regclass('alembic_version')) ORDER BY 1"""
    ).fetchall()
    tables = ", ".join(f"ONLY {row[0]}" for row in rows)
    for _ in range(patience if rows else 0):
        try:
            with driver.transaction():
                driver.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE NOWAIT")
            break
        except psycopg.errors.LockNotAvailable:
            driver.execute("SELECT pg_sleep(0.05)")
    else:
        if rows:
            raise StorageUnavailable(_busy(driver))
    driver.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")


def _busy(driver: psycopg.Connection[Any]) -> str:
    """Who is in the way."""
    rows = driver.execute(
        """SELECT DISTINCT coalesce(nullif(application_name, ''), 'a program') || ' (server process ' || pid || ')'
           FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation
           WHERE c.relnamespace = current_schema::regnamespace AND pid <> pg_backend_pid() ORDER BY 1"""
    ).fetchall()
    who = ", ".join(row[0] for row in rows) or "others"
    return (
        f"the migration needs all tables for a moment, and {who} did not let go of them; nothing was changed. "
        "Stop what runs on this database, then run `intraday db migrate` again"
    )


@contextmanager
def _explained(found: str, target: str) -> Iterator[None]:
    """Say what to do about the ways in which a migration that is right can fail."""
    try:
        yield
    except psycopg.errors.RaiseException as error:  # a migration's own refusal
        raise StorageError(f"{str(error).splitlines()[0]}; nothing was changed") from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise StorageError(
            f"expected schema revision {target}, found {found}, and this role may not change it ({str(error).splitlines()[0]}): "
            "run `intraday db migrate` with a DSN of the tables' owner or of a member of intraday_owner"
        ) from None
    except psycopg.errors.LockNotAvailable:
        raise StorageUnavailable(
            "a program kept a partition that the migration needs; nothing was changed. Stop what runs on this database, then run "
            "`intraday db migrate` again"
        ) from None


def _found(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


@contextmanager
def _connected(dsn: str) -> Iterator[Connection]:
    """A SQLAlchemy connection over psycopg, in UTC; driver errors come out as psycopg's own."""

    def connect() -> psycopg.Connection[Any]:
        connection = psycopg.connect(dsn, client_encoding="UTF8", application_name="intraday db migrate")
        connection.execute("SET TIME ZONE 'UTC'")
        connection.commit()
        return connection

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from None
        raise
    finally:
        engine.dispose()
