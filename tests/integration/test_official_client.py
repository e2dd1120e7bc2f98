"""The official REST client, unchanged, on the simulated exchange: login, instruments, candles, quotes, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from kiteconnect import KiteConnect, exceptions

from intraday.sim.tape import Trade
from official_exchange import API_KEY, API_SECRET, DAY, IST, Running, client, logged_in, redirect_of, running

pytestmark = pytest.mark.integration

INFY, NIFTY = 408065, 256265
INTERVALS = ("minute", "3minute", "5minute", "10minute", "15minute", "30minute", "60minute", "day")
MINUTES = {"minute": 1, "3minute": 3, "5minute": 5, "10minute": 10, "15minute": 15, "30minute": 30, "60minute": 60}
CAPS = {
    "current": dict(zip(INTERVALS, (60, 100, 100, 100, 200, 200, 400, 2000), strict=True)),
    "legacy2018": dict(zip(INTERVALS, (30, 90, 90, 90, 180, 180, 365, 2000), strict=True)),
}
OPEN = datetime(DAY.year, DAY.month, DAY.day, 9, 15, tzinfo=IST)
COLUMNS = ("date", "open", "high", "low", "close", "volume")
Candle = dict[str, Any]


@pytest.fixture(scope="module")
def market() -> Iterator[Running]:
    """One healthy exchange at 11:00 for the tests that turn no knob."""
    with running() as market:
        yield market


@pytest.fixture
def kite(market: Running) -> KiteConnect:
    market.wait(1.1)  # no test pays for the requests of the one before
    return logged_in(market)


# ------------------------------------------------------------------------------------------------------------------- login


def test_login_from_the_first_page_to_the_end_of_the_session() -> None:
    with running() as market:
        kite = client(market)
        assert kite.login_url() == f"{market.server.login_url}?api_key={API_KEY}&v=3"
        answer = redirect_of(kite.login_url() + "&redirect_params=state%3Dabc%26x%3D1")
        query = parse_qs(urlsplit(answer).query)
        assert query["status"] == ["success"] and query["action"] == ["login"]
        assert query["state"] == ["abc"] and query["x"] == ["1"]
        session = kite.generate_session(query["request_token"][0], API_SECRET)
        assert session["access_token"] == kite.access_token
        assert session["login_time"] == market.now
        assert (session["api_key"], session["broker"], session["refresh_token"]) == (API_KEY, "ZERODHA", "")
        profile = kite.profile()
        assert profile["user_id"] == session["user_id"]
        assert not {"access_token", "public_token", "enctoken", "refresh_token"} & profile.keys()
        with pytest.raises(exceptions.TokenException):  # it worked once
            kite.generate_session(query["request_token"][0], API_SECRET)
        assert kite.invalidate_access_token() is True
        with pytest.raises(exceptions.TokenException):
            kite.profile()


def test_a_wrong_secret_and_an_old_request_token() -> None:
    with running() as market:
        kite = client(market)
        token = parse_qs(urlsplit(redirect_of(kite.login_url())).query)["request_token"][0]
        with pytest.raises(exceptions.TokenException, match="checksum"):
            kite.generate_session(token, "wrong")
        token = parse_qs(urlsplit(redirect_of(kite.login_url())).query)["request_token"][0]
        market.wait(181)
        with pytest.raises(exceptions.TokenException):
            kite.generate_session(token, API_SECRET)


def test_the_token_dies_at_six_and_by_the_next_login() -> None:
    with running() as market:
        first, second = logged_in(market), logged_in(market)
        with pytest.raises(exceptions.TokenException):
            first.profile()
        assert second.profile()
        market.wait(19 * 3600 - 60)
        assert second.profile()
        market.wait(60)
        with pytest.raises(exceptions.TokenException):
            second.profile()


# -------------------------------------------------------------------------------------------------------------- instruments


def test_instruments_of_all_exchanges_and_of_each(market: Running, kite: KiteConnect) -> None:
    rows = kite.instruments()
    listed = market.exchange.tape.instruments
    assert [(r["instrument_token"], r["exchange"], r["tradingsymbol"]) for r in rows] == [
        (i.token, i.exchange, i.symbol) for i in listed
    ]
    assert all(r["instrument_token"] == int(r["exchange_token"]) << 8 | r["instrument_token"] & 0xFF for r in rows)
    for row, instrument in zip(rows, listed, strict=True):
        assert (row["segment"], row["instrument_type"], row["lot_size"]) == (
            instrument.segment,
            instrument.instrument_type,
            instrument.lot,
        )
        assert row["tick_size"] == (0 if instrument.is_index else instrument.tick_paise / 100)
        assert row["expiry"] == (instrument.expiry or "")
    for exchange in ("NSE", "NFO"):
        assert kite.instruments(exchange) == [r for r in rows if r["exchange"] == exchange]


# ------------------------------------------------------------------------------------------------------------------ candles


def fold(trades: list[Trade], minutes: int, upto: datetime) -> list[Candle]:
    """Candles of one day's trades in the slow and obvious way; what came before the open belongs to the first."""
    open_ns, close_ns = int(OPEN.timestamp()) * 10**9, int((OPEN + timedelta(hours=6)).timestamp()) * 10**9

    def bucket(trade: Trade) -> int:
        return max(0, (trade.at_ns - open_ns) // (minutes * 60 * 10**9))

    out = []
    kept = [t for t in trades if t.at_ns < min(close_ns, int(upto.timestamp()) * 10**9)]
    for i, group in groupby(kept, bucket):
        own = list(group)
        seen = [t for t in own if t.at_ns >= open_ns] or own
        prices = [t.price / 100 for t in seen]
        times_and_prices = (OPEN + timedelta(minutes=i * minutes), prices[0], max(prices), min(prices), prices[-1])
        out.append(dict(zip(COLUMNS, (*times_and_prices, sum(t.qty for t in own)), strict=True)))
    return out


@pytest.mark.parametrize("interval", MINUTES)
def test_candles_are_made_of_the_trades(market: Running, kite: KiteConnect, interval: str) -> None:
    market.wait(0.4)
    trades = list(market.call(lambda: market.exchange.tape.trades(INFY, DAY)))
    now = datetime.fromtimestamp(market.clock.now_ns() / 1e9, IST)
    candles = kite.historical_data(INFY, f"{DAY} 09:15:00", f"{DAY} 10:14:00", interval)
    assert candles == [c for c in fold(trades, MINUTES[interval], now) if c["date"] <= OPEN + timedelta(minutes=59)]
    assert candles


def test_both_ends_of_the_span_are_in(kite: KiteConnect) -> None:
    candles = kite.historical_data(INFY, OPEN.replace(tzinfo=None), OPEN.replace(tzinfo=None) + timedelta(minutes=5), "minute")
    assert {c["date"] for c in candles} <= {OPEN + timedelta(minutes=k) for k in range(6)}
    assert candles[0]["date"] == OPEN and len(candles) == 6


def test_day_candles_and_days_without_trading(kite: KiteConnect) -> None:
    candles = kite.historical_data(INFY, date(2026, 9, 7), date(2026, 9, 14), "day")
    days = [c["date"].date() for c in candles]
    assert days == sorted(days) and date(2026, 9, 12) not in days and date(2026, 9, 13) not in days
    assert {(c["date"].hour, c["date"].utcoffset()) for c in candles} == {(0, timedelta(hours=5, minutes=30))}
    assert kite.historical_data(INFY, "2026-09-13 09:15:00", "2026-09-13 15:30:00", "minute") == []


def test_open_interest_and_continuous_series(market: Running, kite: KiteConnect) -> None:
    future = next(row.token for row in market.exchange.tape.instruments if row.is_future)
    plain = kite.historical_data(future, f"{DAY} 09:15:00", f"{DAY} 09:30:00", "minute")
    assert plain and "oi" not in plain[0]
    market.wait(1)
    assert all(c["oi"] > 0 for c in kite.historical_data(future, f"{DAY} 09:15:00", f"{DAY} 09:30:00", "minute", oi=True))
    market.wait(1)
    assert kite.historical_data(future, "2026-09-07", "2026-09-14", "day", continuous=True)
    for token, interval in ((INFY, "day"), (future, "minute")):
        market.wait(1)
        with pytest.raises(exceptions.InputException):
            kite.historical_data(token, "2026-09-07", "2026-09-14", interval, continuous=True)


@pytest.mark.parametrize("profile", ["current", "legacy2018"])
def test_spans_of_candles(market: Running, kite: KiteConnect, profile: Any) -> None:
    market.exchange.knobs.limits_profile = profile
    try:
        for interval, days in CAPS[profile].items():
            market.wait(1)
            with pytest.raises(exceptions.InputException, match=f"interval exceeds max limit: {days} days"):
                kite.historical_data(INFY, market.now - timedelta(days=days + 1), market.now, interval)
    finally:
        market.exchange.knobs.limits_profile = "current"
    market.wait(1)
    assert kite.historical_data(INFY, market.now - timedelta(days=60), market.now - timedelta(days=58), "minute")


# ------------------------------------------------------------------------------------------------------------------- quotes


def test_quotes_are_the_books(market: Running, kite: KiteConnect) -> None:
    keys = ["NSE:INFY", "NSE:NIFTY 50", "NSE:NOSUCH"]
    quotes = kite.quote(keys)
    market.wait(1)
    ohlc = kite.ohlc(*keys)
    market.wait(1)
    ltp = kite.ltp(keys)
    assert quotes.keys() == ohlc.keys() == ltp.keys() == set(keys[:2])
    for key in keys[:2]:
        token = market.exchange.by_key[key].token
        book = market.call(lambda token=token: market.exchange.book.quote(token, market.clock.now_ns()))
        assert book is not None
        assert ltp[key] == {"instrument_token": token, "last_price": book.last_price / 100}
        assert ohlc[key]["ohlc"]["close"] == quotes[key]["ohlc"]["close"] == book.close / 100
        assert ohlc[key].keys() == {"instrument_token", "last_price", "ohlc"}
    market.wait(1)
    quote = kite.quote("NSE:INFY")["NSE:INFY"]
    q = market.call(lambda: market.exchange.book.quote(INFY, market.clock.now_ns()))
    assert q is not None
    sides = {"buy": q.bids, "sell": q.offers}
    assert quote["depth"] == {
        side: [{"quantity": qty, "price": price / 100, "orders": orders} for qty, price, orders in levels]
        for side, levels in sides.items()
    }
    want = (q.last_price / 100, q.last_qty, q.avg_price / 100, q.volume, q.buy_qty, q.sell_qty, q.oi)
    names = ("last_price", "last_quantity", "average_price", "volume", "buy_quantity", "sell_quantity", "oi")
    assert tuple(quote[name] for name in names) == want
    assert quote["timestamp"] == datetime.fromtimestamp(q.exchange_s, IST).replace(tzinfo=None)
    assert quote["last_trade_time"] == datetime.fromtimestamp(q.last_trade_s, IST).replace(tzinfo=None)


# ------------------------------------------------------------------------------------------------------------------- errors


def attempt(call: Callable[[], object]) -> tuple[str, int]:
    with pytest.raises(exceptions.KiteException) as caught:
        call()
    return type(caught.value).__name__, caught.value.code


def test_every_fault_is_the_error_it_is_on_kite() -> None:
    with running() as market:
        kite, expired = logged_in(market), []
        kite.set_session_expiry_hook(lambda: expired.append(1))
        fault = market.exchange.knobs.rest_faults["other"]
        for status, name in (
            (429, "NetworkException"),
            (502, "DataException"),
            (503, "NetworkException"),
            (500, "GeneralException"),
        ):
            fault.status = status
            assert attempt(kite.profile) == (name, status)
        fault.status, fault.truncate = None, True
        assert attempt(kite.profile)[0] == "DataException"
        fault.truncate, fault.content_type = False, "text/html"
        assert attempt(kite.profile)[0] == "DataException"
        fault.content_type = None
        market.wait(1)
        market.exchange.knobs.auth.entitled = False
        assert attempt(lambda: kite.quote("NSE:INFY")) == ("PermissionException", 403)
        market.exchange.knobs.auth.entitled = True
        assert attempt(lambda: kite.historical_data(INFY, DAY, DAY, "7minute"))[0] == "InputException"
        assert not expired
        kite.set_access_token("dead")
        assert attempt(kite.profile) == ("TokenException", 403)
        assert expired == [1]
        kite.set_access_token(None)
        assert attempt(kite.profile) == ("InputException", 400)
        assert expired == [1]


def test_the_exchange_counts_requests() -> None:
    with running() as market:
        kite = logged_in(market)
        assert kite.ltp("NSE:INFY")
        assert attempt(lambda: kite.ltp("NSE:INFY")) == ("NetworkException", 429)
        market.wait(1)
        assert kite.ltp("NSE:INFY")
        for _ in range(3):
            kite.historical_data(INFY, DAY, DAY, "minute")
        assert attempt(lambda: kite.historical_data(INFY, DAY, DAY, "minute")) == ("NetworkException", 429)


def test_a_frozen_exchange_and_an_answer_too_late() -> None:
    with running() as market:
        kite = logged_in(market)
        kite.timeout = 0.5
        market.exchange.knobs.frozen = True
        with pytest.raises(requests.exceptions.ReadTimeout):
            kite.profile()
        market.exchange.knobs.frozen = False
        assert kite.profile()
