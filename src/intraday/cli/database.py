"""``intraday db``: make the schema, migrate it, say where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, Session, VerboseOption, session
from intraday.config.settings import Settings

if TYPE_CHECKING:
    from intraday.database.pool import Database


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


def register(root: typer.Typer) -> None:
    """Add the group to the command line."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Make the database's schema, migrate it, show where it stands."
    )
    group.command("init")(init)
    group.command("migrate")(migrate)
    group.command("status")(status)
    root.add_typer(group, name="db")


def init(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Prepare the database and its schema.

    Our own server is made where no DSN is configured, then every migration runs. Running it again changes nothing.

    \b
    Examples:
      intraday db init
      INTRADAY__DATABASE__DSN=postgresql://me:secret@db:5432/intraday intraday db init
    """
    with session(config, as_json, verbose) as run, opened(run.settings) as database:
        from intraday.database import schema

        schema.init(database.dsn)
        _show(run, database)


def migrate(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Bring the schema to this program's revision.

    Running it again changes nothing; a newer schema is refused.

    \b
    Examples:
      intraday db migrate
      intraday db migrate --json
    """
    with session(config, as_json, verbose) as run, opened(run.settings) as database:
        from intraday.database import schema

        schema.migrate(database.dsn)
        _show(run, database)


def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Show server, TimescaleDB and schema revision.

    \b
    Examples:
      intraday db status
      intraday db status --json | jq -r .revision
    """
    with session(config, as_json, verbose) as run, opened(run.settings) as database:
        _show(run, database)


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The configured database, our own server running while the block does. Raises StorageError."""
    from intraday.database.pool import open_database

    with open_database(
        settings.database.dsn_text,
        settings.system.data_dir,
        statement_timeout_s=settings.database.statement_timeout_s,
        start_timeout_s=settings.database.embedded_start_timeout_s,
    ) as database:
        yield database


def status_of(database: Database) -> Status:
    """Ask the server. Raises StorageError."""
    from intraday.database import schema

    with database.autocommit() as connection:
        version = connection.execute("SHOW server_version").fetchone()
        extension = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    revision, expected = schema.current(database.dsn)
    return Status(str(version[0]) if version else "?", str(extension[0]) if extension else None, revision, expected)


def _show(run: Session, database: Database) -> None:
    found = status_of(database)
    where = (
        "our own server under " + str(run.settings.system.data_dir / "pg")
        if run.settings.database.dsn is None
        else "the configured server"
    )
    revision = found.revision or "none: run `intraday db init`"
    if found.revision and not found.current:
        revision += f", this program's is {found.expected}: run `intraday db migrate`"
    run.emit(
        {
            **{name: getattr(found, name) for name in Status.__slots__},
            "current": found.current,
            "embedded": run.settings.database.dsn is None,
        },
        lambda out: out.print(
            f"PostgreSQL {found.server} ({where})\nTimescaleDB {found.timescaledb or 'not installed'}\nschema revision {revision}",
            markup=False,
            soft_wrap=True,
        ),
    )
