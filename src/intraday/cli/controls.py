"""``intraday controls``: does the pipeline say "edge" where there is none, and find one that was planted?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, parse_day, session
from intraday.domain.clock import SystemClock
from intraday.domain.errors import ConfigError, VerifyError

if TYPE_CHECKING:
    from intraday.jobs.controls import ControlsOutcome

FromOption = Annotated[str | None, typer.Option("--from", help="First day.", metavar="YYYY-MM-DD")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last day, included.", metavar="YYYY-MM-DD")]
SessionsOption = Annotated[int, typer.Option("--sessions", min=2, help="The last so many sessions of that range.")]
InstrumentsOption = Annotated[int, typer.Option("--instruments", min=1, help="At most so many, those with most days.")]
SimulatedOption = Annotated[bool, typer.Option("--simulated", help="Made-up markets alone, without a database.")]
FullOption = Annotated[bool, typer.Option("--full", help="Ten times as many markets; an hour instead of minutes.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of every coin that is tossed; another one gives other markets.")]


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("controls")(controls)


def controls(
    first: FromOption = None,
    last: ToOption = None,
    sessions: SessionsOption = 60,
    instruments: InstrumentsOption = 10,
    simulated: SimulatedOption = False,
    full: FullOption = False,
    seed: SeedOption = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train on markets where the answer is known.

    Without an edge, at zero cost: your own bars with the sign of every minute's move tossed anew, outcomes of other sessions and
    rows, features of other sessions, and simulated markets; the 5 % test behind "edge" may fire as often as luck allows. With
    one: a planted edge has to be found. Exits with 1 when a control fails. The report shows the newest run.

    \b
    Examples:
      intraday controls
      intraday controls --simulated
      intraday controls --from 2021-04-01 --sessions 40 --instruments 20 --full
      intraday controls --json | jq '.tables.nulls[] | {control, fired, n, allowed}'
    """
    with session(config, as_json, verbose) as run:
        settings = run.settings
        from intraday.jobs.controls import FULL, QUICK, ControlsRequest, run_controls

        days = parse_day(first), parse_day(last)
        if days[0] is not None and days[1] is not None and days[0] > days[1]:
            raise ConfigError(f"--from: found {days[0]}, expected a day up to --to {days[1]}")
        request = ControlsRequest(days[0], days[1], sessions, instruments, simulated, FULL if full else QUICK, seed)
        with run.progress() as progress:
            found = run_controls(settings, request, SystemClock(), progress)
        run.emit(found, lambda out: show(out, found))
        if not found.passed:
            raise VerifyError("controls: the pipeline finds what is not there, or not what is (see the table)")


def show(out: Console, found: ControlsOutcome) -> None:
    """The table: control, expected, found."""
    table = Table(
        title="Controls", title_justify="left", title_style="bold", header_style="dim", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("Control", overflow="fold")
    for name in ("Expected", "Found", "Uniform p", "Edge net", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found.tables["nulls"]:
        expected, fired = f"{row['allowed']} of {row['n']} at most", f"{row['fired']} of {row['n']}"
        table.add_row(row["control"], expected, fired, f"{row['uniform_p']:.2f}", str(row["edges"]), _mark(row["passed"]))
    for row in found.tables["power"]:
        name = f"planted edge, {row['multiple']} times the cost, {row['sessions']} sessions"
        table.add_row(name, "found", f"{row['found']} of {row['n']}", "", str(row["edges"]), _mark(row["found"] > 0))
    out.print(table)
    for control, reason in found.skipped.items():
        out.print(Text(f"not checked: {control}: {reason}", style="yellow"), soft_wrap=True)
    out.print(f"stored bars: {found.bars}", markup=False, soft_wrap=True)
    out.print(f"tables: {found.file}", markup=False, soft_wrap=True)


def _mark(passed: bool) -> Text:
    return Text("ok", style="green") if passed else Text("FAILED", style="bold red")
