"""``intraday db upgrade``: our own server's cluster to a new PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, session

if TYPE_CHECKING:
    from intraday.database.upgrade import Upgraded

OldBindir = Annotated[
    Path | None,
    typer.Option("--old-bindir", help="Folder with the programs of the PostgreSQL that made the database.", metavar="FOLDER"),
]


def register(group: typer.Typer) -> None:
    """Add the command to ``intraday db``."""
    group.command("upgrade")(upgrade)


def upgrade(
    old_bindir: OldBindir = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Take our own server's data to the PostgreSQL of this program.

    Needed once after an update that brings a new major version. Everything is copied and compared before the folders are
    swapped; the old one stays as pg/data.<major> until you remove it. Killed or interrupted, run it again.

    \b
    Examples:
      intraday db upgrade
      intraday db upgrade --old-bindir /usr/lib/postgresql/16/bin
    """
    from intraday.jobs.upgrade import run_upgrade

    with session(config, as_json, verbose) as run:
        with run.progress() as progress:
            done = run_upgrade(run.settings, old_bindir, progress)
        run.emit(done, lambda out: out.print(_text(done), markup=False, soft_wrap=True))


def _text(done: Upgraded) -> str:
    if done.found == done.now:
        return f"PostgreSQL {done.now}: nothing to upgrade" + (f"; {done.kept} may be removed" if done.kept else "")
    return (
        f"PostgreSQL {done.found} to {done.now}: {done.databases} databases, {done.tables} tables, {done.rows} rows, all equal\n"
        f"the old cluster stays in {done.kept}: remove it when you need it no more"
    )
