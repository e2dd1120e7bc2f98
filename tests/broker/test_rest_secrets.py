"""No token, secret or checksum in an error, in what caused it, in a variable a traceback may print, or in a log."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import traceback
from collections.abc import Awaitable, Callable

import httpx
import pytest

from intraday.broker import calls
from intraday.broker.rest import RESTClient
from intraday.broker.retry import RetryPolicy
from intraday.domain.broker import Secret
from intraday.domain.errors import IntradayError
from rest_cases import API_KEY, API_SECRET, REQUEST_TOKEN, SESSION, TOKEN, Desk, Reply, Seen, ask, bad, endless, good, in_turn


async def profile(api: RESTClient) -> None:
    await api.profile()


async def logout(api: RESTClient) -> None:
    await api.logout()


async def exchange(api: RESTClient) -> None:
    await api.exchange(Secret(REQUEST_TOKEN))


def carried(seen: Seen) -> str:
    """All that a request carried, as a careless server would repeat it."""
    return f"{seen.headers.get('Authorization')} {seen.query} {list(seen.form.values())}"


NEW_SESSION = json.dumps({"status": "success", "data": SESSION | {"login_time": "soon"}}).encode()
JSON = {"Content-Type": "application/json"}
FAILURES: dict[str, Callable[[Seen], Reply]] = {
    "dead": lambda seen: bad(403, "TokenException", carried(seen)),
    "input": lambda seen: bad(400, "InputException", carried(seen)),
    "down": lambda seen: bad(503, None, carried(seen)),
    "limit": lambda seen: bad(429, None, carried(seen)),
    "html": lambda seen: httpx.Response(200, html=carried(seen)),
    "network": lambda seen: httpx.ConnectError(f"cannot reach {carried(seen)}"),
    "protocol": lambda seen: httpx.LocalProtocolError(carried(seen)),
    "silence": lambda seen: None,
    "half": lambda seen: httpx.Response(200, content=NEW_SESSION[:-20], headers=JSON),
    "endless": lambda seen: httpx.Response(200, content=endless(), headers=JSON),
    "shape": lambda seen: httpx.Response(200, content=NEW_SESSION, headers=JSON),
}


CASES = list(itertools.product([profile, exchange, logout], FAILURES))[:-1]  # nobody looks at the shape of a logout's answer


@pytest.mark.parametrize(("question", "name"), CASES)
def test_no_secret_in_an_error_its_causes_its_variables_or_a_log(
    question: Callable[[RESTClient], Awaitable[object]], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    desk = Desk(lambda n, seen: FAILURES[name](seen))
    with pytest.raises(IntradayError) as caught:
        ask(desk, question, retry=RetryPolicy(attempts=2))
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [line for part in chain(told) for frame in part.stack if "/intraday/" in frame.filename for line in shown(frame)]
    everything = "\n".join([str(caught.value), repr(caught.value), *ours, caplog.text, *(str(r.__dict__) for r in caplog.records)])
    checksum = hashlib.sha256((API_KEY + REQUEST_TOKEN + API_SECRET).encode()).hexdigest()
    assert ours and all(secret not in everything for secret in (TOKEN, REQUEST_TOKEN, API_SECRET, checksum))


def chain(told: traceback.TracebackException) -> list[traceback.TracebackException]:
    more = [part for part in (told.__cause__, told.__context__) if part is not None]
    return [told, *(deep for part in more for deep in chain(part))]


def shown(frame: traceback.FrameSummary) -> list[str]:
    return [f"{name}={value}" for name, value in (frame.locals or {}).items()]


def test_httpx_logs_addresses_without_their_query(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ask(Desk(in_turn(good)), lambda api: api.logout())
    lines = [record.getMessage() for record in caplog.records if record.name == "httpx"]
    assert lines == ['HTTP Request: DELETE http://127.0.0.1:9/session/token "HTTP/1.1 200 OK"']
    assert calls.hide_addresses(logging.LogRecord("httpx", 20, "", 0, "plain", None, None))
