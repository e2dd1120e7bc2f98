"""``intraday sim``: the bundled exchange, open until it is told to close."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from intraday.config.settings import Settings
from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError
from intraday.domain.pace import LoopClock, paced
from intraday.domain.ports import Progress
from intraday.domain.session import SessionTable, midnight_ns
from intraday.sim.accounts import API_KEY
from intraday.sim.book import QuoteBook
from intraday.sim.exchange import Exchange
from intraday.sim.knobs import REST_CLASSES, Knobs
from intraday.sim.listing import synthetic_listing
from intraday.sim.market import SyntheticTape
from intraday.sim.scenario import Scenario
from intraday.sim.server import SimServer
from intraday.sim.tape import Tape

SECOND_NS = 1_000_000_000
DEFAULT_PORT = 8150


@dataclass(frozen=True, slots=True)
class SimOptions:
    """What the command line says beside ``broker.simulator``; None: as configured.

    ``preload``: load every instrument before the clock starts. ``with_parent``: end when standard input does.
    """

    source: str | None = None
    day: date | None = None
    start: str | None = None
    speed: float | None = None
    port: int | None = None
    scenario: Path | None = None
    seed: int | None = None
    instruments: int | None = None
    preload: bool = False
    with_parent: bool = False


@dataclass(frozen=True, slots=True)
class SimReady:
    """Where it answers, and as whom to log in. The secrets are the simulator's own and open to nobody but this machine."""

    rest_url: str
    ws_url: str
    login_url: str
    day: date
    now_ns: int
    speed: float
    api_key: str
    api_secret: str
    user_id: str
    instruments: int


@dataclass(frozen=True, slots=True)
class SimStatus:
    """How it is going. Rates are by the exchange's clock."""

    now_ns: int
    links: int
    tokens: int
    packets: int
    packets_s: float
    requests: int
    refused: int  # of the requests, with 429


@dataclass(frozen=True, slots=True)
class SimPlan:
    """Everything decided: what to open, from when, how fast."""

    tape: Tape
    day: date
    start_ns: int
    speed: float
    port: int
    seed: int
    scenario: Scenario | None


def run_sim(
    settings: Settings,
    options: SimOptions,
    clock: Clock,
    progress: Progress,
    ready: Callable[[SimReady], object],
    status: Callable[[SimStatus], object],
    say: Callable[[str], object],
) -> SimStatus:
    """Open the exchange, tell ``ready`` where, and ``status`` once a (real) second how it goes; ``say`` hears of scenario actions.

    Returns at Ctrl-C, SIGTERM or, with ``with_parent``, at the end of standard input. Raises ConfigError, CalendarError,
    NotEnoughData.
    """
    with planned(settings, options, clock) as plan:
        book = QuoteBook(plan.tape, plan.day, plan.seed)
        if options.preload:
            tokens = [row.token for row in plan.tape.instruments]
            for i in range(0, len(tokens), 50):
                progress("loading instruments", i, len(tokens))
                book.watch(tokens[i : i + 50], plan.start_ns)
            progress("loading instruments", len(tokens), len(tokens))
        with asyncio.Runner(loop_factory=paced(plan.speed)) as runner:
            return runner.run(_serve(plan, book, options, ready, status, say))


# ----------------------------------------------------------------------------------------------------------------- planning


@contextmanager
def planned(settings: Settings, options: SimOptions, clock: Clock) -> Iterator[SimPlan]:
    """What ``broker.simulator`` and ``options`` ask for; the database is open while the block runs where it is the source."""
    sim, market, sessions = settings.broker.simulator, settings.trading.synthetic, SessionTable.load()
    path = options.scenario or sim.scenario
    scenario = None if path is None else Scenario.parse(_read(path), str(path))
    seed = market.seed if options.seed is None else options.seed
    port = options.port if options.port is not None else sim.port or DEFAULT_PORT
    wanted_day = options.day or sim.day

    def plan(tape: Tape, day: date) -> SimPlan:
        sessions.find(day)  # the table must know it
        start_ns = _instant(day, options.start or sim.start)
        return SimPlan(tape, day, start_ns, options.speed or sim.speed, port, seed, scenario)

    if (options.source or sim.source) == "database":
        from intraday.jobs.sim_database import stored_market  # the database and all of app: not needed otherwise, and slow to load

        with stored_market(settings, clock, wanted_day, options.instruments) as (tape, day):
            yield plan(tape, day)
    else:
        days = sessions.between(market.start_day, sessions.last)[: market.sessions + 1]
        day = wanted_day or days[-1].day
        n = (options.instruments or market.instruments) - 1  # the index is one of them
        listing = [replace(row, first_day=days[0].day) for row in synthetic_listing(max(n, 1), seed=seed, day=day)]
        yield plan(SyntheticTape(listing, seed, sessions, edge=market.edge), day)


def _instant(day: date, text: str) -> int:
    """``HH:MM`` or ``HH:MM:SS`` of ``day`` as ns UTC."""
    hours, minutes, seconds = (*map(int, text.split(":")), 0)[:3]
    return midnight_ns(day) + (hours * 3600 + minutes * 60 + seconds) * SECOND_NS


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"scenario {path}: expected a text file, {reason}") from None


# ------------------------------------------------------------------------------------------------------------------ serving


async def _serve(
    plan: SimPlan,
    book: QuoteBook,
    options: SimOptions,
    ready: Callable[[SimReady], object],
    status: Callable[[SimStatus], object],
    say: Callable[[str], object],
) -> SimStatus:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    exchange = Exchange.open(plan.tape, LoopClock(loop, plan.start_ns), Knobs(seed=plan.seed), plan.speed)
    exchange.book = book
    _stop_on_signals(loop, stop)
    if options.with_parent:
        _stop_with_parent(loop, stop)
    async with SimServer(exchange, plan.port, plan.scenario, say) as server:
        ready(_ready(server, plan))
        before = _status(server, None)
        while not stop.is_set():
            try:
                async with asyncio.timeout(plan.speed):  # a real second
                    await stop.wait()
            except TimeoutError:
                before = _status(server, before)
                status(before)
        return _status(server, before)


def _ready(server: SimServer, plan: SimPlan) -> SimReady:
    accounts = server.exchange.accounts
    app = accounts.app(API_KEY)
    return SimReady(
        server.rest_url, server.ws_url, server.login_url, plan.day, server.exchange.clock.now_ns(), plan.speed, app.api_key,
        app.api_secret, accounts.user_id, len(plan.tape.instruments),
    )  # fmt: skip


def _status(server: SimServer, before: SimStatus | None) -> SimStatus:
    stream, limits, now_ns = server.stream, server.exchange.limits, server.exchange.clock.now_ns()
    packets = stream.counts.packets
    rate = 0.0 if before is None else (packets - before.packets) / max((now_ns - before.now_ns) / 1e9, 1e-9)
    return SimStatus(
        now_ns,
        len(stream.links),
        sum(len(link.modes) for link in stream.links),
        packets,
        rate,
        sum(len(limits.times(name)) for name in REST_CLASSES),
        sum(limits.refused(name) for name in REST_CLASSES),
    )


def _stop_on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if threading.current_thread() is threading.main_thread():
        for wanted in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(wanted, stop.set)


def _stop_with_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when standard input ends, as it does when the process that holds its other end is gone."""
    fd = sys.stdin.fileno()

    def read() -> None:
        if not os.read(fd, 4096):
            loop.remove_reader(fd)
            stop.set()

    try:
        loop.add_reader(fd, read)
    except PermissionError:  # a file, which epoll refuses
        raise ConfigError("--with-parent: expected a pipe on standard input that the parent holds open, found a file") from None
