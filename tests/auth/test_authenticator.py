"""Logging in and out, against a broker that knows one app: what is stored, what the person is told, what nobody gets to see."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from auth_cases import API_KEY, API_SECRET, LOGIN_PAGE, Browser, Desk, at, returned, session
from intraday.auth.key import ENTRY, SERVICE
from intraday.auth.login import Authenticator, login_url, read_pasted
from intraday.auth.server import new_state
from intraday.auth.token import TokenState
from intraday.domain.broker import Credentials, Secret
from intraday.domain.errors import (
    AddressBlocked,
    AuthError,
    BadAnswer,
    BrokerUnavailable,
    ConfigError,
    IntradayError,
    LoginFailed,
    NotEntitled,
    NoToken,
    RateLimited,
    TokenDead,
    WrongCredentials,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def shown_address(desk: Desk) -> str:
    """The login address that the person was shown."""
    found = re.search(r"https://kite\.test\S+", "\n".join(desk.told))
    assert found is not None
    return found[0]


def no_ask(text: str) -> str:
    raise AssertionError("nothing to ask here")


# ------------------------------------------------------------------------------------------------------------- in a browser


def test_a_login_in_the_browser(desk: Desk) -> None:
    browser = Browser(desk.broker)
    done = desk.authenticator().login(browser.open, no_ask, desk.told.append)
    start, end = browser.join()
    assert done.warnings == ()
    assert (done.session.user_id, done.session.access_token.reveal()) == ("AB1234", desk.broker.alive)
    assert desk.tokens.current() == done.session
    assert start.headers["location"].startswith(f"{LOGIN_PAGE}?v=3&api_key={API_KEY}&redirect_params=state%3D")
    assert "<h1>Logged in</h1><p>AB1234 is logged in for today.</p>" in end.text
    assert desk.broker.calls == ["exchange", "profile", "quote"]
    assert "waiting up to 20 s" in desk.told[0]


def test_a_second_login_replaces_the_first(desk: Desk) -> None:
    for _ in range(2):
        browser = Browser(desk.broker)
        desk.authenticator().login(browser.open, no_ask, desk.told.append)
        browser.join()
    assert desk.tokens.access_token().reveal() == desk.broker.alive


def test_a_browser_that_comes_back_with_another_state_is_not_believed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, timeout_s=1.0)
    browser = Browser(desk.broker, state="another")
    with pytest.raises(LoginFailed, match="nobody came back"):
        desk.authenticator().login(browser.open, no_ask, desk.told.append)
    assert browser.join()[1].status == 400
    assert desk.broker.calls == []


def test_a_cancelled_login(desk: Desk) -> None:
    browser = Browser(desk.broker, status="cancelled")
    with pytest.raises(LoginFailed, match=r"status cancelled.*Start again with `intraday auth login`"):
        desk.authenticator().login(browser.open, no_ask, desk.told.append)
    assert "Login failed" in browser.join()[1].text


def test_nobody_comes_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path, timeout_s=0.05)
    with pytest.raises(LoginFailed, match=r"within 0.05 s \(broker.login.timeout_s\)"):
        desk.authenticator().login(lambda url: True, no_ask, desk.told.append)


def test_a_failed_exchange_is_shown_in_the_browser_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path, api_secret="planted0wrong0secret")
    browser = Browser(desk.broker)
    with pytest.raises(WrongCredentials):
        desk.authenticator().login(browser.open, no_ask, desk.told.append)
    assert "<h1>Login failed</h1><p>The terminal says why.</p>" in browser.join()[1].text


# ----------------------------------------------------------------------------------------------------------- without a browser


def pasted(desk: Desk, **changed: str) -> Callable[[], str]:
    """What the person copies from the address bar after logging in at the address shown."""
    return lambda: returned(shown_address(desk), desk.broker.grant(), 5010, **changed)


def test_a_pasted_address(desk: Desk) -> None:
    done = desk.authenticator().login(None, desk.paste(pasted(desk)), desk.told.append)
    assert desk.tokens.current() == done.session
    assert "http://127.0.0.1:0/kite" in desk.told[1]
    assert desk.asked == ["Paste it here (it is not shown): "]


def test_a_pasted_request_token(desk: Desk) -> None:
    done = desk.authenticator().login(None, desk.paste(lambda: f"  {desk.broker.grant()}\n"), desk.told.append)
    assert desk.tokens.current() == done.session


def test_a_browser_that_cannot_be_opened_falls_back_to_pasting(desk: Desk) -> None:
    desk.authenticator().login(lambda url: False, desk.paste(pasted(desk)), desk.told.append)
    assert desk.told[1] == "No browser could be opened here."
    assert desk.tokens.status().usable


def test_a_browser_that_returns_only_when_it_is_closed(desk: Desk) -> None:
    """``webbrowser`` waits for programs it does not know (``BROWSER=...``): the login does not."""
    browser = Browser(desk.broker)

    def open_and_stay(url: str) -> bool:
        browser.open(url)
        browser.join()
        return False

    done = desk.authenticator().login(open_and_stay, no_ask, desk.told.append)
    assert desk.tokens.current() == done.session


def test_three_attempts_to_paste(desk: Desk) -> None:
    ask = desk.paste("nonsense", pasted(desk, state="another"), lambda: desk.broker.grant())
    desk.authenticator().login(None, ask, desk.told.append)
    assert "neither the address" in desk.told[2]
    assert "belongs to another login" in desk.told[3]
    with pytest.raises(LoginFailed, match="no usable address in 3 attempts"):
        desk.authenticator().login(None, desk.paste("a", "b", "c"), desk.told.append)


STATE = Secret("the-state")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("requesttoken123", "requesttoken123"),
        ("'requesttoken123'\n", "requesttoken123"),
        ("http://127.0.0.1:5010/kite?status=success&request_token=requesttoken123&state=the-state", "requesttoken123"),
        ("<http://localhost:5010/kite?request_token=requesttoken123&status=success#top>", "requesttoken123"),
        ("status=success&request_token=requesttoken123", "requesttoken123"),
        ("http://127.0.0.1:5010/kite?status=success&request_token=requesttoken123&state=other", "another login"),
        ("http://127.0.0.1:5010/kite?status=success&request_token=requesttoken123&state=", "another login"),
        ("http://127.0.0.1:5010/kite?status=success&request_token=requesttoken123&state=the-state&state=x", "another login"),
        ("http://127.0.0.1:5010/kite?status=error&state=the-state", "status error"),
        ("http://127.0.0.1:5010/kite?request_token=requesttoken123", "no success"),
        ("http://127.0.0.1:5010/kite?status=success", "no request token"),
        ("http://127.0.0.1:5010/kite?status=success&request_token=a&request_token=b", "no request token"),
        ("https://kite.zerodha.com/connect/login?v=3&api_key=k", "neither"),
        ("http://[::1", "neither"),
        ("", "neither"),
        ("\udcff\x00?\udcff=1", "neither"),
        ("short", "neither"),
    ],
)
def test_what_may_be_pasted(text: str, found: str) -> None:
    answer = read_pasted(Secret(text), STATE)
    if isinstance(answer, Secret):
        assert answer.reveal() == found
    else:
        assert found in answer
        assert "requesttoken123" not in answer


def test_the_login_address_keeps_what_the_page_already_has() -> None:
    parts = urlsplit(login_url("http://127.0.0.1:8150/connect/login?theme=dark", "k&=", Secret("s+/=")))
    query = parse_qs(parts.query)
    assert (query["theme"], query["v"], query["api_key"]) == (["dark"], ["3"], ["k&="])
    assert parse_qs(query["redirect_params"][0]) == {"state": ["s+/="]}
    assert len(new_state().reveal()) >= 43


# ------------------------------------------------------------------------------------------------------------ what may go wrong


def paste_login(desk: Desk) -> Authenticator[object]:
    authenticator = desk.authenticator()
    authenticator.login(None, desk.paste(lambda: desk.broker.grant()), desk.told.append)
    return authenticator  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            "exchange",
            WrongCredentials("POST /session/token: HTTP 403"),
            "INTRADAY__BROKER__API_KEY and INTRADAY__BROKER__API_SECRET",
        ),
        ("exchange", LoginFailed("a request token works once"), "works once"),
        ("exchange", AddressBlocked("refuses this machine's address"), "refuses this machine's address"),
        ("exchange", BrokerUnavailable("no answer"), "no answer"),
        ("profile", TokenDead("GET /user/profile: HTTP 403"), "new token does not work .* another login with this API key"),
        ("profile", AddressBlocked("refuses this machine's address"), "refuses this machine's address"),
    ],
)
def test_a_login_that_fails_stores_nothing_and_keeps_the_former(desk: Desk, call: str, error: IntradayError, text: str) -> None:
    desk.tokens.save(session(token="the former one"))
    desk.broker.fails[call] = error
    with pytest.raises(type(error), match=text):
        paste_login(desk)
    assert desk.tokens.access_token().reveal() == "the former one"


def test_the_four_troubles_read_differently(desk: Desk) -> None:
    told = set()
    for kind in (WrongCredentials, AddressBlocked, TokenDead, NotEntitled):
        desk.broker.fails = {"profile" if kind is TokenDead else "quote" if kind is NotEntitled else "exchange": kind("HTTP 403")}
        try:
            done = desk.authenticator().login(None, desk.paste(lambda: desk.broker.grant()), desk.told.append)
            told.add(done.warnings[0])
        except AuthError as error:
            told.add(f"{type(error).__name__} {error}")
    assert len(told) == 4


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotEntitled("HTTP 403 PermissionException: no market data"), "logged in, but without market data: HTTP 403"),
        (RateLimited("HTTP 429"), "logged in, but market data could not be tried: HTTP 429"),
        (BrokerUnavailable("no answer"), "logged in, but market data could not be tried: no answer"),
    ],
)
def test_a_login_without_market_data_is_kept_with_a_warning(desk: Desk, error: IntradayError, text: str) -> None:
    desk.broker.fails["quote"] = error
    done = desk.authenticator().login(None, desk.paste(lambda: desk.broker.grant()), desk.told.append)
    assert done.warnings == (text,) or done.warnings[0].startswith(text)
    assert desk.tokens.current() == done.session


def test_a_profile_that_cannot_be_asked_does_not_cost_the_login(desk: Desk) -> None:
    desk.broker.fails["profile"] = BrokerUnavailable("no answer in 7 s")
    done = desk.authenticator().login(None, desk.paste(lambda: desk.broker.grant()), desk.told.append)
    assert done.warnings == ("the new token is stored but could not be tried: no answer in 7 s",)
    assert desk.tokens.current() == done.session


def test_two_users_in_one_login(desk: Desk) -> None:
    desk.broker.user_of_profile = "XX9999"
    with pytest.raises(LoginFailed, match="one user for the login and another for its profile"):
        paste_login(desk)
    assert desk.tokens.status().state is TokenState.MISSING


def test_a_session_of_another_app(desk: Desk) -> None:
    authenticator = Authenticator(
        lambda token: desk.broker.connect(API_SECRET, token), desk.tokens, Credentials("another", Secret(API_SECRET)), desk.place
    )
    with pytest.raises(BadAnswer, match="a session of another API key"):
        authenticator.login(None, desk.paste(lambda: desk.broker.grant()), desk.told.append)


def test_a_login_before_eight_is_warned_of(tmp_path: Path) -> None:
    desk = Desk(tmp_path, now="2026-11-23 07:40")
    done = desk.authenticator().login(None, desk.paste(lambda: desk.broker.grant()), desk.told.append)
    assert "logged in at 2026-11-23 07:40 IST" in done.warnings[0]
    assert "again after 08:00" in done.warnings[0]


@pytest.mark.parametrize(("api_key", "api_secret"), [("", API_SECRET), (API_KEY, "")])
def test_credentials_are_asked_for_before_anything_happens(desk: Desk, api_key: str, api_secret: str) -> None:
    authenticator = Authenticator(
        lambda token: desk.broker.connect(api_secret, token), desk.tokens, Credentials(api_key, Secret(api_secret)), desk.place
    )
    with pytest.raises(ConfigError, match="environment variables INTRADAY__BROKER__API_KEY and INTRADAY__BROKER__API_SECRET"):
        authenticator.login(None, no_ask, desk.told.append)
    assert desk.told == []


def test_a_token_that_could_not_be_kept_is_not_asked_for(desk: Desk) -> None:
    desk.store.entries[SERVICE, ENTRY] = "no key"
    with pytest.raises(ConfigError, match="key store: expected a key"):
        desk.authenticator().login(None, no_ask, desk.told.append)
    assert desk.told == []


# -------------------------------------------------------------------------------------------------------------------- log out


def test_logout_ends_the_token_and_forgets_it(desk: Desk) -> None:
    done = paste_login(desk).logout()
    assert (done.killed, done.forgotten, done.note) == (True, True, "AB1234 is logged out")
    assert desk.broker.alive is None
    with pytest.raises(NoToken):
        desk.tokens.current()


@pytest.mark.parametrize("error", [TokenDead("HTTP 403"), WrongCredentials("HTTP 400")])
def test_logout_of_a_dead_token_forgets_it(desk: Desk, error: AuthError) -> None:
    authenticator = paste_login(desk)
    desk.broker.fails["logout"] = error
    done = authenticator.logout()
    assert (done.killed, done.forgotten) == (False, True)
    assert "had ended already" in done.note
    assert not desk.path.exists()


def test_logout_after_six_asks_nobody(desk: Desk) -> None:
    authenticator = paste_login(desk)
    desk.clock.set(at("2026-11-24 06:00"))
    assert authenticator.logout().killed is False
    assert "logout" not in desk.broker.calls
    assert not desk.path.exists()


def test_logout_without_a_network_keeps_the_token(desk: Desk) -> None:
    authenticator = paste_login(desk)
    desk.broker.fails["logout"] = BrokerUnavailable("no connection")
    with pytest.raises(BrokerUnavailable, match=r"no connection. The token is still stored: run `intraday auth logout` again"):
        authenticator.logout()
    assert desk.tokens.status().usable


def test_logout_of_nobody(desk: Desk) -> None:
    done = desk.authenticator().logout()
    assert (done.killed, done.forgotten, done.note) == (False, False, "nobody was logged in")


def test_logout_of_an_unreadable_token(desk: Desk) -> None:
    desk.tokens.save(session())
    desk.path.write_bytes(b"rubbish")
    done = desk.authenticator().logout()
    assert (done.killed, done.forgotten) == (False, True)
    assert "deleted, not ended at the broker (it dies at 06:00 IST)" in done.note


# --------------------------------------------------------------------------------------------------------------------- status


def test_status_is_the_clock_s_and_check_is_the_broker_s(desk: Desk) -> None:
    authenticator = desk.authenticator()
    assert authenticator.check().state is TokenState.MISSING
    paste_login(desk)
    assert authenticator.status().state is authenticator.check().state is TokenState.VALID
    desk.broker.alive = "somebody else's"
    assert authenticator.status().state is TokenState.VALID
    checked = authenticator.check()
    assert (checked.state, checked.usable) == (TokenState.DEAD, False)
    assert "revoked" in checked.advice
