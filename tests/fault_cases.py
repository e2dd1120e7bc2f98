"""A stretch of a simulated day with one fault, lived through by feed, engine and repair over real sockets, in virtual time.

What came of it is judged by the exchange's own candles, which are made of its own trades in plain Python.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np

from intraday.broker.connection import ConnectionManager, ConnectionReport, ConnectionSpec, subscription
from intraday.broker.feed import KiteFeed, trading_hours
from intraday.broker.link import LinkSpec
from intraday.broker.link_events import Mode
from intraday.broker.pacing import Pacers
from intraday.broker.repair import MinuteRepair
from intraday.broker.rest import RESTClient
from intraday.config.settings import RateLimits
from intraday.core.function_features import Failure
from intraday.core.panel import Day, regular_day
from intraday.domain.arrays import F4, F8, MINUTE_NS, BarFlag, Bars
from intraday.domain.broker import Credentials, Secret
from intraday.domain.clock import Clock
from intraday.domain.events import Alert, Backfilled, Event, Frame, LinkLost, LinkUp, RequestBackfill, SaveBars, Signal
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.session import Session, SessionTable, midnight_ns
from intraday.live.engine import Engine, EngineSpec
from intraday.sim.candles import minute_candles
from intraday.sim.exchange import Exchange
from intraday.sim.knobs import Knobs
from intraday.sim.listing import SimInstrument, synthetic_listing
from intraday.sim.market import SyntheticTape
from intraday.sim.scenario import Scenario
from intraday.sim.server import SimServer
from pace_cases import virtual

SECOND_NS = 10**9
GRACE_NS = 3 * SECOND_NS // 2
DAY = date(2026, 9, 15)  # a Tuesday; the closing auction exists
SESSIONS = SessionTable.load()
TAPE = SyntheticTape(synthetic_listing(6, day=DAY), 7, SESSIONS, trades_per_minute=20.0)
ROWS = [row for row in TAPE.instruments if not row.is_future]
MINUTES = 5  # of the session that is lived through, from 09:15
PAGE = Path(__file__).parents[1] / "docs" / "faults.md"
STREAM, QUIET, LOGIN, CANDLES, REST = (
    "The feed",
    "Outside trading hours",
    "The login",
    "Missed candles",
    "Other requests",
)  # parts of the table
ROWS_FILE = "INTRADAY_FAULT_ROWS"  # environment: where a test leaves its row of the table


def at_ns(text: str) -> int:
    """``HH:MM`` or ``HH:MM:SS`` of the day as ns UTC."""
    h, m, s = (int(part) for part in f"{text}:00".split(":")[:3])
    return midnight_ns(DAY) + (h * 3600 + m * 60 + s) * SECOND_NS


def short_session(open_at: str, minutes: int) -> Session:
    """The day's session as if it lasted so many minutes only; the exchange goes on."""
    open_ns = at_ns(open_at)
    close_ns = open_ns + minutes * MINUTE_NS
    return replace(SESSIONS.get(DAY), open_ns=open_ns, close_ns=close_ns, square_off_ns=close_ns - MINUTE_NS)


def hours(session: Session, rows: Sequence[SimInstrument]) -> Day:
    """The short session, as long as each of the instruments trades."""
    ends = [min(session.close_ns, SESSIONS.get(DAY, auction=row.auction).close_ns) for row in rows]
    day = regular_day(session, len(rows))
    day.minutes[:] = [(end - session.open_ns) / MINUTE_NS for end in ends]
    return day


class Nothing:
    """Features, predictions and decisions of an engine that is here for its candles."""

    def update(self, bars: Bars, ts_ns: int, day: Day) -> F4:
        return np.zeros((len(bars), 1), np.float32)

    def take_failures(self) -> Sequence[Failure]:
        return ()

    def predict(self, x: F4) -> F8:
        return np.zeros((len(x), 3))

    def decide(self, bars: Bars, sigma: F4, p: F8, now_ns: int, session: Session, x: F4 | None = None) -> Sequence[Signal]:
        return ()


@dataclass
class Outcome:
    """What came of a day. Times in seconds after ``fault_ns``; bars as (inst, open time)."""

    fault_ns: int
    session: Session
    rows: Sequence[SimInstrument]
    events: list[Event] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    live: dict[tuple[int, int], np.void] = field(default_factory=dict)
    backfilled: dict[tuple[int, int], np.void] = field(default_factory=dict)
    rejects: dict[str, int] = field(default_factory=dict)
    reports: list[ConnectionReport] = field(default_factory=list)
    n_429: int = 0

    def after(self, ns: int) -> float:
        return (ns - self.fault_ns) / 1e9

    def losses(self) -> list[LinkLost]:
        return [e for e in self.events if isinstance(e, LinkLost)]

    def ups(self) -> list[LinkUp]:
        return [e for e in self.events if isinstance(e, LinkUp)]

    def told(self) -> list[str]:
        return [a.text for a in self.alerts]

    def troubles(self) -> list[Alert]:
        """What was told since the fault, but for the good news that the feed or the missed candles are back."""
        good = ("feed back after", "are stored, as late ones")
        return [a for a in self.alerts if a.now_ns >= self.fault_ns and not any(words in a.text for words in good)]

    def repaired_ns(self) -> list[int]:
        return [e.now_ns for e in self.events if isinstance(e, Backfilled)]

    def truth(self) -> dict[tuple[int, int], tuple[float, ...]]:
        """The exchange's candles of the session: (inst, open time) to open, high, low, close, volume."""
        found = {}
        for inst, row in enumerate(self.rows):
            for c in minute_candles(TAPE.trades(row.token, DAY), SESSIONS.get(DAY, auction=row.auction)):
                if self.session.open_ns <= c.start_ns < self.session.close_ns:
                    prices = tuple(p / 100 for p in (c.open, c.high, c.low, c.close))
                    found[inst, c.start_ns] = (*prices, float("nan") if row.is_index else float(c.volume))
        return found

    def lost(self) -> list[tuple[int, int]]:
        """Candles of the exchange that we do not have, or have in part only."""
        whole = {key for key, bar in self.live.items() if not bar["flags"] & BarFlag.PARTIAL}
        return sorted(set(self.truth()) - whole - set(self.backfilled))

    def wrong(self, names: Sequence[str] = ("open", "high", "low", "close", "volume")) -> list[tuple[int, int]]:
        """Fetched candles that differ from the exchange's in any of these, and live ones that it does not have.

        Live ones may differ in value: what is sent are snapshots twice a second, not trades (KITE_SPEC 8.5).
        """
        truth = self.truth()
        bad = [key for key, bar in self.backfilled.items() if not _same(bar, truth.get(key), names)]
        return sorted([*bad, *(key for key in self.live if key not in truth)])


def _same(bar: np.void, truth: tuple[float, ...] | None, names: Sequence[str]) -> bool:
    if truth is None:
        return False
    want = dict(zip(("open", "high", "low", "close", "volume"), truth, strict=True))
    return all(bar[name] == want[name] or (np.isnan(want[name]) and np.isnan(bar[name])) for name in names)


@dataclass(frozen=True, slots=True)
class World:
    """How a day is lived: ``scenario`` text, when it starts, and what the client is like."""

    scenario: str = ""
    fault_at: str = "09:16:20"
    start: str = "09:14:50"
    open: str = "09:15"
    minutes: int = MINUTES
    rows: tuple[SimInstrument, ...] = tuple(ROWS)
    instruments_max: int = 3000
    mode: Mode = Mode.FULL
    login_at: str = ""  # a person logs in again at this time
    other_login_at: str = ""  # another program of the same key logs in
    seed: int = 1


def live_through(world: World) -> Outcome:
    """The whole of it, in virtual time."""
    outcome = Outcome(at_ns(world.fault_at), short_session(world.open, world.minutes), world.rows)
    virtual(lambda clock: _live(world, clock, outcome), at_ns(world.start))
    return outcome


async def _live(world: World, clock: Clock, outcome: Outcome) -> None:
    knobs = Knobs(seed=world.seed)
    knobs.stream.publish_every_s = 0.5
    exchange = Exchange.open(TAPE, clock, knobs, speed=float("inf"))
    scenario = Scenario.parse(world.scenario)
    tokens = [exchange.accounts.grant().access_token]
    async with SimServer(exchange, scenario=scenario) as server, asyncio.TaskGroup() as tasks:
        if world.login_at:
            tasks.create_task(_log_in(world.login_at, clock, exchange, tokens))
        if world.other_login_at:
            tasks.create_task(_log_in(world.other_login_at, clock, exchange, []))
        rest = RESTClient(
            server.rest_url,
            Credentials("simkey", Secret("simsecret")),
            lambda: Secret(tokens[-1]),
            Pacers.of(RateLimits(), clock),
            clock,
            timeout_s=7.0,
            rng=random.Random(world.seed),
        )
        async with rest:
            await _run_feed(world, clock, outcome, server, rest, tokens)
    outcome.n_429 = sum(exchange.limits.refused(name) for name in ("quote", "historical", "other"))


async def _log_in(at: str, clock: Clock, exchange: Exchange, tokens: list[str]) -> None:
    await asyncio.sleep((at_ns(at) - clock.now_ns()) / 1e9)
    tokens.append(exchange.accounts.grant().access_token)


async def _run_feed(world: World, clock: Clock, outcome: Outcome, server: SimServer, rest: RESTClient, tokens: list[str]) -> None:
    session = outcome.session
    kinds = {True: Kind.INDEX, False: Kind.EQUITY}
    targets = [(Instrument("NSE", row.symbol, kinds[row.is_index], id=k + 1), row.token) for k, row in enumerate(world.rows)]
    rows = {token: i for i, (_, token) in enumerate(targets)}
    link = LinkSpec(trading_hours(session))
    spec = ConnectionSpec(
        server.ws_url,
        "simkey",
        lambda: Secret(tokens[-1]),
        link,
        diagnose=lambda: rest.ltp(["NSE:NIFTY 50"]),
        instruments_max=world.instruments_max,
    )
    jitter = random.Random(world.seed)
    connections = ConnectionManager(spec, subscription(rows, world.mode), clock, jitter.random)
    repair = MinuteRepair(rest, targets, SESSIONS, clock, auction=lambda number, _: world.rows[number - 1].auction)
    timed = world.mode is Mode.FULL
    feed = KiteFeed(session, connections, rows, clock, GRACE_NS, repair.repair, outcome.alerts.append, timed=timed)
    engine = Engine(session, hours(session, world.rows), EngineSpec(1, GRACE_NS, 0), Nothing(), Nothing(), Nothing())
    async with aclosing(feed.events()) as events:
        async for event in events:
            _take(outcome, feed, engine, event)
    outcome.reports = connections.reports()


def _take(outcome: Outcome, feed: KiteFeed, engine: Engine, event: Event) -> None:
    if not isinstance(event, Frame):
        outcome.events.append(event)
    for effect in engine.process(event):
        if isinstance(effect, RequestBackfill):
            feed.request(effect)
        elif isinstance(effect, Alert):
            outcome.alerts.append(effect)
        elif isinstance(effect, SaveBars):
            kept = outcome.backfilled if isinstance(event, Backfilled) else outcome.live
            kept.update({(int(bar["inst"]), int(bar["ts_ns"])): bar for bar in effect.bars})
        elif hasattr(effect, "reason") and hasattr(effect, "n"):
            for reason, n in zip(effect.reason, effect.n, strict=True):
                outcome.rejects[reason] = outcome.rejects.get(reason, 0) + int(n)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of docs/faults.md. Times in whole seconds, rounded up; None where nothing is noticed, or nothing has to recover."""

    part: str
    fault: str
    detected_s: int | None
    told: str
    recovered_s: int | None
    lost: int

    def line(self) -> str:
        """As the page has it."""
        shown = ["–" if s is None else f"{s} s" for s in (self.detected_s, self.recovered_s)]
        return f"| {self.fault} | {shown[0]} | {self.told or '–'} | {shown[1]} | {self.lost} |"


def up_to(seconds: float) -> int:
    """Whole seconds, rounded up; a tenth is the machine's."""
    return max(0, math.ceil(seconds - 0.1))


def row_of(part: str, fault: str, outcome: Outcome, mended_ns: int) -> Row:
    """``mended_ns``: when the fault was over and recovery could begin, until the link is up, or the missed candles are there."""
    news = outcome.troubles()
    back = outcome.repaired_ns() if part == CANDLES else [e.now_ns for e in outcome.ups() if e.now_ns >= outcome.fault_ns]
    told = "; then: ".join(dict.fromkeys(a.text.removeprefix("feed lost: ") for a in news))
    told = re.sub(r"/\d{5,}/", "/TOKEN/", told)  # which of those asked for at once failed last is chance
    return Row(
        part,
        fault,
        up_to(outcome.after(news[0].now_ns)) if news else None,
        told.replace("|", "/"),
        up_to((back[-1] - mended_ns) / 1e9) if back else None,
        len(outcome.lost()),
    )


def keep(row: Row) -> None:
    """Leave a row for scripts/build_fault_docs.py if it asked for it; otherwise the page must have it."""
    path = os.environ.get(ROWS_FILE)
    if path:
        with Path(path).open("a", encoding="utf-8") as out:
            out.write(json.dumps(asdict(row)) + "\n")
        return
    found = [cells for cells in rows_of_page(row.part) if cells[0] == f"| {row.fault}"]
    assert found, f"docs/faults.md has no row of {row.fault!r}: run scripts/build_fault_docs.py"
    cells = row.line().split(" | ")
    same = len(found[0]) == len(cells) and all(_close(a, b) for a, b in zip(found[0], cells, strict=True))
    assert same, f"docs/faults.md is not current, run scripts/build_fault_docs.py: found {found[0]}, expected {cells}"


def rows_of_page(part: str) -> list[list[str]]:
    """The cells of each row of a part of docs/faults.md."""
    table = PAGE.read_text(encoding="utf-8").split(f"## {part}\n")[1].split("\n## ")[0]
    return [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]


def _close(page: str, ours: str) -> bool:
    """The same words; a second or two, and how often something was asked, and for how many, are a busy machine's."""
    if page.endswith(" s") and ours.endswith(" s") and page[:-2].isdigit() and ours[:-2].isdigit():
        return abs(int(page[:-2]) - int(ours[:-2])) <= 2
    return _words(page) == _words(ours)


def _words(text: str) -> str:
    return re.sub(r"\d+(\.\d+)? s\b|asked \d times|\d of \d instruments", "N", text)
