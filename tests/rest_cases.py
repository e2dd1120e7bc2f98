"""A broker at a desk: answers requests by a plan, in place of the network, and remembers what it was asked and when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import httpx
import numpy as np

from intraday.broker.pacing import Pacers
from intraday.broker.rest import RESTClient
from intraday.config.settings import RateLimits
from intraday.domain.arrays import MINUTE_NS
from intraday.domain.broker import Credentials, Interval, Secret
from intraday.domain.clock import Clock
from pace_cases import START_NS, virtual

T = TypeVar("T")

ROOT = "http://127.0.0.1:9"
API_KEY, API_SECRET, TOKEN, REQUEST_TOKEN = "appkey00", "SECRETofTheApp", "TOKENofTheDay", "REQUESTtokenOnce"
CREDENTIALS = Credentials(API_KEY, Secret(API_SECRET))
Reply = httpx.Response | Exception | None  # None: silence


@dataclass
class Seen:
    """One request as it came."""

    at_s: float
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: httpx.Headers
    form: dict[str, str]


@dataclass
class Desk(httpx.AsyncBaseTransport):
    """``answer(n, request)`` is the reply to the n-th request."""

    answer: Callable[[int, Seen], Reply]
    clock: Clock | None = None
    seen: list[Seen] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert self.clock is not None
        form = dict(parse_qsl((await request.aread()).decode()))
        query = list(request.url.params.multi_items())
        seen = Seen(self.clock.monotonic_ns() / 1e9, request.method, request.url.path, query, request.headers, form)
        self.seen.append(seen)
        reply = self.answer(len(self.seen) - 1, seen)
        if reply is None:
            await asyncio.Event().wait()
        if isinstance(reply, Exception):
            raise reply
        assert isinstance(reply, httpx.Response)
        return reply

    def times(self) -> list[float]:
        return [round(seen.at_s, 6) for seen in self.seen]


def good(data: Any = True) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "data": data})


def bad(status: int, kind: str | None = None, message: str = "") -> httpx.Response:
    body = {"status": "error", "message": message, "data": None} | ({"error_type": kind} if kind else {})
    return httpx.Response(status, json=body)


def dead() -> httpx.Response:
    return bad(403, "TokenException", "Incorrect `api_key` or `access_token`.")


def in_turn(*replies: Callable[[], Reply]) -> Callable[[int, Seen], Reply]:
    """The n-th reply to the n-th request, the last one from then on."""
    return lambda n, _: replies[min(n, len(replies) - 1)]()


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * (1 << 20)


OPEN_NS = 1_513_309_500_000_000_000  # 2017-12-15 09:15 IST, the day of the official example
ROW = ["2017-12-15T09:15:00+0530", 1704.5, 1705, 1699.25, 1702.8, 2499]


def candles(*rows: list[object]) -> httpx.Response:
    return good({"candles": list(rows)})


def row(minute: int, day: int = 15) -> list[object]:
    return [f"2017-12-{day:02d}T{9 + minute // 60:02d}:{minute % 60:02d}:00+0530", *ROW[1:]]


def fetch(api: RESTClient, minutes: int = 5) -> Awaitable[np.ndarray]:
    return api.fetch_historical_data(408065, Interval.MINUTE, OPEN_NS, OPEN_NS + minutes * MINUTE_NS)


PROFILE = {"user_id": "AB1234", "user_name": "Ax Bx", "exchanges": ["NSE", "NFO"]}
SESSION = {"user_id": "AB1234", "user_name": "Ax", "api_key": API_KEY, "access_token": TOKEN, "login_time": "2026-09-01 08:10:00"}


def client(clock: Clock, desk: Desk | None, root: str = ROOT, token: Callable[[], Secret] | None = None, **more: Any) -> RESTClient:
    if desk is not None:
        desk.clock = clock
    limits = more.pop("limits", RateLimits())
    source = token or (lambda: Secret(TOKEN))
    transport = more.pop("transport", desk)
    keys = more.pop("credentials", CREDENTIALS)
    return RESTClient(root, keys, source, Pacers.of(limits, clock), clock, transport=transport, rng=random.Random(5), **more)


def ask(desk: Desk, question: Callable[[RESTClient], Awaitable[T]], start_ns: int = START_NS, **more: Any) -> T:
    """One question to a client at ``desk``, in virtual time."""

    async def main(clock: Clock) -> T:
        async with client(clock, desk, **more) as api:
            return await question(api)

    return virtual(main, start_ns)
