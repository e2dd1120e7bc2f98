"""``intraday verify``: prove the stored days, and say each difference in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone

from intraday.app import System, build_verifier, open_system
from intraday.backtest.verify import VerifyReport, require
from intraday.config.settings import Settings
from intraday.domain.clock import Clock
from intraday.domain.errors import VerifyError
from intraday.domain.ports import Progress, RunDay, Source
from intraday.jobs import page
from intraday.jobs.outcome import Verification

IST = timezone(timedelta(hours=5, minutes=30), "IST")


def run_verify(settings: Settings, day: date | None, source: Source | None, clock: Clock, progress: Progress) -> Verification:
    """The newest run of every stored day (or of ``day``) and source. VerifyError when nothing was run."""
    with open_system(settings, clock) as system:
        found = system.stores.runs.days(day, source)
        if not found and day is None:
            raise VerifyError("nothing was replayed or run live yet; expected a journalled day (intraday replay, intraday live)")
        require(found, day)
        return verification(verify_days(system, newest_runs(system, day, source), progress))


def newest_runs(system: System, day: date | None = None, source: Source | None = None) -> list[RunDay]:
    """The newest run of each (day, source), by day."""
    newest: dict[tuple[date, Source], RunDay] = {}
    for run in system.stores.runs.days(day, source):
        newest.setdefault((run.day, run.source), run)
    return [newest[key] for key in sorted(newest)]


def verify_days(system: System, runs: Sequence[RunDay], progress: Progress) -> list[VerifyReport]:
    """One report a run."""
    verifier = build_verifier(system)
    reports = []
    for i, run in enumerate(runs):
        progress("verify", i, len(runs))
        reports.append(verifier.verify(run))
    progress("verify", len(runs), len(runs))
    return reports


def verification(reports: Sequence[VerifyReport]) -> Verification:
    """What the CLI shows of reports."""
    return Verification([c for r in reports for c in page.checks(r)], [line for r in reports for line in differences(r)])


def differences(report: VerifyReport) -> Iterator[str]:
    """Every difference that breaks a promise, a line each, then every explained candle."""
    for check in report.checks:
        for d in check.differences:
            where = f"{_symbol(report, d.inst)} {_time(d.ts_ns)}" if d.inst >= 0 else str(report.run.day)
            yield f"{d.check}: {d.what} {where} {d.field}: stored {d.stored}, recomputed {d.again}"
    for part, name in ((report.features, "features"), (report.signals, "signal")):
        for ts_ns, inst in part.unexplained:
            yield f"as corrected: {name} {_symbol(report, inst)} {_time(ts_ns)}: unexplained"
    for c in report.candles:
        where = f"{_symbol(report, c.inst)} {_time(c.ts_ns)}"
        yield f"as corrected: candle {where}: stored {_bar(c.stored)}, best {_bar(c.best)}: {c.cause}"


def _symbol(report: VerifyReport, inst: int) -> str:
    return report.symbols[inst]


def _time(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone(IST):%Y-%m-%d %H:%M}"


def _bar(values: tuple[float, ...] | None) -> str:
    return "absent" if values is None else "/".join(f"{v:g}" for v in values)
