"""The ``intraday`` command and its groups."""

from __future__ import annotations

import signal
import sys
from importlib.metadata import version
from types import FrameType
from typing import Annotated

import typer

from intraday.cli import (
    adjust,
    audit,
    auth,
    backfill,
    backtest,
    backup,
    charges,
    config,
    controls,
    database,
    decide,
    demo,
    doctor,
    features,
    history,
    instruments,
    limits,
    models,
    report,
    retrain,
    run,
    sim,
    universe,
)
from intraday.cli.common import INTERRUPTED

root = typer.Typer(
    name="intraday",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for module in (
    run,
    history,
    retrain,
    report,
    models,
    backfill,
    decide,
    backtest,
    audit,
    controls,
    features,
    database,
    backup,
    auth,
    sim,
    instruments,
    universe,
    limits,
    adjust,
    charges,
    doctor,
    demo,
    config,
):
    module.register(root)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"intraday {version('intraday')}")
        raise typer.Exit


@root.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Intraday trading signals for NSE India on Kite Connect. It decides and alerts; it never places orders.

    No investment advice: signals are the output of a statistical model.
    """


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line and exit: 0 done, 2 wrong usage or configuration, 130 interrupted; docs/cli.md lists all codes."""
    signal.signal(signal.SIGTERM, _terminate)  # a polite kill leaves things as consistent as Ctrl-C
    try:
        root(prog_name="intraday")  # also when started as `python -m intraday`
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
