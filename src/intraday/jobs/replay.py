"""``intraday replay`` and ``signals``: days through the live path, and what they left behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np

from intraday.app import System, build_alerts, build_day_runner, build_market, load_model, open_system
from intraday.app_verdict import tried_by_now, verdict_today
from intraday.config.settings import Settings
from intraday.core.candles import HistoricalAggregator
from intraday.core.lists import longest_day
from intraday.domain.arrays import DAY_NS, MINUTE_NS, Ticks
from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError, InputError, NotEnoughData
from intraday.domain.events import Event, Signal, Timer
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.ports import EventSource, Progress, Source
from intraday.domain.session import Session, midnight_ns
from intraday.jobs import page
from intraday.jobs.adjust import sitting_out
from intraday.jobs.historical import report_of
from intraday.jobs.outcome import Outcome, recorded_run
from intraday.live.assembly import LoadedModel
from intraday.live.day import DayResult
from intraday.live.recorded import RecordedTicks, frames
from intraday.live.sources import RecordedSource
from intraday.report.assemble import busiest, candles_of, signal_row, signal_rows
from intraday.report.html import render
from intraday.report.inputs import Candles, ReportInput, SignalRow

ReadTicks = Callable[[Session], Ticks]
Print = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """Which sessions of which instruments, from where, as which source, at what pace (None: as fast as it can)."""

    instruments: tuple[Instrument, ...]
    days: tuple[Session, ...]
    ticks: ReadTicks
    source: Source = Source.REPLAY
    speed: float | None = None


def run_replay(
    settings: Settings,
    ticks: Sequence[Path],
    first: date | None,
    last: date | None,
    clock: Clock,
    progress: Progress,
    *,
    speed: float | None = None,
    model_id: str | None = None,
    write: Print = print,
) -> Outcome:
    """Recorded ticks through the live path, stored as source ``replay``."""
    with open_system(settings, clock) as system, system.database.exclusive("replay"), recorded_run(system, "replay") as run:
        plan = recorded_plan(system, ticks, first, last, speed)
        model = load_model(system, model_id)
        results = run_days(system, model, plan, run.id, progress, write)
        run.summary |= summary(results, model)
        return outcome(system, model, plan, results, "Replay")


def recorded_plan(
    system: System, paths: Sequence[Path], first: date | None, last: date | None, speed: float | None = None
) -> ReplayPlan:
    """The recorded days of the range, for the universe: features compare whom history compares. InputError when nothing matches."""
    instruments = tuple(system.universe())
    rows = {i.symbol: k for k, i in enumerate(instruments)}
    recorded = RecordedTicks(paths, rows, [i.has_volume for i in instruments], system.sessions)
    found = recorded.days()
    chosen = [d for d in found if (first is None or d >= first) and (last is None or d <= last)]
    if not chosen:
        held = f"{found[0]} to {found[-1]}" if found else "none of the stored instruments (import their bars first)"
        raise InputError(
            f"{', '.join(map(str, paths))}: expected ticks from {first or 'the start'} to {last or 'the end'}, found {held}"
        )
    days = tuple(system.sessions.get(d) for d in chosen)
    return ReplayPlan(instruments, days, lambda session: recorded.ticks(session.day), speed=speed)


def live_plan(system: System) -> ReplayPlan:
    """What LIVE_MODE listens to without a network. ConfigError for a recording that is not named."""
    broker = system.settings.broker
    if broker.feed == "recorded":
        if broker.recorded is None:
            raise ConfigError("broker.recorded: found null, expected a tick file or folder for broker.feed: recorded")
        plan = recorded_plan(system, [broker.recorded], None, None)
        return replace(plan, days=plan.days[-1:], source=Source.TICK, speed=broker.speed)
    market = build_market(system.settings.trading, system.sessions)
    i_day = len(market.sessions) - 1
    instruments = tuple(system.stores.instruments.upsert(market.instruments))
    return ReplayPlan(instruments, (market.sessions[i_day],), lambda _: market.ticks(i_day), Source.TICK, broker.speed)


def run_days(
    system: System, model: LoadedModel, plan: ReplayPlan, run_id: str, progress: Progress, write: Print
) -> list[DayResult]:
    """Every session of the plan, one after the other."""
    live = system.settings.live
    today = verdict_today(model.predictor.artifact.manifest, tried_by_now(system.stores.trials)).note
    if today:
        write(f"warning: {today}; signals are for watching only")
    runner = build_day_runner(system, model, plan.instruments, plan.source, run_id, watch=bool(today))
    results = []
    for session in plan.days:
        ticks = plan.ticks(session)
        heard = {plan.instruments[inst].id for inst in np.unique(ticks["inst"]).tolist()}
        for warning in [*unheard(system, model, session, heard, "recorded tick"), *sitting_out(system, session.day)]:
            write(f"warning: {warning}")
        hours = longest_day(session, plan.instruments, system.sessions)
        feed = RecordedSource(hours, frames(ticks), live.grace_ms * 1_000_000, int(live.outage_s * 1e9), system.clock, plan.speed)
        alerts = build_alerts(system.settings, plan.instruments, write)
        what = f"{'live' if plan.source is Source.TICK else 'replay'} {session.day}"
        results.append(asyncio.run(runner.run(session, Watched(feed, session, what, progress), alerts)))
    return results


def unheard(system: System, model: LoadedModel, session: Session, heard: Collection[int], what: str) -> list[str]:
    """A warning where members of the day have no ``what`` and features compare: what is said of the rest lacks them."""
    comparing, ids = model.feature_set.comparing, system.membership().on(session.day)
    members = [i for i in system.stores.instruments.all() if i.id in ids and i.kind is not Kind.INDEX]
    silent = [i.symbol for i in members if i.id not in heard]
    if not silent or not comparing:
        return []
    names = ", ".join(silent[:5]) + (" …" if len(silent) > 5 else "")
    return [
        f"{session.day}: {len(silent):,} of {len(members):,} members have no {what} ({names}); the {len(comparing)} features that "
        "compare instruments see the others alone, and their values differ from history's where those have candles there"
    ]


class Watched:
    """A source that reports its progress, a minute at a time."""

    def __init__(self, feed: EventSource, session: Session, what: str, progress: Progress) -> None:
        self._feed = feed
        self._session = session
        self._what = what
        self._progress = progress

    async def events(self) -> AsyncGenerator[Event, None]:
        """The feed's events."""
        n = self._session.minutes
        async with aclosing(self._feed.events()) as events:
            async for event in events:
                if isinstance(event, Timer):
                    self._progress(self._what, min(max((event.now_ns - self._session.open_ns) // MINUTE_NS, 0), n), n)
                yield event


def summary(results: Sequence[DayResult], model: LoadedModel) -> dict[str, object]:
    """Counts of all days together."""
    signals: Counter[str] = Counter()
    rejects: Counter[str] = Counter()
    for r in results:
        signals.update(r.counts.signals)
        rejects.update(r.counts.rejects)
    return {
        "run_id": results[0].run.run_id if results else "",
        "model_id": model.id,
        "days": [str(r.run.day) for r in results],
        "instruments": len(results[0].run.instrument_ids) if results else 0,
        "ticks": sum(r.counts.n_ticks for r in results),
        "ticks_rejected": sum(rejects.values()),
        "of_these_repeats": rejects["duplicate"],  # the last price again: on a feed of snapshots most of what comes
        "rejects": dict(rejects.most_common()),
        "candles": sum(r.counts.n_bars for r in results),
        "late_candles": sum(r.counts.n_late for r in results),
        "feature_rows": sum(r.counts.n_features for r in results),
        "signals": dict(signals),
        "buy": signals["BUY"],
        "sell": signals["SELL"],
        "hold": signals["HOLD"],
        "warnings": warnings_of(results, model),
    }


def outcome(system: System, model: LoadedModel, plan: ReplayPlan, results: Sequence[DayResult], title: str) -> Outcome:
    """The page of the days that ran."""
    report = replay_report(system, model, plan, results, title)
    where = system.settings.system.data_dir / "reports" / f"{results[0].run.run_id}.html"
    return Outcome(summary(results, model), report, render(report, where))


def warnings_of(results: Sequence[DayResult], model: LoadedModel) -> list[str]:
    """What a person should know before reading the figures."""
    silent = [str(r.run.day) for r in results if not r.anchored]
    return [
        *model.predictor.warnings,
        *([f"no features, their anchor session is not stored: {', '.join(silent)}"] if silent else []),
    ]


def replay_report(system: System, model: LoadedModel, plan: ReplayPlan, results: Sequence[DayResult], title: str) -> ReportInput:
    """The model's page with the signals of the days, one chart, and what was refused."""
    if not results:
        raise NotEnoughData("no session was run")
    artifact = model.predictor.artifact
    symbols = [i.symbol for i in plan.instruments]
    signals = stored_signals(system, plan, model.id)
    rows, n_hold = signal_rows(signals, symbols)
    days = [r.run.day for r in results]
    span = f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]}"
    report = report_of(system, artifact, f"{title} of {span}", f"HISTORICAL_MODE and {plan.source}", page.facts(artifact))
    rejects: Counter[str] = Counter()
    for r in results:
        rejects.update(r.counts.rejects)
    shown = chart(system, model, plan, signals)
    return replace(report, signals=rows, n_hold=n_hold, candles=shown, rejects=tuple(rejects.most_common()))


def stored_signals(system: System, plan: ReplayPlan, model_id: str) -> list[Signal]:
    """The stored signals of the plan's days."""
    start_ns, end_ns = midnight_ns(plan.days[0].day), midnight_ns(plan.days[-1].day) + DAY_NS
    return system.stores.signals.read(plan.source, [i.id for i in plan.instruments], start_ns, end_ns, model_id)


def chart(system: System, model: LoadedModel, plan: ReplayPlan, signals: Sequence[Signal]) -> Candles | None:
    """Candles of the instrument and day with the most BUY and SELL; None without signals."""
    found = busiest(signals)
    if found is None:
        return None
    inst, day = found
    instrument, start_ns = plan.instruments[inst], midnight_ns(day)
    minutes = system.stores.bars.read([instrument.id], start_ns, start_ns + DAY_NS, plan.source)
    timeframe = model.feature_set.timeframe
    bars = HistoricalAggregator(1).aggregate(minutes, timeframe)
    bars["inst"] = inst
    return candles_of(bars, inst, instrument.symbol, day, timeframe, signals)


def list_signals(
    settings: Settings, first: date | None, last: date | None, source: Source | None, clock: Clock, *, model_id: str | None = None
) -> list[SignalRow]:
    """Stored signals of the days, HOLD included, ordered by time."""
    with open_system(settings, clock) as system:
        instruments = system.stores.instruments.all()
        ids, symbols = [i.id for i in instruments], [i.symbol for i in instruments]
        start_ns = midnight_ns(first) if first else 0
        end_ns = midnight_ns(last) + DAY_NS if last else 2**62
        sources = [source] if source else [Source.TICK, Source.REPLAY]
        found = [s for one in sources for s in system.stores.signals.read(one, ids, start_ns, end_ns, model_id)]
        return sorted((signal_row(s, symbols[s.inst]) for s in found), key=lambda r: (r.time_ns, r.symbol))
