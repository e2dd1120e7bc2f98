"""``intraday db migrate`` and ``db history``: the schema up and down, as a plan, as a script."""

from __future__ import annotations

from dataclasses import dataclass

from intraday.app import open_configured
from intraday.config.settings import Settings
from intraday.database import revisions, schema, timescale
from intraday.database.revisions import Revision


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did: ``steps`` in order, the revision there is now, and what is missing of the roles and why."""

    steps: list[Revision]
    revision: str
    roles_missing: str | None = None


def migrate(settings: Settings, to: str, *, lose_data: bool = False) -> Migrated:
    """Bring the schema to ``to``. Raises StorageError: a newer schema, rows that would go, tables in use."""
    with open_configured(settings) as database:
        steps = schema.plan(database.dsn, to)
        revision = schema.migrate(database.dsn, to, lose_data=lose_data)
        return Migrated(steps, revision, schema.grant_roles(database.dsn))


def plan(settings: Settings, to: str) -> list[Revision]:
    """The steps ``migrate`` would take. Changes nothing. Raises StorageError."""
    with open_configured(settings) as database:
        return schema.plan(database.dsn, to)


def history(settings: Settings) -> list[Revision]:
    """All revisions, the oldest first, and which of them the database has. Raises StorageError."""
    with open_configured(settings) as database:
        return schema.history(database.dsn)


def script(settings: Settings, to: str, start: str | None, *, lose_data: bool = False) -> str:
    """The steps from the configured database's revision (or ``start``) to ``to``, for a server of its kind. Raises StorageError."""
    with open_configured(settings) as database:
        with database.autocommit() as connection:
            hyper = timescale.installed(connection)
        found = start or schema.current(database.dsn)[0] or revisions.BASE
    return revisions.script(to, found, timescaledb=hyper, lose_data=lose_data)
