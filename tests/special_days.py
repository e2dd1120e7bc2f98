"""Days that are not like others, lived through on the bundled exchange: history fetched, the day itself followed live.

Real sockets, virtual time. One closing-auction stock, one other stock, a future, the index.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np

from broker_cases import MemoryFetches
from engine_cases import GRACE_NS, HAS_VOLUME, feature_set
from intraday.broker.backfill import BackfillManager, BackfillReport, Target
from intraday.broker.connection import ConnectionManager, ConnectionSpec, subscription
from intraday.broker.feed import KiteFeed, trading_hours
from intraday.broker.link import LinkSpec
from intraday.broker.link_events import Mode
from intraday.broker.pacing import Pacers
from intraday.broker.repair import MinuteRepair
from intraday.broker.rest import RESTClient
from intraday.config.settings import RateLimits
from intraday.core.decision import DecisionRule
from intraday.core.features import FeatureCalculator
from intraday.core.labels import LabelSpec
from intraday.core.lists import longest_day
from intraday.core.panel import Day, Lists, day_of
from intraday.domain.arrays import F4, F8, MINUTE_NS, BarFlag, Bars, Panel
from intraday.domain.broker import Credentials, Secret
from intraday.domain.clock import Clock
from intraday.domain.events import Alert, Backfilled, Effect, RequestBackfill, SaveBars
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.session import Session, SessionTable, midnight_ns
from intraday.live.consumer import since
from intraday.live.engine import Engine, EngineSpec
from intraday.live.warmup import decision_panels
from intraday.signal.generator import SignalGenerator, SignalSpec
from intraday.sim.candles import candles_of
from intraday.sim.exchange import Exchange
from intraday.sim.knobs import Knobs
from intraday.sim.listing import SimInstrument, synthetic_listing
from intraday.sim.market import SyntheticTape
from intraday.sim.server import SimServer
from pace_cases import virtual

SESSIONS = SessionTable.load()
SECOND_NS = 10**9
TIMEFRAME = 5
LABEL = LabelSpec(timeframe=TIMEFRAME, horizon_min=10)
KINDS = (Kind.EQUITY, Kind.EQUITY, Kind.FUTURE, Kind.INDEX)
LISTS = Lists(auction=((0, 0, 1 << 30),), futures=(2,))
BUY = DecisionRule((-3.0, 0.0, 3.0), (3.0, 0.0, -3.0), -9.0)  # whatever it costs


class Up:
    """A model that is sure of the same thing always: what is not a BUY was forbidden by the clock."""

    def predict(self, x: F4) -> F8:
        return np.tile([0.1, 0.1, 0.8], (len(x), 1))


@dataclass(frozen=True)
class World:
    """The exchange around one day. ``rows`` in the order of dense rows."""

    day: date
    tape: SyntheticTape
    rows: tuple[SimInstrument, ...]

    @classmethod
    def of(cls, day: date, trades_per_minute: float = 60.0) -> World:
        """Six stocks, their futures and NIFTY 50, of which four are followed."""
        listing = [replace(row, first_day=None) for row in synthetic_listing(6, day=day)]
        contract = next(row.symbol for row in listing if row.is_future and row.name == "INFY")
        rows = tuple(next(row for row in listing if row.symbol == name) for name in ("INFY", "SYN006", contract, "NIFTY 50"))
        assert [row.auction for row in rows] == [True, False, False, False]
        return cls(day, SyntheticTape(rows, 7, SESSIONS, trades_per_minute), rows)

    @property
    def session(self) -> Session:
        return SESSIONS.get(self.day)

    @property
    def targets(self) -> list[Target]:
        rows = enumerate(zip(self.rows, KINDS, strict=True), 1)
        return [(Instrument(row.exchange, row.symbol, kind, id=number), row.token) for number, (row, kind) in rows]

    @property
    def instruments(self) -> list[Instrument]:
        return [instrument for instrument, _ in self.targets]

    def hours(self) -> Day:
        return day_of(self.session, len(self.rows), SESSIONS, LISTS)

    def takes_part(self, instrument_id: int, day: date) -> bool:
        return self.rows[instrument_id - 1].auction

    def minutes(self, day: date | None = None) -> dict[int, list[int]]:
        """Open times of the exchange's own candles of a day, by row."""
        return {i: [c.start_ns for c in candles_of(self.tape, row, day or self.day)] for i, row in enumerate(self.rows)}

    def at(self, text: str) -> int:
        hour, minute = (int(part) for part in text.split(":"))
        return midnight_ns(self.day) + (hour * 60 + minute) * MINUTE_NS


class Fetched:
    """What a backfill stored, as ``BarStore.read`` of several instruments."""

    def __init__(self, store: MemoryFetches) -> None:
        self._store = store

    def read(self, ids: Sequence[int], start_ns: int, end_ns: int) -> Bars:
        parts = []
        for row, number in enumerate(ids):
            part = self._store.read([number], start_ns, end_ns)
            part["inst"] = row
            parts.append(part)
        bars = np.concatenate(parts)
        return bars[np.lexsort((bars["inst"], bars["ts_ns"]))]


@dataclass
class Past:
    """The sessions up to a day, fetched."""

    report: BackfillReport
    store: MemoryFetches
    bars: Fetched
    days: list[Session]

    def panels(self) -> list[Panel]:
        return list(decision_panels(self.bars, [1, 2, 3, 4], self.days, TIMEFRAME, SESSIONS, LISTS))  # type: ignore[arg-type]

    def calculator(self) -> FeatureCalculator:
        """Warm."""
        calculator = FeatureCalculator(feature_set(TIMEFRAME), HAS_VOLUME)
        for panel in self.panels():
            calculator.batch(panel)
        return calculator


def fetched(world: World, first: date, last: date) -> Past:
    """The minutes of ``first .. last``, asked for on the morning after."""
    store = MemoryFetches()

    async def main(clock: Clock) -> BackfillReport:
        exchange = Exchange.open(world.tape, clock, Knobs(), speed=float("inf"))
        token = Secret(exchange.accounts.grant().access_token)
        async with SimServer(exchange) as server, _client(server, token, clock) as rest:
            manager = BackfillManager(
                rest,
                store,
                store,
                SESSIONS,
                clock,
                lambda *_: None,
                auction=world.takes_part,
                in_thread=False,  # type: ignore[arg-type]
            )
            return await manager.run(world.targets, first, last)

    report = virtual(main, midnight_ns(last + timedelta(days=1)) + 8 * 60 * MINUTE_NS)
    return Past(report, store, Fetched(store), SESSIONS.between(first, last))


def _client(server: SimServer, token: Secret, clock: Clock) -> RESTClient:
    pacers = Pacers.of(RateLimits(), clock)
    credentials = Credentials("simkey", Secret("simsecret"))
    return RESTClient(server.rest_url, credentials, lambda: token, pacers, clock, rng=random.Random(1))


@dataclass
class Lived:
    """What came of a live day. ``made``: the minutes its features were made of."""

    effects: list[Effect] = field(default_factory=list)
    made: list[Bars] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)


def lived(world: World, past: Past, start: str) -> Lived:
    """The day from ``start`` to its end through feed and engine, with warm features; nothing of it was fetched before."""
    out = Lived()
    virtual(lambda clock: _live(world, past, clock, out), world.at(start))
    return out


async def _live(world: World, past: Past, clock: Clock, out: Lived) -> None:
    knobs = Knobs()
    knobs.stream.publish_every_s, knobs.stream.heartbeat_s, knobs.updates_per_s = 2.0, 2.0, 0.2  # fewer turns of the loop
    exchange = Exchange.open(world.tape, clock, knobs, speed=float("inf"))
    session, targets = world.session, world.targets
    feed_hours = longest_day(session, world.instruments, SESSIONS)
    rows = {token: i for i, (_, token) in enumerate(targets)}
    decider = SignalGenerator(SignalSpec(BUY, np.zeros(4), LABEL, np.full(4, 0.05), observe=False, model_id="m" * 16))
    spec = EngineSpec(TIMEFRAME, GRACE_NS, 0)
    from_ns = clock.now_ns() if clock.now_ns() > session.open_ns else 0  # what a run of the job answers for
    engine = Engine(session, world.hours(), spec, past.calculator(), Up(), decider)
    token = Secret(exchange.accounts.grant().access_token)
    async with SimServer(exchange) as server, _client(server, token, clock) as rest:
        link = ConnectionSpec(server.ws_url, "simkey", lambda: token, LinkSpec(trading_hours(feed_hours)))
        connections = ConnectionManager(link, subscription(rows, Mode.FULL), clock, random.Random(1).random)
        repair = MinuteRepair(rest, targets, SESSIONS, clock, auction=world.takes_part)
        feed = KiteFeed(feed_hours, connections, rows, clock, GRACE_NS, repair.repair, out.alerts.append)
        async with aclosing(feed.events()) as events:
            async for event in events:
                since_ns = 0 if isinstance(event, Backfilled) else from_ns
                for effect in engine.process(event):
                    if isinstance(effect, RequestBackfill):
                        feed.request(effect)
                    if isinstance(effect, SaveBars):
                        out.made.append(effect.bars[(effect.bars["flags"] & BarFlag.LATE) == 0])
                    kept = since(effect, since_ns)
                    out.effects += [] if kept is None else [kept]
