"""``intraday import`` and ``intraday historical``: bars in, a model out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, Session, VerboseOption, session
from intraday.cli.views import as_document, show_historical
from intraday.domain.clock import SystemClock
from intraday.domain.errors import ConfigError, InputError
from intraday.domain.instruments import Kind

if TYPE_CHECKING:
    from intraday.history.importing import FileReport, ImportOptions

FIELDS = ("ts", "date", "time", "open", "high", "low", "close", "volume", "symbol")
WIDE = 110  # columns of a terminal that has room for everything


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.command("import")(import_bars)
    root.command("historical")(historical)


PathsArgument = Annotated[list[Path], typer.Argument(help="Parquet or CSV files, or folders of them.", metavar="PATH...")]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", help="Our field = the file's column, e.g. ts=datetime; may be repeated.", metavar="FIELD=COLUMN"),
]
TzOption = Annotated[str, typer.Option("--tz", help="Time zone of stamps that carry none.", metavar="ZONE")]
FormatOption = Annotated[
    str | None, typer.Option("--time-format", help="Format of text stamps, e.g. '%d-%m-%Y %H:%M'.", metavar="FORMAT")
]
SeparatorOption = Annotated[str, typer.Option("--separator", help="Separator of CSV files.")]
SymbolOption = Annotated[str | None, typer.Option("--symbol", help="Symbol of all files, where neither file nor manifest says it.")]
KindOption = Annotated[Kind | None, typer.Option("--kind", help="Kind of all files, where the manifest does not say it.")]
ManifestOption = Annotated[
    Path | None, typer.Option("--manifest", help="CSV with columns file, symbol, kind, exchange.", metavar="PATH")
]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="A row that differs from an imported one becomes its new version.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Stop at the first file that cannot be used.")]


def import_bars(
    paths: PathsArgument,
    columns: MapOption = None,
    tz: TzOption = "Asia/Kolkata",
    time_format: FormatOption = None,
    separator: SeparatorOption = ",",
    symbol: SymbolOption = None,
    kind: KindOption = None,
    manifest: ManifestOption = None,
    replace: ReplaceOption = False,
    strict: StrictOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Store 1-minute bars from Parquet or CSV files.

    Rejected rows are kept in quarantine with the reason; importing twice changes nothing. Exits with 3 if any file could not be
    used; the others are stored.

    \b
    Examples:
      intraday import ../shared/data/bars/nse_2021_from_ticks
      intraday import bars.csv --symbol INFY --map ts=datetime --map close=ltp
      intraday import spy.csv --tz America/New_York --json
    """
    from intraday.history.importing import ImportOptions
    from intraday.history.readers import ReadOptions

    with session(config, as_json, verbose) as run:
        read = ReadOptions(_columns(columns or []), tz, time_format, separator)
        options = ImportOptions(read, symbol, kind, run.settings.trading.exchange, manifest, replace, strict)
        reports = _import(run, paths, options)
        run.emit(reports, lambda out: _show_import(out, reports))
        failed = [report.path for report in reports if report.error]
        if failed:
            raise InputError(f"{len(failed)} of {len(reports)} files could not be used; nothing of them was stored")


def _import(run: Session, paths: list[Path], options: ImportOptions) -> list[FileReport]:
    from intraday.jobs.historical import import_bars as run_import

    with run.progress() as progress:
        return run_import(run.settings, paths, options, SystemClock(), progress)


def historical(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """HISTORICAL_MODE: candles become a model.

    Login, instruments and missing candles (where broker.feed has a broker), then features, labels, walk-forward training, artifact.
    Running it again changes no row.

    \b
    Examples:
      intraday historical
      INTRADAY__TRADING__TIMEFRAME=15 intraday historical --json
    """
    with session(config, as_json, verbose) as run:
        settings = run.settings
        from intraday.jobs.historical import run_historical

        with run.progress() as progress:
            result = run_historical(settings, SystemClock(), progress, limits=run.limits, write=run.say)
        run.emit(as_document(result), lambda out: show_historical(out, result))


def _columns(pairs: list[str]) -> dict[str, str]:
    columns = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not equals or field not in FIELDS or not column:
            raise ConfigError(f"--map: found {pair!r}, expected FIELD=COLUMN with FIELD one of {', '.join(FIELDS)}")
        columns[field] = column
    return columns


def _show_import(out: Console, reports: list[FileReport]) -> None:
    used = [r for r in reports if not r.error]
    if used:
        out.print(_import_table(used, wide=out.width >= WIDE))
    for r in reports:
        if r.error:
            out.print(Text(f"not used: {r.error}", style="red"), soft_wrap=True)
        for odd in r.odd:
            out.print(Text(f"odd, and kept: {r.symbol} {odd}", style="yellow"), soft_wrap=True)
    seconds, rows = sum(r.seconds for r in reports), sum(r.rows for r in reports)
    out.print(f"{len(reports)} {'file' if len(reports) == 1 else 'files'}, {rows:,} rows in {seconds:.1f} s", markup=False)


def _import_table(reports: list[FileReport], *, wide: bool) -> Table:
    """One row a file; a narrow terminal goes without the days, and without "revised" when nothing was."""
    table = Table(
        title="Imported", title_justify="left", title_style="bold", header_style="dim", box=box.SIMPLE_HEAD, pad_edge=False
    )
    revised = any(r.revised for r in reports)
    counts = ("Rows", "Stored", "There before", *(("Revised",) if revised else ()), "Gap minutes")
    table.add_column("Symbol", overflow="fold")
    for name in (*counts, *(("First day", "Last day") if wide else ())):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Rejected", overflow="fold")
    for r in reports:
        rejected = ", ".join(f"{n:,} {reason.replace('_', ' ')}" for reason, n in r.rejected.items() if n)
        numbers = (r.rows, r.stored, r.unchanged, *((r.revised,) if revised else ()), r.gap_minutes)
        days = (_day(r.first_ns), _day(r.last_ns)) if wide else ()
        table.add_row(Text(r.symbol), *(f"{n:,}" for n in numbers), *days, Text(rejected))
    return table


def _day(ts_ns: int | None) -> str:
    if ts_ns is None:
        return ""
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ts_ns // 1000, hours=5, minutes=30):%Y-%m-%d}"
