"""The client against a broker that answers by a plan, and against a server on a socket; all in virtual time."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from intraday.broker.breaker import BreakerPolicy, CircuitOpen
from intraday.broker.endpoints import ist_text
from intraday.broker.rest import RESTClient
from intraday.broker.retry import RetryPolicy
from intraday.domain.arrays import BAR, MINUTE_NS
from intraday.domain.broker import CandleApi, Interval, Secret, SessionApi
from intraday.domain.clock import Clock
from intraday.domain.errors import (
    BadAnswer,
    BrokerUnavailable,
    IntradayError,
    LoginFailed,
    NotEntitled,
    NoToken,
    RateLimited,
    RequestRefused,
    SpanTooLong,
    TokenDead,
    WrongCredentials,
)
from pace_cases import virtual
from rest_cases import (
    API_KEY,
    API_SECRET,
    OPEN_NS,
    PROFILE,
    REQUEST_TOKEN,
    ROW,
    SESSION,
    TOKEN,
    Desk,
    Reply,
    Seen,
    ask,
    bad,
    candles,
    client,
    dead,
    fetch,
    good,
    in_turn,
    row,
)

# ------------------------------------------------------------------------------------------------------------- candles


def test_fetch_historical_data(shared: Path) -> None:
    """The official example: what goes over the wire, and every field of what comes back."""
    body = (shared / "data" / "kite_fixtures" / "kiteconnect-mocks" / "historical_minute.json").read_bytes()
    desk = Desk(lambda n, _: httpx.Response(200, content=body, headers={"Content-Type": "application/json"}))
    bars = ask(desk, lambda api: api.fetch_historical_data(408065, Interval.MINUTE, OPEN_NS, OPEN_NS + 5 * MINUTE_NS))
    told = json.loads(body)["data"]["candles"][:6]
    expected = np.zeros(6, BAR)
    expected["ts_ns"] = OPEN_NS + np.arange(6) * MINUTE_NS
    for i, name in enumerate(("open", "high", "low", "close", "volume"), start=1):
        expected[name] = [candle[i] for candle in told]
    assert bars.dtype == BAR
    assert bars.tobytes() == expected.tobytes()
    [seen] = desk.seen
    assert (seen.method, seen.path) == ("GET", "/instruments/historical/408065/minute")
    assert dict(seen.query) == {"from": "2017-12-15 09:15:00", "to": "2017-12-15 09:20:00", "continuous": "0", "oi": "0"}
    assert seen.headers["X-Kite-Version"] == "3"
    assert seen.headers["Authorization"] == f"token {API_KEY}:{TOKEN}"
    assert seen.headers["User-Agent"].startswith("intraday/")


def test_the_client_is_what_login_and_backfill_ask_for() -> None:
    async def main(clock: Clock) -> tuple[SessionApi, CandleApi]:
        api = client(clock, Desk(in_turn(good)))
        return api, api

    assert all(isinstance(api, RESTClient) for api in virtual(main))


def test_open_interest_and_continuous_futures_are_asked_for_by_name() -> None:
    desk = Desk(in_turn(lambda: candles([*ROW, 13667775])))
    bars, oi = ask(desk, lambda api: api.fetch_with_open_interest(1, Interval.DAY, OPEN_NS, OPEN_NS + MINUTE_NS, continuous=True))
    assert (bars["volume"].tolist(), oi.tolist()) == ([2499], [13667775])
    assert dict(desk.seen[0].query)["continuous"] == dict(desk.seen[0].query)["oi"] == "1"
    assert desk.seen[0].path.endswith("/1/day")


def test_only_what_was_asked_for_comes_back() -> None:
    """A from inside a second is rounded up, a to down; bars outside are left out."""
    desk = Desk(in_turn(lambda: candles(*(row(m) for m in range(14, 23)))))
    bars = ask(desk, lambda api: api.fetch_historical_data(1, Interval.MINUTE, OPEN_NS + 1, OPEN_NS + 5 * MINUTE_NS - 1))
    assert dict(desk.seen[0].query)["from"] == "2017-12-15 09:15:01"
    assert dict(desk.seen[0].query)["to"] == "2017-12-15 09:19:59"
    assert [ist_text(t)[-5:-3] for t in bars["ts_ns"].tolist()] == ["16", "17", "18", "19"]


@pytest.mark.parametrize("stamp", ["T00:00:00+0530", "T09:15:00+0530"])
def test_day_candles_are_compared_by_day_however_they_are_stamped(stamp: str) -> None:
    rows = [[f"2017-12-{day}{stamp}", *ROW[1:]] for day in (13, 14, 15, 16)]
    desk = Desk(in_turn(lambda: candles(*rows)))
    bars = ask(desk, lambda api: api.fetch_historical_data(1, Interval.DAY, OPEN_NS - 24 * 60 * MINUTE_NS, OPEN_NS))
    assert [ist_text(t)[:10] for t in bars["ts_ns"].tolist()] == ["2017-12-14", "2017-12-15"]


def test_no_candles_are_no_error() -> None:
    assert ask(Desk(in_turn(candles)), fetch).shape == (0,)


def test_a_span_too_long_names_the_cap_and_is_not_repeated() -> None:
    desk = Desk(in_turn(lambda: bad(400, "InputException", "interval exceeds max limit: 60 days")))
    with pytest.raises(SpanTooLong, match="GET /instruments/historical/408065/minute from 2017-12-15 09:15:00 to") as caught:
        ask(desk, fetch)
    assert (caught.value.days, len(desk.seen)) == (60, 1)


# --------------------------------------------------------------------------------------------------------- other calls


def test_profile_and_logout() -> None:
    desk = Desk(lambda n, seen: good(PROFILE if seen.path == "/user/profile" else True))

    async def both(api: RESTClient) -> str:
        await api.logout()
        return (await api.profile()).user_id

    assert ask(desk, both) == "AB1234"
    assert (desk.seen[0].method, desk.seen[0].path) == ("DELETE", "/session/token")
    assert desk.seen[0].query == [("api_key", API_KEY), ("access_token", TOKEN)]


def test_a_request_token_is_exchanged_with_a_checksum_and_without_a_token() -> None:
    def nobody() -> Secret:
        raise NoToken("nobody has logged in")

    desk = Desk(in_turn(lambda: good(SESSION)))
    session = ask(desk, lambda api: api.exchange(Secret(REQUEST_TOKEN)), token=nobody)
    assert session.access_token == Secret(TOKEN)
    [seen] = desk.seen
    checksum = hashlib.sha256((API_KEY + REQUEST_TOKEN + API_SECRET).encode()).hexdigest()
    assert seen.form == {"api_key": API_KEY, "request_token": REQUEST_TOKEN, "checksum": checksum}
    assert (seen.method, seen.path, seen.query) == ("POST", "/session/token", [])
    assert "Authorization" not in seen.headers


def test_the_list_of_instruments_comes_unpacked() -> None:
    listing = b"instrument_token,exchange_token\n408065,1594\n"
    headers = {"Content-Type": "text/csv", "Content-Encoding": "gzip"}
    desk = Desk(lambda n, _: httpx.Response(200, content=gzip.compress(listing), headers=headers))
    assert ask(desk, lambda api: api.instruments("NSE")) == listing
    assert ask(desk, lambda api: api.instruments()) == listing
    assert [seen.path for seen in desk.seen] == ["/instruments/NSE", "/instruments"]


def test_quotes_are_split_at_the_cap_and_unknown_ones_are_absent() -> None:
    keys = [f"NSE:S{i}&T" for i in range(1100)]

    def answer(n: int, seen: Seen) -> Reply:
        asked = [value for name, value in seen.query if name == "i"]
        ohlc = {"open": 1, "high": 2, "low": 0.5, "close": 1}
        return good({key: {"instrument_token": 1, "last_price": 2, "ohlc": ohlc} for key in asked if not key.startswith("NSE:S7&")})

    desk = Desk(answer)
    known = set(keys) - {"NSE:S7&T"}
    assert set(ask(desk, lambda api: api.quote([*keys, keys[0]]))) == known
    assert [len(seen.query) for seen in desk.seen] == [500, 500, 100]
    assert np.diff(desk.times()).tolist() == pytest.approx([1.02, 1.02])
    assert set(ask(desk, lambda api: api.ohlc(keys))) == set(ask(desk, lambda api: api.ltp(keys))) == known
    assert [len(seen.query) for seen in desk.seen[3:]] == [1000, 100, 1000, 100]
    assert ask(desk, lambda api: api.ltp([])) == {}


# ------------------------------------------------------------------------------------------------------------- repeats


@pytest.mark.parametrize(
    "trouble",
    [lambda: bad(503, "NetworkException", "OMS down"), lambda: httpx.Response(502, html="<h1>Bad gateway</h1>"),
     lambda: httpx.ConnectError("refused"), lambda: httpx.ReadError(""), lambda: httpx.RemoteProtocolError("gone"), lambda: None,
     lambda: bad(429, "NetworkException", "Too many requests"), lambda: httpx.Response(200, html="<h1>Log in to our WLAN</h1>"),
     lambda: httpx.Response(200, content=b'{"data', headers={"Content-Type": "application/json"}),
     lambda: httpx.Response(200, content=b"no gzip", headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})],
)  # fmt: skip
def test_what_passes_is_waited_for(trouble: Callable[[], Reply]) -> None:
    desk = Desk(lambda n, _: trouble() if n < 2 else candles(row(15)))
    assert len(ask(desk, fetch)) == 1
    assert len(desk.seen) == 3


def test_repeats_are_bounded_and_say_how_often() -> None:
    desk = Desk(in_turn(lambda: bad(503, "NetworkException", "OMS down")))
    with pytest.raises(BrokerUnavailable, match=r'HTTP 503 NetworkException "OMS down".*\(asked 5 times\)'):
        ask(desk, fetch)
    assert len(desk.seen) == 5


def test_a_broken_answer_is_asked_for_twice_more_only() -> None:
    desk = Desk(in_turn(lambda: httpx.Response(200, html="<p>")))
    with pytest.raises(BadAnswer, match=r"expected JSON, found text/html; charset=utf-8 \(asked 3 times\)"):
        ask(desk, fetch)
    assert len(desk.seen) == 3


def test_the_total_time_is_bounded_too() -> None:
    desk = Desk(in_turn(lambda: None))
    with pytest.raises(BrokerUnavailable, match="expected an answer within 7 s, found none"):
        ask(desk, fetch, retry=RetryPolicy(attempts=20, total_s=60), breaker=BreakerPolicy(failures=100))
    assert 2 < len(desk.seen) < 12
    assert desk.times()[-1] <= 60


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_refused_request_is_not_repeated(status: int) -> None:
    desk = Desk(in_turn(lambda: bad(status, "InputException", "invalid token")))
    with pytest.raises(RequestRefused):
        ask(desk, fetch)
    assert len(desk.seen) == 1


@pytest.mark.parametrize("trouble", [lambda: bad(503), lambda: httpx.ReadError(""), lambda: None, lambda: bad(429), dead])
def test_what_works_once_is_never_sent_twice(trouble: Callable[[], Reply]) -> None:
    tokens = iter([Secret("a"), Secret("b"), Secret("c"), Secret("d"), Secret("e")])
    for question in (lambda api: api.exchange(Secret(REQUEST_TOKEN)), lambda api: api.logout()):
        desk = Desk(in_turn(trouble))
        with pytest.raises(IntradayError):
            ask(desk, question, token=lambda: next(tokens))
        assert len(desk.seen) == 1


def test_a_wrong_secret_and_a_used_request_token_are_told_apart() -> None:
    for message, kind in (("Invalid `checksum`.", WrongCredentials), ("Token is invalid or has expired.", LoginFailed)):
        with pytest.raises(kind):
            ask(Desk(in_turn(lambda text=message: bad(403, "TokenException", text))), lambda api: api.exchange(Secret("r")))


def outage(end_s: float, trouble: Callable[[], Reply]) -> Callable[[int, Seen], Reply]:
    return lambda n, seen: trouble() if seen.at_s < end_s else candles(row(15))


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("workers", [1, 4])
def test_twenty_seconds_of_trouble_lose_nothing(status: int, workers: int) -> None:
    desk = Desk(outage(20, lambda: bad(status)))

    async def all_at_once(api: RESTClient) -> list[int]:
        async def work() -> list[int]:
            return [len(await fetch(api)) for _ in range(5)]

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work()) for _ in range(workers)]
        return [n for task in tasks for n in task.result()]

    assert ask(desk, all_at_once) == [1] * 5 * workers
    assert desk.times()[-1] < 60
    assert sum(at < 20 for at in desk.times()) <= 4 + workers  # and the broker is left in peace meanwhile


def test_while_the_circuit_is_open_nobody_asks_and_other_classes_do() -> None:
    def answer(n: int, seen: Seen) -> Reply:
        return good(PROFILE) if seen.path == "/user/profile" else bad(503)

    desk = Desk(answer)

    async def question(api: RESTClient) -> str:
        for _ in range(3):
            with pytest.raises(BrokerUnavailable):
                await fetch(api)
        with pytest.raises(CircuitOpen, match="3 in a row have failed since 2026-09-01 09:30:00 IST"):
            await fetch(api)
        return (await api.profile()).user_id

    assert ask(desk, question, retry=RetryPolicy(attempts=1, total_s=5)) == "AB1234"
    assert len(desk.seen) == 4


def test_a_cancelled_try_does_not_close_the_door() -> None:
    desk = Desk(lambda n, seen: bad(503) if n < 3 else None if n == 3 else candles(row(15)))

    async def question(api: RESTClient) -> int:
        for _ in range(3):
            with pytest.raises(BrokerUnavailable):
                await fetch(api)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(12):  # the circuit is half-open after 10
                await fetch(api)
        return len(await fetch(api))

    assert ask(desk, question, retry=RetryPolicy(attempts=1)) == 1


def test_a_refusal_counts_as_an_answer_for_the_circuit() -> None:
    desk = Desk(lambda n, _: bad(400) if n % 3 == 2 else bad(503))

    async def question(api: RESTClient) -> None:
        for _ in range(12):
            with pytest.raises((BrokerUnavailable, RequestRefused)):
                await fetch(api)

    ask(desk, question, retry=RetryPolicy(attempts=1))
    assert len(desk.seen) == 12


# -------------------------------------------------------------------------------------------------------------- tokens


def test_a_new_login_is_picked_up_once() -> None:
    tokens = iter([Secret("old"), Secret("new")])
    desk = Desk(lambda n, seen: good(PROFILE) if seen.headers["Authorization"].endswith(":new") else dead())
    assert ask(desk, lambda api: api.profile(), token=lambda: next(tokens)).user_id == "AB1234"
    assert len(desk.seen) == 2


def test_a_dead_token_is_told_at_once_when_there_is_no_other() -> None:
    desk = Desk(in_turn(dead))
    with pytest.raises(TokenDead, match=r"GET /user/profile: HTTP 403 TokenException .*: the access token .*intraday auth login"):
        ask(desk, lambda api: api.profile())
    assert len(desk.seen) == 1
    endless_tokens = iter([Secret(str(i)) for i in range(99)])
    with pytest.raises(TokenDead):
        ask(desk, lambda api: api.profile(), token=lambda: next(endless_tokens))
    assert len(desk.seen) == 3


def test_a_missing_entitlement_is_no_dead_token() -> None:
    desk = Desk(in_turn(lambda: bad(403, "PermissionException", "Insufficient permission for that call.")))
    with pytest.raises(NotEntitled, match="no market data"):
        ask(desk, fetch)
    assert len(desk.seen) == 1


@pytest.mark.parametrize("token", ["two\nlines", "née", "", " "])
def test_a_token_that_is_none_is_not_sent(token: str) -> None:
    desk = Desk(in_turn(good))
    with pytest.raises(NoToken) as caught:
        ask(desk, lambda api: api.profile(), token=lambda: Secret(token))
    assert desk.seen == []
    assert not token.strip() or token not in str(caught.value)


def test_a_turn_that_would_come_too_late_is_refused_before_anything_is_sent() -> None:
    desk = Desk(in_turn(lambda: candles(row(15))))

    class Limits:
        class _Slow:
            per_s, max_wait_s = 1.0, 0.5

        quote = historical = other = _Slow()

    async def question(api: RESTClient) -> None:
        await fetch(api)
        with pytest.raises(RateLimited, match=r"expected a turn within 0\.5 s"):
            await fetch(api)

    ask(desk, question, limits=Limits())
    assert len(desk.seen) == 1
