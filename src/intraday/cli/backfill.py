"""``intraday backfill`` and ``intraday gaps``: candles from the broker, and what is missing of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, parse_day, session
from intraday.config.loading import load_rate_limits
from intraday.domain.clock import SystemClock
from intraday.domain.errors import BrokerUnavailable, ConfigError

if TYPE_CHECKING:
    from intraday.jobs.backfill import Fetch, GapRow, Plan

SHOWN = 50  # gaps and failures printed for people; --json has all


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.command("backfill")(backfill)
    root.command("gaps")(gaps)


FromOption = Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.", metavar="DAY")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD; today without it.", metavar="DAY")]
DaysOption = Annotated[
    int | None, typer.Option("--days", min=1, help="Calendar days back from the last one; without --from.", metavar="N")
]
SymbolsOption = Annotated[
    str | None, typer.Option("--symbols", help="Instead of trading.universe, separated by commas.", metavar="A,B")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be asked for, and how long it would take.")]
AgainOption = Annotated[bool, typer.Option("--again", help="Fetch days again that were fetched before; changes become versions.")]
GapSymbolOption = Annotated[
    str | None, typer.Option("--symbol", help="One or more, separated by commas; all without it.", metavar="A")
]
LastOption = Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD.", metavar="DAY")]


def backfill(
    first: FromOption = None,
    last: ToOption = None,
    days: DaysOption = None,
    symbols: SymbolsOption = None,
    dry_run: DryRunOption = False,
    again: AgainOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Fetch the broker's minute candles that are not stored yet.

    Days that were fetched once are not asked for again, so a run that was interrupted goes on where it stopped. Exits with 7 if
    some requests were not answered, with 8 if you have to log in; everything fetched before is stored.

    \b
    Examples:
      intraday backfill --days 30
      intraday backfill --from 2025-01-01 --to 2025-12-31 --symbols RELIANCE,INFY
      intraday backfill --dry-run --json
    """
    from intraday.jobs import backfill as job

    with session(config, as_json, verbose) as run:
        wish = job.Wish(_day("--from", first), _day("--to", last), days, _symbols(symbols), again)
        if wish.first is not None and wish.days is not None:
            raise ConfigError("found --from and --days, expected one of them")
        limits = load_rate_limits(config)
        if dry_run:
            plan = job.plan_backfill(run.settings, limits, wish, SystemClock(), lambda *_: None)
            run.emit(plan, lambda out: _show_plan(out, plan))
            return
        with run.progress() as progress:
            done = job.run_backfill(run.settings, limits, wish, SystemClock(), progress)
        run.emit(_document(done), lambda out: _show_fetch(out, done))
        if done.report.error is not None:
            raise done.report.error
        if done.report.failed:
            raise BrokerUnavailable(
                f"{done.report.failed} requests were not answered; run `intraday backfill` again to ask once more"
            )


def gaps(
    symbol: GapSymbolOption = None,
    first: FromOption = None,
    last: LastOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List minutes of sessions that are missing, with the reason.

    \b
    Examples:
      intraday gaps --symbol RELIANCE
      intraday gaps --from 2025-06-01 --to 2025-06-30 --json
    """
    from intraday.jobs.backfill import list_gaps

    with session(config, as_json, verbose) as run:
        rows = list_gaps(run.settings, SystemClock(), _symbols(symbol), _day("--from", first), _day("--to", last))
        run.emit(rows, lambda out: _show_gaps(out, rows))


def _symbols(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip().upper() for part in (text or "").split(",") if part.strip())


def _day(option: str, text: str | None) -> Any:
    try:
        return parse_day(text)
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None


def _document(done: Fetch) -> dict[str, Any]:
    r = done.report
    return {
        "broker": done.broker,
        "first": done.first,
        "last": done.last,
        "instruments": done.instruments,
        "unlisted": done.unlisted,
        "planned": r.planned,
        "requests": r.requests,
        "failed": r.failed,
        "candles": r.bars,
        "written": r.written,
        "rejected": r.rejected,
        "flagged": dict(r.flagged),
        "gaps": r.gaps,
        "gap_minutes": r.gap_minutes,
        "cap_days": r.cap_days,
        "seconds": r.seconds,
        "waited_s": r.waited_s,
        "failures": dict(r.failures),
        "error": None if r.error is None else str(r.error),
    }


def _show_plan(out: Console, plan: Plan) -> None:
    out.print(
        f"{plan.instruments:,} instruments, {plan.first} to {plan.last}: {plan.requests:,} requests to {plan.broker} for "
        f"{plan.session_days:,} sessions, {plan.minutes:,} minutes; {_duration(plan.seconds)} at the limit",
        markup=False,
        soft_wrap=True,
    )
    _show_unlisted(out, plan.unlisted)


def _show_fetch(out: Console, done: Fetch) -> None:
    r = done.report
    if r.planned == 0:
        text = f"nothing is missing: {done.instruments:,} instruments, {done.first} to {done.last}"
    else:
        text = (
            f"{r.bars:,} candles from {r.requests:,} of {r.planned:,} requests to {done.broker} in {_duration(r.seconds)}: "
            f"{r.written.inserted:,} new, {r.written.unchanged:,} there before, {r.written.revised:,} revised, "
            f"{r.rejected:,} rejected"
        )
    out.print(text, markup=False, soft_wrap=True)
    if r.gaps:
        out.print(f"{r.gap_minutes:,} minutes could not be had, in {r.gaps:,} gaps: `intraday gaps` lists them", markup=False)
    if r.flagged.get("corporate_action"):
        out.print("some days look like ex-dates: `intraday adjust detect` lists them", markup=False)
    if r.cap_days != 60:
        out.print(f"one request may span {r.cap_days} days now", markup=False)
    _show_unlisted(out, done.unlisted)
    for key, why in list(sorted(r.failures.items()))[:SHOWN]:
        out.print(Text(f"{key}: {why}", style="yellow"), soft_wrap=True)


def _show_unlisted(out: Console, keys: tuple[str, ...]) -> None:
    if keys:
        some = ", ".join(keys[:8]) + (" …" if len(keys) > 8 else "")
        out.print(Text(f"not in the broker's list, so not asked for: {some}", style="yellow"), soft_wrap=True)


def _show_gaps(out: Console, rows: list[GapRow]) -> None:
    if not rows:
        out.print("no gaps are known")
        return
    table = Table(title="Gaps", title_justify="left", title_style="bold", header_style="dim", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Instrument", "From", "Until"):
        table.add_column(name, no_wrap=True)
    table.add_column("Minutes", justify="right", no_wrap=True)
    table.add_column("Reason", overflow="fold")
    for row in rows[:SHOWN]:
        table.add_row(
            Text(row.key), f"{row.start:%Y-%m-%d %H:%M}", f"{row.end:%Y-%m-%d %H:%M}", f"{row.minutes:,}", Text(row.reason)
        )
    out.print(table)
    rest = len(rows) - SHOWN
    more = f"; {rest:,} more: name a --symbol or days, or use --json" if rest > 0 else ""
    out.print(f"{sum(row.minutes for row in rows):,} minutes in {len(rows):,} gaps{more}", markup=False)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
