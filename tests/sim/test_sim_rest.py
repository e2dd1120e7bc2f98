"""The REST side of the simulator over real sockets, in virtual time: envelopes, caps, limits and faults as KITE_SPEC has them."""

from __future__ import annotations

import asyncio
import csv
import gzip
import hashlib
import io
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import pytest

from intraday.domain.clock import Clock
from intraday.domain.session import midnight_ns
from intraday.sim.candles import candles_of
from intraday.sim.knobs import Knobs
from intraday.sim.limits import Meter
from pace_cases import virtual
from sim_cases import DAY, INFY, NIFTY, Client, at, row_of, serving, told_error

T = TypeVar("T")
ELEVEN = at(DAY, "11:00")


def ask(main: Callable[[Client], Awaitable[T]], knobs: Knobs | None = None, now_ns: int = ELEVEN) -> T:
    """Run ``main`` against an exchange at ``now_ns``."""

    async def run(clock: Clock) -> T:
        async with serving(clock, knobs) as client:
            return await main(client)

    return virtual(run, now_ns)


# ---------------------------------------------------------------------------------------------------------------- login


async def login(client: Client, request_token: str, secret: str = "simsecret") -> httpx.Response:  # noqa: S107
    checksum = hashlib.sha256(("simkey" + request_token + secret).encode()).hexdigest()
    form = {"api_key": "simkey", "request_token": request_token, "checksum": checksum}
    return await client.http.post("/session/token", data=form)


def token_in(answer: httpx.Response) -> str:
    assert answer.status_code == 302, answer.text
    return parse_qs(urlsplit(answer.headers["location"]).query)["request_token"][0]


def test_the_login_page_leads_to_a_session() -> None:
    async def main(client: Client) -> None:
        query = {"v": "3", "api_key": "simkey", "redirect_params": 'state="><b>'}
        page = await client.http.get("/connect/login", params=query)
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        assert "<b>" not in page.text and "http" not in page.text.replace("text/html", "")
        form = {"api_key": "simkey", "redirect_params": "state=abc", "user_id": "SIM001", "password": "x", "action": "login"}
        back = await client.http.post("/connect/login", data=form)
        assert parse_qs(urlsplit(back.headers["location"]).query)["state"] == ["abc"]
        session = (await login(client, token_in(back))).json()["data"]
        assert session["login_time"] == "2026-09-15 11:00:00"
        assert session["user_id"] == "SIM001" and session["refresh_token"] == ""
        client.headers["Authorization"] = f"token simkey:{session['access_token']}"
        assert (await client.data("/user/profile"))["user_name"] == "Simulated Trader"
        assert (await client.data("/user/profile/full"))["twofa_type"] == "totp"
        query = {"api_key": "simkey", "access_token": session["access_token"]}
        assert (await client.http.delete("/session/token", params=query)).json() == {"status": "success", "data": True}
        assert (await client.error("/user/profile"))[:2] == (403, "TokenException")

    ask(main)


def test_a_login_can_be_refused_or_go_by_itself() -> None:
    async def main(client: Client) -> None:
        form = {"api_key": "simkey", "user_id": "SIM001", "action": "refuse"}
        refused = parse_qs(urlsplit((await client.http.post("/connect/login", data=form)).headers["location"]).query)
        assert refused["status"] == ["failed"] and "request_token" not in refused
        stranger = await client.http.post("/connect/login", data=form | {"action": "login", "user_id": "ANOTHER"})
        assert "failed" in stranger.headers["location"]
        auto = await client.http.get("/connect/login?api_key=simkey&v=3&auto=1&redirect_url=http://localhost:7/x")
        assert auto.headers["location"].startswith("http://localhost:7/x?")
        assert (await login(client, token_in(auto))).status_code == 200
        assert told_error(await client.http.get("/connect/login?api_key=nobody"))[0] == 400
        assert told_error(await client.http.get("/connect/login?api_key=simkey&auto=1&redirect_url=http://example.org"))[0] == 400

    ask(main)


def test_what_is_wrong_with_a_session_request_is_said() -> None:
    async def main(client: Client) -> None:
        token = client.exchange.accounts.approve("simkey")
        assert told_error(await login(client, token, "guess")) == (403, "TokenException", "Invalid `checksum`.")
        assert told_error(await login(client, "unknown")) == (403, "TokenException", "Token is invalid or has expired.")
        assert told_error(await client.http.post("/session/token", data={"api_key": "simkey"}))[:2] == (400, "InputException")

    ask(main)


# ------------------------------------------------------------------------------------------------------------ envelopes


def test_addresses_and_methods_nobody_knows_get_an_envelope() -> None:
    async def main(client: Client) -> None:
        for path in ("/nothing", "/quote/none", "/user", "/instruments/historical/1", "/"):
            assert told_error(await client.http.get(path)) == (404, "GeneralException", "Route not found."), path
        for method, path in (
            ("POST", "/quote"),
            ("PUT", "/session/token"),
            ("POST", "/orders/regular"),
            ("DELETE", "/instruments"),
        ):
            assert told_error(await client.http.request(method, path))[0] == 405, path

    ask(main)


def test_logins_are_checked_everywhere() -> None:
    async def main(client: Client) -> None:
        for path in ("/user/profile", "/instruments", f"/instruments/historical/{INFY}/day", "/orders"):
            assert told_error(await client.http.get(path))[:2] == (400, "InputException"), path
        client.headers["Authorization"] = "token simkey:wrong"
        assert await client.error("/quote/ltp") == (403, "TokenException", "Incorrect `api_key` or `access_token`.")
        await asyncio.sleep(1)
        client.headers["Authorization"] = f"token simkey:{client.account.access_token}"
        client.exchange.knobs.auth.entitled = False
        assert (await client.error("/quote/ltp", {"i": "NSE:INFY"}))[:2] == (403, "PermissionException")
        assert (await client.error(f"/instruments/historical/{INFY}/day"))[:2] == (403, "PermissionException")
        assert await client.data("/user/profile")
        assert (await client.get("/instruments")).status_code == 200

    ask(main)


def test_answers_are_compressed_if_the_client_takes_that() -> None:
    async def main(client: Client) -> None:
        assert (await client.get("/instruments")).headers["content-encoding"] == "gzip"
        assert "content-encoding" not in (await client.get("/user/profile")).headers  # too short to be worth it
        plain = await client.http.get("/instruments", headers=client.headers | {"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        client.exchange.knobs.gzip = False
        assert "content-encoding" not in (await client.get("/instruments")).headers

    ask(main)


# ---------------------------------------------------------------------------------------------------------- instruments


def test_the_dump_lists_what_is_listed() -> None:
    async def main(client: Client) -> None:
        answer = await client.get("/instruments")
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(rows) == len(client.exchange.tape.instruments)
        (infy,) = [row for row in rows if row["tradingsymbol"] == "INFY"]
        assert float(infy["last_price"]) == client.exchange.tape.previous_close(INFY, DAY) / 100
        nfo = list(csv.DictReader(io.StringIO((await client.get("/instruments/NFO")).text)))
        assert nfo == [row for row in rows if row["exchange"] == "NFO"] != []
        assert (await client.get("/instruments/MCX")).text.count("\n") == 1
        assert (await client.error("/instruments/NYSE"))[:2] == (400, "InputException")

    ask(main)


def test_expired_contracts_are_not_in_the_dump() -> None:
    async def main(client: Client) -> None:
        rows = list(csv.DictReader(io.StringIO((await client.get("/instruments/NFO")).text)))
        assert rows and min(row["expiry"] for row in rows) == "2026-10-27"

    ask(main, now_ns=at(date(2026, 9, 30), "08:30"))


# --------------------------------------------------------------------------------------------------------------- quotes


def test_quotes_are_the_books() -> None:
    async def main(client: Client) -> None:
        found = await client.data("/quote", {"i": ["NSE:INFY", "NSE:NIFTY 50", str(INFY), "NSE:NOBODY", "99"]})
        assert list(found) == ["NSE:INFY", "NSE:NIFTY 50", str(INFY)]
        q, told = client.exchange.book.quote(INFY, ELEVEN), found["NSE:INFY"]
        assert q is not None and told == found[str(INFY)]
        assert told["last_price"] == q.last_price / 100 and told["volume"] == q.volume
        assert told["ohlc"] == {"open": q.open / 100, "high": q.high / 100, "low": q.low / 100, "close": q.close / 100}
        assert told["net_change"] == (q.last_price - q.close) / 100
        assert told["timestamp"] == "2026-09-15 11:00:00" and told["last_trade_time"].startswith("2026-09-15 1")
        assert [(d["quantity"], round(d["price"] * 100), d["orders"]) for d in told["depth"]["buy"]] == q.bids
        assert told["lower_circuit_limit"] <= told["ohlc"]["low"] and told["upper_circuit_limit"] >= told["ohlc"]["high"]
        index = found["NSE:NIFTY 50"]
        assert index["last_trade_time"] is None and index["volume"] == 0 and index["upper_circuit_limit"] == 0
        await asyncio.sleep(1)
        later = client.exchange.book.quote(NIFTY, ELEVEN + 10**9)
        assert later is not None and await client.data("/quote/ltp", {"i": "NSE:NIFTY 50"}) == {
            "NSE:NIFTY 50": {"instrument_token": NIFTY, "last_price": later.last_price / 100}
        }
        await asyncio.sleep(1)
        (ohlc,) = (await client.data("/quote/ohlc", {"i": "NSE:INFY"})).values()
        assert set(ohlc) == {"instrument_token", "last_price", "ohlc"}

    ask(main)


def test_what_never_traded_is_absent() -> None:
    async def main(client: Client) -> None:
        assert await client.data("/quote/ltp", {"i": ["NSE:INFY", "NFO:INFY26SEPFUT"]}) == {}

    ask(main, now_ns=at(date(2010, 1, 1), "11:00"))


def test_too_many_or_no_instruments_are_refused() -> None:
    async def main(client: Client) -> None:
        for path, cap in (("/quote", 500), ("/quote/ohlc", 1000), ("/quote/ltp", 1000)):
            await asyncio.sleep(1)
            assert await client.data(path, {"i": ["NSE:NOBODY"] * cap}) == {}
            await asyncio.sleep(1)
            assert (await client.error(path, {"i": ["NSE:NOBODY"] * (cap + 1)}))[:2] == (400, "InputException")
            await asyncio.sleep(1)
            assert (await client.error(path))[:2] == (400, "InputException")

    ask(main)


def test_a_share_of_the_keys_can_be_absent() -> None:
    async def main(client: Client) -> None:
        client.exchange.knobs.rest_faults["quote"].absent_share = 0.5
        keys = [row.key for row in client.exchange.tape.instruments]
        seen = set()
        for _ in range(8):
            await asyncio.sleep(1)
            seen.add(len(await client.data("/quote/ltp", {"i": keys})))
        assert len(seen) > 1 and 0 < min(seen) <= max(seen) < len(keys)

    ask(main)


# -------------------------------------------------------------------------------------------------------------- candles


async def candles(client: Client, start: str, end: str, name: str = "minute", token: int = INFY, **query: str) -> list[list[Any]]:
    path = f"/instruments/historical/{token}/{name}"
    found = (await client.data(path, {"from": start, "to": end, "interval": name, **query}))["candles"]
    assert isinstance(found, list)
    return found


def test_candles_are_rows_of_open_times_both_ends_included() -> None:
    async def main(client: Client) -> None:
        found = await candles(client, "2026-09-15 09:15:00", "2026-09-15 09:20:00", token=NIFTY)
        assert [row[0] for row in found] == [f"2026-09-15T09:{m}:00+0530" for m in range(15, 21)]
        assert {len(row) for row in found} == {6}
        made = candles_of(client.exchange.tape, row_of(client.exchange.tape, "NIFTY 50"), DAY)[:6]
        assert [[round(v * 100) for v in row[1:5]] for row in found] == [list(c[1:5]) for c in made]

    ask(main)


def test_open_interest_is_a_seventh_column_if_asked_for() -> None:
    async def main(client: Client) -> None:
        token = row_of(client.exchange.tape, "INFY26SEPFUT").token
        (row, *_) = await candles(client, "2026-09-15", "2026-09-15 10:00:00", token=token, oi="1")
        assert len(row) == 7 and row[6] > 0
        (row, *_) = await candles(client, "2026-09-14", "2026-09-15", "day", token=token, oi="1", continuous="1")
        assert row[0] == "2026-09-15T00:00:00+0530" and row[6] > 0

    ask(main)


def test_a_date_alone_is_midnight() -> None:
    async def main(client: Client) -> None:
        assert await candles(client, "2026-09-11", "2026-09-11") == []
        whole = await candles(client, "2026-09-11", "2026-09-12")
        assert (whole[0][0], whole[-1][0][:10]) == ("2026-09-11T09:15:00+0530", "2026-09-11")
        await asyncio.sleep(1)
        (day,) = await candles(client, "2026-09-11", "2026-09-11", "day")
        assert day[0] == "2026-09-11T00:00:00+0530"
        assert await candles(client, "2026-09-12", "2026-09-14 23:59:59") == []  # a weekend and a holiday

    ask(main)


@pytest.mark.parametrize(
    ("name", "days", "old_days"),
    [
        ("minute", 60, 30),
        ("5minute", 100, 90),
        ("15minute", 200, 180),
        ("60minute", 400, 365),
        ("hour", 400, 365),
        ("day", 2000, 2000),
    ],
)
def test_the_span_of_a_request_is_capped_and_the_cap_is_named(name: str, days: int, old_days: int) -> None:
    async def main(client: Client) -> None:
        path = f"/instruments/historical/{INFY}/{name}"
        for profile, cap in (("current", days), ("legacy2018", old_days)):
            client.exchange.knobs.limits_profile = profile  # type: ignore[assignment]
            start_ns = midnight_ns(DAY) - (cap + 1) * 86_400 * 10**9
            first = date.fromordinal(DAY.toordinal() - cap - 1)
            assert start_ns == midnight_ns(first)
            found = await client.error(path, {"from": f"{first} 00:00:00", "to": f"{DAY} 00:00:00"})
            assert found == (400, "InputException", f"interval exceeds max limit: {cap} days")
            client.exchange.knobs.auth.entitled = True
            await asyncio.sleep(1)
        if days <= 100:
            client.exchange.knobs.limits_profile = "current"
            assert await candles(client, f"{date.fromordinal(DAY.toordinal() - days)} 11:00:00", f"{DAY} 11:30:00", name)

    ask(main)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/instruments/historical/1/minute", {"from": "2026-09-15", "to": "2026-09-15"}),
        ("/instruments/historical/x/minute", {"from": "2026-09-15", "to": "2026-09-15"}),
        (f"/instruments/historical/{INFY}/7minute", {"from": "2026-09-15", "to": "2026-09-15"}),
        (f"/instruments/historical/{INFY}/minute", {"from": "yesterday", "to": "2026-09-15"}),
        (f"/instruments/historical/{INFY}/minute", {"from": "2026-09-15"}),
        (f"/instruments/historical/{INFY}/minute", {"from": "2026-09-15", "to": "2026-09-14"}),
        (f"/instruments/historical/{INFY}/day", {"from": "2026-09-14", "to": "2026-09-15", "continuous": "1"}),
    ],
)
def test_what_cannot_be_answered_is_an_input_error(path: str, query: dict[str, str]) -> None:
    async def main(client: Client) -> None:
        assert (await client.error(path, query))[:2] == (400, "InputException")

    ask(main)


def test_a_new_session_is_not_served_before_it_happens() -> None:
    async def main(client: Client) -> None:
        assert await candles(client, "2026-09-15 09:15:00", "2026-09-15 15:30:00") == []
        await asyncio.sleep(16 * 60 + 30)
        found = await candles(client, "2026-09-15 09:15:00", "2026-09-15 15:30:00", token=NIFTY)
        assert [row[0][11:16] for row in found] == ["09:15", "09:16"]

    ask(main, now_ns=at(DAY, "09:00"))


# --------------------------------------------------------------------------------------------------------------- limits


def test_one_too_many_in_a_second_is_refused() -> None:
    async def main(client: Client) -> None:
        candle = (f"/instruments/historical/{INFY}/day", {"from": "2026-09-15", "to": "2026-09-15"})
        for path, query, cap in (("/quote/ltp", {"i": "NSE:INFY"}, 1), (*candle, 3), ("/user/profile", None, 10)):
            answers = [(await client.get(path, query)).status_code for _ in range(cap + 2)]
            assert answers == [200] * cap + [429] * 2, path
        assert told_error(await client.get(*candle)) == (429, "NetworkException", "Too many requests")
        await asyncio.sleep(1)
        assert (await client.get(*candle)).status_code == 200
        limits = client.exchange.limits
        assert (limits.refused("historical"), limits.busiest("historical")) == (3, 6)
        assert limits.times("historical") == [ELEVEN] * 6 + [ELEVEN + 10**9]

    ask(main)


def test_the_window_slides() -> None:
    class Hand:
        at_ns = 0

        def now_ns(self) -> int:
            return self.at_ns

        monotonic_ns = now_ns

    clock = Hand()
    meter = Meter(clock)
    answers = []
    for at_ns in (0, 400_000_000, 800_000_000, 999_999_999, 1_000_000_000, 1_300_000_000, 1_400_000_000, 1_401_000_000):
        clock.at_ns = at_ns
        answers.append(meter.admit("k", "historical"))
    assert answers == [True, True, True, False, True, False, True, False]
    assert meter.admit("other", "historical")
    assert meter.busiest("historical") == 7 and meter.busiest("quote") == 0


# --------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "NetworkException"), (500, "GeneralException"), (502, "DataException"), (503, "NetworkException"),
        (504, "NetworkException"),
    ],
)  # fmt: skip
def test_a_class_can_be_made_to_fail(status: int, kind: str) -> None:
    async def main(client: Client) -> None:
        client.exchange.knobs.rest_faults["historical"].status = status
        assert (await client.error(f"/instruments/historical/{INFY}/day"))[:2] == (status, kind)
        assert await client.data("/user/profile")

    ask(main)


def test_a_slow_answer_comes_late() -> None:
    async def main(client: Client) -> None:
        client.exchange.knobs.rest_faults["other"].delay_s = 9.0
        began = client.exchange.clock.now_ns()
        assert await client.data("/user/profile")
        assert (client.exchange.clock.now_ns() - began) / 1e9 == pytest.approx(9.0, abs=0.01)

    ask(main)


def test_answers_can_be_cut_mislabelled_or_left_out() -> None:
    async def main(client: Client) -> None:
        fault = client.exchange.knobs.rest_faults["other"]
        fault.truncate = True
        cut = await client.get("/user/profile")
        assert cut.status_code == 200
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(cut.content)
        fault.truncate, fault.content_type = False, "text/html"
        assert (await client.get("/user/profile")).headers["content-type"] == "text/html"
        fault.content_type, fault.drop = None, True
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/user/profile")
        fault.drop = False
        assert await client.data("/user/profile")

    ask(main)


# --------------------------------------------------------------------------------------------------------------- others


def test_an_empty_account_can_be_read() -> None:
    async def main(client: Client) -> None:
        lists = ["/orders", "/trades", "/portfolio/holdings", "/portfolio/holdings/auctions", "/mf/orders", "/mf/sips"]
        for path in [*lists, "/mf/holdings", "/gtt/triggers"]:
            assert await client.data(path) == []
        await asyncio.sleep(1)
        assert await client.data("/portfolio/positions") == {"net": [], "day": []}
        assert set(await client.data("/user/margins")) == {"equity", "commodity"}
        assert (await client.data("/user/margins/equity"))["enabled"] is True
        assert (await client.get("/mf/instruments")).text.startswith("tradingsymbol,amc,")
        assert (await client.error("/orders/123"))[:2] == (400, "InputException")
        found = await client.data("/instruments/trigger_range/buy", {"i": "NSE:INFY"})
        assert found["NSE:INFY"]["lower"] < found["NSE:INFY"]["upper"]

    ask(main)


def test_programs_beside_it_can_read_its_clock() -> None:
    async def main(client: Client) -> None:
        await asyncio.sleep(2.5)
        told = (await client.http.get("/sim/clock")).json()
        assert told == {"now_ns": ELEVEN + 2_500_000_000, "speed": 1.0, "day": "2026-09-15", "version": 1}
        client.exchange.speed = float("inf")
        assert (await client.http.get("/sim/clock")).json()["speed"] is None

    ask(main)


def test_the_compressed_body_is_the_same_every_time() -> None:
    async def main(client: Client) -> None:
        bodies = []
        for _ in range(2):
            async with client.http.stream("GET", "/instruments", headers=client.headers) as answer:
                bodies.append(b"".join([part async for part in answer.aiter_raw()]))
        assert bodies[0] == bodies[1]
        assert gzip.decompress(bodies[0]).startswith(b"instrument_token,")

    ask(main)
