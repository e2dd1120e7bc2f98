"""``intraday limits``: circuit limits, which labels and the audit use where they were known in time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, parse_day, session
from intraday.cli.instruments import SourceOption, SymbolArgument, show_unknown, table
from intraday.domain.clock import SystemClock
from intraday.report import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intraday.jobs.limits import ImportedLimits, ShownLimit


def register(root: typer.Typer) -> None:
    """Add the group to the command line."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Circuit limits by session: no trade is filled at one.")
    group.command("import")(import_)
    group.command("list")(list_)
    root.add_typer(group, name="limits")


FileArgument = Annotated[Path, typer.Argument(help="CSV: session, symbol, lower, upper, and perhaps known.", metavar="FILE")]
FromOption = Annotated[str | None, typer.Option("--from", help="First session, YYYY-MM-DD.", metavar="DAY")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last session, YYYY-MM-DD.", metavar="DAY")]


def import_(
    path: FileArgument,
    source: SourceOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Import circuit limits of past sessions.

    Those of today come from the broker (`intraday live`, `historical` and `instruments sync` ask for them). Prices are rupees;
    `known` is the day, or day and time (IST), on which a limit became known, the evening before its session without it. Labels use
    what was known by the session's open. All of it or nothing; importing it again changes nothing.

    \b
    Examples:
      intraday limits import limits.csv      # session,symbol,lower,upper
      intraday limits import limits.csv --source "NSE, price bands" --json
    """
    from intraday.jobs import limits

    with session(config, as_json, verbose) as run:
        done = limits.import_limits(run.settings, SystemClock(), path, source)
        run.emit(done, lambda out: _show_imported(out, done))


def list_(
    symbol: SymbolArgument,
    first: FromOption = None,
    last: ToOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List the limits of an instrument that are stored.

    \b
    Examples:
      intraday limits list INFY
      intraday limits list INFY --from 2026-11-01 --json
    """
    from intraday.jobs import limits

    with session(config, as_json, verbose) as run:
        found = limits.shown(run.settings, SystemClock(), symbol, parse_day(first), parse_day(last))
        run.emit(found, lambda out: _show_listed(out, found))


def _show_imported(out: Console, done: ImportedLimits) -> None:
    r = done.report
    said = f"{done.rows:,} lines: {r.inserted:,} new, {r.unchanged:,} known, {r.revised:,} corrected"
    out.print(said, markup=False, soft_wrap=True)
    if done.late:
        out.print(f"{done.late:,} were known only after their session's open: labels do without them", markup=False, soft_wrap=True)
    show_unknown(out, done.unknown)


def _show_listed(out: Console, found: Sequence[ShownLimit]) -> None:
    if not found:
        out.print("no limits", markup=False)
        return
    made = table("Circuit limits", "Session", "Lower", "Upper", "Known (IST)", "Labels")
    for x in found:
        known = f"{words.ist(x.known_ns):%Y-%m-%d %H:%M}"
        made.add_row(str(x.session), f"{x.lower:,.2f}", f"{x.upper:,.2f}", known, "use it" if x.in_time else "too late")
    out.print(made)
