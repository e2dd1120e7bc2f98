"""The official REST client and ours on the same exchange at the same moment: every value they give is the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar

import pytest
from kiteconnect import KiteConnect, exceptions

from intraday.broker.dump import parse
from intraday.broker.payloads import Level, Quote
from intraday.broker.rest import RESTClient
from intraday.config.settings import EndpointLimit, RateLimits
from intraday.domain.broker import Credentials, Interval, Secret
from intraday.domain.clock import SystemClock
from intraday.sim.knobs import REST_CLASSES
from intraday.sim.limits import Meter
from official_exchange import API_KEY, API_SECRET, DAY, IST, Running, ist_ns, logged_in, running
from official_exchange import client as client_of
from rest_cases import client

pytestmark = pytest.mark.integration

T = TypeVar("T")
NO_HURRY = EndpointLimit(per_s=1000)  # the exchange's time stands still, so its own limits have to be as wide
LIMITS = RateLimits(quote=NO_HURRY, historical=NO_HURRY, other=NO_HURRY)
INFY, NIFTY = 408065, 256265


@pytest.fixture(scope="module")
def market() -> Iterator[Running]:
    with running("13:07:31") as market:
        market.exchange.limits = Meter(market.clock, dict.fromkeys(REST_CLASSES, 1000))
        yield market


@pytest.fixture(scope="module")
def kite(market: Running) -> KiteConnect:
    return logged_in(market)


def ours(market: Running, kite: KiteConnect, question: Callable[[RESTClient], Awaitable[T]]) -> T:
    """Our answer, with the official client's login."""
    token, keys = Secret(kite.access_token or "none"), Credentials(API_KEY, Secret(API_SECRET))

    async def ask() -> T:
        async with client(SystemClock(), None, market.server.rest_url, lambda: token, limits=LIMITS, credentials=keys) as api:
            return await question(api)

    return asyncio.run(ask())


def seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.replace(tzinfo=IST).timestamp())


def test_candles(market: Running, kite: KiteConnect) -> None:
    future = next(row.token for row in market.exchange.tape.instruments if row.is_future)
    start_ns, end_ns = ist_ns(DAY, "09:15:00"), ist_ns(DAY, "15:30:00")
    for token in (INFY, NIFTY, future):
        for interval in Interval:
            first = f"{DAY} 09:15:00" if interval is not Interval.DAY else "2026-08-03 00:00:00"
            from_ns = start_ns if interval is not Interval.DAY else ist_ns(DAY.replace(month=8, day=3), "00:00:00")
            theirs = kite.historical_data(token, first, f"{DAY} 15:30:00", interval.value, oi=True)
            bars, oi = ours(market, kite, lambda api: api.fetch_with_open_interest(token, interval, from_ns, end_ns))  # noqa: B023
            assert len(theirs) > 1 and bars.shape[0] == len(theirs)
            assert bars["ts_ns"].tolist() == [int(c["date"].timestamp()) * 10**9 for c in theirs]
            for name in ("open", "high", "low", "close", "volume"):
                assert bars[name].tolist() == [c[name] for c in theirs]
            assert oi.tolist() == [c["oi"] for c in theirs]
            assert (oi > 0).all() == (token == future)


def test_instruments(market: Running, kite: KiteConnect) -> None:
    for exchange in ("NSE", "NFO"):
        theirs = kite.instruments(exchange)
        dump = parse(ours(market, kite, lambda api: api.instruments(exchange)), exchange)  # noqa: B023
        assert (dump.n_rows, dump.n_options, dump.rejected) == (len(theirs), 0, {})
        for listing, row in zip(dump.listings, theirs, strict=True):
            instrument = listing.instrument
            assert (listing.token, instrument.symbol, listing.name) == (row["instrument_token"], row["tradingsymbol"], row["name"])
            assert (str(listing.exchange_token), listing.segment) == (row["exchange_token"], row["segment"])
            assert (listing.expiry or "", listing.strike) == (row["expiry"], row["strike"])
            if row["segment"] != "INDICES":  # those have neither on the wire
                assert (instrument.tick_size, instrument.lot_size) == (round(row["tick_size"] * 100), row["lot_size"])


def as_official(token: int, quote: Quote) -> dict[str, Any]:
    def side(levels: tuple[Level, ...]) -> list[dict[str, Any]]:
        return [{"price": level.price, "quantity": level.quantity, "orders": level.orders} for level in levels]

    day = quote.day
    return {
        "instrument_token": token,
        "last_price": day.last_price,
        "ohlc": {"open": day.open, "high": day.high, "low": day.low, "close": day.close},
        "timestamp": quote.at_ns and quote.at_ns // 10**9,
        "net_change": quote.net_change,
        "last_trade_time": quote.last_trade_ns and quote.last_trade_ns // 10**9,
        "last_quantity": quote.last_quantity,
        "average_price": quote.average_price,
        "volume": quote.volume,
        "buy_quantity": quote.buy_quantity,
        "sell_quantity": quote.sell_quantity,
        "oi": quote.oi,
        "oi_day_high": quote.oi_day_high,
        "oi_day_low": quote.oi_day_low,
        "lower_circuit_limit": quote.lower_circuit,
        "upper_circuit_limit": quote.upper_circuit,
        "depth": {"buy": side(quote.bids), "sell": side(quote.offers)},
    }


def test_quotes(market: Running, kite: KiteConnect) -> None:
    keys = [row.key for row in market.exchange.tape.instruments] + ["NSE:NOSUCH"]
    answer = ours(market, kite, lambda api: api.quote(keys))
    theirs = kite.quote(keys)
    assert answer.keys() == theirs.keys() == set(keys[:-1])
    for key, quote in answer.items():
        row = market.exchange.by_key[key]
        told = theirs[key] | {name: seconds(theirs[key][name]) for name in ("timestamp", "last_trade_time") if name in theirs[key]}
        assert as_official(row.token, quote) == told, key
    assert any(quote.oi for quote in answer.values())
    assert any(level.orders for quote in answer.values() for level in quote.bids)


def test_prices(market: Running, kite: KiteConnect) -> None:
    keys = ["NSE:INFY", "NSE:NIFTY 50", "NSE:NOSUCH"]
    last, day = ours(market, kite, lambda api: api.ltp(keys)), ours(market, kite, lambda api: api.ohlc(keys))
    assert {key: {"instrument_token": p.token, "last_price": p.last_price} for key, p in last.items()} == kite.ltp(keys)
    assert {
        key: {
            "instrument_token": p.token,
            "last_price": p.last_price,
            "ohlc": {"open": p.open, "high": p.high, "low": p.low, "close": p.close},
        }
        for key, p in day.items()
    } == kite.ohlc(keys)


def test_login(market: Running) -> None:
    """Last, since it ends the login of the others: a request token that the official checksum would open, opens ours."""
    kite = client_of(market)
    token = market.call(lambda: market.exchange.accounts.approve(API_KEY))
    session = ours(market, kite, lambda api: api.exchange(Secret(token)))
    kite.set_access_token(session.access_token.reveal())
    theirs, profile = kite.profile(), ours(market, kite, lambda api: api.profile())
    assert (profile.user_id, profile.user_name, list(profile.exchanges)) == tuple(
        theirs[name] for name in ("user_id", "user_name", "exchanges")
    )
    assert session.user_id == profile.user_id
    assert session.login_ns == market.clock.now_ns()
    ours(market, kite, lambda api: api.logout())
    with pytest.raises(exceptions.TokenException):
        kite.profile()
