"""``intraday db check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, parse_day, session
from intraday.domain.clock import SystemClock
from intraday.domain.errors import ConfigError, VerifyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intraday.database.check_rules import Finding
    from intraday.jobs.check import CheckResult

FromOption = Annotated[str | None, typer.Option("--from", help="First day of the time series.", metavar="YYYY-MM-DD")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last day, included.", metavar="YYYY-MM-DD")]
SymbolsOption = Annotated[str | None, typer.Option("--symbols", help="Only these, separated by commas.", metavar="NSE:INFY,…")]
RepairOption = Annotated[bool, typer.Option("--repair", help="Mend what can be mended, and record it.")]


def register(group: typer.Typer) -> None:
    """Add the command to the group ``db``."""
    group.command("check")(check)


def check(
    first: FromOption = None,
    last: ToOption = None,
    symbols: SymbolsOption = None,
    repair: RepairOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Look for what is wrong in the database, and mend it.

    Bars against the session table, timeframes against their minutes, gaps, features, labels, signals, orphans, the catalogue.
    Reads only; with --repair rows that can't be go to quarantine with their content, derived ones are made again, and every step
    is an event. Exits with 1 when something is wrong (and was not mended); warnings are not.

    \b
    Examples:
      intraday db check
      intraday db check --from 2021-06-01 --to 2021-06-11 --symbols NSE:INFY,NSE:TCS
      intraday db check --repair --json | jq '.findings[] | select(.left > 0)'
    """
    with session(config, as_json, verbose) as run:
        settings = run.settings
        from intraday.jobs.check import Request, run_check

        days = parse_day(first), parse_day(last)
        if days[0] is not None and days[1] is not None and days[0] > days[1]:
            raise ConfigError(f"--from: found {days[0]}, expected a day up to --to {days[1]}")
        names = tuple(name.strip() for name in (symbols or "").split(",") if name.strip())
        with run.progress() as progress:
            result = run_check(settings, Request(*days, names, repair), SystemClock(), progress)
        run.emit(_document(result), lambda out: _show(out, result))
        if result.wrong:
            raise VerifyError(
                f"{len(result.wrong)} of {len(result.findings)} checks found something wrong: {_what_next(result, repair)}"
            )


def _what_next(result: CheckResult, repaired: bool) -> str:
    if not repaired and any(f.rule.mends for f in result.wrong):
        return "run `intraday db check --repair`"
    return ", ".join(f.rule.name for f in result.wrong)


def _document(result: CheckResult) -> dict[str, Any]:
    left = {f.rule.name: f.n for f in result.findings if result.left is None} | {f.rule.name: f.n for f in result.left or ()}
    return {
        "passed": not result.wrong,
        "repaired": result.left is not None,
        "findings": [
            {
                "rule": f.rule.name, "means": f.rule.means, "found": f.n, "left": left.get(f.rule.name, 0), "examples": f.examples,
                "warning": f.rule.warning, "can_be_mended": f.rule.mends, "advice": f.rule.advice,
            }
            for f in result.findings
        ],
    }  # fmt: skip


def _show(out: Console, result: CheckResult) -> None:
    """What was found, then what is left of it."""
    found = [f for f in result.findings if f.n]
    _show_findings(out, found)
    if result.left is not None and found:
        left = [f for f in result.left if f.n]
        out.print(Text("after the repair:" if left else "after the repair nothing is left", style="bold"))
        _show_findings(out, left)
    clean = len(result.findings) - len(found)
    out.print(Text(f"{clean} of {len(result.findings)} checks found nothing", style="green" if not found else ""))


def _show_findings(out: Console, findings: Sequence[Finding]) -> None:
    for f in findings:
        out.print(Text(f"{f.n:,} {f.rule.name}: {f.rule.means}", style="yellow" if f.rule.warning else "red"), soft_wrap=True)
        for example in f.examples:
            out.print(Text(f"    {example}"), soft_wrap=True)
        if f.n > len(f.examples):
            out.print(Text(f"    … and {f.n - len(f.examples):,} more"))
        out.print(Text(f"  {f.rule.advice}", style="dim"), soft_wrap=True)
