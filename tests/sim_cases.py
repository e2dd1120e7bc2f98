"""The simulated exchange for tests: small, seeded, in virtual time or with a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import httpx
from aiohttp import web

from intraday.domain.arrays import MINUTE_NS
from intraday.domain.clock import Clock
from intraday.domain.session import SessionTable, midnight_ns
from intraday.sim.accounts import Account
from intraday.sim.exchange import Exchange
from intraday.sim.knobs import Knobs
from intraday.sim.listing import SimInstrument, synthetic_listing
from intraday.sim.market import SyntheticTape
from intraday.sim.rest import LINE_BYTES, routes
from intraday.sim.tape import Tape

SESSIONS = SessionTable.load()
DAY = date(2026, 9, 15)  # a Tuesday; the closing auction exists
BEFORE_AUCTIONS = date(2026, 7, 15)
HOLIDAY = date(2026, 10, 2)
NIFTY, INFY = 256265, 408065


def at(day: date, text: str) -> int:
    """An IST time of day such as ``11:00`` or ``11:00:05`` as ns UTC."""
    hours, minutes, *seconds = (int(part) for part in text.split(":"))
    return midnight_ns(day) + (hours * 60 + minutes) * MINUTE_NS + sum(seconds) * 10**9


def tape_of(n: int = 8, rate: float = 4.0, seed: int = 7, edge: float = 0.0) -> SyntheticTape:
    """``n`` stocks, their futures and NIFTY 50. The sixth stock, SYN006, has no closing auction."""
    return SyntheticTape(synthetic_listing(n, day=DAY), seed, SESSIONS, rate, edge)


def row_of(tape: Tape, symbol: str) -> SimInstrument:
    return next(row for row in tape.instruments if row.symbol == symbol)


class Client:
    """Asks a running exchange as a logged-in client would."""

    def __init__(self, exchange: Exchange, http: httpx.AsyncClient, account: Account) -> None:
        self.exchange = exchange
        self.http = http
        self.account = account
        self.headers = {"Authorization": f"token {account.api_key}:{account.access_token}", "X-Kite-Version": "3"}

    async def get(self, path: str, query: Any = None) -> httpx.Response:
        return await self.http.get(path, params=query, headers=self.headers)

    async def data(self, path: str, query: Any = None) -> Any:
        """The payload of an answer that must be a success."""
        answer = await self.get(path, query)
        told = answer.json()
        assert answer.status_code == 200 and told["status"] == "success", answer.text
        return told["data"]

    async def error(self, path: str, query: Any = None) -> tuple[int, str, str]:
        """Status, type and text of an answer that must be an error in Kite's envelope."""
        return told_error(await self.get(path, query))


def told_error(answer: httpx.Response) -> tuple[int, str, str]:
    told = answer.json()
    assert told["status"] == "error" and told["data"] is None, told
    return answer.status_code, told["error_type"], told["message"]


@asynccontextmanager
async def serving(clock: Clock, knobs: Knobs | None = None, tape: SyntheticTape | None = None) -> AsyncIterator[Client]:
    """The REST side alone on a socket, and a client that is logged in."""
    exchange = Exchange.open(tape or tape_of(), clock, knobs)
    app = web.Application()
    app.add_routes(routes(exchange))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, max_line_size=LINE_BYTES)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        root = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with httpx.AsyncClient(base_url=root, trust_env=False, timeout=None) as http:
            yield Client(exchange, http, exchange.accounts.grant())
    finally:
        await runner.cleanup()
