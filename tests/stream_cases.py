"""An exchange in virtual time and a plain client of its WebSocket, for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

from kiteconnect import KiteTicker
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from intraday.domain.clock import Clock
from intraday.domain.session import SessionTable, midnight_ns
from intraday.sim.exchange import Exchange
from intraday.sim.listing import synthetic_listing
from intraday.sim.market import SyntheticTape
from intraday.sim.server import SimServer
from pace_cases import virtual

T = TypeVar("T")
DAY = date(2026, 8, 5)
SECOND = 10**9
LISTING = synthetic_listing(8, day=DAY)
TAPE = SyntheticTape(LISTING, 7, SessionTable.load())  # shared: what it remembers depends on nothing else
INDEX = LISTING[0].token
STOCKS = [row.token for row in LISTING[1:9]]


def at(text: str) -> int:
    """``HH:MM:SS`` of the day as ns UTC."""
    h, m, s = (int(part) for part in text.split(":"))
    return midnight_ns(DAY) + (h * 3600 + m * 60 + s) * SECOND


@dataclass
class Sim:
    """A running exchange with one login."""

    server: SimServer
    clock: Clock
    token: str

    @property
    def exchange(self) -> Exchange:
        return self.server.exchange

    def url(self, token: str | None = None) -> str:
        return f"{self.server.ws_url}?api_key=simkey&access_token={token or self.token}"

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with connect(self.url(), compression=None, ping_interval=None, max_queue=None) as ws:
            yield Client(ws, self.clock)


@dataclass
class Client:
    """What came over one connection: each with the time it was read."""

    ws: ClientConnection
    clock: Clock
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    beats: list[int] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, action: str, value: Any) -> None:
        await self.ws.send(json.dumps({"a": action, "v": value}))

    async def read(self, seconds: float) -> list[dict[str, Any]]:
        """Read for so long; the ticks that came, as the official client parses them."""
        before = len(self.frames)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._take(await self.ws.recv())
        except TimeoutError:
            pass
        return [tick for _, frame in self.frames[before:] for tick in parse(frame)]

    async def until_closed(self, seconds: float = 60.0) -> ConnectionClosed:
        """Read until the connection ends; how it ended. TimeoutError when it does not."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await self.ws.recv()
                except ConnectionClosed as closed:
                    return closed

    def _take(self, received: str | bytes) -> None:
        now_ns = self.clock.now_ns()
        if isinstance(received, str):
            self.texts.append(json.loads(received))
        elif len(received) == 1:
            self.beats.append(now_ns)
        else:
            self.frames.append((now_ns, received))


async def passes(seconds: float) -> None:
    """Let time of the loop go by: virtual time, nobody waits."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_later(seconds, over.set_result, None)
    await over


def parse(frame: bytes) -> list[dict[str, Any]]:
    """A frame as the official client reads it."""
    ticks: list[dict[str, Any]] = KiteTicker("key", "token")._parse_binary(frame)
    return ticks


def simulate(main: Callable[[Sim], Awaitable[T]], start: str = "10:00:00", **server: Any) -> T:
    """Run ``main`` beside an exchange that opened at ``start``, in virtual time."""

    async def run(clock: Clock) -> T:
        exchange = Exchange.open(TAPE, clock, speed=float("inf"))
        async with SimServer(exchange, **server) as running:
            return await main(Sim(running, clock, exchange.accounts.grant().access_token))

    return virtual(run, at(start))
