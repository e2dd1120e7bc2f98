"""``intraday adjust``: corporate actions, so that prices before and after an ex-date can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, parse_day, session
from intraday.cli.instruments import SourceOption, SymbolArgument, show_unknown, table
from intraday.domain.clock import SystemClock
from intraday.domain.corporate import ActionKind, ActionRow
from intraday.domain.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from intraday.jobs.adjust import Added, Probable, Stated


def register(root: typer.Typer) -> None:
    """Add the group to the command line."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Splits, bonuses, dividends, rights: adjusted series over raw bars."
    )
    group.command("add")(add)
    group.command("import")(import_)
    group.command("list")(list_)
    group.command("remove")(remove)
    group.command("detect")(detect)
    root.add_typer(group, name="adjust")


ExOption = Annotated[str, typer.Option("--ex", help="Ex-date, YYYY-MM-DD: the first day without it.", metavar="DAY")]
KindOption = Annotated[ActionKind | None, typer.Option("--kind", help="Only this kind.")]
SplitOption = Annotated[str | None, typer.Option("--split", help="Shares before:after; 1:5 makes five of one.", metavar="A:B")]
BonusOption = Annotated[str | None, typer.Option("--bonus", help="Shares new:held; 1:1 doubles them.", metavar="A:B")]
DividendOption = Annotated[str | None, typer.Option("--dividend", help="Rupees a share.", metavar="RUPEES")]
RightsOption = Annotated[str | None, typer.Option("--rights", help="Shares new:held@issue price.", metavar="A:B@PRICE")]
FactorOption = Annotated[str | None, typer.Option("--factor", help="Anything else: what earlier prices are multiplied with.")]
CloseOption = Annotated[
    float | None, typer.Option("--close", help="Close before the ex-date; the stored one without it (dividends, rights).")
]
ByHandOption = Annotated[str | None, typer.Option("--source", help="Who says so, such as a circular; without it: by hand.")]
KnownOption = Annotated[str | None, typer.Option("--known", help="Day it was announced; now without it.", metavar="DAY")]
AsKnownOption = Annotated[str | None, typer.Option("--known", help="As known at the end of that day.", metavar="DAY")]
FileArgument = Annotated[
    Path, typer.Argument(help="CSV: symbol, ex_date, kind, terms, and perhaps source, known, close.", metavar="FILE")
]
MaybeSymbolArgument = Annotated[str | None, typer.Argument(help="Symbol; all without it.", metavar="SYMBOL")]
SinceOption = Annotated[str | None, typer.Option("--since", help="First day of the bars to look at.", metavar="DAY")]


def add(
    symbol: SymbolArgument,
    ex: ExOption,
    split: SplitOption = None,
    bonus: BonusOption = None,
    dividend: DividendOption = None,
    rights: RightsOption = None,
    factor: FactorOption = None,
    close: CloseOption = None,
    known: KnownOption = None,
    source: ByHandOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Store a corporate action.

    Bars stay as they were traded; the views ohlcv_1min_adjusted, ohlcv_5min_adjusted ... show them adjusted. An action of the same
    day and kind with other terms takes the place of the one that was stored; that one stays known as what was believed until now.

    \b
    Examples:
      intraday adjust add RELIANCE --ex 2024-10-28 --bonus 1:1
      intraday adjust add TATASTEEL --ex 2022-07-28 --split 1:10 --source "NSE circular"
      intraday adjust add ITC --ex 2024-06-04 --dividend 7.50
    """
    from intraday.jobs import adjust

    with session(config, as_json, verbose) as run:
        kind, terms = _terms(
            {
                ActionKind.SPLIT: split, ActionKind.BONUS: bonus, ActionKind.DIVIDEND: dividend, ActionKind.RIGHTS: rights,
                ActionKind.OTHER: factor,
            }
        )  # fmt: skip
        row = ActionRow(symbol, _day(ex), kind, terms, source, parse_day(known), close)
        done = adjust.add(run.settings, SystemClock(), row)
        run.emit(done, lambda out: _show_added(out, done))


def import_(
    path: FileArgument,
    source: SourceOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Import a list of corporate actions.

    All of it or nothing; importing it again changes nothing. Symbols without bars are left out and named.

    \b
    Examples:
      intraday adjust import actions.csv      # symbol,ex_date,kind,terms
      intraday adjust import actions.csv --source "NSE, corporate actions" --json
    """
    from intraday.jobs import adjust

    with session(config, as_json, verbose) as run:
        done = adjust.import_file(run.settings, SystemClock(), path, source)
        run.emit(done, lambda out: _show_added(out, done))


def list_(
    symbol: MaybeSymbolArgument = None,
    known: AsKnownOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List the corporate actions that count.

    \b
    Examples:
      intraday adjust list
      intraday adjust list RELIANCE --known 2024-09-30 --json      # as it was known then
    """
    from intraday.jobs import adjust

    with session(config, as_json, verbose) as run:
        found = adjust.listed(run.settings, SystemClock(), symbol, parse_day(known))
        run.emit(found, lambda out: _show_listed(out, found))


def remove(
    symbol: SymbolArgument,
    ex: ExOption,
    kind: KindOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Let a corporate action count no more, from now on.

    \b
    Examples:
      intraday adjust remove RELIANCE --ex 2024-10-28
      intraday adjust remove RELIANCE --ex 2024-10-28 --kind bonus
    """
    from intraday.jobs import adjust

    with session(config, as_json, verbose) as run:
        n = adjust.remove(run.settings, SystemClock(), symbol, _day(ex), kind)
        run.emit({"removed": n}, lambda out: out.print(f"{n} removed", markup=False))


def detect(
    symbol: MaybeSymbolArgument = None,
    since: SinceOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Find sessions in the stored bars that look like ex-dates.

    The open is a simple ratio of the close before, and the rupees traded stay as they were. Whether it was a split or bad news, an
    exchange's circular says: nothing is stored.

    \b
    Examples:
      intraday adjust detect
      intraday adjust detect HINDPETRO --since 2016-01-01 --json
    """
    from intraday.jobs import adjust

    with session(config, as_json, verbose) as run:
        with run.progress() as progress:
            found = adjust.detect(run.settings, SystemClock(), symbol, parse_day(since), progress)
        run.emit(found, lambda out: _show_probable(out, found))


def _day(text: str) -> date:
    day = parse_day(text)
    assert day is not None
    return day


def _terms(given: dict[ActionKind, str | None]) -> tuple[ActionKind, str]:
    told = [(kind, terms) for kind, terms in given.items() if terms is not None]
    if len(told) != 1:
        raise ConfigError(f"expected one of --split, --bonus, --dividend, --rights and --factor, found {len(told)}")
    return told[0]


def _show_added(out: Console, done: Added) -> None:
    for s in done.stated:
        a = s.action
        words = f"{s.key}: {a.kind} {a.terms} ex {a.ex_date}: earlier prices × {a.price_factor:g}, volumes × {a.volume_factor:g}"
        out.print(words, markup=False, soft_wrap=True)
        for more in filter(None, (s.out, s.doubt and f"warning: {s.doubt}")):
            out.print(f"  {more}", markup=False, soft_wrap=True)
    r = done.report
    out.print(f"{r.inserted} new, {r.revised} corrected, {r.unchanged} known before", markup=False)
    show_unknown(out, done.unknown)


def _show_listed(out: Console, found: Sequence[Stated]) -> None:
    if not found:
        out.print("no corporate actions", markup=False)
        return
    made = table("Corporate actions", "Instrument", "Ex-date", "Kind", "Terms", "Prices ×", "Volumes ×", "Source")
    for s in found:
        a = s.action
        cells = (s.key, str(a.ex_date), a.kind.value, a.terms, f"{a.price_factor:g}", f"{a.volume_factor:g}", a.source)
        made.add_row(*(Text(cell) for cell in cells))
    out.print(made)
    for s in found:
        if s.out:
            out.print(f"{s.key}: {s.out}", markup=False, soft_wrap=True)


def _show_probable(out: Console, found: Sequence[Probable]) -> None:
    if not found:
        out.print("nothing looks like an ex-date", markup=False)
        return
    made = table("Probable corporate actions", "Instrument", "Day", "As a split", "Open / close", "Turnover", "Stored")
    for p in found:
        cells = (p.key, str(p.ex_date), p.terms, f"{p.move:.3f}", f"{p.turnover:.2f} x", "yes" if p.stated else "no")
        made.add_row(*(Text(cell) for cell in cells))
    out.print(made)
