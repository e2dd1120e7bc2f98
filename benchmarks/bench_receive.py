"""3 000 instruments at two full packets a second each over a real socket: is anything lost, and what does listening cost?

The exchange is a process of its own (``tests/stream_server.py``). First our feed listens (socket to engine events: packets decoded
and narrowed to ticks), then the official ``KiteTicker`` (socket to its dictionaries), each for ``--seconds`` in a process of its
own, on the same machine and with the same exchange. Every packet that was sent must have been received and decoded.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from datetime import date
from pathlib import Path
from typing import IO, Any

from figures import figure, finish

from intraday.broker.connection import ConnectionManager, ConnectionSpec, subscription
from intraday.broker.feed import KiteFeed, trading_hours
from intraday.broker.link import LinkSpec
from intraday.broker.link_events import Mode
from intraday.broker.repairs import Repaired
from intraday.domain.arrays import BAR, empty
from intraday.domain.broker import Secret
from intraday.domain.clock import ScaledClock, SystemClock
from intraday.domain.events import Frame
from intraday.domain.session import SessionTable, midnight_ns

ROOT = Path(__file__).resolve().parents[1]
DAY, START_NS = date(2026, 8, 5), 10 * 3600 * 10**9  # of stream_server.py
FIRST = 30_000
QUIET_S = 3.0  # after the subscriptions ended: what is under way arrives


class Tally:
    """Counts what a client decoded, and its CPU time over a window that begins once every instrument has been seen."""

    def __init__(self, n: int, seconds: float) -> None:
        self.n = n
        self.seconds = seconds
        self.packets = 0
        self.seen: set[int] = set()
        self.began: tuple[float, float, int] | None = None
        self.over = False

    def add(self, tokens: list[int]) -> None:
        """Packets of these instruments arrived."""
        self.packets += len(tokens)
        now = time.perf_counter()
        if self.began is None:
            self.seen.update(tokens)
            if len(self.seen) == self.n:
                self.began = (now, time.process_time(), self.packets)
        elif not self.over and now - self.began[0] >= self.seconds:
            self.over = True
            took, cpu = now - self.began[0], time.process_time() - self.began[1]
            self.result = {"cpu": cpu / took, "packets_s": (self.packets - self.began[2]) / took}

    def told(self) -> None:
        """The result, as one line."""
        print(json.dumps(self.result | {"packets": self.packets}), flush=True)


async def ours(port: int, token: str, tally: Tally) -> None:
    """Our feed, from the socket to engine events."""
    clock = ScaledClock(midnight_ns(DAY) + START_NS, 1.0, SystemClock())
    session = SessionTable.load().get(DAY)
    tokens = [(FIRST + i) << 8 | 1 for i in range(tally.n)]
    link = LinkSpec(trading_hours(session))
    spec = ConnectionSpec(f"ws://127.0.0.1:{port}", "simkey", lambda: Secret(token), link)
    manager = ConnectionManager(spec, subscription(tokens, Mode.FULL), clock, random.Random(1).random)
    feed = KiteFeed(session, manager, {t: i for i, t in enumerate(tokens)}, clock, 1_500_000_000, _nothing, lambda _: None)
    done_at = float("inf")
    async with aclosing(feed.events()) as events:
        async for event in events:
            if isinstance(event, Frame):
                tally.add(event.ticks["inst"].tolist())
            if tally.over and done_at == float("inf"):
                await manager.remove(tokens)
                done_at = time.perf_counter() + QUIET_S
                asyncio.get_running_loop().call_later(QUIET_S, manager.wake)
            if time.perf_counter() > done_at:
                break
    (report,) = manager.reports()
    assert (report.counts.connects, report.counts.malformed) == (1, 0)
    tally.packets = report.counts.packets  # the feed leaves out the packets without a time that a subscription begins with
    tally.told()


async def _nothing(start_ns: int, end_ns: int, insts: object) -> Repaired:
    return Repaired(empty(BAR))


def official(port: int, token: str, tally: Tally) -> None:
    """The official client, from the socket to its dictionaries."""
    from kiteconnect import KiteTicker
    from twisted.internet import reactor

    logging.disable(logging.CRITICAL)
    ticker = KiteTicker("simkey", token, root=f"ws://127.0.0.1:{port}")
    tokens = [(FIRST + i) << 8 | 1 for i in range(tally.n)]

    def on_connect(ws: Any, response: Any) -> None:
        ws.subscribe(tokens)
        ws.set_mode(ws.MODE_FULL, tokens)

    def on_ticks(ws: Any, ticks: list[dict[str, Any]]) -> None:
        tally.add([tick["instrument_token"] for tick in ticks])
        if tally.over and not stopping:
            stopping.append(True)
            ws.unsubscribe(tokens)
            reactor.callLater(QUIET_S, reactor.stop)  # type: ignore[attr-defined]

    stopping: list[bool] = []
    ticker.on_connect, ticker.on_ticks = on_connect, on_ticks
    ticker.connect()
    tally.told()


@contextmanager
def child(*args: object) -> Iterator[tuple[IO[str], IO[str]]]:
    """A process of its own: what it prints, and its input."""
    environ = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        [sys.executable, *map(str, args)], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout, process.stdin
        finally:
            process.stdin.close()
            process.wait(30)


def listen(client: str, n: int, seconds: float) -> dict[str, float]:
    """One client against a fresh exchange: its figures, and how many packets the exchange sent it."""
    with child(ROOT / "tests" / "stream_server.py", 1, n) as (server, ask):
        opened = json.loads(server.readline())
        with child(__file__, "--client", client, opened["port"], opened["token"], n, seconds) as (told, _):
            found: dict[str, float] = json.loads(told.readline())
        print(file=ask, flush=True)
        counts = json.loads(server.readline())
    assert counts["slow"] == 0, "the exchange dropped a client that did not keep up"
    return found | {"sent": counts["packets"]}


def main(n: int, seconds: float) -> None:
    found = {}
    for client in ("ours", "official"):
        one = found[client] = listen(client, n, seconds)
        share = 100 * one["cpu"]
        print(f"{client}: {one['packets_s']:.0f} packets/s, {one['packets']} of {one['sent']} decoded, {share:.1f} % of one core")
        one["complete"] = 100 * one["packets"] / one["sent"]
    assert found["ours"]["packets"] == found["ours"]["sent"], "packets were lost"
    ours, peer, name = found["ours"], found["official"], f"receive {n} instruments x 2/s"
    finish(
        [
            figure(f"{name}, decoded of the packets sent", ours["complete"], "%", "KiteTicker", peer["complete"]),
            figure(
                f"{name}, share of one core", 100 * ours["cpu"], "% of a core", "KiteTicker", 100 * peer["cpu"], less_is_better=True
            ),
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instruments", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--client", nargs=5, metavar=("NAME", "PORT", "TOKEN", "INSTRUMENTS", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client is None:
        main(options.instruments, options.seconds)
    else:
        name, port, token, n, seconds = options.client
        tally = Tally(int(n), float(seconds))
        if name == "ours":
            asyncio.run(ours(int(port), token, tally))
        else:
            official(int(port), token, tally)
