"""``intraday charges``: what orders cost, to the paisa, on any day since 2010."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, parse_day, session
from intraday.core.costs import Charged
from intraday.domain.clock import SystemClock
from intraday.domain.session import day_of

if TYPE_CHECKING:
    from intraday.jobs.charges import ChargesReport

PARTS = {
    "brokerage": "brokerage",
    "stt": "securities transaction tax",
    "exchange": "exchange",
    "sebi": "SEBI",
    "ipft": "investor protection fund",
    "stamp": "stamp duty",
    "gst": "GST",
    "square_off": "forced square-off",
}


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("charges")(charges)


OrdersArgument = Annotated[list[str], typer.Argument(help="Executed orders, e.g. buy:100@1234.55.", metavar="ORDER...")]
SegmentOption = Annotated[Charged, typer.Option("--segment", help="Intraday equity, future or option (its premium).")]
DayOption = Annotated[str | None, typer.Option("--day", help="The day they were executed; today without it.", metavar="YYYY-MM-DD")]


def charges(
    orders: OrdersArgument,
    segment: SegmentOption = Charged.EQUITY,
    day: DayOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show what a day's intraday orders cost, to the paisa.

    The dated table is the one that labels, training and backtest use; here it is rounded as a contract note is, so that you can lay
    both side by side. An order is buy:QUANTITY@PRICE or sell:QUANTITY@PRICE; exit:... is a sale the broker placed for you.

    \b
    Examples:
      intraday charges buy:100@1234.55 sell:100@1240.05
      intraday charges sell:75@120 buy:75@90 --segment option --day 2024-09-30
      intraday charges buy:100@1234.55 exit:100@1230 --json
    """
    from intraday.jobs import charges as job

    with session(config, as_json, verbose) as run:
        on = parse_day(day) or day_of(SystemClock().now_ns())
        done = job.charges(orders, segment, on, run.settings.trading.notional_inr)
        run.emit(done, lambda out: _show(out, done))


def _show(out: Console, done: ChargesReport) -> None:
    out.print(f"{done.segment}, {done.day} (rates since {done.since}{', in part assumed' if done.approximate else ''})")
    rows = [(words, getattr(done.charges, part)) for part, words in PARTS.items() if getattr(done.charges, part)]
    for words, rupees in [("bought", done.bought), ("sold", done.sold), *rows, ("charges in all", done.total)]:
        out.print(f"  {words:<28}{rupees:>16,.2f}", highlight=False)
    if not isnan(done.gross):
        out.print(f"  {'gross':<28}{done.gross:>16,.2f}\n  {'net':<28}{done.gross - done.total:>16,.2f}", highlight=False)
    out.print(f"labels and signals reckon with {done.usual_bps:.2f} bps for a round trip of {done.notional:,.0f}", highlight=False)
