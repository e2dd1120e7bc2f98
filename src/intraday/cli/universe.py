"""``intraday universe``: lists of members by day, and who ``trading.universe`` is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, parse_day, session
from intraday.cli.instruments import FileArgument, OnOption, StartOption, show_imported, show_unknown, table
from intraday.domain.clock import SystemClock

if TYPE_CHECKING:
    from intraday.jobs.instruments import Shown

NameArgument = Annotated[
    str, typer.Argument(help="Name of the list, such as NIFTY50; trading.universe: index:NIFTY50.", metavar="NAME")
]


def register(root: typer.Typer) -> None:
    """Add the group to the command line."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Lists of members by day, and who the universe is.")
    group.command("import")(import_)
    group.command("show")(show)
    root.add_typer(group, name="universe")


def import_(
    name: NameArgument,
    path: FileArgument,
    start: StartOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Import a dated list of members.

    So training knows who was a member when.

    NSE's CSV of an index will do, or one symbol a line. The file is the whole list from that day until the next one that is
    imported. With columns from and to (first and last day) it is the list's whole history instead. Importing it again
    changes nothing.

    \b
    Examples:
      intraday universe import NIFTY50 ind_nifty50list.csv --from 2026-09-30
      intraday universe import NIFTY50 history.csv       # symbol,from,to
      intraday universe import fno fno-2024.csv --from 2024-01-01
    """
    from intraday.jobs import instruments

    with session(config, as_json, verbose) as run:
        done = instruments.import_universe(run.settings, SystemClock(), name, path, parse_day(start))
        run.emit(done, lambda out: show_imported(out, done))


def show(
    on: OnOption = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """Show who trading.universe is on a day.

    \b
    Examples:
      intraday universe show
      INTRADAY__TRADING__UNIVERSE=fno intraday universe show --on 2026-08-14 --json
    """
    from intraday.jobs import instruments

    with session(config, as_json, verbose) as run:
        found = instruments.show_universe(run.settings, SystemClock(), parse_day(on))
        run.emit(found, lambda out: _show(out, found))


def _show(out: Console, found: Shown) -> None:
    if not found.known:
        text = f"unknown: nothing is known of {found.definition} before {found.known_from}; import an earlier list to tell"
        out.print(Text(text, style="yellow"), soft_wrap=True)
        return
    dated = any(m.since for m in found.members)
    out.print(f"{found.definition} on {found.day}", style="bold", markup=False, soft_wrap=True)
    made = table("", "Member", *(("Since", "Until") if dated else ()))
    for m in found.members:
        made.add_row(Text(m.key), *((str(m.since), str(m.until or "")) if dated else ()))
    out.print(made)
    out.print(f"{len(found.members):,} members; lists there are: {', '.join(found.lists) or 'none'}", markup=False, soft_wrap=True)
    show_unknown(out, found.unknown)
