"""Every answer that can arrive, and what it is taken for. No message shows a secret."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiteconnect import KiteConnect

from intraday.broker import payloads
from intraday.broker.answers import SHOWN_MAX, Answer, Asked, clean, csv_body, parsed
from intraday.broker.endpoints import SECOND_NS, ist_text
from intraday.domain.broker import Secret
from intraday.domain.errors import (
    AddressBlocked,
    AuthError,
    BadAnswer,
    BrokerError,
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

ASKED = Asked("GET /user/profile")
LOGIN = Asked("POST /session/token", login=True)
HTML = b"<html><head><title>403 Forbidden</title></head></html>"


def said(status: int, kind: str | None, message: str | None) -> Answer:
    """An error as Kite words it."""
    body: dict[str, Any] = {"status": "error", "message": message, "data": None}
    if kind is not None:
        body["error_type"] = kind
    return Answer(status, "application/json", json.dumps(body).encode())


def page(status: int, kind: str = "text/html; charset=utf-8", body: bytes = HTML) -> Answer:
    return Answer(status, kind, body)


def ok(data: Any) -> Answer:
    return Answer(200, "application/json", json.dumps({"status": "success", "data": data}).encode())


def payload(asked: Asked, answer: Answer) -> Any:
    return parsed(asked, answer, lambda data: data)


CASES: list[tuple[Asked, Answer, type[IntradayError]]] = [
    # sessions: what staff and users report (KITE_SPEC 3)
    (ASKED, said(403, "TokenException", "Incorrect `api_key` or `access_token`."), TokenDead),
    (ASKED, said(403, "TokenException", "Token is invalid or has expired."), TokenDead),
    (ASKED, said(400, "TokenException", "Token is invalid or has expired."), TokenDead),
    (ASKED, said(200, "TokenException", "Token is invalid or has expired."), TokenDead),
    (ASKED, said(403, None, "Authentication failed."), TokenDead),
    (ASKED, said(401, None, "Authentication failed."), TokenDead),
    (ASKED, said(400, "InputException", "Invalid `api_key` or `access_token`."), WrongCredentials),
    (ASKED, said(403, "PermissionException", "Insufficient permission for that call."), NotEntitled),
    (ASKED, said(403, "PermissionException", "No IPs configured for this app. Add allowed IPs."), AddressBlocked),
    (ASKED, said(403, "InputException", "IP address not allowed"), AddressBlocked),
    (ASKED, page(403), AddressBlocked),
    (ASKED, page(403, "", b""), AddressBlocked),
    # the exchange of a request token
    (LOGIN, said(403, "TokenException", "Invalid `checksum`."), WrongCredentials),
    (LOGIN, said(400, "InputException", "Invalid `api_key`."), WrongCredentials),
    (LOGIN, said(403, "TokenException", "Token is invalid or has expired."), LoginFailed),
    (LOGIN, said(400, "InputException", "Missing or empty field `request_token`"), LoginFailed),
    (LOGIN, said(403, "PermissionException", "IP not whitelisted"), AddressBlocked),
    (LOGIN, page(403), AddressBlocked),
    (LOGIN, said(429, "NetworkException", "Too many requests"), RateLimited),
    (LOGIN, said(503, "NetworkException", "Gateway timed out"), BrokerUnavailable),
    (LOGIN, said(500, "GeneralException", "Something went wrong"), BrokerUnavailable),
    # limits and requests
    (ASKED, said(429, "NetworkException", "Too many requests"), RateLimited),
    (ASKED, said(200, "NetworkException", "Too many requests"), RateLimited),
    (ASKED, page(429), RateLimited),
    (ASKED, said(400, "InputException", "invalid token"), RequestRefused),
    (ASKED, said(400, "InputException", "interval exceeds max limit: 60 days"), SpanTooLong),
    (ASKED, said(404, "GeneralException", "Route not found"), RequestRefused),
    (ASKED, said(404, None, "Route not found"), RequestRefused),
    (ASKED, said(403, "UserException", "Account blocked"), RequestRefused),
    (ASKED, said(405, "HoldingException", ""), RequestRefused),
    (ASKED, page(400), RequestRefused),
    # their side
    (ASKED, said(503, "NetworkException", "OMS unreachable"), BrokerUnavailable),
    (ASKED, said(502, "DataException", "Unknown Content-Type"), BrokerUnavailable),
    (ASKED, said(500, "GeneralException", None), BrokerUnavailable),
    (ASKED, said(200, "GeneralException", "An error"), BrokerUnavailable),
    (ASKED, said(500, "NobodyKnowsException", "?"), BrokerUnavailable),
    (ASKED, page(502), BrokerUnavailable),
    (ASKED, page(504, "application/json", b""), BrokerUnavailable),
    # not an answer of Kite's
    (ASKED, page(200), BadAnswer),
    (ASKED, page(302), BadAnswer),
    (ASKED, page(200, ""), BadAnswer),
    (ASKED, page(200, "text/csv", b"a,b\n"), BadAnswer),
    (ASKED, page(200, "application/json", b'{"status": "success", "da'), BadAnswer),
    (ASKED, page(200, "application/json", b""), BadAnswer),
    (ASKED, page(200, "application/json", b"[1]"), BadAnswer),
    (ASKED, page(200, "application/json", b'{"status": "success"}'), BadAnswer),
]


@pytest.mark.parametrize(("asked", "answer", "expected"), CASES, ids=lambda v: f"{v.status}" if isinstance(v, Answer) else None)
def test_each_answer_is_taken_for_what_it_is(asked: Asked, answer: Answer, expected: type[IntradayError]) -> None:
    with pytest.raises(IntradayError) as caught:
        payload(asked, answer)
    assert type(caught.value) is expected
    assert str(caught.value).startswith(f"{asked.what}: HTTP {answer.status}")
    assert caught.value.__context__ is None


def test_four_reasons_for_a_403_are_four_messages() -> None:
    texts = set()
    for asked, answer, kind in CASES:
        if kind in (TokenDead, NotEntitled, WrongCredentials, AddressBlocked):
            with pytest.raises(kind) as caught:
                payload(asked, answer)
            texts.add((kind, str(caught.value).split(": ", 2)[2]))
    advice = {kind: text for kind, text in texts}
    assert "intraday auth login" in advice[TokenDead]
    assert "market data" in advice[NotEntitled]
    assert "API key" in advice[WrongCredentials]
    assert "address" in advice[AddressBlocked]


def test_the_cap_of_a_span_is_read_from_the_text() -> None:
    with pytest.raises(SpanTooLong, match="at most 100 days at once") as caught:
        payload(ASKED, said(400, "InputException", "Interval exceeds max limit: 100 days"))
    assert caught.value.days == 100


def test_data_may_be_anything_but_missing() -> None:
    for data in ({"a": 1}, [], True, None, 0):
        assert payload(ASKED, ok(data)) == data


def test_csv_comes_as_it_is_and_errors_are_still_errors() -> None:
    asked = Asked("GET /instruments")
    assert csv_body(asked, page(200, "text/csv; charset=utf-8", b"a,b\n1,2\n")) == b"a,b\n1,2\n"
    with pytest.raises(TokenDead):
        csv_body(asked, said(403, "TokenException", "dead"))
    with pytest.raises(BrokerUnavailable):
        csv_body(asked, page(503, "text/csv", b""))
    with pytest.raises(BadAnswer, match="expected CSV, found application/json"):
        csv_body(asked, ok([]))


SECRET = "s3cr3tTokenThatNobodyMaySee00000"


@given(
    st.sampled_from([200, 302, 400, 401, 403, 404, 429, 500, 503]),
    st.sampled_from(["application/json", "text/html", "text/csv", ""]),
    st.sampled_from(["TokenException", "InputException", "PermissionException", "NetworkException", SECRET]),
    st.text(max_size=300),
    st.booleans(),
)
def test_no_message_shows_a_secret_even_if_the_answer_does(status: int, kind: str, error: str, text: str, login: bool) -> None:
    asked = Asked("GET /quote", (Secret(SECRET), Secret("")), login)
    body = json.dumps({"status": "error", "error_type": error, "message": text + SECRET + text}).encode()
    with pytest.raises((BrokerError, AuthError)) as caught:
        payload(asked, Answer(status, kind, body))
    assert SECRET not in str(caught.value) + repr(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


def test_a_strangers_text_is_one_short_line() -> None:
    assert clean("a\r\n\x1b[31mb\u202e") == "a   [31mb"
    assert len(clean("x" * 1000)) == SHOWN_MAX


# ------------------------------------------------------------------------------------------------------------- candles


def stamp(ts_ns: int) -> str:
    return ist_text(ts_ns).replace(" ", "T") + "+0530"


TIMES = st.integers(0, 4_000_000_000).map(lambda s: s * SECOND_NS)


@given(st.lists(TIMES, min_size=1, max_size=30))
def test_times_are_read_as_they_were_written(times: list[int]) -> None:
    assert payloads.candle_times(tuple(stamp(t) for t in times)).tolist() == times


@given(st.lists(st.tuples(TIMES, st.sampled_from(["+0530", "+05:30", "Z", "+00:00", "", "-0800", ".5+0530"])), max_size=10))
def test_other_spellings_of_a_time_are_read_too(times: list[tuple[int, str]]) -> None:
    stamps = tuple(ist_text(t).replace(" ", "T") + zone for t, zone in times)
    expected = []
    for text in stamps:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo else at.replace(tzinfo=timezone(timedelta(hours=5, minutes=30)))
        expected.append(round(at.timestamp() * 2) * (SECOND_NS // 2))
    assert payloads.candle_times(stamps).tolist() == expected


@pytest.mark.parametrize(
    "wrong",
    ["2026-02-30T09:15:00+0530", "2026-01-05T24:15:00+0530", "2026-01-05T09:60:00+0530", "2026-01-05T09:15:61+0530",
     "2026-13-05T09:15:00+0530", "2026-01-0xT09:15:00+0530", "", "yesterday", "2026-01-05T09:15:00+05é0", 5, None],
)  # fmt: skip
def test_a_wrong_time_is_a_bad_answer(wrong: object) -> None:
    row = ["2026-01-05T09:15:00+0530", 1, 2, 0.5, 1.5, 10]
    with pytest.raises(BadAnswer, match="candles: expected rows of a time"):
        payloads.candles({"candles": [row, [wrong, *row[1:]]]})


@pytest.mark.parametrize(
    "rows",
    [[[]], [[1]], [["2026-01-05T09:15:00+0530", 1, 2, 3, 4]], [["2026-01-05T09:15:00+0530", 1, 2, 3, 4, 5, 6, 7]],
     [["2026-01-05T09:15:00+0530", 1, 2, 3, 4, "x"]], [["2026-01-05T09:15:00+0530", 1, 2, 3, 4, [5]]],
     [["2026-01-05T09:15:00+0530", 1, 2, 3, 4, 5], ["2026-01-05T09:16:00+0530", 1, 2, 3, 4, 5, 6]], [None], ["abcdef"], [{}]],
)  # fmt: skip
def test_rows_of_another_shape_are_a_bad_answer(rows: object) -> None:
    with pytest.raises(BadAnswer, match="candles: expected rows of a time and 5 or 6 numbers"):
        payloads.candles({"candles": rows})


@pytest.mark.parametrize("data", [None, [], "candles", {}, {"candles": None}, {"candles": {}}])
def test_candles_that_are_no_list_are_a_bad_answer(data: object) -> None:
    with pytest.raises(BadAnswer, match="candles: expected"):
        payloads.candles(data)


def test_candles_out_of_order_are_put_in_order_and_none_is_lost() -> None:
    rows = [[f"2026-01-05T09:{m}:00+0530", 1, 2, 0.5, 1.5, volume] for m, volume in ((17, 1), (15, 2), (16, 3), (15, 4))]
    bars, oi = payloads.candles({"candles": rows})
    assert [ist_text(t)[11:16] for t in bars["ts_ns"].tolist()] == ["09:15", "09:15", "09:16", "09:17"]
    assert bars["volume"].tolist() == [2, 4, 3, 1]
    assert np.isnan(oi).all()


# ------------------------------------------------------------------------------------------- the broker's own examples


@pytest.fixture
def mocks(shared: Path) -> Path:
    return shared / "data" / "kite_fixtures" / "kiteconnect-mocks"


def read(mocks: Path, name: str) -> Any:
    return payload(ASKED, Answer(200, "application/json", (mocks / name).read_bytes()))


def test_the_official_candles_read_as_an_independent_reader_sees_them(mocks: Path) -> None:
    for name, width in (("historical_minute.json", 6), ("historical_oi.json", 7)):
        rows = json.loads((mocks / name).read_text())["data"]["candles"]
        bars, oi = payloads.candles(read(mocks, name))
        assert len(rows) == len(bars) > 0
        for row, bar, interest in zip(rows, bars, oi, strict=True):
            at = datetime.strptime(row[0], "%Y-%m-%dT%H:%M:%S%z")
            assert len(row) == width
            assert (int(bar["ts_ns"]), bar["inst"]) == (int(at.timestamp()) * SECOND_NS, 0)
            assert [bar[f] for f in ("open", "high", "low", "close", "volume")] == row[1:6]
            assert np.isnan(interest) if width == 6 else interest == row[6]


def test_the_official_client_reads_the_same_candles(mocks: Path) -> None:
    for name in ("historical_minute.json", "historical_oi.json"):
        theirs = KiteConnect("key")._format_historical(read(mocks, name))
        bars, oi = payloads.candles(read(mocks, name))
        assert [round(row["date"].timestamp()) * SECOND_NS for row in theirs] == bars["ts_ns"].tolist()
        for field in ("open", "high", "low", "close", "volume"):
            assert [row[field] for row in theirs] == bars[field].tolist()
        assert [row.get("oi", -1) for row in theirs] == np.nan_to_num(oi, nan=-1).tolist()


def test_the_official_quotes(mocks: Path) -> None:
    quote = payloads.quotes(read(mocks, "quote.json"))["NSE:INFY"]
    told = json.loads((mocks / "quote.json").read_text())["data"]["NSE:INFY"]
    assert ist_text(quote.at_ns or 0) == told["timestamp"]
    assert ist_text(quote.last_trade_ns or 0) == told["last_trade_time"]
    assert (quote.day.token, quote.day.close, quote.volume) == (408065, 1389.65, 7360198)
    assert (quote.lower_circuit, quote.upper_circuit) == (1250.7, 1528.6)
    assert [(level.price, level.quantity, level.orders) for level in quote.offers] == [
        (row["price"], row["quantity"], row["orders"]) for row in told["depth"]["sell"]
    ]
    assert len(quote.bids) == 5
    assert payloads.day_prices(read(mocks, "ohlc.json"))["NSE:INFY"] == payloads.DayPrices(
        408065, 1075, 1085.8, 1085.9, 1070.9, 1075.8
    )
    assert payloads.last_prices(read(mocks, "ltp.json")) == {"NSE:INFY": payloads.LastPrice(408065, 1074.35)}


def test_the_official_session_and_profile(mocks: Path) -> None:
    session = payloads.session(read(mocks, "generate_session.json"))
    assert (session.user_id, session.access_token) == ("XX0000", Secret("XXXXXX"))
    assert ist_text(session.login_ns) == "2021-01-01 16:15:14"
    profile = payloads.profile(read(mocks, "profile.json"))
    assert profile.user_id == "AB1234" and "NSE" in profile.exchanges


def test_an_index_has_no_book_and_no_trades() -> None:
    ohlc = {"open": 1, "high": 2, "low": 0.5, "close": 1}
    row = {"instrument_token": 256265, "timestamp": "2026-01-05 15:30:00", "last_trade_time": None, "last_price": 1.5, "ohlc": ohlc}
    quote = payloads.quotes({"NSE:NIFTY 50": row})["NSE:NIFTY 50"]
    assert (quote.last_trade_ns, quote.bids, quote.offers, quote.volume, quote.upper_circuit) == (None, (), (), 0, 0)


GOOD = {
    "instrument_token": 1, "last_price": 1.5, "timestamp": "2026-01-05 15:30:00", "volume": 5,
    "ohlc": {"open": 1, "high": 2, "low": 0.5, "close": 1},
    "depth": {"buy": [{"price": 1, "quantity": 2, "orders": 1}], "sell": []},
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"instrument_token": None}, {"instrument_token": "1"}, {"instrument_token": 1.5}, {"last_price": True}, {"ohlc": None},
     {"ohlc": {"open": 1}}, {"timestamp": "noon"}, {"timestamp": 5}, {"volume": "many"}, {"depth": 7},
     {"depth": {"buy": 7}}, {"depth": {"buy": [7]}}, {"depth": {"buy": [{"price": 1}]}}],
)  # fmt: skip
def test_a_quote_of_another_shape_is_a_bad_answer_that_names_the_call(change: dict[str, Any]) -> None:
    assert parsed(ASKED, ok({"A": GOOD}), payloads.quotes)["A"].day.last_price == 1.5
    with pytest.raises(BadAnswer, match=r"GET /user/profile: .*expected .* found"):
        parsed(ASKED, ok({"A": GOOD | change}), payloads.quotes)


@pytest.mark.parametrize(
    "change", [{"user_id": None}, {"access_token": 7}, {"login_time": None}, {"login_time": "now"}, {"api_key": ["x"]}]
)
def test_a_session_of_another_shape_is_a_bad_answer_without_its_values(change: dict[str, Any]) -> None:
    good = {"user_id": "A", "user_name": "B", "api_key": "k", "access_token": SECRET, "login_time": "2026-01-05 08:10:00"}
    assert payloads.session(good).access_token.reveal() == SECRET
    with pytest.raises(BadAnswer, match="expected") as caught:
        parsed(ASKED, ok(good | change), payloads.session)
    assert SECRET not in str(caught.value)


def test_a_profile_without_exchanges_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer, match="list of exchanges"):
        payloads.profile({"user_id": "A", "user_name": "B"})
