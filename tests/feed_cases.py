"""A tiny Kite on a socket for tests of one thing at a time, and frames to send with it. The real stand-in is ``intraday.sim``."""

from __future__ import annotations

import asyncio
import json
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from intraday.broker.connection import ConnectionManager, ConnectionSpec
from intraday.broker.link import LinkSpec
from intraday.broker.link_events import Mode
from intraday.broker.ws import Received
from intraday.domain.broker import Secret
from intraday.domain.clock import Clock

TOKEN = "topsecrettoken"  # noqa: S105
HEARTBEAT = b"\0"
RELIANCE, INFY, NIFTY = 738561, 408065, 256265


def full(token: int, price: int, volume: int, at_s: int) -> bytes:
    """The body of a full packet (184 bytes)."""
    return struct.pack(">16I", token, price, 1, price, volume, 0, 0, price, price, price, price, at_s, 0, 0, 0, at_s) + bytes(120)


def frame(*packets: bytes) -> bytes:
    """A frame of packets."""
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(p)) + p for p in packets)


class Sunk:
    """What a client left, in order."""

    def __init__(self) -> None:
        self.items: list[Received] = []

    async def put(self, item: Received) -> None:
        self.items.append(item)

    def post(self, item: Received) -> None:
        self.items.append(item)

    def of(self, kind: type) -> list[Any]:
        return [item.what for item in self.items if isinstance(item.what, kind)]

    def times(self, kind: type) -> list[float]:
        return [item.now_ns / 1e9 for item in self.items if isinstance(item.what, kind)]


class TinyKite:
    """Counts upgrades, keeps commands, refuses with ``refuse`` (status, body), and lets ``talk`` say the rest."""

    def __init__(self, url: str = "ws://127.0.0.1:9") -> None:
        self.queries: list[str] = []
        self.commands: list[dict[str, Any]] = []
        self.closes: list[int | None] = []
        self._subscribed: defaultdict[ServerConnection, asyncio.Queue[list[int]]] = defaultdict(asyncio.Queue)
        self.refuse: tuple[int, str] | None = None
        self.talk: Callable[[ServerConnection], Awaitable[None]] = beat
        self.url = url

    def subscribed(self) -> set[int]:
        return {token for c in self.commands if c["a"] == "subscribe" for token in c["v"]}

    async def subscription(self, connection: ServerConnection) -> list[int]:
        """The tokens of the next subscription on one connection."""
        return await self._subscribed[connection].get()

    def _gate(self, connection: ServerConnection, request: Request) -> Response | None:
        self.queries.append(request.path)
        if self.refuse is None:
            return None
        return connection.respond(HTTPStatus(self.refuse[0]), self.refuse[1])

    async def _serve(self, connection: ServerConnection) -> None:
        async with asyncio.TaskGroup() as tasks:
            talk = tasks.create_task(self._talk(connection))
            try:
                async for text in connection:
                    self.commands.append(json.loads(text))
                    if self.commands[-1]["a"] == "subscribe":
                        self._subscribed[connection].put_nowait(self.commands[-1]["v"])
            except ConnectionClosed:
                pass
            self.closes.append(connection.close_code)
            talk.cancel()

    async def _talk(self, connection: ServerConnection) -> None:
        try:
            await self.talk(connection)
        except ConnectionClosed:
            pass

    @asynccontextmanager
    async def running(self) -> AsyncIterator[TinyKite]:
        server: Server
        async with serve(self._serve, "127.0.0.1", 0, process_request=self._gate, compression=None, ping_interval=None) as server:
            self.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            yield self


async def beat(connection: ServerConnection) -> None:
    """Heartbeats, one a second."""
    while True:
        await connection.send(HEARTBEAT)
        await asyncio.sleep(1)


def connections(
    kite: TinyKite, clock: Clock, tokens: Sequence[int], trading: Callable[[int], bool] = lambda _: True, **limits: int
) -> ConnectionManager:
    """A manager of full-mode subscriptions to ``kite``, without jitter."""
    spec = ConnectionSpec(kite.url, "key", lambda: Secret(TOKEN), LinkSpec(trading), **limits)
    return ConnectionManager(spec, dict.fromkeys(tokens, Mode.FULL), clock, lambda: 0.0)
