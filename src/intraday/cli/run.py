"""``intraday run``: the mode that the configuration names."""

from __future__ import annotations

import typer

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, session
from intraday.cli.decide import live
from intraday.cli.history import historical
from intraday.config.settings import Mode


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("run")(run)


def run(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Run the mode that system.mode names.

    HISTORICAL_MODE is `intraday historical`, LIVE_MODE is `intraday live`.

    \b
    Examples:
      intraday run
      INTRADAY__SYSTEM__MODE=LIVE_MODE intraday run
    """
    with session(config, as_json, verbose) as current:
        mode = current.settings.system.mode
    if mode is Mode.HISTORICAL:
        historical(config=config, as_json=as_json, verbose=verbose)
    else:
        live(config=config, as_json=as_json, verbose=verbose)
