"""LIVE_MODE: one session of the configured feed, as source ``tick``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from intraday.app import System, build_alerts, build_day_runner, load_model, open_system
from intraday.app_broker import Endpoint, build_rest
from intraday.app_feed import build_connections, build_feed
from intraday.app_verdict import tried_by_now, verdict_today
from intraday.broker.connection import ConnectionReport
from intraday.config.settings import RateLimits, Settings
from intraday.core.lists import longest_day
from intraday.domain.arrays import MINUTE_NS, TICK
from intraday.domain.clock import Clock
from intraday.domain.errors import CalendarError, NotEnoughData
from intraday.domain.ports import Progress, Source
from intraday.domain.session import Session
from intraday.jobs.adjust import sitting_out
from intraday.jobs.exchange import OVER_THE_WIRE, open_exchange, run_at
from intraday.jobs.gather import gather, gather_through
from intraday.jobs.historical import train
from intraday.jobs.maintain import keep_house
from intraday.jobs.outcome import Outcome, recorded_run
from intraday.jobs.replay import Print, ReplayPlan, Watched, live_plan, outcome, run_days, summary, unheard
from intraday.live.assembly import LoadedModel
from intraday.live.day import DayResult


def run_live(
    settings: Settings,
    clock: Clock,
    progress: Progress,
    *,
    limits: RateLimits = RateLimits(),  # noqa: B008  frozen
    model_id: str | None = None,
    write: Print = print,
) -> Outcome:
    """One session of ``broker.feed``.

    With the bundled exchange or the synthetic feed and no model yet, one is trained first: a first look needs nothing prepared.
    Raises CalendarError when the exchange is closed today, AuthError when somebody has to log in.
    """
    if settings.broker.feed not in OVER_THE_WIRE:
        return _recorded(settings, clock, progress, model_id, write)
    if settings.broker.feed == "simulator":
        _prepare(settings, limits, clock, progress, model_id)
    with (
        open_exchange(settings, limits, clock) as endpoint,
        open_system(settings, endpoint.clock) as system,
        system.database.exclusive("live"),
        recorded_run(system, "live") as run,
    ):
        session = todays_session(system, endpoint)
        endpoint.token()  # nobody logged in: say so before anything else
        model = load_model(system, model_id)
        plan, result, found = run_at(
            endpoint, lambda: _over_the_wire(system, endpoint, limits, model, session, run.id, progress, write)
        )
        done = outcome(system, model, plan, [result], "LIVE_MODE")
        run.summary |= {**done.summary, **found}
        keep_house(system)
        return replace(done, summary={**done.summary, **found})


def todays_session(system: System, endpoint: Endpoint) -> Session:
    """The session that is coming or under way. CalendarError when there is none today, or it is over."""
    session = system.sessions.get(endpoint.today)
    if endpoint.clock.now_ns() >= session.close_ns:
        raise CalendarError(f"{session.day}: the session is over, next is {system.sessions.next(session.day).day}")
    return session


def _recorded(settings: Settings, clock: Clock, progress: Progress, model_id: str | None, write: Print) -> Outcome:
    """Without a network: the synthetic market, or recorded ticks."""
    with open_system(settings, clock) as system, system.database.exclusive("live"), recorded_run(system, "live") as run:
        if settings.broker.feed == "synthetic" and model_id is None and system.stores.models.latest() is None:
            train(system, progress)
        model = load_model(system, model_id)
        plan = live_plan(system)
        results = run_days(system, model, plan, run.id, progress, write)
        run.summary |= summary(results, model)
        keep_house(system)
        return outcome(system, model, plan, results, "LIVE_MODE")


def _prepare(settings: Settings, limits: RateLimits, clock: Clock, progress: Progress, model_id: str | None) -> None:
    """What a user of Kite did in the morning, before the exchange's clock starts: history, and a model where there is none."""
    with open_exchange(settings, limits, clock, speed=1.0) as endpoint, open_system(settings, endpoint.clock) as system:
        todays_session(system, endpoint)
        gather(system, endpoint, limits, progress)
        if model_id is None and system.stores.models.latest() is None:
            train(system, progress)


async def _over_the_wire(
    system: System,
    endpoint: Endpoint,
    limits: RateLimits,
    model: LoadedModel,
    session: Session,
    run_id: str,
    progress: Progress,
    write: Print,
) -> tuple[ReplayPlan, DayResult, dict[str, object]]:
    async with build_rest(endpoint, limits, system.settings) as rest:
        gathered = await gather_through(rest, system, endpoint, limits, progress)
        instruments = system.universe()  # who was a member earlier had a share in the state of features that compare instruments
        targets = [(i, gathered.tokens[i.id]) for i in system.universe(session.day) if i.id in gathered.tokens]
        if not targets:
            raise NotEnoughData("trading.universe: none of its instruments is in the broker's list today")
        silent = unheard(system, model, session, {i.id for i, _ in targets}, "feed")
        for warning in [*gathered.warnings(), *silent, *sitting_out(system, session.day)]:
            write(f"warning: {warning}")
        alerts = build_alerts(system.settings, instruments, write)
        connections = build_connections(system, endpoint, limits, targets, session, rest)
        hours = longest_day(session, instruments, system.sessions)  # as long as the engine's day
        feed = build_feed(system, endpoint, rest, hours, connections, targets, alerts.offer)
        source = Source.TICK if endpoint.own_prices else Source.REPLAY  # a day played back is no live day
        today = verdict_today(model.predictor.artifact.manifest, tried_by_now(system.stores.trials)).note
        if today:
            write(f"warning: {today}; signals are for watching only")
        runner = build_day_runner(system, model, instruments, source, run_id, watch=bool(today))
        watched = Watched(feed, session, f"live {session.day}", progress)
        now_ns = endpoint.clock.now_ns()
        from_ns = now_ns - now_ns % MINUTE_NS if now_ns > session.open_ns else 0
        result = await runner.run(session, watched, alerts, feed, from_ns, system.stores.rollups)
    plan = ReplayPlan(tuple(instruments), (session,), lambda _: np.empty(0, TICK), source)
    return plan, result, gathered.summary() | {"connections": connection_summary(connections.reports())}


def connection_summary(reports: Sequence[ConnectionReport]) -> list[dict[str, object]]:
    """JSON-ready: what came through each connection, and how often it was lost."""
    return [
        {
            "name": r.name, "instruments": r.tokens, "frames": r.counts.frames, "packets": r.counts.packets,
            "malformed": r.counts.malformed, "connects": r.counts.connects, "losses": dict(r.counts.losses),
        }
        for r in reports
    ]  # fmt: skip
