"""Several connections as one stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection

from feed_cases import HEARTBEAT, INFY, NIFTY, RELIANCE, TinyKite, beat, connections, frame, full
from intraday.broker.connection import ConnectionManager, Inbox, Prices, subscription
from intraday.broker.link_events import Lost, Mode, Notice, Up
from intraday.broker.ws import Received
from intraday.domain.clock import Clock, SimClock
from intraday.domain.errors import ConfigError
from pace_cases import START_NS, virtual

SECOND_NS = 10**9
Body = Callable[[ConnectionManager, TinyKite, Clock], Awaitable[None]]


def run(tokens: list[int], body: Body, kite: TinyKite | None = None, **limits: int) -> TinyKite:
    kite = kite or TinyKite()

    async def main(clock: Clock) -> None:
        async with kite.running(), asyncio.TaskGroup() as tasks:
            manager = connections(kite, clock, tokens, **limits)
            work = tasks.create_task(manager.run())
            await body(manager, kite, clock)
            work.cancel()

    virtual(main)
    return kite


def test_balances_and_opens_no_more_connections_than_needed() -> None:
    async def body(manager: ConnectionManager, kite: TinyKite, clock: Clock) -> None:
        await asyncio.sleep(1)
        assert [r.tokens for r in manager.reports()] == [4, 3]
        await manager.add(dict.fromkeys([100, 101], Mode.FULL))
        assert [r.tokens for r in manager.reports()] == [5, 4]
        await manager.add(dict.fromkeys([102, 103, 100], Mode.FULL))
        assert [r.tokens for r in manager.reports()] == [5, 4, 2], "a third connection for what no longer fits"
        await asyncio.sleep(1)
        await manager.remove([100, 0])
        assert sum(r.tokens for r in manager.reports()) == 9
        await asyncio.sleep(1)
        with pytest.raises(ConfigError, match="16 instruments, but 3 connections of 5 carry 15"):
            await manager.add(dict.fromkeys(range(200, 207), Mode.FULL))

    kite = run(list(range(7)), body, instruments_max=5)
    assert len(kite.queries) == 3
    assert kite.subscribed() == {*range(7), 100, 101, 102, 103}


def test_more_than_the_connections_carry_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="9001 instruments, but 3 connections of 3000 carry 9000"):
        connections(TinyKite(), SimClock(), range(9001))
    assert len(connections(TinyKite("ws://127.0.0.1:1"), SimClock(), range(9000))) == 3


def test_frames_that_arrive_together_are_one_and_broken_ones_are_counted() -> None:
    kite = TinyKite()
    good = [frame(full(RELIANCE, 100 + i, i, 1)) for i in range(3)]
    odd = frame(full(RELIANCE, 1, 1, 1), b"thirteen byte")

    async def talk(connection: ServerConnection) -> None:
        await connection.send(HEARTBEAT)
        await asyncio.sleep(1)
        data = [good[0], b"\0\5\0\1", good[1], odd, b"\0\0", good[2], b"\0\1"]
        for payload in data:
            await connection.send(payload)
        await beat(connection)

    kite.talk = talk

    async def body(manager: ConnectionManager, kite: TinyKite, clock: Clock) -> None:
        end_ns = clock.now_ns() + 10 * SECOND_NS
        items = [item for _ in range(2) for item in await manager.receive(end_ns)]
        assert isinstance(items[0], Received) and items[0].what == Up()
        prices = items[1:]
        while sum(len(p.packets) for p in prices if isinstance(p, Prices)) < 4:
            prices += await manager.receive(end_ns)
        assert [p for item in prices if isinstance(item, Prices) for p in item.packets["last_price"].tolist()] == [100, 101, 1, 102]
        counts = manager.reports()[0].counts
        assert (counts.packets, counts.malformed, counts.unknown_packets) == (4, 2, 1)
        assert manager.reports()[0].state == "up"

    run([RELIANCE], body, kite)


def test_frames_before_and_after_a_time_are_kept_apart() -> None:
    kite = TinyKite()

    async def talk(connection: ServerConnection) -> None:
        for i in range(5):
            await connection.send(frame(full(RELIANCE, i, i, 1)))
            await asyncio.sleep(1)

    kite.talk = talk

    async def body(manager: ConnectionManager, kite: TinyKite, clock: Clock) -> None:
        await asyncio.sleep(4.5)
        items = await manager.receive(START_NS + 2 * SECOND_NS)
        assert [item.packets["last_price"].tolist() for item in items if isinstance(item, Prices)] == [[0, 1], [2, 3, 4]]

    run([RELIANCE], body, kite)


def test_losses_notices_and_names() -> None:
    kite = TinyKite()

    talks: list[int] = []

    async def talk(connection: ServerConnection) -> None:
        await connection.send(HEARTBEAT)
        talks.append(1)
        if len(talks) == 2:
            await connection.send('{"type":"message","data":"maintenance"}')
            await connection.close(1001)
        await beat(connection)

    kite.talk = talk

    async def body(manager: ConnectionManager, kite: TinyKite, clock: Clock) -> None:
        got: list[Received] = []
        while clock.now_ns() < START_NS + 3 * SECOND_NS:
            got += [item for item in await manager.receive(clock.now_ns() + SECOND_NS) if isinstance(item, Received)]
        kinds = [(manager.name(item.connection), type(item.what)) for item in got]
        assert kinds.count(("connection 2 of 2", Up)) + kinds.count(("connection 1 of 2", Up)) == 3
        assert [kind for _, kind in kinds].count(Lost) == 1 and [kind for _, kind in kinds].count(Notice) == 1
        reports = manager.reports()
        assert sorted(r.counts.connects for r in reports) == [1, 2]
        assert sorted(r.notices for r in reports) == [(), ("broker: maintenance",)]
        back = next(r for r in reports if r.counts.connects == 2)
        assert back.counts.losses == {"closed": 1} and back.since_ns > START_NS and back.frame_ns > START_NS

    run([1, 2], body, kite, instruments_max=1)


def test_a_full_inbox_makes_frames_wait_but_not_the_rest() -> None:
    async def main(clock: Clock) -> list[int]:
        inbox = Inbox(2)
        seen: list[int] = []

        async def produce() -> None:
            for i in range(6):
                await inbox.put(Received(i, 0, Up()))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(produce())
            await asyncio.sleep(1)
            inbox.post(Received(99, 0, Up()))
            while len(seen) < 7:
                items = await inbox.drain(1.0)
                assert len(items) <= 3
                seen += [item.connection for item in items]
            assert await inbox.drain(0.5) == []
            asyncio.get_running_loop().call_later(3, inbox.post, Received(7, 0, Up()))
            asked_ns = clock.now_ns()
            assert len(await inbox.drain(100)) == 1 and clock.now_ns() - asked_ns == 3 * SECOND_NS, "at once"
            inbox.wake()
            before = clock.now_ns()
            assert await inbox.drain(100) == [] and clock.now_ns() == before
        return seen

    assert virtual(main) == [0, 1, 99, 2, 3, 4, 5]


def test_indices_are_always_full() -> None:
    assert subscription([RELIANCE, NIFTY, INFY], Mode.QUOTE) == {RELIANCE: Mode.QUOTE, NIFTY: Mode.FULL, INFY: Mode.QUOTE}
