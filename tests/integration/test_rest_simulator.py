"""The REST client against the simulated exchange, over sockets, in virtual time: a login, a day, and every fault."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from typing import TypeVar

import numpy as np
import pytest

from intraday.broker.rest import RESTClient
from intraday.broker.retry import RetryPolicy
from intraday.domain.arrays import DAY_NS, MINUTE_NS, session_number
from intraday.domain.broker import Credentials, Interval, Secret
from intraday.domain.clock import Clock
from intraday.domain.errors import (
    BadAnswer,
    BrokerUnavailable,
    IntradayError,
    LoginFailed,
    NotEntitled,
    RateLimited,
    RequestRefused,
    SpanTooLong,
    TokenDead,
    WrongCredentials,
)
from intraday.domain.session import midnight_ns
from intraday.sim.exchange import Exchange
from intraday.sim.knobs import Knobs
from intraday.sim.server import SimServer
from pace_cases import virtual
from rest_cases import client
from sim_cases import DAY, INFY, at, tape_of

pytestmark = pytest.mark.integration

T = TypeVar("T")
OPEN_NS = at(DAY, "09:15")
SIM = Credentials("simkey", Secret("simsecret"))
ONCE = RetryPolicy(attempts=1)


def with_exchange(
    question: Callable[[RESTClient, Exchange], Awaitable[T]],
    knobs: Knobs | None = None,
    start: str = "11:00",
    credentials: Credentials = SIM,
    retry: RetryPolicy = ONCE,
    rate: float = 4.0,
) -> T:
    """Ask a running exchange at ``start`` of DAY, logged in."""

    async def main(clock: Clock) -> T:
        exchange = Exchange.open(tape_of(rate=rate), clock, knobs)
        token = exchange.accounts.grant().access_token
        async with SimServer(exchange) as server:
            async with client(clock, None, server.rest_url, lambda: Secret(token), credentials=credentials, retry=retry) as api:
                return await question(api, exchange)

    return virtual(main, at(DAY, start))


def minutes(
    api: RESTClient, token: int = INFY, start_ns: int = OPEN_NS, end_ns: int = OPEN_NS + 400 * MINUTE_NS
) -> Awaitable[np.ndarray]:
    return api.fetch_historical_data(token, Interval.MINUTE, start_ns, end_ns)


def test_a_login_from_its_request_token_to_its_end() -> None:
    async def main(clock: Clock) -> None:
        exchange, held = Exchange.open(tape_of(), clock), [Secret("")]
        async with SimServer(exchange) as server, client(clock, None, server.rest_url, lambda: held[0], credentials=SIM) as api:
            request_token = Secret(exchange.accounts.approve("simkey"))
            session = await api.exchange(request_token)
            assert (session.user_id, session.api_key, session.login_ns) == ("SIM001", "simkey", clock.now_ns() // 10**9 * 10**9)
            held[0] = session.access_token
            assert (await api.profile()).user_id == "SIM001"
            with pytest.raises(LoginFailed, match="works once"):
                await api.exchange(request_token)
            await api.logout()
            with pytest.raises(TokenDead):
                await api.profile()
            late = Secret(exchange.accounts.approve("simkey"))
            await asyncio.sleep(181)
            with pytest.raises(LoginFailed):
                await api.exchange(late)

    virtual(main, at(DAY, "08:10"))


@pytest.mark.parametrize("credentials", [Credentials("simkey", Secret("other")), Credentials("nobody", Secret("simsecret"))])
def test_a_wrong_secret_and_an_unknown_key(credentials: Credentials) -> None:
    async def question(api: RESTClient, exchange: Exchange) -> None:
        with pytest.raises(WrongCredentials):
            await api.exchange(Secret(exchange.accounts.approve("simkey")))

    with_exchange(question, credentials=credentials)


def test_candles_are_those_of_the_exchanges_trades() -> None:
    """Every settled minute of the morning, counted here from the trades; the day's first has the pre-open match's volume too."""

    async def question(api: RESTClient, exchange: Exchange) -> None:
        bars = await minutes(api, end_ns=at(DAY, "10:50"))
        minute: dict[int, list[tuple[int, int]]] = {}
        for trade in exchange.tape.trades(INFY, DAY):
            if trade.at_ns < at(DAY, "10:51"):
                minute.setdefault(max(trade.at_ns // MINUTE_NS * MINUTE_NS, OPEN_NS), []).append((trade.price, trade.qty))
        assert bars["ts_ns"].tolist() == sorted(minute)
        for bar in bars[1:]:
            prices, sizes = zip(*minute[int(bar["ts_ns"])], strict=True)
            expected = [prices[0] / 100, max(prices) / 100, min(prices) / 100, prices[-1] / 100, sum(sizes)]
            assert [bar[name] for name in ("open", "high", "low", "close", "volume")] == expected
        assert bars["volume"][0] == sum(size for _, size in minute[OPEN_NS])

    with_exchange(question)


def test_days_and_open_interest() -> None:
    async def question(api: RESTClient, exchange: Exchange) -> None:
        days = await api.fetch_historical_data(INFY, Interval.DAY, midnight_ns(DAY) - 4 * DAY_NS, OPEN_NS)
        numbers = [session.number for session in exchange.sessions.between(date(2026, 9, 11), DAY)]
        assert [session_number(ts_ns) for ts_ns in days["ts_ns"].tolist()] == numbers
        assert len(numbers) == 2  # the 14th was a holiday
        future = next(row.token for row in exchange.tape.instruments if row.segment == "NFO-FUT")
        for token in (future, INFY):
            bars, oi = await api.fetch_with_open_interest(token, Interval.MINUTE_5, OPEN_NS, OPEN_NS + 60 * MINUTE_NS)
            assert len(bars) == len(oi) == 13
            assert np.isfinite(oi).all()
            assert (oi > 0).any() == (token == future)

    with_exchange(question)


def test_listing_and_quotes() -> None:
    async def question(api: RESTClient, exchange: Exchange) -> None:
        keys = [row.key for row in exchange.tape.instruments]
        listing = await api.instruments("NSE")
        assert listing.startswith(b"instrument_token,exchange_token,tradingsymbol") and listing.count(b"\n") > 8
        assert len(await api.instruments()) > len(listing)
        quotes, days, last = await api.quote([*keys, "NSE:NOBODY"]), await api.ohlc(keys), await api.ltp(keys)
        assert set(quotes) == set(days) == set(last) == set(keys)
        for key in keys:
            assert quotes[key].day.token == days[key].token == last[key].token == exchange.by_key[key].token
        stock = quotes["NSE:INFY"]
        assert stock.volume > 0 and len(stock.bids) == len(stock.offers) == 5
        assert 0 < stock.lower_circuit < stock.day.low <= stock.day.high < stock.upper_circuit
        assert stock.last_trade_ns is not None and stock.last_trade_ns <= exchange.clock.now_ns()
        assert not any(level.quantity for level in quotes["NSE:NIFTY 50"].bids)

    with_exchange(question)


def test_what_the_exchange_refuses() -> None:
    async def question(api: RESTClient, exchange: Exchange) -> None:
        with pytest.raises(SpanTooLong) as caught:
            await minutes(api, start_ns=OPEN_NS - 70 * 1440 * MINUTE_NS)
        assert caught.value.days == 60
        with pytest.raises(RequestRefused):
            await minutes(api, token=999_999_999)
        with pytest.raises(RequestRefused):  # of futures only
            await api.fetch_historical_data(INFY, Interval.DAY, OPEN_NS, OPEN_NS, continuous=True)

    with_exchange(question)


def spoil(knobs: Knobs, **fault: object) -> None:
    for name, value in fault.items():
        setattr(knobs.rest_faults["historical"], name, value)


FAULTS: list[tuple[dict[str, object], type[IntradayError]]] = [
    ({"status": 429}, RateLimited),
    ({"status": 500}, BrokerUnavailable),
    ({"status": 502}, BrokerUnavailable),
    ({"status": 503}, BrokerUnavailable),
    ({"status": 504}, BrokerUnavailable),
    ({"delay_s": 8.0}, BrokerUnavailable),
    ({"drop": True}, BrokerUnavailable),
    ({"truncate": True}, BadAnswer),
    ({"content_type": "text/html"}, BadAnswer),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS, ids=lambda v: str(v) if isinstance(v, dict) else "")
def test_each_fault_is_named_and_survived(fault: dict[str, object], error: type[IntradayError]) -> None:
    """Once as it is; then for 20 s, with the usual repetitions."""
    knobs = Knobs()

    async def once(api: RESTClient, exchange: Exchange) -> None:
        spoil(knobs, **fault)
        with pytest.raises(error):
            await minutes(api)
        spoil(knobs, status=None, delay_s=0.0, drop=False, truncate=False, content_type=None)

    async def spell(api: RESTClient, exchange: Exchange) -> int:
        async def heal() -> None:
            await asyncio.sleep(2 if error is BadAnswer else 20)
            spoil(knobs, status=None, delay_s=0.0, drop=False, truncate=False, content_type=None)

        spoil(knobs, **fault)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(minutes(api, start_ns=OPEN_NS + i * MINUTE_NS)) for i in range(6)]
            group.create_task(heal())
        return sum(len(task.result()) for task in tasks)

    with_exchange(once, knobs)
    assert with_exchange(spell, knobs, retry=RetryPolicy()) > 300


def test_tokens_die_in_stages_and_at_six() -> None:
    knobs = Knobs()

    async def question(api: RESTClient, exchange: Exchange) -> None:
        await minutes(api)
        knobs.auth.stage = "permission"
        with pytest.raises(NotEntitled, match="after 08:00"):
            await minutes(api)
        assert (await api.profile()).user_id == "SIM001"
        knobs.auth.stage = "none"
        await asyncio.sleep(19 * 3600 - 60)
        await minutes(api)
        await asyncio.sleep(61)
        with pytest.raises(TokenDead, match="intraday auth login"):
            await minutes(api)

    with_exchange(question, knobs)


def test_the_exchange_sees_its_limits_kept_and_used() -> None:
    """Four tasks that fetch candles beside quotes and profiles; the exchange's own meter counts."""

    async def question(api: RESTClient, exchange: Exchange) -> None:
        async def fetch() -> None:
            for i in range(60):
                await minutes(api, start_ns=OPEN_NS + i * MINUTE_NS, end_ns=OPEN_NS + (i + 5) * MINUTE_NS)

        async def others() -> None:
            for _ in range(40):
                await api.ltp(["NSE:INFY"])
                await api.profile()

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(fetch())
            group.create_task(others())
        meter = exchange.limits
        for name, cap in (("historical", 3), ("quote", 1), ("other", 10)):
            assert meter.refused(name) == 0 and meter.busiest(name) <= cap
        times = meter.times("historical")
        assert len(times) == 240
        assert 239 / 3 / ((times[-1] - times[0]) / 1e9) >= 0.97

    with_exchange(question)
