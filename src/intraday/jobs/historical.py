"""``intraday import`` and ``intraday historical``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np

from intraday.app import System, build_historical, build_importer, build_market, open_system
from intraday.config.settings import Settings
from intraday.core.synthetic import SyntheticMarket
from intraday.domain.clock import Clock
from intraday.domain.ports import Progress, Source, WriteReport
from intraday.history.importing import FileReport, ImportOptions
from intraday.history.plan import HistoricalResult
from intraday.jobs import page
from intraday.jobs.outcome import Outcome, recorded_run
from intraday.model.artifacts import Artifact, read_oos
from intraday.report.html import render
from intraday.report.inputs import Coverage, Header, ReportInput


def import_bars(
    settings: Settings, paths: Sequence[Path], options: ImportOptions, clock: Clock, progress: Progress
) -> list[FileReport]:
    """Store bar files, row by row accounted for."""
    with open_system(settings, clock) as system, recorded_run(system, "import") as run:
        reports = build_importer(system, progress).import_paths(paths, options)
        system.stores.instruments.save_sessions(system.sessions.between(system.sessions.first, system.sessions.last))
        run.summary |= {"files": len(reports), "rows": sum(r.rows for r in reports), "stored": sum(r.stored for r in reports)}
        return reports


def run_historical(
    settings: Settings, clock: Clock, progress: Progress, first: date | None = None, last: date | None = None
) -> Outcome:
    """Stored bars become features, labels and a model; with ``broker.feed: synthetic`` an empty database is filled first."""
    with open_system(settings, clock) as system, recorded_run(system, "historical") as run:
        if settings.broker.feed == "synthetic" and not system.stores.instruments.all():
            fill_synthetic(system, build_market(settings.trading, system.sessions), settings.trading.synthetic.sessions, progress)
        result = build_historical(system, progress, first, last).run(system.universe())
        run.summary |= result.summary()
        report = historical_report(system, result)
        where = settings.system.data_dir / "reports" / f"historical-{result.model_id}.html"
        return Outcome(result.summary(), report, render(report, where))


def fill_synthetic(system: System, market: SyntheticMarket, n_sessions: int, progress: Progress) -> WriteReport:
    """Store the bars of the market's first ``n_sessions`` as imported ones."""
    instruments = system.stores.instruments.upsert(market.instruments)
    ids = [i.id for i in instruments]
    total = WriteReport()
    for i in range(n_sessions):
        progress("synthetic market", i, n_sessions)
        total += system.stores.bars.write(ids, market.bars(i), Source.IMPORT, system.clock.now_ns())
    progress("synthetic market", n_sessions, n_sessions)
    system.stores.instruments.save_sessions(list(market.sessions))
    return total


def historical_report(system: System, result: HistoricalResult) -> ReportInput:
    """The page of a training run."""
    artifact = result.artifact
    times = [(f"Time for {s.name}", f"{s.seconds:.1f} s, {s.rows:,} rows") for s in result.steps]
    return report_of(
        system, artifact, f"HISTORICAL_MODE, {result.n_sessions} sessions", "HISTORICAL_MODE", [*page.facts(artifact), *times]
    )


def report_of(system: System, artifact: Artifact, title: str, mode: str, facts: Sequence[tuple[str, str]]) -> ReportInput:
    """What an artifact says about itself, with the coverage of the bars behind it."""
    manifest, oos = artifact.manifest, read_oos(artifact.path)
    data = manifest["data"]
    first, last = page.day_of(data["first_session"]), page.day_of(data["last_session"])
    return ReportInput(
        header=Header(
            title=title,
            made_ns=system.clock.now_ns(),
            mode=mode,
            source=f"{len(data['symbols'])} instruments, {data['view']} of each bar",
            first_day=first,
            last_day=last,
            n_sessions=int(np.unique(oos.session).size),
            n_instruments=len(data["symbols"]),
            timeframe=artifact.features.timeframe,
            model_id=artifact.id,
            verdict=artifact.verdict,
            reason=manifest["reason"],
        ),
        figures=page.figures(manifest["metrics"]),
        equity=page.equity(oos),
        reliability=page.reliability(manifest["metrics"]["calibration"]),
        confusion=page.confusion(oos),
        importance=[(i["name"], i["gain"]) for i in manifest["importance"]],
        folds=page.folds(manifest["folds"]),
        coverage=coverage(system, first, last),
        facts=tuple(facts),
    )


def coverage(system: System, first: date, last: date) -> list[Coverage]:
    """Stored best bars against what the sessions hold, by instrument."""
    minutes = {s.day: s.minutes for s in system.sessions.between(first, last)}
    symbols = {i.id: i.symbol for i in system.stores.instruments.all()}
    held: dict[int, dict[date, int]] = {}
    for i, day, n in system.stores.bars.coverage():
        if day in minutes:
            held.setdefault(i, {})[day] = n
    return [Coverage(symbols[i], len(days), sum(days.values()), sum(minutes[d] for d in days)) for i, days in held.items()]
