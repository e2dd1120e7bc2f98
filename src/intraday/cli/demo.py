"""``intraday demo``: the whole system once, without account or network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, session
from intraday.cli.views import as_document, show_demo
from intraday.domain.clock import SystemClock

DataOption = Annotated[
    Path | None, typer.Option("--data", help="Folder of real data (bars and ticks); without it a synthetic market.", metavar="PATH")
]

MADE_UP_PLAN = "A made-up market: train on all sessions but the last, replay that one through the live path, verify it."
REAL_PLAN = "Real data of {}: train on the earlier sessions, replay the recorded ticks of the last ones, verify them."


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("demo")(demo)


def demo(
    data: DataOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """The whole system once, without account or network.

    Trains on a market, replays its next session through the live path, shows the signals and writes an HTML report. Without --data
    the market is made up, with an edge planted in it (trading.synthetic): its figures say nothing about real markets.

    \b
    Examples:
      intraday demo
      intraday demo --data ../shared/data
    """
    with session(config, as_json, verbose) as run:
        settings = run.settings
        from intraday.jobs.demo import run_demo

        run.say(MADE_UP_PLAN if data is None else REAL_PLAN.format(data))
        with run.progress() as progress:
            result = run_demo(settings, data, SystemClock(), progress, run.say)
        run.emit(as_document(result), lambda out: show_demo(out, result))
