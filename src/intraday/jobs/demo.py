"""``intraday demo``: the whole system once, without network or account, in a database of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from intraday.app import System, build_historical, build_importer, build_market, load_model, open_system
from intraday.config.settings import Settings
from intraday.domain.clock import Clock
from intraday.domain.errors import InputError
from intraday.domain.ports import Progress
from intraday.history.importing import ImportOptions
from intraday.jobs import page
from intraday.jobs.historical import MADE_UP, fill_synthetic
from intraday.jobs.outcome import Outcome, recorded_run
from intraday.jobs.replay import ReplayPlan, recorded_plan, replay_report, run_days, summary
from intraday.jobs.verify import newest_runs, verify_days
from intraday.live.assembly import LoadedModel
from intraday.live.day import DayResult
from intraday.report.html import render

REAL_BARS = Path("bars") / "nse_2021_from_ticks"
REAL_TICKS = Path("ticks") / "nse_2021"
REPLAYED = 3  # last recorded sessions of real data that are kept from training and replayed


def run_demo(
    settings: Settings, data: Path | None, clock: Clock, progress: Progress, write: Callable[[str], object] = print
) -> Outcome:
    """A synthetic market (or the real set under ``data``): train, replay what follows, verify, report."""
    with open_system(demo_settings(settings, data), clock) as system, recorded_run(system, "demo") as run:
        prepare = _synthetic if data is None else _real
        plan, last = prepare(system, data or Path(), progress)
        result = build_historical(system, progress, last=last, run_id=run.id).run(system.universe())
        model = load_model(system, result.model_id)
        results = run_days(system, model, plan, run.id, progress, write)
        if data is None:
            _evening(system, progress)
        outcome = _conclude(system, model, plan, results, last, progress, MADE_UP if data is None else "")
        run.summary |= outcome.summary
        return outcome


def demo_settings(settings: Settings, data: Path | None) -> Settings:
    """The user's settings, with a folder and database of the demo's own: nothing of the user's is touched."""
    s = settings.trading.synthetic
    name = f"synthetic-{_short(s.model_dump_json())}" if data is None else f"data-{_short(str(data.resolve()))}"
    system = settings.system.model_copy(update={"data_dir": settings.system.data_dir / "demo" / name})
    database = settings.database.model_copy(update={"dsn": None})
    return settings.model_copy(update={"system": system, "database": database})


def _synthetic(system: System, data: Path, progress: Progress) -> tuple[ReplayPlan, date]:
    """All sessions but the last go into the database; the last is for the live path."""
    market = build_market(system.settings.trading, system.sessions)
    n = system.settings.trading.synthetic.sessions
    fill_synthetic(system, market, range(n - 1), progress)
    instruments = tuple(system.stores.instruments.upsert(market.instruments))
    plan = ReplayPlan(instruments, (market.sessions[n - 1],), lambda _: market.ticks(n - 1))
    return plan, market.sessions[n - 2].day


def _evening(system: System, progress: Progress) -> None:
    """After the close the clean candles of the replayed session arrive, as a broker's would: something to verify against."""
    last = system.settings.trading.synthetic.sessions - 1
    fill_synthetic(system, build_market(system.settings.trading, system.sessions), range(last, last + 1), progress)


def _real(system: System, data: Path, progress: Progress) -> tuple[ReplayPlan, date]:
    """The real 2021 set: train on the earlier sessions, replay the recorded ticks of the last ones."""
    bars, ticks = data / REAL_BARS, data / REAL_TICKS
    for path in (bars, ticks):
        if not path.is_dir():
            raise InputError(
                f"{path}: expected a folder of the demo's real data, found none; give the folder that holds bars/ and ticks/"
            )
    build_importer(system, progress).import_paths([bars], ImportOptions())
    plan = recorded_plan(system, [ticks], None, None)
    if len(plan.days) <= REPLAYED:
        raise InputError(f"{ticks}: expected more than {REPLAYED} recorded sessions, found {len(plan.days)}")
    plan = replace(plan, days=plan.days[-REPLAYED:])
    return plan, system.sessions.previous(plan.days[0].day).day


def _conclude(
    system: System, model: LoadedModel, plan: ReplayPlan, results: Sequence[DayResult], last: date, progress: Progress, note: str
) -> Outcome:
    """Verify the replayed days and write the page."""
    reports = verify_days(
        system, [r for r in newest_runs(system, source=plan.source) if r.day in {s.day for s in plan.days}], progress
    )
    report = replay_report(system, model, plan, results, "Demo: replay")
    checks = [c for r in reports for c in page.checks(r)]
    report = replace(report, header=replace(report.header, note=note), checks=checks)
    figures = {
        **summary(results, model),
        "trained_until": str(last),
        "verdict": model.predictor.artifact.verdict,
        "differences_as_known": sum(r.n_known for r in reports),
        "differences_as_corrected": sum(len(r.candles) for r in reports),
        "unexplained": sum(r.n_unexplained for r in reports),
    }
    where = system.settings.system.data_dir / "reports" / "demo.html"
    return Outcome(figures, report, render(report, where))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
