"""``intraday backfill`` and ``intraday gaps``: candles from the broker, and what could not be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from intraday.app import System, open_system
from intraday.app_broker import Endpoint, build_rest
from intraday.app_feed import build_backfill, build_listings
from intraday.broker.backfill import BackfillReport, Target
from intraday.config.settings import RateLimits, Settings
from intraday.domain.arrays import DAY_NS, Bars
from intraday.domain.broker import Interval
from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError, NotEnoughData
from intraday.domain.instruments import Instrument
from intraday.domain.ports import Progress
from intraday.domain.session import day_of, midnight_ns
from intraday.jobs.exchange import open_exchange, run_at
from intraday.jobs.gather import claim, noted, refuse_playback, wanted
from intraday.jobs.outcome import recorded_run

IST = timezone(timedelta(hours=5, minutes=30))


@dataclass(frozen=True, slots=True)
class Wish:
    """What to fetch. ``first`` None: ``days`` back from the last day (None: broker.backfill.days); ``last`` None: today.

    ``symbols``: instead of trading.universe. ``again``: what was fetched before, too.
    """

    first: date | None = None
    last: date | None = None
    days: int | None = None
    symbols: tuple[str, ...] = ()
    again: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would ask for. ``seconds``: at the configured limit, of the broker's time."""

    broker: str
    first: date
    last: date
    instruments: int
    requests: int
    session_days: int
    minutes: int
    seconds: float
    unlisted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """What a run did. ``unlisted``: instruments that the broker's list of today does not have."""

    broker: str
    first: date
    last: date
    instruments: int
    unlisted: tuple[str, ...]
    report: BackfillReport


@dataclass(frozen=True, slots=True)
class GapRow:
    """Missing minutes of one instrument: open times ``start <= t < end``, IST; ``minutes`` of them are missing."""

    key: str
    start: datetime
    end: datetime
    minutes: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Range:
    """Whom and when a wish names."""

    first: date
    last: date
    targets: Sequence[Target]
    unlisted: tuple[str, ...]


def plan_backfill(settings: Settings, limits: RateLimits, wish: Wish, clock: Clock, progress: Progress) -> Plan:
    """What ``run_backfill`` would ask for, by the list of instruments that is stored; no candle is fetched.

    Raises ConfigError, NotEnoughData when no list of instruments is stored.
    """
    with open_exchange(settings, limits, clock) as endpoint, open_system(settings, endpoint.clock) as system:
        refuse_playback(endpoint)
        found = _resolve(system, endpoint, limits, wish)
        if not found.targets:
            raise NotEnoughData(
                f"no list of instruments of {endpoint.name} is stored that has any of those wanted: run `intraday instruments sync`"
            )
        manager = build_backfill(system, _Nobody(), endpoint.clock, progress)
        chunks = manager.plan(found.targets, found.first, found.last, again=wish.again)
        sessions = [session for chunk in chunks for session in chunk.sessions]
        return Plan(
            endpoint.name,
            found.first,
            found.last,
            len(found.targets),
            len(chunks),
            len(sessions),
            sum(session.minutes for session in sessions),
            len(chunks) / limits.historical.per_s,
            found.unlisted,
        )


def run_backfill(settings: Settings, limits: RateLimits, wish: Wish, clock: Clock, progress: Progress) -> Fetch:
    """Sync the instruments, then fetch and store what is missing. The report says how it went, an early end included.

    Raises ConfigError, also where the database itself is played back; AuthError and BrokerError while nothing was fetched yet;
    StorageError with everything before it stored.
    """
    with (
        open_exchange(settings, limits, clock) as endpoint,
        open_system(settings, endpoint.clock) as system,
        recorded_run(system, "backfill") as run,
    ):
        refuse_playback(endpoint)
        done = run_at(endpoint, lambda: _fetch(system, endpoint, limits, wish, progress))
        report = done.report
        run.summary |= {"requests": report.requests, "failed": report.failed, "bars": report.bars, "new": report.written.inserted}
        run.summary |= {"gaps": report.gaps, "error": None if report.error is None else type(report.error).__name__}
        return done


async def _fetch(system: System, endpoint: Endpoint, limits: RateLimits, wish: Wish, progress: Progress) -> Fetch:
    async with build_rest(endpoint, limits, system.settings) as rest:
        claim(system, endpoint)
        await noted(progress, "instruments", build_listings(system, rest, endpoint.clock).sync())
        found = _resolve(system, endpoint, limits, wish)
        manager = build_backfill(system, rest, endpoint.clock, progress)
        report = await manager.run(found.targets, found.first, found.last, again=wish.again)
    return Fetch(endpoint.name, found.first, found.last, len(found.targets), found.unlisted, report)


def list_gaps(settings: Settings, clock: Clock, symbols: Sequence[str], first: date | None, last: date | None) -> list[GapRow]:
    """Stored gaps that begin between the days, both included (None: no bound), by instrument and time; all when no symbols."""
    with open_system(settings, clock) as system:
        instruments = _named(system, symbols) if symbols else system.stores.instruments.all()
        keys = {i.id: i.key for i in instruments}
        start_ns = midnight_ns(first) if first else 0
        end_ns = midnight_ns(last) + DAY_NS if last else 2**62
        gaps = system.stores.bars.gaps(list(keys), start_ns, end_ns)
    rows = [GapRow(keys[g.instrument_id], _ist(g.start_ns), _ist(g.end_ns), g.n_minutes, g.reason) for g in gaps]
    return sorted(rows, key=lambda row: (row.key, row.start))


def _resolve(system: System, endpoint: Endpoint, limits: RateLimits, wish: Wish) -> _Range:
    today = endpoint.today
    last = min(wish.last or today, today)
    days = wish.days or system.settings.broker.backfill.days
    kept = day_of(system.stores.bars.kept_ns())  # retention dropped what is older, and it can't come back
    first = max(wish.first or last - timedelta(days=days), endpoint.since, system.sessions.first, kept)
    if first > last:
        raise ConfigError(
            f"found a range from {first} to {last}, expected the first day not to be after the last one or today, {today}"
        )
    instruments = _named(system, wish.symbols) if wish.symbols else wanted(system, limits)
    tokens = system.stores.listings.tokens([i.id for i in instruments], today)
    targets = [(i, tokens[i.id]) for i in instruments if i.id in tokens]
    return _Range(first, last, targets, tuple(i.key for i in instruments if i.id not in tokens))


def _named(system: System, symbols: Sequence[str]) -> list[Instrument]:
    known = {i.key: i for i in system.stores.instruments.all()}
    exchange = system.settings.trading.exchange
    keys = dict.fromkeys(s if ":" in s else f"{exchange}:{s}" for s in symbols)
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise ConfigError(f"{unknown[0]} is not a stored instrument: look for it with `intraday instruments list --search`")
    return [known[key] for key in keys]


def _ist(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 1_000_000_000, IST)


class _Nobody:
    """``CandleApi`` for a plan, which asks nobody."""

    async def fetch_historical_data(self, token: int, interval: Interval, start_ns: int, end_ns: int) -> Bars:
        raise AssertionError("a plan fetches nothing")
