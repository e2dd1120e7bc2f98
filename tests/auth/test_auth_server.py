"""The page that Kite's login returns to, over real sockets: taken once, by the login it belongs to, and silent about the token."""

from __future__ import annotations

import io
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlencode

import psutil
import pytest
from loguru import logger

from auth_cases import LOGIN_PAGE, Page, get
from intraday.auth import server as module
from intraday.auth.pages import page
from intraday.auth.server import HOST, AuthServer, new_state, read_redirect, same_state
from intraday.domain.broker import Secret
from intraday.domain.errors import ConfigError, LoginFailed

pytestmark = pytest.mark.integration

STATE = Secret("planted-state-planted")
TOKEN = "planted0request0token"


@contextmanager
def serving(port: int = 0) -> Iterator[AuthServer]:
    with AuthServer(port, STATE, Secret(LOGIN_PAGE + "?v=3")) as server:
        yield server


def redirected(server: AuthServer, **changed: str | None) -> Page:
    values = {"status": "success", "request_token": TOKEN, "state": STATE.reveal(), **changed}
    return get(f"{server.redirect_url}?{urlencode({k: v for k, v in values.items() if v is not None})}")


def in_background(server: AuthServer, **changed: str | None) -> tuple[threading.Thread, list[Page]]:
    pages: list[Page] = []
    thread = threading.Thread(target=lambda: pages.append(redirected(server, **changed)))
    thread.start()
    return thread, pages


def test_the_token_arrives_and_the_browser_hears_the_verdict() -> None:
    with serving() as server:
        thread, pages = in_background(server)
        assert server.wait(10).reveal() == TOKEN
        server.conclude(True, "AB1234 is logged in for today.")
    assert server._shown.is_set()  # nobody ends the program before the page has left
    assert server._thread is not None
    assert not server._thread.is_alive()
    thread.join(10)
    assert pages[0].status == 200
    assert "<h1>Logged in</h1><p>AB1234 is logged in for today.</p><p>You can close this tab.</p>" in pages[0].text


def test_a_login_that_fails_later_is_shown_as_failed() -> None:
    with pytest.raises(LoginFailed, match="the exchange went wrong"), serving() as server:
        thread, pages = in_background(server)
        server.wait(10)
        raise LoginFailed("the exchange went wrong")
    thread.join(10)
    assert "<h1>Login failed</h1><p>The terminal says why.</p>" in pages[0].text


def test_a_program_that_takes_too_long_leaves_the_browser_waiting_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VERDICT_WAIT_S", 0.05)
    with serving() as server:
        assert "No answer from Kite yet" in redirected(server).text


def test_only_the_first_redirect_counts() -> None:
    with serving() as server:
        thread, _ = in_background(server)
        assert server.wait(10).reveal() == TOKEN
        second = redirected(server, request_token="another0request0token")
        assert (second.status, "Used already" in second.text) == (410, True)
        assert server.wait(1).reveal() == TOKEN
        server.conclude(True, "done")
        server.conclude(False, "too late to change that")
    thread.join(10)


@pytest.mark.parametrize("state", [None, "", "planted-state-plante", "PLANTED-STATE-PLANTED", "planted-state-planted2", "ü"])
def test_a_redirect_of_another_login_is_refused_and_waiting_goes_on(state: str | None) -> None:
    with serving() as server:
        answer = redirected(server, state=state)
        assert (answer.status, "Not this login" in answer.text) == (400, True)
        thread, _ = in_background(server)
        assert server.wait(10).reveal() == TOKEN
    thread.join(10)


def test_a_state_given_twice_is_none() -> None:
    twice = {"state": [STATE.reveal(), STATE.reveal()]}
    assert not same_state(twice, STATE)
    assert same_state({"state": [STATE.reveal()]}, STATE)
    assert not same_state({"state": ["\udcff"]}, STATE)
    assert new_state() != new_state()


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"status": "cancelled"}, "Kite reports status cancelled"),
        ({"status": None}, "Kite reports status no success"),
        ({"status": "<b>x</b>\x1b[31m"}, "Kite reports status no success"),
        ({"request_token": None}, "no request token as Kite makes them"),
        ({"request_token": "<script>alert(1)</script>"}, "no request token as Kite makes them"),
        ({"request_token": "short"}, "no request token as Kite makes them"),
        ({"request_token": "x" * 300}, "no request token as Kite makes them"),
    ],
)
def test_a_redirect_without_success_fails_the_login(changed: dict[str, str | None], text: str) -> None:
    with serving() as server:
        answer = redirected(server, **changed)
        assert "Login failed" in answer.text
        assert text in answer.text
        with pytest.raises(LoginFailed, match=text):
            server.wait(10)


def test_tokens_given_twice_are_none() -> None:
    values = parse_qs(f"status=success&request_token={TOKEN}&request_token={TOKEN}")
    assert read_redirect(values) == "the address holds no request token as Kite makes them"


def test_it_times_out_and_says_what_to_look_at() -> None:
    with serving() as server:
        redirected(server, state="another")
        with pytest.raises(LoginFailed) as caught:
            server.wait(0.05)
    text = str(caught.value)
    for part in ("within 0.05 s (broker.login.timeout_s)", "1 requests came", server.redirect_url, "--no-browser"):
        assert part in text


def test_no_answer_under_another_name() -> None:
    with serving() as server:
        query = urlencode({"status": "success", "request_token": TOKEN, "state": STATE.reveal()})
        for host in ("evil.example", f"evil.example:{server.port}", HOST, f"{HOST}:{server.port + 1}", "", f"{HOST}.evil.example"):
            answer = get(f"{server.redirect_url}?{query}", host=host)
            assert answer.status == 400, host
        assert get(server.start_url, host="evil.example").status == 400
        with pytest.raises(LoginFailed):
            server.wait(0.01)
        thread, _ = in_background(server)
        assert server.wait(10).reveal() == TOKEN
    thread.join(10)


def test_localhost_is_one_of_our_names() -> None:
    with serving() as server:
        assert get(f"{server.redirect_url}?state=x", host=f"localhost:{server.port}").status == 400
        assert get(server.start_url, host=f"localhost:{server.port}").status == 302


def test_only_reading_is_answered() -> None:
    with serving() as server:
        query = urlencode({"status": "success", "request_token": TOKEN, "state": STATE.reveal()})
        for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
            assert get(f"{server.redirect_url}?{query}", method=method).status == 405
        assert get(f"http://{HOST}:{server.port}/").status == 404
        with pytest.raises(LoginFailed):
            server.wait(0.01)


def test_the_address_for_the_browser_says_nothing_and_works_once() -> None:
    written = io.StringIO()
    sink = logger.add(written)
    with serving() as server:
        assert STATE.reveal() not in server.start_url
        assert "api_key" not in server.start_url
        first, second = get(server.start_url), get(server.start_url)
    logger.remove(sink)
    assert (first.status, first.headers["location"]) == (302, LOGIN_PAGE + "?v=3")
    assert (second.status, "location" in second.headers) == (410, False)
    assert "opened twice" in written.getvalue()


def test_every_page_stands_alone_and_is_kept_by_nobody() -> None:
    with serving() as server:
        thread, pages = in_background(server)
        server.wait(10)
        server.conclude(True, "fine")
        thread.join(10)
        pages += [redirected(server), redirected(server, state="x"), get(server.start_url, host="x"), get(server.start_url + "x")]
    for shown in pages:
        assert shown.headers["cache-control"] == "no-store"
        assert shown.headers["referrer-policy"] == "no-referrer"
        assert shown.headers["content-security-policy"].startswith("default-src 'none'; style-src 'nonce-")
        assert shown.headers["server"] == "intraday"
        for word in ("http://", "https://", "src=", "<script", "<link", "planted"):
            assert word not in shown.text
        assert "prefers-color-scheme: dark" in shown.text


def test_pages_escape_what_they_show() -> None:
    assert "&lt;b&gt;&amp;" in page("<b>&", "x", good=True, nonce="n")


def test_nothing_is_logged_about_the_request(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    written = io.StringIO()
    sink = logger.add(written, level="TRACE", diagnose=True, backtrace=True)
    with serving() as server:
        for changed in ({"state": "x"}, {"status": "x"}, {}):
            redirected(server, **changed)
        with socket.create_connection((HOST, server.port)) as raw:
            raw.sendall(f"GARBAGE /kite?request_token={TOKEN}\r\n\r\n".encode())
            raw.recv(1000)
        with pytest.raises(LoginFailed):
            server.wait(1)
    logger.remove(sink)
    out = capfd.readouterr()
    for text in (out.out, out.err, caplog.text, written.getvalue()):
        assert "planted" not in text
        assert "GET /kite" not in text


def test_a_page_that_breaks_is_named_without_its_request(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    class Broken(AuthServer):
        def _redirected(self) -> module.Response:
            raise RuntimeError(module.request.url)

    written = io.StringIO()
    sink = logger.add(written, level="TRACE", diagnose=True, backtrace=True)
    with Broken(0, STATE, Secret(LOGIN_PAGE)) as server:
        answer = redirected(server)
    logger.remove(sink)
    assert (answer.status, "Something broke" in answer.text) == (500, True)
    assert "login page failed" in written.getvalue()
    out = capfd.readouterr()
    assert "planted" not in "".join((written.getvalue(), caplog.text, out.out, out.err, answer.text))


def test_idle_connections_hold_nothing_up() -> None:
    """Browsers open connections in advance; a server with one thread would wait on those."""
    with serving() as server:
        idle = [socket.create_connection((HOST, server.port)) for _ in range(5)]
        thread, pages = in_background(server)
        assert server.wait(10).reveal() == TOKEN
        server.conclude(True, "fine")
        thread.join(10)
        for connection in idle:
            connection.close()
    assert pages[0].status == 200


def test_a_busy_port_is_named() -> None:
    with serving() as server, pytest.raises(ConfigError) as caught:
        AuthServer(server.port, STATE, Secret(LOGIN_PAGE))
    text = str(caught.value)
    assert text.startswith(f"broker.login.port: cannot listen on {HOST}:{server.port}")
    for part in ("is another login waiting", f"register http://{HOST}:PORT/kite at Kite", "--no-browser"):
        assert part in text


def test_the_port_is_free_again_at_once() -> None:
    with serving() as server:
        get(server.start_url)
    with serving(server.port) as again:
        assert again.port == server.port


def test_it_listens_on_loopback_only() -> None:
    with serving() as server:
        listening = [c.laddr for c in psutil.Process().net_connections("inet") if c.laddr.port == server.port and not c.raddr]
    assert {address.ip for address in listening} == {HOST}
