"""``intraday db query`` and ``intraday db shell``: SQL on the configured database."""

from __future__ import annotations

import csv
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, session

if TYPE_CHECKING:
    from rich.console import Console

    from intraday.database.asking import Answer

SqlArgument = Annotated[str, typer.Argument(help="One SQL statement that reads; - takes it from standard input.", metavar="SQL")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="Most rows to show.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print comma separated values.")]
WriteOption = Annotated[bool, typer.Option("--write", help="Allow changes; without it the session is read-only.")]


def register(group: typer.Typer) -> None:
    """Add the commands to ``intraday db``."""
    group.command("query")(query)
    group.command("shell")(shell)


def query(
    sql: SqlArgument,
    limit: LimitOption = 1000,
    as_csv: CsvOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Ask the database in SQL. It only reads; times are shown in IST.

    Tables and views are described in docs/database.md; \\d and the like are for `intraday db shell`.

    \b
    Examples:
      intraday db query "SELECT * FROM todays_signals"
      intraday db query "SELECT symbol, ts, close FROM ohlcv_60min JOIN instruments i ON i.id = instrument_id" -n 20
      intraday db query --csv - < coverage.sql > coverage.csv
    """
    from intraday.jobs import query as job

    with session(config, as_json, verbose) as run:
        answer = job.query(run.settings, sys.stdin.read() if sql == "-" else sql, limit)
        if as_csv and not as_json:
            _print_csv(answer)
        else:
            names = _unique(answer.columns)
            named = [dict(zip(names, row, strict=True)) for row in answer.rows]
            run.emit({"rows": named, "more": answer.more}, lambda out: _show(out, answer))
        if answer.more:
            run.say(f"there are more than {limit} rows: --limit shows more")


def shell(write: WriteOption = False, config: ConfigOption = DEFAULT_CONFIG, verbose: VerboseOption = False) -> None:
    """Open psql on the configured database, our own server included.

    \b
    Examples:
      intraday db shell
      intraday db shell --write
    """
    from intraday.jobs import query as job

    with session(config, False, verbose) as run:
        code = job.shell(run.settings, os.environ, write)
    raise typer.Exit(code)


def _unique(columns: tuple[str, ...]) -> list[str]:
    """Names for JSON: the second ``a`` is ``a_2``."""
    return [name if name not in columns[:k] else f"{name}_{columns[: k + 1].count(name)}" for k, name in enumerate(columns)]


def _print_csv(answer: Answer) -> None:
    out = csv.writer(sys.stdout)
    out.writerow(answer.columns)
    out.writerows([[_text(value, "") for value in row] for row in answer.rows])


def _show(out: Console, answer: Answer) -> None:
    from rich import box
    from rich.table import Table

    table = Table(header_style="dim", box=box.SIMPLE_HEAD, pad_edge=False)
    numbers = [all(isinstance(row[k], int | float) for row in answer.rows) for k in range(len(answer.columns))]
    for name, number in zip(answer.columns, numbers, strict=True):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in answer.rows:
        table.add_row(*(_text(value, "–") for value in row))
    out.print(table, markup=False)
    out.print(f"{len(answer.rows)} row{'' if len(answer.rows) == 1 else 's'}", style="dim")


def _text(value: Any, missing: str) -> str:
    """A value as a person reads it; ``missing`` for NULL."""
    if value is None:
        return missing
    if isinstance(value, bytes):
        return "\\x" + value[:16].hex() + ("…" if len(value) > 16 else "")
    return f"{value:.6g}" if isinstance(value, float) and value != round(value, 2) else str(value)
