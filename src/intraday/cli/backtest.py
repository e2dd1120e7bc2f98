"""``intraday backtest``: what signals would have made."""

from __future__ import annotations

from enum import StrEnum
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, parse_day, session
from intraday.domain.clock import SystemClock
from intraday.domain.errors import ConfigError
from intraday.domain.ports import Source

if TYPE_CHECKING:
    from intraday.backtest.summary import BacktestSummary, ScenarioRow
    from intraday.jobs.backtest import Backtested


class Signals(StrEnum):
    """Whose signals are traded."""

    OUT_OF_SAMPLE = "out-of-sample"
    ENGINE = "engine"
    OPENING_RANGE_BREAKOUT = "opening_range_breakout"
    MOVING_AVERAGE_CROSS = "moving_average_cross"


class Known(StrEnum):
    """Who told of candles while they closed."""

    TICK = "tick"
    REPLAY = "replay"


ModelOption = Annotated[str | None, typer.Option("--model", help="Its id; without it, the model in use.", metavar="ID")]
SignalsOption = Annotated[
    Signals | None,
    typer.Option("--signals", help="Of the model's folds, of its engine on stored days, or of a rule. Days given: engine."),
]
FromOption = Annotated[str | None, typer.Option("--from", help="First day.", metavar="YYYY-MM-DD")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last day, included.", metavar="YYYY-MM-DD")]
InSampleOption = Annotated[bool, typer.Option("--in-sample", help="Allow days that the model was trained on.")]
KnownOption = Annotated[
    Known | None, typer.Option("--known", help="Candles as the live feed, or a replay, told of them when they closed.")
]
TicksOption = Annotated[
    list[Path] | None, typer.Option("--ticks", help="Recorded ticks, for exact entries inside a minute.", metavar="PATH")
]


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("backtest")(backtest)


def backtest(
    model: ModelOption = None,
    signals: SignalsOption = None,
    first: FromOption = None,
    last: ToOption = None,
    in_sample: InSampleOption = False,
    known: KnownOption = None,
    ticks: TicksOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """What signals would have made, by delay, slippage and account.

    Without days: the model's signals out of sample. With days: its engine on stored candles, exactly as live decides. The page and
    a JSON file are in the data folder's reports.

    \b
    Examples:
      intraday backtest
      intraday backtest --from 2026-10-01 --to 2026-10-31
      intraday backtest --signals opening_range_breakout --json | jq '.summary.delays[] | {name, net}'
      intraday backtest --from 2021-06-09 --to 2021-06-09 --known replay --ticks ticks --in-sample
    """
    with session(config, as_json, verbose) as run:
        settings = run.settings
        from intraday.jobs.backtest import ENGINE, OUT_OF_SAMPLE, BacktestPlan, run_backtest

        days = parse_day(first), parse_day(last)
        if days[0] is not None and days[1] is not None and days[0] > days[1]:
            raise ConfigError(f"--from: found {days[0]}, expected a day up to --to {days[1]}")
        chosen = signals.value if signals else ENGINE if any(days) or known else OUT_OF_SAMPLE
        if chosen == OUT_OF_SAMPLE and known is not None:
            raise ConfigError(f"--known: found {known} with --signals {OUT_OF_SAMPLE}, expected the engine's or a rule's")
        if chosen == OUT_OF_SAMPLE and in_sample:
            raise ConfigError(
                f"--in-sample: found it with --signals {OUT_OF_SAMPLE}, expected {ENGINE}: no fold saw the days it scores"
            )
        source = Source(known) if known else None
        plan = BacktestPlan(model, chosen, days[0], days[1], in_sample, source, tuple(ticks or ()))
        with run.progress() as progress:
            result = run_backtest(settings, plan, SystemClock(), progress)
        run.emit(result, lambda out: show(out, result))


def show(out: Console, result: Backtested) -> None:
    """Notes, the delays side by side, slippage, the account."""
    from intraday.jobs.backtest_page import facts

    summary = result.summary
    out.print(f"{summary.what}; {summary.first} to {summary.last}, {summary.sessions:,} sessions, {summary.signals:,} signals")
    for note in summary.notes:
        out.print(note, style="bold red" if note.startswith("IN-SAMPLE") else "yellow", markup=False)
    out.print(scenarios_table("Entered after", summary.delays))
    out.print(scenarios_table(f"Slippage, entered after {summary.delay_s} s", summary.slippage))
    out.print(_account(summary, facts(summary)))
    out.print(f"page {result.page}", markup=False)


def scenarios_table(title: str, rows: tuple[ScenarioRow, ...]) -> Table:
    """Bps a trade and a session, one row an assumption."""
    table = Table(title=title, title_justify="left")
    for name in ("", "trades", "gross", "cost", "net", "net a session", "95 %", "gained", "not entered", "estimated"):
        table.add_column(name, justify="right" if name else "left")
    for r in rows:
        span = "" if isnan(r.session.low) else f"{r.session.low:+.1f} .. {r.session.high:+.1f}"
        lost = r.skipped + r.missed + r.unknown + r.overlapping
        figures = (f"{r.gross:+.2f}", f"{r.cost:.2f}", f"{r.net:+.2f}", f"{r.session.mean:+.1f}", span, f"{r.hit:.1%}")
        table.add_row(r.name, f"{r.trades:,}", *figures, f"{lost:,}", f"{r.estimated:,}")
    return table


def _account(summary: BacktestSummary, facts: tuple[tuple[str, str], ...]) -> Table:
    table = Table(title="Account", title_justify="left", show_header=False)
    for name, value in facts:
        table.add_row(name, value)
    table.add_row("Speed", f"{summary.instrument_days_per_minute:,.0f} instrument-days a minute, {summary.seconds:.1f} s")
    return table
