"""What both modes do with the broker before anything else: see who is logged in, sync the instruments, fetch missing candles."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeVar

from intraday.app import System
from intraday.app_broker import Endpoint, build_rest
from intraday.app_feed import build_backfill, build_listings
from intraday.broker.backfill import BackfillReport
from intraday.broker.dump import parse
from intraday.broker.rest import RESTClient
from intraday.config.settings import RateLimits
from intraday.domain.errors import ConfigError
from intraday.domain.instruments import Instrument
from intraday.domain.listings import SyncReport
from intraday.domain.ports import Progress
from intraday.domain.session import day_of
from intraday.jobs.exchange import run_at
from intraday.jobs.limits import Noted, note_limits

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Gathered:
    """``tokens``: the broker's number of today by instrument id, for those that are listed."""

    user: str
    sync: SyncReport
    instruments: Sequence[Instrument]
    tokens: Mapping[int, int]
    backfill: BackfillReport
    limits: Noted

    def summary(self) -> dict[str, object]:
        """JSON-ready, for the run's record and ``--json``."""
        b = self.backfill
        return {
            "user": self.user,
            "instruments": len(self.instruments),
            "instrument_changes": self.sync.counts(),
            "price_limits": self.limits.told,
            "backfill_requests": b.requests,
            "backfill_failed": b.failed,
            "backfill_candles": b.bars,
            "backfill_new": b.written.inserted,
            "backfill_gaps": b.gaps,
            "backfill_seconds": round(b.seconds, 1),
        }

    def warnings(self) -> list[str]:
        """What a person should know."""
        unlisted = [i.symbol for i in self.instruments if i.id not in self.tokens]
        return [
            *([f"not in the broker's list today, so without candles from it: {_some(unlisted)}"] if unlisted else []),
            *([f"no circuit limits of today, so labels of today do without: {self.limits.error}"] if self.limits.error else []),
            *(f"{symbol}: {why}" for symbol, why in sorted(self.backfill.failures.items())[:5]),
        ]


def gather(
    system: System, endpoint: Endpoint, limits: RateLimits, progress: Progress, first: date | None = None, last: date | None = None
) -> Gathered:
    """Everything the broker has of ``first .. last`` (None: ``broker.backfill.days`` back, and today) that is not stored yet.

    Where the exchange plays back this very database, nothing is fetched and nothing stored. Raises AuthError and BrokerError: what
    was stored before stays, and the next call goes on from there.
    """

    async def main() -> Gathered:
        async with build_rest(endpoint, limits, system.settings) as rest:
            return await gather_through(rest, system, endpoint, limits, progress, first, last)

    return run_at(endpoint, main)


async def gather_through(
    rest: RESTClient,
    system: System,
    endpoint: Endpoint,
    limits: RateLimits,
    progress: Progress,
    first: date | None = None,
    last: date | None = None,
) -> Gathered:
    """As ``gather``, through REST calls that are open already."""
    claim(system, endpoint)
    today = endpoint.today
    user = await noted(progress, f"login at {endpoint.name}", rest.profile())
    if endpoint.own_prices:
        listings = build_listings(system, rest, endpoint.clock)
        sync = await noted(progress, "instruments", listings.sync())
        instruments = wanted(system, limits)
        tokens = listings.tokens(instruments, today)
        targets = [(i, tokens[i.id]) for i in instruments if i.id in tokens]
    else:
        sync = SyncReport(today, (), (), {})
        tokens = await noted(progress, "instruments", _played_back(rest, system.universe()))
        instruments = wanted(system, limits, tokens)
        targets = []
    limits_noted = await noted(progress, "circuit limits", note_limits(system, endpoint, rest, [i for i, _ in targets]))
    start = first or today - timedelta(days=system.settings.broker.backfill.days)
    start = max(start, endpoint.since, system.sessions.first, day_of(system.stores.bars.kept_ns()))
    report = await build_backfill(system, rest, endpoint.clock, progress).run(targets, start, min(last or today, today))
    if report.error is not None:
        raise report.error
    return Gathered(user.user_name or user.user_id, sync, instruments, tokens, report, limits_noted)


async def _played_back(rest: RESTClient, stored: Sequence[Instrument]) -> dict[int, int]:
    """Token by instrument id where the database itself is played back: read from the list, which is stored nowhere."""
    tokens: dict[str, int] = {}
    for exchange in sorted({i.exchange for i in stored}):
        tokens |= {x.instrument.key: x.token for x in parse(await rest.instruments(exchange), exchange).listings}
    return {i.id: tokens[i.key] for i in stored if i.key in tokens}


def claim(system: System, endpoint: Endpoint) -> None:
    """Make the broker that of this database. ConfigError when that would mix its prices with those of another, or imported ones."""
    if endpoint.own_prices:
        settings = system.settings
        folder = f"system.data_dir ({settings.system.data_dir}) to another folder"
        change = folder if settings.database.dsn is None else "database.dsn to another database"
        system.stores.origin.claim(endpoint.origin, endpoint.clock.now_ns(), made_up=endpoint.made_up, change=change)


def refuse_playback(endpoint: Endpoint) -> None:
    """ConfigError where there is nothing to take over, since the database itself is played back."""
    if not endpoint.own_prices:
        raise ConfigError(
            "broker.simulator.source: database plays back what is stored, so there is nothing to fetch; expected synthetic, or "
            "broker.feed: kite"
        )


async def noted(progress: Progress, what: str, work: Awaitable[T]) -> T:
    """Show one step while it lasts."""
    progress(what, 0, 1)
    done = await work
    progress(what, 1, 1)
    return done


def wanted(system: System, limits: RateLimits, among: Collection[int] | None = None) -> list[Instrument]:
    """The instruments of ``trading.universe``, with ``among`` only those ids. ConfigError for more than the feed can carry."""
    instruments = [i for i in system.universe() if among is None or i.id in among]
    most = limits.websocket.connections * limits.websocket.instruments_per_connection
    if len(instruments) > most:
        raise ConfigError(
            f"trading.universe: {system.settings.trading.universe} is {len(instruments):,} instruments, expected at most {most:,}: "
            "name some, such as [RELIANCE, INFY], fno, or index:NAME (docs/universe.md)"
        )
    return instruments


def _some(symbols: Sequence[str]) -> str:
    return ", ".join(symbols[:8]) + (" …" if len(symbols) > 8 else "")
