"""``intraday import`` and ``intraday historical``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from intraday.app import System, build_historical, build_importer, build_market, closing_auction, open_system
from intraday.config.settings import RateLimits, Settings
from intraday.core.anchor import EPOCH
from intraday.core.synthetic import SyntheticMarket
from intraday.domain.arrays import MINUTE_NS, Bars
from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError
from intraday.domain.gaps import NOT_IN_FILE, expected_minutes, runs
from intraday.domain.ports import Gap, Progress, Source, WriteReport
from intraday.domain.session import Session
from intraday.history.importing import FileReport, ImportOptions
from intraday.history.plan import HistoricalResult
from intraday.jobs import page
from intraday.jobs.adjust import sitting_out
from intraday.jobs.exchange import OVER_THE_WIRE, open_exchange
from intraday.jobs.gather import gather
from intraday.jobs.maintain import keep_house
from intraday.jobs.outcome import Outcome, Run, recorded_run
from intraday.jobs.own_features import own_features
from intraday.jobs.report_parts import with_evidence
from intraday.model.artifacts import Artifact, read_explained, read_oos
from intraday.report.assemble import coverage_of, header_of, model_parts
from intraday.report.html import render
from intraday.report.inputs import ReportInput

MADE_UP = (
    "The market is made up, with an edge planted in it, far larger than any real market offers: these figures say that the "
    "machinery works, and nothing about real prices."
)


def import_bars(
    settings: Settings, paths: Sequence[Path], options: ImportOptions, clock: Clock, progress: Progress
) -> list[FileReport]:
    """Store bar files, row by row accounted for. ConfigError for a database that a simulator fills."""
    with open_system(settings, clock) as system, recorded_run(system, "import") as run:
        market = system.stores.origin.made_up()
        if market is not None:
            raise ConfigError(
                f"this database holds the made-up candles of {market}, expected none where real ones are imported: set "
                "system.data_dir to another folder, or database.dsn to another database"
            )
        options = replace(options, kept_ns=system.stores.bars.kept_ns())
        reports = build_importer(system, progress).import_paths(paths, options)
        system.stores.instruments.save_sessions(system.sessions.between(system.sessions.first, system.sessions.confirmed))
        run.summary |= {"files": len(reports), "rows": sum(r.rows for r in reports), "stored": sum(r.stored for r in reports)}
        return reports


def run_historical(
    settings: Settings,
    clock: Clock,
    progress: Progress,
    first: date | None = None,
    last: date | None = None,
    *,
    limits: RateLimits = RateLimits(),  # noqa: B008  frozen
    write: Callable[[str], object] = print,
) -> Outcome:
    """HISTORICAL_MODE: what the broker has and we have not is fetched, then stored bars become features, labels and a model.

    Without a broker (``broker.feed`` synthetic or recorded) it works on what is stored; an empty database is filled from the
    synthetic market. Raises AuthError when somebody has to log in, BrokerError; NotEnoughData.
    """
    if settings.broker.feed not in OVER_THE_WIRE:
        with open_system(settings, clock) as system, recorded_run(system, "historical") as run:
            return _trained(system, run, progress, first, last, {}, write)
    with (
        open_exchange(settings, limits, clock, speed=1.0) as endpoint,
        open_system(settings, endpoint.clock) as system,
        recorded_run(system, "historical") as run,
    ):
        gathered = gather(system, endpoint, limits, progress, first, last)
        for warning in gathered.warnings():
            write(f"warning: {warning}")
        return _trained(system, run, progress, first, last, gathered.summary(), write)


def _trained(
    system: System,
    run: Run,
    progress: Progress,
    first: date | None,
    last: date | None,
    found: Mapping[str, object],
    write: Callable[[str], object],
) -> Outcome:
    """Train, and the page of it."""
    result = train(system, progress, first, last, run.id)
    for words in sitting_out(system, result.last):
        write(f"warning: {words}")
    run.summary |= {**found, **result.summary()}
    report = historical_report(system, result)
    keep_house(system)
    where = system.settings.system.data_dir / "reports" / f"historical-{result.model_id}.html"
    return Outcome({**found, **result.summary()}, report, render(report, where))


def train(
    system: System, progress: Progress, first: date | None = None, last: date | None = None, run_id: str = ""
) -> HistoricalResult:
    """HISTORICAL_MODE on an open system; fills an empty database when the feed is the synthetic one. ``run_id``: of the run that
    asks, for the trials ledger."""
    settings = system.settings
    if settings.broker.feed == "synthetic" and not system.stores.instruments.all():
        market = build_market(settings.trading, system.sessions)
        fill_synthetic(system, market, range(settings.trading.synthetic.sessions), progress)
    return build_historical(system, progress, first, last, run_id).run(system.universe())


def fill_synthetic(system: System, market: SyntheticMarket, which: range, progress: Progress) -> WriteReport:
    """Store the bars of these sessions of the market as imported ones."""
    instruments = system.stores.instruments.upsert(market.instruments)
    ids = [i.id for i in instruments]
    total = WriteReport()
    for done, i in enumerate(which):
        progress("synthetic market", done, len(which))
        bars = market.bars(i)
        total += system.stores.bars.write(ids, bars, Source.IMPORT, system.clock.now_ns())
        system.stores.bars.save_gaps(_untraded(ids, market.sessions[i], bars))
    progress("synthetic market", len(which), len(which))
    system.stores.instruments.save_sessions(list(market.sessions))
    return total


def _untraded(ids: Sequence[int], session: Session, bars: Bars) -> list[Gap]:
    """Minutes without trades: an import of the same bars would miss them too."""
    grid = expected_minutes([session])
    missing = [runs(np.setdiff1d(grid, bars["ts_ns"][bars["inst"] == k])) for k in range(len(ids))]
    return [
        Gap(i, a, b, NOT_IN_FILE, (b - a) // MINUTE_NS) for i, spans in zip(ids, missing, strict=True) for a, b in spans.tolist()
    ]


def historical_report(system: System, result: HistoricalResult) -> ReportInput:
    """The page of a training run."""
    times = [(f"Time for {s.name}", f"{s.seconds:.1f} s, {s.rows:,} rows") for s in result.steps]
    facts = [*page.facts(result.artifact), ("Labels", page.labels(result.labels)), *times]
    return report_of(system, result.artifact, f"HISTORICAL_MODE, {result.n_sessions} sessions", "HISTORICAL_MODE", facts)


def report_of(system: System, artifact: Artifact, title: str, mode: str, facts: Sequence[tuple[str, str]]) -> ReportInput:
    """What an artifact says about itself, with the coverage of the bars behind it."""
    data = artifact.manifest["data"]
    symbols = set(data["symbols"])
    instruments = [i for i in system.stores.instruments.all() if i.key in symbols]
    first, last = day_of(data["first_session"]), day_of(data["last_session"])
    stored = [row for row in system.stores.bars.coverage() if first <= row[1] <= last]
    n_sessions = len({day for _, day, _ in stored})
    source = f"the database, {data['view']} of each bar"
    oos = read_oos(artifact.path)
    parts = model_parts(artifact, oos, sorted({day for _, day, _ in stored}), read_explained(artifact.path))
    header = header_of(artifact, title, system.clock.now_ns(), mode, source, n_sessions)
    market = system.stores.origin.made_up()
    report = ReportInput(
        header=header if market is None else replace(header, note=f"{MADE_UP} They come from {market}."),
        **{f.name: getattr(parts, f.name) for f in fields(parts)},
        own=own_features(system, artifact),
        coverage=coverage_of(stored, instruments, system.sessions, closing_auction(system)),
        facts=tuple(facts),
    )
    return with_evidence(system, artifact, oos, report)


def day_of(number: int) -> date:
    """The day of a session number."""
    return EPOCH + timedelta(days=number)
