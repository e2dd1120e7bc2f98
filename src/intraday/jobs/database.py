"""``intraday db``: the schema, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass

from intraday.app import open_configured
from intraday.config.settings import Settings
from intraday.database import schema
from intraday.database.pool import Database
from intraday.database.timescale import version


@dataclass(frozen=True, slots=True)
class Status:
    """Where the database stands; ``revision`` None before the first ``db init``."""

    server: str
    timescaledb: str | None
    revision: str | None
    expected: str

    @property
    def current(self) -> bool:
        """True when the schema is this program's."""
        return self.revision == self.expected


def init(settings: Settings) -> tuple[Status, str | None]:
    """Bring the schema up, making our own server first where no DSN is configured; also what is missing of the roles, and why.

    Raises StorageError.
    """
    with open_configured(settings) as database:
        schema.init(database.dsn)
        missing = schema.grant_roles(database.dsn)
        return status_of(database), missing


def status(settings: Settings) -> Status:
    """Ask the server. Raises StorageError."""
    with open_configured(settings) as database:
        return status_of(database)


def status_of(database: Database) -> Status:
    """Ask an open database."""
    with database.autocommit() as connection:
        row = connection.execute("SHOW server_version").fetchone()
        extension = version(connection)
    revision, expected = schema.current(database.dsn)
    return Status(str(row[0]) if row else "?", extension, revision, expected)
