"""The backfill against the bundled exchange: real sockets, virtual time, everything in one event loop."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from intraday.broker.backfill import BackfillManager, BackfillReport, Target
from intraday.broker.pacing import Pacers
from intraday.broker.rest import RESTClient
from intraday.config.settings import RateLimits
from intraday.database.bars import BarRepository
from intraday.domain.arrays import BAR, DAY_NS, MINUTE_NS, Bars, empty
from intraday.domain.broker import CandleApi, Credentials, FetchStore, Secret
from intraday.domain.clock import Clock
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.session import SessionTable, midnight_ns
from intraday.sim.candles import candles_of
from intraday.sim.exchange import Exchange
from intraday.sim.listing import SimInstrument, synthetic_listing
from intraday.sim.market import SyntheticTape
from intraday.sim.server import SimServer
from intraday.sim.tape import Tape, Trades, trading_hours

SESSIONS = SessionTable.load()


class PlainTape:
    """``sim.tape.Tape`` that costs next to nothing: a trade at the start of a minute and one within it, whose prices the token and
    the minute determine. Some minutes have none, and one day in eleven nobody trades."""

    def __init__(self, instruments: Sequence[SimInstrument]) -> None:
        self.instruments = instruments
        self.sessions = SESSIONS
        self._rows = {row.token: row for row in instruments}

    def trades(self, token: int, day: date) -> Trades:
        row = self._rows.get(token)
        session = None if row is None else trading_hours(SESSIONS, row, day)
        if row is None or session is None or (session.number + token) % 11 == 0:
            return Trades()
        at_ns = np.arange(session.open_ns, session.close_ns, 45 * 10**9)
        number = at_ns // MINUTE_NS
        kept = (number * 7 + token) % 29 != 0
        prices = row.base_paise + (number * 31 + token) % 97 * 5 + (at_ns // 10**9 % 60)
        quantities = np.zeros_like(number) if row.is_index else 1 + (number + token) % 500
        out = Trades()
        out.at_ns.frombytes(at_ns[kept].tobytes())
        out.price.frombytes(prices[kept].astype(np.int32).tobytes())
        out.qty.frombytes(quantities[kept].astype(np.int32).tobytes())
        return out

    def previous_close(self, token: int, day: date) -> int:
        return self._rows[token].base_paise if token in self._rows else 0


@dataclass(frozen=True, slots=True)
class World:
    """``n`` stocks and the days to fetch; everything follows from it, in every process."""

    n: int
    first: date
    last: date
    trades_per_minute: float = 0.0  # 0: the plain tape
    seed: int = 7

    @property
    def start_ns(self) -> int:
        """Eight in the morning after the last day."""
        return midnight_ns(self.last) + DAY_NS + 8 * 60 * MINUTE_NS

    def listing(self) -> list[SimInstrument]:
        """Stocks and NIFTY 50."""
        listed = synthetic_listing(self.n - 1, seed=self.seed, day=self.last)
        return [replace(row, first_day=None) for row in listed if not row.is_future]

    def tape(self) -> Tape:
        if self.trades_per_minute == 0.0:
            return PlainTape(self.listing())
        return SyntheticTape(self.listing(), self.seed, SESSIONS, self.trades_per_minute)

    def instruments(self) -> list[Instrument]:
        kinds = {True: Kind.INDEX, False: Kind.EQUITY}
        return [Instrument("NSE", row.symbol, kinds[row.is_index]) for row in self.listing()]

    def targets(self, stored: Sequence[Instrument]) -> list[Target]:
        tokens = {row.symbol: row.token for row in self.listing()}
        return [(instrument, tokens[instrument.symbol]) for instrument in stored]


@asynccontextmanager
async def trading_day(world: World, clock: Clock) -> AsyncIterator[tuple[Exchange, RESTClient]]:
    """The exchange on loopback, and a client that is logged in."""
    exchange = Exchange.open(world.tape(), clock)
    token = Secret(exchange.accounts.grant().access_token)
    credentials = Credentials("simkey", Secret("simsecret"))
    pacers = Pacers.of(RateLimits(), clock)
    async with (
        SimServer(exchange) as server,
        RESTClient(server.rest_url, credentials, lambda: token, pacers, clock, rng=random.Random(1)) as rest,
    ):
        yield exchange, rest


async def fetch(
    world: World, clock: Clock, api: CandleApi, store: FetchStore, bars: BarRepository, targets: list[Target]
) -> BackfillReport:
    """One run over all of the world's days."""
    manager = BackfillManager(api, store, bars, SESSIONS, clock, lambda *_: None, in_thread=False)
    return await manager.run(targets, world.first, world.last)


def wanted(world: World, row: SimInstrument) -> Bars:
    """What the exchange says of an instrument, as bars: its own candles, built from its trades in plain Python."""
    tape = world.tape()
    found = [c for s in SESSIONS.between(world.first, world.last) for c in candles_of(tape, row, s.day)]
    bars = empty(BAR, len(found))
    bars["ts_ns"] = [c.start_ns for c in found]
    for name in ("open", "high", "low", "close"):
        bars[name] = np.array([getattr(c, name) for c in found]) / 100
    bars["volume"] = np.nan if row.is_index else [c.volume for c in found]
    return bars
