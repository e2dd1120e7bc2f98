"""``intraday db maintain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, session
from intraday.domain.clock import SystemClock

if TYPE_CHECKING:
    from intraday.database.maintenance import Report

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def register(group: typer.Typer) -> None:
    """Add the command to ``intraday db``."""
    group.command("maintain")(maintain)


def maintain(
    dry_run: DryRunOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Refresh timeframes, drop and compress what is old.

    How long rows are kept is database.retention, when they are compressed database.compress_after_days. Running it again
    finds nothing to do; `historical` and `live` end with it.

    \b
    Examples:
      intraday db maintain --dry-run
      intraday db maintain --json | jq '.done[].what'
    """
    from intraday.jobs.maintain import run_maintain

    with session(config, as_json, verbose) as run:
        settings = run.settings
        with run.progress() as progress:
            report = run_maintain(settings, SystemClock(), progress, dry_run=dry_run)
        done = [{"kind": kind, "what": what} for kind, what in report.done]
        run.emit({"dry_run": dry_run, "done": done}, lambda out: _show(out, report))


def _show(out: Console, report: Report) -> None:
    if not report.done:
        out.print("nothing to do")
    for kind, what in report.done:
        out.print(f"{'would do: ' if report.dry_run else ''}{kind}: {what}", markup=False, soft_wrap=True)
