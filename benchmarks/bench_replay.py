"""Ticks a second through the whole engine, features and prediction included, in frames of one exchange second.

A model is trained on a small synthetic market in a database of its own; then one session goes (1) through ``Engine.process``
alone, on one core, against the limit of 200 000 ticks/s, and (2) through the whole live path, with journal and database writes,
against (1). With the recorded set of ``--data`` (default: ``../shared/data`` if it is there) the same for nine real instruments.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from figures import Figure, figure, finish

from intraday.app import System, build_alerts, build_day_runner, build_importer, build_market, load_model, open_system
from intraday.config.settings import Settings
from intraday.domain.arrays import Ticks
from intraday.domain.clock import SystemClock
from intraday.domain.events import SaveSignals
from intraday.domain.instruments import Instrument
from intraday.domain.ports import Source
from intraday.domain.session import Session
from intraday.history.importing import ImportOptions
from intraday.jobs.historical import run_historical
from intraday.jobs.replay import recorded_plan
from intraday.live.assembly import LoadedModel
from intraday.live.recorded import frames
from intraday.live.sources import RecordedSource, timed_events
from intraday.live.warmup import warm

LIMIT = 200_000.0
OUTAGE_NS = 30 * 10**9


@dataclass(frozen=True)
class Case:
    """One session of ticks."""

    name: str
    session: Session
    instruments: list[Instrument]
    ticks: Ticks


def engine_rate(system: System, model: LoadedModel, case: Case, runs: int = 3) -> tuple[float, int]:
    """(best ticks a second of ``Engine.process``, signals made); building events and warming up are not counted."""
    grace_ns = system.settings.live.grace_ms * 1_000_000
    events = list(timed_events(case.session, frames(case.ticks), grace_ns, OUTAGE_NS))
    best, signals = 0.0, 0
    for _ in range(runs):
        calculator = model.calculator(case.instruments)
        warm(calculator, system.stores.bars, [i.id for i in case.instruments], case.session, system.sessions)
        cost = model.cost(case.session, case.instruments)
        engine = model.engine(case.session, calculator, case.instruments, cost, grace_ns)
        start = time.perf_counter()
        effects = [effect for event in events for effect in engine.process(event)]
        best = max(best, len(case.ticks) / (time.perf_counter() - start))
        signals = sum(len(e.signals) for e in effects if isinstance(e, SaveSignals))
    return best, signals


def whole_rate(system: System, model: LoadedModel, case: Case, number: int) -> float:
    """Ticks a second of the live path: queue, journal, engine, database, alerts to the log."""
    live = system.settings.live
    runner = build_day_runner(system, model, case.instruments, Source.REPLAY, f"bench-{case.name}-{number}")
    feed = RecordedSource(case.session, frames(case.ticks), live.grace_ms * 1_000_000, OUTAGE_NS, system.clock)
    alerts = build_alerts(system.settings, model, case.instruments, print)
    start = time.perf_counter()
    asyncio.run(runner.run(case.session, feed, alerts))
    return len(case.ticks) / (time.perf_counter() - start)


def synthetic_case(system: System) -> Case:
    """Train on the stored sessions of a made-up market; the session after them is the case."""
    run_historical(system.settings, SystemClock(), quiet)
    market = build_market(system.settings.trading, system.sessions)
    instruments = system.stores.instruments.upsert(market.instruments)
    return Case("synthetic", market.sessions[-1], instruments, market.ticks(len(market.sessions) - 1))


def real_case(system: System, data: Path) -> Case:
    """Train on the earlier sessions of 2021; the last recorded one, of nine instruments, is the case."""
    build_importer(system, quiet).import_paths([data / "bars" / "nse_2021_from_ticks"], ImportOptions())
    plan = recorded_plan(system, [data / "ticks" / "nse_2021"], None, None)
    run_historical(system.settings, SystemClock(), quiet, last=plan.days[-2].day)
    return Case("nse_2021", plan.days[-1], list(plan.instruments), plan.ticks(plan.days[-1]))


def quiet(what: str, done: int, total: int) -> None:
    """No progress wanted."""


def measure(system: System, case: Case) -> list[Figure]:
    """Both figures of one case, as rows of the closing JSON."""
    model = load_model(system)
    alone, signals = engine_rate(system, model, case)
    whole = max(whole_rate(system, model, case, k) for k in range(2))
    n = len(case.instruments)
    print(f"{case.name}: {len(case.ticks):,} ticks of {n} instruments, {signals:,} decisions")
    print(f"  engine alone {alone:,.0f} ticks/s; with journal, database and warm-up {whole:,.0f} ticks/s")
    return [
        figure(f"replay {case.name}: engine with features and prediction", alone, "ticks/s", "target", LIMIT),
        figure(f"replay {case.name}: with journal, database and warm-up", whole, "ticks/s", "engine alone", alone),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    data = parser.parse_args().data
    rows: list[Figure] = []
    for prepare in (synthetic_case, *([partial(real_case, data=data)] if data.is_dir() else [])):
        with tempfile.TemporaryDirectory() as folder, open_system(bench_settings(Path(folder)), SystemClock()) as system:
            rows += measure(system, prepare(system))
    if not data.is_dir():
        print(f"no recorded ticks under {data}: only the synthetic market was measured")
    finish(rows)


def bench_settings(folder: Path) -> Settings:
    """The defaults with a smaller market, a folder of its own and no alerts on the console."""
    base = Settings()
    synthetic = base.trading.synthetic.model_copy(update={"sessions": 20})
    return base.model_copy(
        update={
            "system": base.system.model_copy(update={"data_dir": folder}),
            "trading": base.trading.model_copy(update={"synthetic": synthetic}),
            "alerts": base.alerts.model_copy(update={"console": False, "log": False}),
        }
    )


if __name__ == "__main__":
    main()
