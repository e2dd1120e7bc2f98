"""How much the exchange can carry: links and instruments at two packets a second each, at the pace of real time.

The client is a process of its own, so the CPU time measured here is the exchange's alone.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import process_time

import pytest

from intraday.domain.clock import SystemClock
from intraday.domain.pace import LoopClock
from intraday.domain.session import SessionTable, midnight_ns
from intraday.sim.exchange import Exchange
from intraday.sim.listing import SimInstrument, stock
from intraday.sim.server import SimServer
from intraday.sim.tape import Trades

pytestmark = pytest.mark.integration

DAY = date(2026, 8, 5)
FIRST = 30_000
SESSIONS = SessionTable.load()


class QuietTape:
    """A trade every ten minutes: nearly all packets are changes of the depth, and thousands of instruments load quickly."""

    def __init__(self, n: int) -> None:
        self.instruments: Sequence[SimInstrument] = [stock(f"S{i}", FIRST + i, 100_000) for i in range(n)]
        self.sessions = SESSIONS

    def trades(self, token: int, day: date) -> Trades:
        session = SESSIONS.find(day)
        if session is None:
            return Trades()
        start = session.open_ns + token % 600 * 10**9
        return Trades([start + i * 600 * 10**9 for i in range(30)], [100_000 + i for i in range(30)], [10] * 30)

    def previous_close(self, token: int, day: date) -> int:
        return 100_029


@dataclass
class Load:
    packets_s: list[float]  # of each link
    frames_s: float
    cpu: float  # share of one core
    broken: list[str]
    slow: int


async def carry(links: int, n: int, seconds: float) -> Load:
    """``links`` of ``n`` instruments each, in full mode, for so long."""
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop, midnight_ns(DAY) + 10 * 3600 * 10**9)
    exchange = Exchange.open(QuietTape(links * n), clock)
    exchange.knobs.updates_per_s = 4.0  # the depth moves faster than it is sent, so that every instrument is sent twice a second
    exchange.book.watch([row.token for row in exchange.tape.instruments], clock.now_ns())
    token = exchange.accounts.grant().access_token
    async with SimServer(exchange) as server:
        ranges = [f"{FIRST + i * n},{n}" for i in range(links)]
        script, port = str(Path(__file__).parent.parent / "stream_client.py"), server.rest_url.rsplit(":", 1)[1]
        client = await asyncio.create_subprocess_exec(
            sys.executable, script, port, token, str(seconds), *ranges, stdout=asyncio.subprocess.PIPE
        )
        assert client.stdout is not None
        assert await client.stdout.readline() == b"subscribed\n"
        cpu, wall = process_time(), SystemClock().monotonic_ns()
        told = json.loads(await client.stdout.readline())
        share = (process_time() - cpu) / ((SystemClock().monotonic_ns() - wall) / 1e9)
        await client.wait()
        took = told["seconds"]
        return Load([p / took for p in told["packets"]], told["frames"] / took, share, told["broken"], server.stream.counts.slow)


def check(load: Load, n: int) -> None:
    assert load.broken == [""] * len(load.broken)
    assert load.slow == 0
    for rate in load.packets_s:
        assert 1.8 * n <= rate <= 2.05 * n, load


def test_a_slice_of_the_load_is_carried() -> None:
    load = asyncio.run(carry(3, 100, 3.0))
    print(load)
    check(load, 100)


@pytest.mark.slow
def test_nine_thousand_instruments_are_carried_at_two_packets_a_second() -> None:
    load = asyncio.run(carry(3, 3000, 10.0))
    print(load)
    check(load, 3000)
    assert load.cpu < 0.9, load
