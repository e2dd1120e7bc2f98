"""An exchange under load, run as a process of its own so that nothing else is on its core's bill.

    python stream_server.py LINKS INSTRUMENTS_OF_EACH

Prints the port and a token when it is open; then, for each line it reads, its CPU seconds, the packets sent and how many clients
were dropped for not reading. Ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import date
from time import process_time

from intraday.domain.pace import LoopClock
from intraday.domain.session import SessionTable, midnight_ns
from intraday.sim.exchange import Exchange
from intraday.sim.listing import SimInstrument, stock
from intraday.sim.server import SimServer
from intraday.sim.tape import Trades

DAY = date(2026, 8, 5)
FIRST = 30_000  # exchange token of the first instrument
SECOND_NS = 10**9


class QuietTape:
    """A trade every ten minutes: nearly all packets are changes of the depth, and thousands of instruments load quickly."""

    def __init__(self, n: int) -> None:
        self.instruments: Sequence[SimInstrument] = [stock(f"S{i}", FIRST + i, 100_000) for i in range(n)]
        self.sessions = SessionTable.load()

    def trades(self, token: int, day: date) -> Trades:
        session = self.sessions.find(day)
        if session is None:
            return Trades()
        start = session.open_ns + token % 600 * SECOND_NS
        return Trades([start + i * 600 * SECOND_NS for i in range(30)], [100_000 + i for i in range(30)], [10] * 30)

    def previous_close(self, token: int, day: date) -> int:
        return 100_029


async def main(links: int, n: int) -> None:
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop, midnight_ns(DAY) + 10 * 3600 * SECOND_NS)
    exchange = Exchange.open(QuietTape(links * n), clock)
    exchange.knobs.updates_per_s = 4.0  # the depth moves faster than it is sent, so that every instrument is sent twice a second
    exchange.book.watch([row.token for row in exchange.tape.instruments], clock.now_ns())
    token = exchange.accounts.grant().access_token
    over = asyncio.Event()
    async with SimServer(exchange) as server:

        def asked() -> None:
            if not sys.stdin.readline():
                over.set()
                return
            counts = server.stream.counts
            print(json.dumps({"cpu": process_time(), "packets": counts.packets, "slow": counts.slow}), flush=True)

        loop.add_reader(sys.stdin.fileno(), asked)
        print(json.dumps({"port": int(server.rest_url.rsplit(":", 1)[1]), "token": token}), flush=True)
        await over.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
