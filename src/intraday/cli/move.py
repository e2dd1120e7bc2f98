"""``intraday db move``: everything to another database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, session
from intraday.domain.clock import SystemClock

if TYPE_CHECKING:
    from rich.console import Console

    from intraday.database.moving import Moved

ToOption = Annotated[
    str,
    typer.Option(
        "--to",
        envvar="INTRADAY_MOVE_TO",
        show_envvar=True,
        metavar="DSN|embedded",
        help="postgresql://user@host:port/name of an empty database, or `embedded`: our own server. "
        "A password belongs into the environment (INTRADAY_MOVE_TO, PGPASSWORD) or ~/.pgpass, not on the command line.",
    ),
]


def register(group: typer.Typer) -> None:
    """Add the command to ``intraday db``."""
    group.command("move")(move)


def move(to: ToOption, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Move everything to another database, TimescaleDB or not.

    The configured database stays as it is. Rows and checksums of every part are compared; a move that was interrupted goes
    on when the same command is given again. Models and journals are files under system.data_dir and stay where they are.

    \b
    Examples:
      intraday db move --to postgresql://me@db:5432/intraday
      INTRADAY_MOVE_TO=postgresql://me:secret@db/intraday intraday db move --json
      intraday db move --to embedded
    """
    from intraday.jobs import move as job

    with session(config, as_json, verbose) as run:
        with run.progress() as progress:
            moved = job.move(run.settings, to, SystemClock(), progress)
        run.emit(moved, lambda out: _show(out, moved, to))


def _show(out: Console, moved: Moved, to: str) -> None:
    total = sum(moved.rows.values())
    out.print(f"{total:,} rows of {len(moved.rows)} tables moved; every row count and checksum agrees", markup=False)
    largest = sorted(moved.rows.items(), key=lambda item: -item[1])[:5]
    out.print("largest: " + ", ".join(f"{name} {rows:,}" for name, rows in largest if rows), markup=False, soft_wrap=True)
    if moved.resumed:
        out.print(f"{moved.resumed} of {moved.parts} parts had been brought by an earlier try", markup=False)
    if moved.again:
        out.print(f"{moved.again} parts had changed meanwhile and were copied again", markup=False)
    if moved.timeframe_differences:
        out.print(
            f"{moved.timeframe_differences} of the longer timeframes differ from the source's: made anew from the minutes",
            markup=False,
        )
    way = "unset INTRADAY__DATABASE__DSN and database.dsn" if to == "embedded" else "set INTRADAY__DATABASE__DSN to it"
    out.print(f"To work with it from now on: {way}. The old database is untouched.", markup=False, soft_wrap=True)
