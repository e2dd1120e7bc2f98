"""The simulated exchange in a thread of its own, with a clock that tests move by hand, for clients that block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import partial
from html.parser import HTMLParser
from typing import TypeVar
from urllib.parse import urljoin

import requests
from kiteconnect import KiteConnect

from intraday.domain.clock import Clock, SimClock
from intraday.domain.session import SessionTable, day_of
from intraday.sim.exchange import Exchange
from intraday.sim.knobs import Knobs
from intraday.sim.listing import synthetic_listing
from intraday.sim.market import SyntheticTape
from intraday.sim.server import SimServer

IST = timezone(timedelta(hours=5, minutes=30))
DAY = date(2026, 9, 15)  # a Tuesday like any other, since the closing auction exists
API_KEY, API_SECRET = "simkey", "simsecret"  # as the exchange has them unless told otherwise
STOCKS = 12
PATIENCE_S = 20.0

T = TypeVar("T")


def ist_ns(day: date, text: str) -> int:
    """An IST time of day such as ``11:00:00`` as ns UTC."""
    return int(datetime.fromisoformat(f"{day} {text}").replace(tzinfo=IST).timestamp()) * 10**9


@dataclass(frozen=True, slots=True)
class Running:
    """A running exchange; everything of it is touched in its own thread, through ``call``."""

    server: SimServer
    exchange: Exchange
    clock: Clock
    loop: asyncio.AbstractEventLoop

    def call(self, function: Callable[[], T]) -> T:
        """Run ``function`` between two events of the exchange."""

        async def inside() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(PATIENCE_S)

    def wait(self, seconds: float) -> None:
        """Let the exchange's time pass; it stands still otherwise."""
        assert isinstance(self.clock, SimClock)
        later_ns = self.clock.now_ns() + round(seconds * 1e9)
        self.call(partial(self.clock.set, later_ns))

    @property
    def now(self) -> datetime:
        """The exchange's time, IST, naive, as the official client wants it."""
        return datetime.fromtimestamp(self.clock.now_ns() / 1e9, IST).replace(tzinfo=None)


@contextmanager
def running(at: str = "11:00:00", knobs: Knobs | None = None, clock: Clock | None = None) -> Iterator[Running]:
    """An exchange of a few stocks, their futures and NIFTY 50. Its clock stands at ``at`` IST of DAY if no other is given."""
    clock = clock or SimClock(ist_ns(DAY, at))
    ready: Future[tuple[Running, asyncio.Event]] = Future()

    async def serve() -> None:
        tape = SyntheticTape(synthetic_listing(STOCKS, day=day_of(clock.now_ns())), 7, SessionTable.load())
        exchange, stop = Exchange.open(tape, clock, knobs), asyncio.Event()
        async with SimServer(exchange) as server:
            ready.set_result((Running(server, exchange, clock, asyncio.get_running_loop()), stop))
            await stop.wait()

    def thread() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(thread)
        market, stop = ready.result(PATIENCE_S)
        try:
            yield market
        finally:
            market.loop.call_soon_threadsafe(stop.set)
            ended.result(PATIENCE_S)


def client(market: Running) -> KiteConnect:
    """The official client, pointed at the exchange in the two places it has for that."""
    kite = KiteConnect(API_KEY, root=market.server.rest_url)
    kite._default_login_uri = market.server.login_url  # the only way: there is no argument
    return kite


def logged_in(market: Running) -> KiteConnect:
    """A client with a session of its own, which ends the one before."""
    kite = client(market)
    token = market.call(lambda: market.exchange.accounts.approve(API_KEY))
    kite.generate_session(token, API_SECRET)
    return kite


class _Form(HTMLParser):
    """The first form of a page: where it goes and what it is filled with."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given.get("action", "")
        elif tag == "input" and "name" in given:
            self.fields[given["name"]] = given.get("value", "")


def redirect_of(login_url: str) -> str:
    """Fill the login page as a user would; where it sends the browser then."""
    with requests.Session() as browser:
        page = browser.get(login_url, timeout=PATIENCE_S)
        assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/html")
        form = _Form(page.text)
        answer = browser.post(urljoin(page.url, form.action), data=form.fields, allow_redirects=False, timeout=PATIENCE_S)
    assert answer.status_code in (302, 303), answer.text
    return answer.headers["Location"]
