"""Hops 1 and 2 over the wire: one session of Kite's feed as engine events.

Frames, timers and link changes leave in order of ``now_ns``, as ``live.sources`` makes them of a recording; an engine cannot tell
the two apart. Minutes that were missed are asked for again and leave as ``Backfilled``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from intraday.broker.connection import ConnectionManager, Prices
from intraday.broker.link_events import Lost, Notice, Up
from intraday.broker.repairs import Repair, Repairs, RepairSpec, Tell, ist
from intraday.broker.wire import to_ticks
from intraday.broker.ws import Received
from intraday.core.candles import minute_ends
from intraday.domain.arrays import MINUTE_NS, Bars, PacketKind, Packets
from intraday.domain.clock import Clock
from intraday.domain.events import Alert, Backfilled, Event, Frame, LinkLost, LinkUp, RequestBackfill, Timer
from intraday.domain.session import Session

LOOK_NS = 5_000_000_000  # longest wait without a look at the clock, in case somebody sets it


class Fresh:
    """Keeps packets whose price is as old as they say; see docs/adr/0014.

    ``timed``: everything is subscribed in full mode. Then packets without a time are what the broker sends between a subscription,
    which begins in quote mode, and the change of its mode: its last price, however old, and are left out. Otherwise a quote packet
    counts when its volume is another one: a trade was made since the packet before. The first one of a token only says where it
    stands.
    """

    def __init__(self, timed: bool) -> None:
        self._timed = timed
        self._volume: dict[int, int] = {}

    def of(self, packets: Packets) -> Packets:
        """PACKET[m], m <= n, in the same order."""
        kind = packets["kind"]
        keep = (kind == PacketKind.FULL) | (kind == PacketKind.INDEX_FULL)
        if not self._timed:
            for i in np.flatnonzero(kind == PacketKind.QUOTE).tolist():
                token, volume = int(packets["token"][i]), int(packets["volume"][i])
                keep[i] = volume != self._volume.get(token, volume)
                self._volume[token] = volume
        return packets if keep.all() else packets[keep]


@dataclass(slots=True)
class _Down:
    """A connection that is down: why, when it was last heard, and whether the engine knows."""

    text: str
    since_ns: int
    told: bool = False


class KiteFeed:
    """One session of the feed: ``domain.ports.EventSource``, and where the engine's requests for missing minutes go.

    ``token_to_inst``: dense row of each token. ``grace_ns``: a minute's timer comes so long after its end. The feed counts as
    lost while any connection is down, from the session's open to its close; a loss before the open is none if it is mended by
    then. Each connection that goes is a ``LinkLost`` of its own, since it was last heard; ``LinkUp`` comes when all are back
    before the close. What is missing at the close the feed asks for itself. A start after the open, even after the close, is a
    loss from the open on, so that what it missed is asked for.

    ``timed``: as for ``Fresh``. Use ``contextlib.aclosing(feed.events())`` where the iteration may end early.
    """

    def __init__(
        self,
        session: Session,
        connections: ConnectionManager,
        token_to_inst: Mapping[int, int],
        clock: Clock,
        grace_ns: int,
        repair: Repair,
        tell: Tell,
        repairs: RepairSpec | None = None,
        *,
        timed: bool = True,
    ) -> None:
        self._session = session
        self._fresh = Fresh(timed)
        self._connections = connections
        self._token_to_inst = token_to_inst
        self._clock = clock
        self._grace_ns = grace_ns
        self._tell = tell
        insts = sorted(set(token_to_inst.values()))
        self._repairs = Repairs(session, insts, repair, clock, repairs or RepairSpec(), tell, self._repaired)
        self._bars: deque[Bars] = deque()  # fetched, not yet handed out
        self._timers = deque(end_ns + grace_ns for end_ns in minute_ends(session.open_ns, session.close_ns))
        self._timers.append(self._timers[-1] + MINUTE_NS)  # hands out what came late
        self._now_ns = 0
        self._down = {i: _Down("not connected yet", session.open_ns) for i in range(len(connections))}
        self._missed_ns: int | None = None  # since when something has been missing that nobody has asked for
        self._failure: Exception | None = None

    def request(self, wanted: RequestBackfill) -> None:
        """Ask for minutes; they come as Backfilled. Never waits, never raises."""
        self._repairs.request(wanted)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Until a minute after the close and the last repair. Raises what broke a task of its own."""
        stream = self._stream()
        async with asyncio.TaskGroup() as tasks:
            work = [tasks.create_task(self._guard(run)) for run in (self._connections.run, self._repairs.run)]
            try:
                async for event in stream:
                    yield event
            except GeneratorExit:  # whoever iterated has had enough; a task group would not let it through
                await stream.aclose()
            finally:
                for task in work:
                    task.cancel()
        if self._failure is not None:
            raise self._failure

    # ------------------------------------------------------------------------------------------------- the stream

    async def _stream(self) -> AsyncGenerator[Event, None]:
        for event in self._begin():
            yield event
        while self._timers and self._failure is None:
            for event in await self._next():
                yield event
        self._finish()
        while (self._repairs.busy or self._bars) and self._failure is None:
            await self._connections.receive(self._clock.now_ns() + LOOK_NS)
            for event in self._backfilled():
                yield event

    def _begin(self) -> Iterator[Event]:
        yield from self._timer()  # minutes before the start are over: what is heard of them is late
        now_ns = self._stamp()
        if self._session.open_ns < now_ns:
            for down in self._down.values():
                down.told = True
            reason = f"started at {ist(now_ns)}, after the open; what was missed is asked for"
            yield self._lost(now_ns, reason, self._session.open_ns)

    def _finish(self) -> None:
        """Ask for what was missing at the close: no link came back in time to have it asked for. A connection may also have gone
        so shortly before it that nothing was noticed; those that are alive had a heartbeat since."""
        session = self._session
        heard_ns = [report.frame_ns for report in self._connections.reports()]
        since_ns = min([*heard_ns, session.close_ns if self._missed_ns is None else self._missed_ns])
        if since_ns < session.close_ns:
            start_ns = max(since_ns - self._grace_ns, session.open_ns)  # as the engine asks
            self.request(RequestBackfill(start_ns - start_ns % MINUTE_NS, session.close_ns, "feed lost until the close"))

    async def _next(self) -> list[Event]:
        """Wait for something, and what it means."""
        until_ns = self._due_ns()
        events: list[Event] = []
        for item in await self._connections.receive(until_ns):
            if item.now_ns >= until_ns:
                events += self._timer()
            events += self._item(item)
        return [*events, *self._backfilled(), *self._timer(), *self._link_changes()]

    def _item(self, item: Prices | Received) -> list[Event]:
        if isinstance(item, Prices):
            ticks = to_ticks(self._fresh.of(item.packets), self._token_to_inst, item.now_ns)
            return [Frame(self._stamp(), ticks)] if len(ticks) else []
        match item.what:
            case Up():
                self._down.pop(item.connection, None)
            case Lost():
                self._down[item.connection] = _Down(self._named(item.connection, item.what.reason), item.what.since_ns)
            case Notice():
                text = self._named(item.connection, item.what.text)
                self._tell(Alert(item.now_ns, item.what.level, "broker", text))
                if item.connection in self._down:
                    self._down[item.connection].text = text
            case _:
                pass
        return self._link_changes()

    def _timer(self) -> list[Event]:
        """One timer, if one is due; the engine closes all minutes that have ended."""
        now_ns, due = self._clock.now_ns(), False
        while self._timers and self._timers[0] <= now_ns:
            self._timers.popleft()
            due = True
        return [Timer(self._stamp())] if due else []

    def _link_changes(self) -> list[Event]:
        now_ns = self._stamp()
        if self._missed_ns is not None and not self._down and now_ns < self._session.close_ns:
            self._missed_ns = None
            return [LinkUp(now_ns)]
        news = [down for down in self._down.values() if not down.told and down.since_ns < self._session.close_ns]
        if not news or now_ns < self._session.open_ns:
            return []
        inst = self._carried([i for i, down in self._down.items() if down in news])
        for down in news:
            down.told = True
        return [self._lost(now_ns, "; ".join(down.text for down in news), min(down.since_ns for down in news), inst)]

    def _carried(self, connections: Sequence[int]) -> tuple[int, ...]:
        """Dense rows whose prices come over these connections; none of them means all."""
        if len(connections) == len(self._connections):
            return ()
        tokens = [token for i in connections for token in self._connections.tokens(i)]
        return tuple(sorted(self._token_to_inst[token] for token in tokens if token in self._token_to_inst))

    def _lost(self, now_ns: int, reason: str, since_ns: int, inst: Sequence[int] = ()) -> LinkLost:
        since_ns = max(since_ns, self._session.open_ns)
        self._missed_ns = since_ns if self._missed_ns is None else min(self._missed_ns, since_ns)
        return LinkLost(now_ns, reason, since_ns, inst)

    def _backfilled(self) -> list[Event]:
        events: list[Event] = [Backfilled(self._stamp(), bars) for bars in self._bars]
        self._bars.clear()
        return events

    # ---------------------------------------------------------------------------------------------------- helpers

    def _due_ns(self) -> int:
        """When to look at the clock again: the next timer, the open, or a while from now."""
        now_ns = self._clock.now_ns()
        soon = [self._timers[0], now_ns + LOOK_NS]
        return min([*soon, self._session.open_ns] if now_ns < self._session.open_ns else soon)

    def _stamp(self) -> int:
        """The clock when an event leaves; never before the event that left last."""
        self._now_ns = max(self._now_ns, self._clock.now_ns())
        return self._now_ns

    def _named(self, connection: int, text: str) -> str:
        return text if len(self._connections) == 1 else f"{self._connections.name(connection)}: {text}"

    def _repaired(self, bars: Bars | None) -> None:
        if bars is not None and len(bars):
            self._bars.append(bars)
        self._connections.wake()

    async def _guard(self, run: Callable[[], Awaitable[None]]) -> None:
        """A task that fails must not cancel whoever iterates, who may be waiting elsewhere: the stream itself raises."""
        try:
            await run()
        except Exception as error:  # noqa: BLE001
            self._failure = error
            self._connections.wake()


def trading_hours(session: Session) -> Callable[[int], bool]:
    """For ``LinkSpec.trading``: is continuous trading on? Halts within the day are none."""

    def is_on(now_ns: int) -> bool:
        halted = any(start_ns <= now_ns < end_ns for start_ns, end_ns in session.pauses)
        return session.open_ns <= now_ns < session.close_ns and not halted

    return is_on
