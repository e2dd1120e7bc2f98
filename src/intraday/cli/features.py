"""``intraday features``: what features there are, what one is, and what its values are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, session
from intraday.domain.clock import SystemClock

if TYPE_CHECKING:
    from intraday.jobs.features import Known, Values

NameArgument = Annotated[str, typer.Argument(help="Name of the feature, such as rsi_14.", metavar="NAME")]
FamilyOption = Annotated[str | None, typer.Option("--family", help="Of this family only.", metavar="NAME")]
SearchOption = Annotated[str | None, typer.Option("--search", help="With this text in the name, formula or expression.")]
OwnOption = Annotated[bool, typer.Option("--own", help="Those of model.user_features only.")]
ValuesOption = Annotated[bool, typer.Option("--values", help="Compute it on stored bars: share missing, newest values.")]
PlotOption = Annotated[Path | None, typer.Option("--plot", help="Draw the last stored day as SVG into this file.", metavar="FILE")]
SimulatedOption = Annotated[bool, typer.Option("--simulated", help="On the made-up market, without a database.")]
SessionsOption = Annotated[int, typer.Option("--sessions", min=1, help="The last so many sessions.")]
InstrumentsOption = Annotated[int, typer.Option("--instruments", min=1, help="At most so many, those with most days.")]
SymbolOption = Annotated[list[str] | None, typer.Option("--symbol", help="Tell of this instrument only; may be repeated.")]


def register(root: typer.Typer) -> None:
    """Add the group to the command line."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What features there are, and what one's values are.")
    group.command("list")(list_)
    group.command("show")(show)
    root.add_typer(group, name="features")


def list_(
    family: FamilyOption = None,
    search: SearchOption = None,
    own: OwnOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List the features, the program's and yours (marked with *).

    \b
    Examples:
      intraday features list --family volatility
      intraday features list --search ema
      intraday features list --own --json | jq '.features[].expression'
    """
    from intraday.jobs import features

    with session(config, as_json, verbose) as run:
        found = [f for f in features.known(run.settings) if _wanted(f, family, search, own)]
        run.emit({"features": found}, lambda out: _list(out, found))


def show(
    name: NameArgument,
    values: ValuesOption = False,
    plot: PlotOption = None,
    simulated: SimulatedOption = False,
    sessions: SessionsOption = 30,
    instruments: InstrumentsOption = 20,
    symbol: SymbolOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show what a feature is, and what it is on your bars.

    With --values or --plot it is computed: its state then starts at the first of those sessions, in training at the anchor.

    \b
    Examples:
      intraday features show rsi_14
      intraday features show my_trend --values --symbol INFY
      intraday features show my_trend --plot my_trend.svg --simulated
    """
    from intraday.jobs import features

    with session(config, as_json, verbose) as run:
        known, computed = features.show(run.settings, name), None
        if values or simulated or plot is not None:
            request = features.Request(sessions, instruments, tuple(symbol or ()), simulated)
            computed = features.values(run.settings, name, request, SystemClock(), plot)
        run.emit(_document(known, computed), lambda out: _show(out, known, computed))


def _wanted(f: Known, family: str | None, search: str | None, own: bool) -> bool:
    text = f"{f.name} {f.formula} {f.expression}".lower()
    return (family is None or f.family == family) and (search is None or search.lower() in text) and (f.own or not own)


def _list(out: Console, found: list[Known]) -> None:
    table = Table(header_style="dim", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Name", no_wrap=True)
    for name in ("Family", "Formula", "Units", "Lookback", "Needs"):
        table.add_column(name, overflow="fold")
    for f in found:
        table.add_row(*map(Text, (f"{f.name}{' *' if f.own else ''}", f.family, f.formula, f.units, f.lookback, f.needs)))
    if found:
        out.print(table)
    yours = sum(f.own for f in found)
    out.print(f"{len(found)} features{f', {yours} of them yours (*)' if yours else ''}", style="dim")


def _show(out: Console, known: Known, computed: Values | None) -> None:
    facts = Table(show_header=False, box=None, pad_edge=False)
    rows = {
        "Name": f"{known.name}{' (yours)' if known.own else ''}", "Family": known.family, "Formula": known.formula,
        "Computed as": known.expression, "Units": known.units, "Lookback": f"{known.lookback} (bars before the first value)",
        "Needs": known.needs, "Undefined": known.undefined, "Source": known.source,
        "Configured": "yes" if known.configured else "no: model.features does not name it",
    }  # fmt: skip
    if computed is not None:
        rows |= _values(computed)
    for name, value in rows.items():
        if value:
            facts.add_row(Text(name, style="dim"), Text(value))
    out.print(facts)
    if computed is not None:
        _newest(out, computed)


def _values(computed: Values) -> dict[str, str]:
    missing = f"{computed.missing:.2%} of {computed.n:,} bars, {computed.missing_last:.2%} of the last session's"
    plot = {} if computed.plot is None else {"Picture": str(computed.plot)}
    return {"Bars": f"{computed.first} .. {computed.last}, {computed.source}", "Missing": missing, **plot}


def _newest(out: Console, computed: Values) -> None:
    from intraday.report import words

    table = Table(header_style="dim", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Instrument", "Newest bar"):
        table.add_column(name, no_wrap=True)
    table.add_column("Value", justify="right", no_wrap=True)
    for row in computed.newest:
        value = "missing" if row.value != row.value else f"{row.value:.6g}"
        table.add_row(Text(row.symbol), f"{words.ist(row.ts_ns):%Y-%m-%d %H:%M}", value)
    out.print(table)


def _document(known: Known, computed: Values | None) -> dict[str, Any]:
    return {"feature": known, "values": computed}
