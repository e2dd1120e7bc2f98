"""``intraday instruments``: the broker's daily list, what changed in it, and flags that people bring."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, parse_day, session
from intraday.config.loading import load_rate_limits
from intraday.domain.clock import SystemClock
from intraday.domain.membership import Flag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intraday.domain.broker import Listing
    from intraday.domain.listings import Change, SyncReport
    from intraday.jobs.instruments import Flags, Imported

SHOWN = 50  # changes and symbols printed for people; --json has all


def register(root: typer.Typer) -> None:
    """Add the group to the command line."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="The broker's list of instruments, its changes, and dated flags."
    )
    group.command("sync")(sync)
    group.command("list")(list_)
    group.command("changes")(changes)
    group.command("import")(import_)
    group.command("flags")(flags)
    root.add_typer(group, name="instruments")


SearchOption = Annotated[str | None, typer.Option("--search", help="Part of a symbol, a former symbol or a name.", metavar="TEXT")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Most rows.", metavar="N")]
SinceOption = Annotated[str | None, typer.Option("--since", help="First day, YYYY-MM-DD.", metavar="DAY")]
FileArgument = Annotated[
    Path, typer.Argument(help="CSV: one symbol a line, perhaps with a value, or a column Symbol.", metavar="FILE")
]
FlagOption = Annotated[Flag, typer.Option("--flag", help="Which list it is.")]
StartOption = Annotated[
    str | None, typer.Option("--from", help="Day from which it holds, YYYY-MM-DD; today without it.", metavar="DAY")
]
SourceOption = Annotated[str | None, typer.Option("--source", help="Who says so; the file's name without it.", metavar="TEXT")]
SymbolArgument = Annotated[str, typer.Argument(help="Symbol, perhaps with its exchange: RELIANCE, NSE:RELIANCE.", metavar="SYMBOL")]
OnOption = Annotated[str | None, typer.Option("--on", help="Day, YYYY-MM-DD; today without it.", metavar="DAY")]


def sync(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Take over the broker's list of instruments of today.

    Stores what is listed, and by day what was listed, delisted or renamed, and whose token, tick size or lot size changed.
    Running it again the same day changes nothing. A list that looks like a part of one is refused.

    \b
    Examples:
      intraday instruments sync
      intraday instruments sync --json | jq .changes
    """
    from intraday.jobs import instruments

    with session(config, as_json, verbose) as run:
        with run.progress() as progress:
            report = instruments.sync(run.settings, load_rate_limits(config), SystemClock(), progress)
        run.emit(report, lambda out: _show_sync(out, report))


def list_(
    search: SearchOption = None,
    limit: LimitOption = SHOWN,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List instruments that the broker's last list has.

    \b
    Examples:
      intraday instruments list --search tata
      intraday instruments list --search ZOMATO          # finds it under its new symbol
      intraday instruments list --limit 100000 --json
    """
    from intraday.jobs import instruments

    with session(config, as_json, verbose) as run:
        found = instruments.listed(run.settings, SystemClock(), search, limit)
        run.emit([_row(x) for x in found], lambda out: _show_listed(out, found, limit))


def changes(
    since: SinceOption = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """List dated changes of instruments, oldest first.

    \b
    Examples:
      intraday instruments changes --since 2026-11-01
      intraday instruments changes --json | jq '.[] | select(.kind == "renamed")'
    """
    from intraday.jobs import instruments

    with session(config, as_json, verbose) as run:
        found = instruments.changes(run.settings, SystemClock(), parse_day(since))
        run.emit(found, lambda out: _show_changes(out, found))


def import_(
    path: FileArgument,
    flag: FlagOption,
    start: StartOption = None,
    source: SourceOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Import a dated list: mis, t2t, asm or gsm.

    Who may be traded intraday (mis), is trade to trade (t2t), or is under surveillance (asm, gsm).

    The file is the whole list from that day until the next one that is imported: who is missing in it is off the list.
    Importing the same file again changes nothing.

    \b
    Examples:
      intraday instruments import mis.csv --flag mis --from 2026-11-01
      intraday instruments import asm.csv --flag asm --from 2026-11-02 --source "NSE circular of 30 October"
    """
    from intraday.jobs import instruments

    with session(config, as_json, verbose) as run:
        done = instruments.import_flag(run.settings, SystemClock(), path, flag, parse_day(start), source)
        run.emit(done, lambda out: show_imported(out, done))


def flags(
    symbol: SymbolArgument,
    on: OnOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the flags of an instrument on a day.

    Each is yes, no, or unknown where no list is known for that day.

    \b
    Examples:
      intraday instruments flags RELIANCE
      intraday instruments flags ZOMATO --on 2025-03-03 --json
    """
    from intraday.jobs import instruments

    with session(config, as_json, verbose) as run:
        found = instruments.flags(run.settings, SystemClock(), symbol, parse_day(on))
        run.emit(found, lambda out: _show_flags(out, found))


def show_imported(out: Console, done: Imported) -> None:
    """What the import of a list did, in words."""
    r = done.report
    if done.dated:
        out.print(f"{r.name}: {done.rows} periods from {r.day} on, {r.members} members now", markup=False, soft_wrap=True)
    else:
        until = f"until the list of {r.end}" if r.end else "until another one comes"
        words = f"{r.name}: {r.members} members from {r.day} {until}; {r.joined} joined, {r.left} left"
        out.print(words, markup=False, soft_wrap=True)
    show_unknown(out, done.unknown)


def show_unknown(out: Console, unknown: Sequence[str]) -> None:
    """Symbols that no stored instrument has."""
    if unknown:
        some = ", ".join(unknown[:SHOWN]) + (" …" if len(unknown) > SHOWN else "")
        text = f"warning: {len(unknown)} left out, since no stored instrument has the symbol: {some}"
        out.print(Text(text, style="yellow"), soft_wrap=True)


def table(title: str, *columns: str) -> Table:
    """An empty table in the house's style."""
    made = Table(
        title=title or None, title_justify="left", title_style="bold", header_style="dim", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name in columns:
        made.add_column(name, overflow="fold")
    return made


def _row(x: Listing) -> dict[str, object]:
    i = x.instrument
    return {
        "key": i.key, "kind": i.kind, "name": x.name, "segment": x.segment, "token": x.token, "tick_size": i.tick_size,
        "lot_size": i.lot_size, "expiry": x.expiry,
    }  # fmt: skip


def _show_sync(out: Console, report: SyncReport) -> None:
    made = table(f"Instruments of {report.day}", "Exchange", "Rows", "Kept", "Options", "Not usable")
    for e in report.exchanges:
        rejected = ", ".join(f"{n:,} {why}" for why, n in sorted(e.rejected.items()))
        made.add_row(e.exchange, f"{e.rows:,}", f"{e.listed:,}", f"{e.options:,}", Text(rejected))
    out.print(made)
    first = [e.exchange for e in report.exchanges if e.first]
    if first:
        out.print(f"first list of {' and '.join(first)}: changes are counted from here on", markup=False, soft_wrap=True)
    for name, n in report.rolls.items():
        out.print(f"{name}: {n:,} members from {report.day}", markup=False, soft_wrap=True)
    if report.changes or not first:
        _show_changes(out, report.changes)


def _show_listed(out: Console, found: Sequence[Listing], limit: int) -> None:
    made = table("Instruments", "Instrument", "Kind", "Name", "Tick", "Lot", "Expiry")
    for x in found:
        i = x.instrument
        cells = (i.key, i.kind.value, x.name, f"{i.tick_size / 100:.2f}", f"{i.lot_size:,}", str(x.expiry or ""))
        made.add_row(*(Text(cell) for cell in cells))
    out.print(made)
    if len(found) == limit:
        out.print(f"the first {limit:,}; --limit shows more, --search finds one", markup=False)


def _show_changes(out: Console, found: Sequence[Change]) -> None:
    if not found:
        out.print("no changes", markup=False)
        return
    made = table("Changes", "Day", "Instrument", "Change", "Old", "New")
    for c in found[:SHOWN]:
        made.add_row(str(c.day), Text(c.key), c.kind.value.replace("_", " "), Text(c.old or ""), Text(c.new or ""))
    out.print(made)
    if len(found) > SHOWN:
        out.print(f"… and {len(found) - SHOWN:,} more: --json lists all", markup=False)


def _show_flags(out: Console, found: Flags) -> None:
    made = table(f"{found.key} on {found.day}", "Flag", "State", "Value", "Since", "Source")
    for f in found.flags:
        made.add_row(f.flag.value, f.state, Text(f.value or ""), str(f.since or ""), Text(f.source or ""))
    out.print(made)
