"""Up to three connections as one stream: who subscribes where, what came through, and how each of them is."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from intraday.broker.link import Link, LinkSpec
from intraday.broker.link_events import Deliver, LinkCounts, Lost, Mode, Notice, Up, Want
from intraday.broker.wire import declared_packets, decode_frame
from intraday.broker.ws import Diagnose, Received, WebSocketClient
from intraday.domain.arrays import Packets
from intraday.domain.broker import TokenSource
from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError, WireError

INDEX_SEGMENT = 9  # token & 0xff of an index
NOTICES_KEPT = 20


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """Where and how to connect. The limits are Kite's: 3 connections of one API key, 3000 instruments each."""

    url: str
    api_key: str
    token: TokenSource
    link: LinkSpec
    connect_timeout_s: float = 7.0
    diagnose: Diagnose | None = None  # tells a dead token from one without market data after a 403
    connections_max: int = 3
    instruments_max: int = 3000
    frames_max: int = 10_000  # received and not yet taken; then the sockets are read no further


@dataclass(frozen=True, slots=True)
class Prices:
    """PACKET[n] of everything that arrived together, in order of arrival; ``now_ns``: of the last of it."""

    now_ns: int
    packets: Packets


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """One connection, for people. ``state``: waiting, connecting, open or up; ``since_ns``: since when it is, or is not, up."""

    name: str
    state: str
    since_ns: int
    tokens: int
    frame_ns: int  # when the last frame or heartbeat came; 0: none yet
    counts: LinkCounts
    notices: tuple[str, ...]  # the latest ones


class Inbox:
    """Received items in order; frames wait while there are ``capacity`` of them."""

    def __init__(self, capacity: int) -> None:
        assert capacity > 0, capacity
        self._capacity = capacity
        self._items: deque[Received] = deque()
        self._ready = asyncio.Event()
        self._space = asyncio.Event()

    async def put(self, item: Received) -> None:
        """Append; waits while it is full."""
        while len(self._items) >= self._capacity:
            self._space.clear()
            await self._space.wait()
        self.post(item)

    def post(self, item: Received) -> None:
        """Append at once."""
        self._items.append(item)
        self._ready.set()

    def wake(self) -> None:
        """Let ``drain`` return, with nothing if there is nothing."""
        self._ready.set()

    async def drain(self, timeout_s: float) -> list[Received]:
        """Everything there is; waits up to ``timeout_s`` for something."""
        if not self._items:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._ready.wait()
            except TimeoutError:
                pass
        self._ready.clear()
        items = list(self._items)
        self._items.clear()
        self._space.set()
        return items


class ConnectionManager:
    """The connections of one API key.

    ``modes``: what to subscribe to, and how; see ``subscription``. ``jitter`` as ``Link`` wants it. ConfigError when it is more
    than the connections carry. One connection as long as one is enough: other programs of the same key may need theirs.
    """

    def __init__(self, spec: ConnectionSpec, modes: Mapping[int, Mode], clock: Clock, jitter: Callable[[], float]) -> None:
        self._spec = spec
        self._clock = clock
        self._jitter = jitter
        self._inbox = Inbox(spec.frames_max)
        self._clients: list[WebSocketClient] = []
        self._started: asyncio.Queue[WebSocketClient] = asyncio.Queue(spec.connections_max)
        self._since_ns: list[int] = []
        self._notices: list[deque[str]] = []
        n = self._needed(len(modes))
        for i in range(n):
            self._new_client().link.handle(clock.now_ns(), Want(dict(islice(modes.items(), i, None, n))))

    def __len__(self) -> int:
        """How many connections there are."""
        return len(self._clients)

    async def run(self) -> None:
        """Keep all connections; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task((await self._started.get()).run())

    async def add(self, modes: Mapping[int, Mode]) -> None:
        """Subscribe to more, or to the same in other modes. ConfigError when it would be more than the connections carry."""
        known = {token: client for client in self._clients for token in client.link.wanted}
        news = {token: mode for token, mode in modes.items() if token not in known}
        for _ in range(self._needed(len(known) + len(news)) - len(self._clients)):
            self._new_client()
        shares: dict[int, dict[int, Mode]] = {i: {} for i in range(len(self._clients))}
        sizes = [len(client.link.wanted) for client in self._clients]
        for token, mode in modes.items():
            i = self._clients.index(known[token]) if token in known else sizes.index(min(sizes))
            shares[i][token] = mode
            sizes[i] += token not in known
        for i, share in shares.items():
            await self._clients[i].want(share)

    async def remove(self, tokens: Iterable[int]) -> None:
        """Unsubscribe. A connection stays, even with nothing left."""
        gone = list(tokens)
        for client in self._clients:
            await client.unwant(gone)

    async def receive(self, until_ns: int) -> list[Prices | Received]:
        """What came, in order; waits for something until ``until_ns`` at the most, or until ``wake``.

        Frames that arrived together are one ``Prices``, but those before ``until_ns`` are apart from those after it. Malformed
        frames are counted and left out. The rest (Lost, Up, Notice) comes as ``Received``.
        """
        items = await self._inbox.drain(max(0.0, (until_ns - self._clock.now_ns()) / 1e9))
        out: list[Prices | Received] = []
        frames: list[Received] = []
        for item in items:
            is_frame = isinstance(item.what, Deliver)
            if frames and not (is_frame and (frames[-1].now_ns < until_ns) == (item.now_ns < until_ns)):
                out += self._decode(frames)
                frames = []
            if is_frame:
                frames.append(item)
            else:
                out.append(self._note(item))
        return out + self._decode(frames)

    def wake(self) -> None:
        """Let ``receive`` return."""
        self._inbox.wake()

    def reports(self) -> list[ConnectionReport]:
        """How each connection is."""
        return [self._report(i, client.link) for i, client in enumerate(self._clients)]

    def name(self, i: int) -> str:
        """``connection 2 of 3``; ``connection`` when there is one only."""
        return "connection" if len(self._clients) == 1 else f"connection {i + 1} of {len(self._clients)}"

    def tokens(self, i: int) -> list[int]:
        """What connection ``i`` is to be subscribed to."""
        return list(self._clients[i].link.wanted)

    def _report(self, i: int, link: Link) -> ConnectionReport:
        notices = tuple(self._notices[i])
        return ConnectionReport(self.name(i), link.state, self._since_ns[i], len(link.wanted), link.frame_ns, link.counts, notices)

    def _needed(self, n_tokens: int) -> int:
        """How many connections carry so many instruments."""
        per, most = self._spec.instruments_max, self._spec.connections_max
        n = max(1, -(-n_tokens // per))
        if n > most:
            raise ConfigError(
                f"trading.universe: {n_tokens} instruments, but {most} connections of {per} carry {most * per}; name fewer"
            )
        return n

    def _new_client(self) -> WebSocketClient:
        spec, link = self._spec, Link(self._spec.link, self._jitter)
        client = WebSocketClient(
            len(self._clients),
            spec.url,
            spec.api_key,
            spec.token,
            link,
            self._clock,
            self._inbox,
            spec.connect_timeout_s,
            spec.diagnose,
        )
        self._clients.append(client)
        self._since_ns.append(self._clock.now_ns())
        self._notices.append(deque(maxlen=NOTICES_KEPT))
        self._started.put_nowait(client)
        return client

    def _note(self, item: Received) -> Received:
        if isinstance(item.what, Up | Lost):
            self._since_ns[item.connection] = item.now_ns
        elif isinstance(item.what, Notice):
            self._notices[item.connection].append(item.what.text)
        return item

    def _decode(self, frames: Sequence[Received]) -> list[Prices | Received]:
        parts: list[Packets] = []
        for frame in frames:
            assert isinstance(frame.what, Deliver)
            counts = self._clients[frame.connection].link.counts
            try:
                packets = decode_frame(frame.what.payload)
            except WireError:
                counts.malformed += 1
                continue
            counts.packets += len(packets)
            counts.unknown_packets += declared_packets(frame.what.payload) - len(packets)
            parts.append(packets)
        return [Prices(frames[-1].now_ns, parts[0] if len(parts) == 1 else np.concatenate(parts))] if parts else []


def subscription(tokens: Iterable[int], mode: Mode) -> dict[int, Mode]:
    """``mode`` for every token, but ``full`` for indices: only that carries their time."""
    return {token: Mode.FULL if token & 0xFF == INDEX_SEGMENT else mode for token in tokens}
