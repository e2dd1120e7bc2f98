"""``intraday db``: make the schema, migrate it, say where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from intraday.cli import check, db_status, maintain, migrate, move, query, upgrade
from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, Session, VerboseOption, session

if TYPE_CHECKING:
    from intraday.jobs.database import Status


def register(root: typer.Typer) -> None:
    """Add the group to the command line."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="The database: schema, status, questions in SQL, checks, moves."
    )
    group.command("init")(init)
    for module in (migrate, db_status, query, check, maintain, move, upgrade):
        module.register(group)
    root.add_typer(group, name="db")


def init(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Prepare the database and its schema.

    Our own server is made where no DSN is configured, then every migration runs. Running it again changes nothing.

    \b
    Examples:
      intraday db init
      INTRADAY__DATABASE__DSN=postgresql://me:secret@db:5432/intraday intraday db init
    """
    from intraday.jobs import database

    with session(config, as_json, verbose) as run:
        found, missing = database.init(run.settings)
        _show(run, found)
        if missing:
            run.say(f"roles: {missing}")


def _show(run: Session, found: Status) -> None:
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
            **{name: getattr(found, name) for name in found.__slots__},
            "current": found.current,
            "embedded": run.settings.database.dsn is None,
        },
        lambda out: out.print(
            f"PostgreSQL {found.server} ({where})\nTimescaleDB {found.timescaledb or 'not installed'}\nschema revision {revision}",
            markup=False,
            soft_wrap=True,
        ),
    )
