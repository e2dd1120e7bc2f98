"""``intraday db migrate`` and ``intraday db history``: the revisions of the schema."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, Session, VerboseOption, session
from intraday.domain.errors import ConfigError

if TYPE_CHECKING:
    from intraday.database.revisions import Revision


class Kind(Enum):
    """What a script is for."""

    POSTGRESQL = "postgresql"
    TIMESCALEDB = "timescaledb"


def register(group: typer.Typer) -> None:
    """Add the commands."""
    group.command("migrate")(migrate)
    group.command("history")(history)


def migrate(
    to: Annotated[str, typer.Option("--to", metavar="REV", help="A revision, head (this program's) or base (no tables).")] = "head",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print the steps as SQL for psql instead of taking them.")] = False,
    kind: Annotated[Kind | None, typer.Option("--for", help="With --sql: the kind of server; no database is asked then.")] = None,
    start: Annotated[str | None, typer.Option("--from", metavar="REV", help="With --sql: where it begins.")] = None,
    lose_data: Annotated[bool, typer.Option("--lose-data", help="On the way down, let rows go that have no place there.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Bring the schema to this program's revision, or to another one.

    Running it again changes nothing; a newer schema is refused. It is one transaction: all of it or nothing. The way down refuses
    to lose rows unless told to.

    \b
    Examples:
      intraday db migrate
      intraday db migrate --dry-run
      intraday db migrate --to 0002
      intraday db migrate --sql > steps.sql
      intraday db migrate --sql --for timescaledb | psql -v ON_ERROR_STOP=1 mydatabase
      intraday db migrate --sql --for postgresql --from 0002
    """
    with session(config, as_json, verbose) as run:
        if not sql and (kind or start):
            raise ConfigError("--for and --from say what a script is for: expected --sql with them")
        if sql:
            _print_script(run, to, start, kind, lose_data=lose_data)
        elif dry_run:
            from intraday.jobs import migration

            steps = migration.plan(run.settings, to)
            run.emit({"steps": steps}, lambda out: _show_steps(out, steps, "would be"))
        else:
            _migrate(run, to, lose_data=lose_data)


def history(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """List the schema's revisions, and which the database has.

    \b
    Examples:
      intraday db history
      intraday db history --json | jq '.[] | select(.applied | not)'
    """
    from intraday.jobs import migration

    with session(config, as_json, verbose) as run:
        found = migration.history(run.settings)
        run.emit(found, lambda out: _show_history(out, found))


def _print_script(run: Session, to: str, start: str | None, kind: Kind | None, *, lose_data: bool) -> None:
    if kind is None:
        from intraday.jobs import migration

        text = migration.script(run.settings, to, start, lose_data=lose_data)
    else:
        from intraday.database import revisions

        text = revisions.script(to, start or revisions.BASE, timescaledb=kind is Kind.TIMESCALEDB, lose_data=lose_data)
    run.emit({"sql": text}, lambda out: out.print(text, markup=False, soft_wrap=True, end=""))


def _migrate(run: Session, to: str, *, lose_data: bool) -> None:
    from intraday.jobs import migration

    done = migration.migrate(run.settings, to, lose_data=lose_data)

    def show(out: Console) -> None:
        _show_steps(out, done.steps, "was")
        out.print(f"schema revision {done.revision}", markup=False)
        if done.roles_missing:
            out.print(f"roles: {done.roles_missing}", markup=False, soft_wrap=True)

    run.emit(done, show)


def _show_steps(out: Console, steps: list[Revision], how: str) -> None:
    for step in steps:
        out.print(f"{step.id} {how} {'taken out' if step.applied else 'put in'}: {step.title}", markup=False, soft_wrap=True)
    if not steps:
        out.print("nothing to do", markup=False)


def _show_history(out: Console, found: list[Revision]) -> None:
    for revision in found:
        out.print(
            f"{'*' if revision.applied else ' '} {revision.id}  {revision.made:10}  {revision.title}", markup=False, soft_wrap=True
        )
