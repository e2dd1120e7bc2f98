"""Kite Connect over HTTP: the login calls, the list of instruments, candles and quotes."""

from __future__ import annotations

import hashlib
import logging
import random
import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from intraday.broker import endpoints, payloads
from intraday.broker.answers import csv_body, parsed
from intraday.broker.breaker import BreakerPolicy
from intraday.broker.calls import Call, Caller, Pairs, Patience, hide_addresses
from intraday.broker.endpoints import SECOND_NS, Endpoint, ist_text
from intraday.broker.pacing import Pacers
from intraday.broker.payloads import DayPrices, LastPrice, Quote
from intraday.broker.retry import RetryPolicy
from intraday.domain.arrays import DAY_NS, F8, IST_NS, Bars
from intraday.domain.broker import BrokerSession, Credentials, Interval, Profile, Secret, TokenSource
from intraday.domain.clock import Clock
from intraday.domain.errors import NoToken

T = TypeVar("T")

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CONNECTIONS = 16
_HEADER = re.compile(r"[!-9;-~]+:[!-~]+")  # key:token, printable ASCII
RETRY = RetryPolicy()
BREAKER = BreakerPolicy()


class RESTClient:
    """An async context manager: open it, ask, close it. Any number of tasks may ask at once; ``pacers`` keeps them at the limits.

    ``base_url``: root without a path. ``token``: the access token as it is now; asked before every call, and again after a 403, so
    that a new login is picked up. Every call raises BrokerError (the broker could not) or AuthError (the user has to do something);
    NoToken comes from ``token``. ``timeout_s``: for one answer; the list of instruments may take ten times as long.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        token: TokenSource,
        pacers: Pacers,
        clock: Clock,
        *,
        timeout_s: float = 7.0,
        retry: RetryPolicy = RETRY,
        breaker: BreakerPolicy = BREAKER,
        transport: httpx.AsyncBaseTransport | None = None,
        rng: random.Random,
    ) -> None:
        self._credentials = credentials
        self._token = token
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"X-Kite-Version": "3", "User-Agent": f"intraday/{version('intraday')}"},
            timeout=timeout_s * endpoints.INSTRUMENTS.patience,  # of one read; the caller bounds an attempt as a whole
            limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS, keepalive_expiry=30),
            transport=transport,
            trust_env=httpx.URL(base_url).host not in _LOOPBACK,  # no proxy stands between us and ourselves
        )
        self._caller = Caller(self._http, token, self._sign, pacers, clock, Patience(timeout_s, retry, breaker), rng)

    async def __aenter__(self) -> RESTClient:
        logging.getLogger("httpx").addFilter(hide_addresses)
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.aclose()

    async def exchange(self, request_token: Secret) -> BrokerSession:
        """A request token, which works once, for the day's access token; never repeated.

        WrongCredentials when key and secret do not belong together, LoginFailed when the request token is used up or too old.
        """
        api_key = self._credentials.api_key
        form: Pairs = (("api_key", api_key), ("request_token", request_token), ("checksum", self._checksum(request_token)))
        path = endpoints.EXCHANGE.path
        return await self._read(Call(endpoints.EXCHANGE, path, path, form=form, login=True), payloads.session)

    async def profile(self) -> Profile:
        """Who the current token belongs to; TokenDead when it is dead. It does not prove that there is market data."""
        return await self._read(Call(endpoints.PROFILE, endpoints.PROFILE.path, endpoints.PROFILE.path), payloads.profile)

    async def logout(self) -> None:
        """Kill the current token; never repeated. TokenDead when it was dead already."""
        query: Pairs = (("api_key", self._credentials.api_key), ("access_token", self._token()))
        await self._read(Call(endpoints.LOGOUT, endpoints.LOGOUT.path, endpoints.LOGOUT.path, query), lambda _: None)

    async def instruments(self, exchange: str | None = None) -> bytes:
        """The day's list of instruments of one exchange or of all, as CSV with a header (KITE_SPEC 5)."""
        endpoint = endpoints.INSTRUMENTS if exchange is None else endpoints.INSTRUMENTS_OF
        path = endpoint.path.format(exchange=quote(exchange or "", safe=""))
        return await self._caller.call(Call(endpoint, path, path), csv_body)

    async def fetch_historical_data(
        self, token: int, interval: Interval, start_ns: int, end_ns: int, *, continuous: bool = False
    ) -> Bars:
        """BAR[n] of open times ``start_ns <= t <= end_ns``, ascending, ``inst`` 0; days are compared by their IST date.

        Volume as told: 0 for an index. The last bar may still be running. SpanTooLong when the broker allows fewer days at once.
        ``continuous``: of expired futures, day candles only.
        """
        return (await self._candles(token, interval, start_ns, end_ns, continuous, False))[0]

    async def fetch_with_open_interest(
        self, token: int, interval: Interval, start_ns: int, end_ns: int, *, continuous: bool = False
    ) -> tuple[Bars, F8]:
        """Like ``fetch_historical_data``, and float64[n] open interest at the end of each bar, NaN where it is not told."""
        return await self._candles(token, interval, start_ns, end_ns, continuous, True)

    async def quote(self, keys: Sequence[str]) -> dict[str, Quote]:
        """Market snapshots by ``EXCHANGE:SYMBOL``; what the broker does not know is absent. Any number, 500 a request."""
        return await self._snapshots(endpoints.QUOTE, keys, endpoints.QUOTE_KEYS_MAX, payloads.quotes)

    async def ohlc(self, keys: Sequence[str]) -> dict[str, DayPrices]:
        """The day's prices so far, like ``quote``; 1000 a request."""
        return await self._snapshots(endpoints.OHLC, keys, endpoints.PRICE_KEYS_MAX, payloads.day_prices)

    async def ltp(self, keys: Sequence[str]) -> dict[str, LastPrice]:
        """Last prices, like ``quote``; 1000 a request."""
        return await self._snapshots(endpoints.LTP, keys, endpoints.PRICE_KEYS_MAX, payloads.last_prices)

    async def _candles(
        self, token: int, interval: Interval, start_ns: int, end_ns: int, continuous: bool, oi: bool
    ) -> tuple[Bars, F8]:
        assert start_ns <= end_ns, (start_ns, end_ns)
        first, last = ist_text(-(-start_ns // SECOND_NS) * SECOND_NS), ist_text(end_ns)
        path = endpoints.CANDLES.path.format(token=token, interval=interval.value)
        query = (("from", first), ("to", last), ("continuous", str(int(continuous))), ("oi", str(int(oi))))
        bars, interest = await self._read(Call(endpoints.CANDLES, path, f"{path} from {first} to {last}", query), payloads.candles)
        unit_ns = DAY_NS if interval is Interval.DAY else 1
        at = (bars["ts_ns"] + IST_NS) // unit_ns
        inside = (at >= (start_ns + IST_NS) // unit_ns) & (at <= (end_ns + IST_NS) // unit_ns)
        return (bars, interest) if inside.all() else (bars[inside], interest[inside])

    async def _snapshots(
        self, endpoint: Endpoint, keys: Sequence[str], most: int, parse: Callable[[Any], dict[str, T]]
    ) -> dict[str, T]:
        distinct = list(dict.fromkeys(keys))
        found: dict[str, T] = {}
        for i in range(0, len(distinct), most):
            part = distinct[i : i + most]
            what = f"{endpoint.path} of {len(part)} instruments"
            found |= await self._read(Call(endpoint, endpoint.path, what, [("i", key) for key in part]), parse)
        return found

    async def _read(self, call: Call, parse: Callable[[Any], T]) -> T:
        return await self._caller.call(call, lambda asked, answer: parsed(asked, answer, parse))

    def _sign(self, token: Secret) -> str:
        signed = Secret(f"{self._credentials.api_key}:{token.reveal()}")
        if not _HEADER.fullmatch(signed.reveal()):  # httpx would say so too, and quote it
            raise NoToken("expected an API key and an access token of printable ASCII, found other characters: log in again")
        return f"token {signed.reveal()}"

    def _checksum(self, request_token: Secret) -> Secret:
        parts = (self._credentials.api_key, request_token.reveal(), self._credentials.api_secret.reveal())
        return Secret(hashlib.sha256("".join(parts).encode()).hexdigest())
