"""Logging in and out, against a broker that knows one app: what is stored, what the person is told, what nobody gets to see."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import keyring
import psutil
import pytest
from keyring.backends.fail import Keyring
from keyring.errors import KeyringError
from loguru import logger

from auth_cases import API_KEY, API_SECRET, LOGIN_PAGE, Browser, Desk, at, returned, session
from intraday.auth.key import ENTRY, KEY_VARIABLE, SERVICE, OsKeyStore, TokenKey, fernet, fingerprint, new_key
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
    assert desk.told[0] == "No browser could be opened here."
    assert desk.tokens.status().usable


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


# --------------------------------------------------------------------------------------------------------------------- secrets


@pytest.fixture
def everything_written(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """All that is printed and logged, at every level, with loguru showing the values of variables in traces."""
    caplog.set_level(logging.DEBUG)
    written = io.StringIO()
    sink = logger.add(written, level="TRACE", diagnose=True, backtrace=True)

    def read() -> str:
        out = capfd.readouterr()
        return "".join((out.out, out.err, caplog.text, written.getvalue()))

    yield read
    logger.remove(sink)


def with_locals(error: BaseException) -> str:
    """The error, every error it came from (suppressed ones too), and all variables of all frames but those of the tests."""
    shown: list[str] = []
    seen: list[BaseException | None] = [error]
    while seen:
        one = seen.pop()
        if one is None:
            continue
        frames = traceback.StackSummary.extract(traceback.walk_tb(one.__traceback__), capture_locals=True)
        shown += [f"{frame.filename}:{frame.lineno} {frame.locals}" for frame in frames if "/tests/" not in frame.filename]
        shown += [repr(one), str(one), str(vars(one))]
        seen += [one.__cause__, one.__context__]
    return "\n".join(shown)


def login_again(desk: Desk) -> None:
    desk.authenticator().login(None, desk.paste(desk.broker.grant), desk.told.append)


def wrong_secret(desk: Desk) -> None:
    desk.broker.api_secret = "planted0other0secret"
    login_again(desk)


def used_request_token(desk: Desk) -> None:
    desk.authenticator().login(None, desk.paste("planted0request0used"), desk.told.append)


def bad_paste(desk: Desk) -> None:
    line = "http://127.0.0.1:5010/kite?status=success&request_token=planted!request!token"
    desk.authenticator().login(None, desk.paste(line, line, line), desk.told.append)


def dead_on_arrival(desk: Desk) -> None:
    desk.broker.fails["profile"] = TokenDead("HTTP 403")
    login_again(desk)


def session_of_another_user(desk: Desk) -> None:
    desk.broker.user_of_profile = "XX9999"
    login_again(desk)


def nowhere_to_store(desk: Desk) -> None:
    desk.path.unlink()
    desk.path.mkdir()
    login_again(desk)


def open_file(desk: Desk) -> None:
    desk.path.chmod(0o644)
    desk.tokens.current()


def no_network(desk: Desk) -> None:
    desk.broker.fails["logout"] = BrokerUnavailable("no connection")
    desk.authenticator().logout()


def expired(desk: Desk) -> None:
    desk.clock.set(at("2026-11-24 06:01"))
    desk.tokens.access_token()


def damaged_file(desk: Desk) -> None:
    desk.path.write_bytes(desk.path.read_bytes()[:-9] + b"AAAAAAAA\n")
    desk.tokens.current()


def damaged_inside(desk: Desk) -> None:
    key = Secret(desk.store.entries[SERVICE, ENTRY])
    cipher = fernet(key)
    assert cipher is not None
    sealed = cipher.encrypt(b'{"access_token": "planted0access0token", "user_id": ')
    desk.path.write_bytes(f"intraday-token-1 {fingerprint(key)}\n".encode() + sealed)
    desk.tokens.current()


def bad_key(desk: Desk) -> None:
    desk.store.entries[SERVICE, ENTRY] = "planted0no0key"
    TokenKey(None, desk.store).find_or_make()


def broken_key_store(desk: Desk) -> None:
    class Broken(Keyring):
        def get_password(self, service: str, username: str) -> str | None:
            raise KeyringError("planted0no0key")

    before = keyring.get_keyring()
    keyring.set_keyring(Broken())
    try:
        TokenKey(None, OsKeyStore()).find_or_make()
    finally:
        keyring.set_keyring(before)


FAILURES = (
    *(wrong_secret, used_request_token, bad_paste, dead_on_arrival, session_of_another_user, nowhere_to_store, open_file),
    *(no_network, expired, damaged_file, damaged_inside, bad_key, broken_key_store),
)


@pytest.mark.parametrize("fail", FAILURES, ids=lambda fail: str(fail.__name__))
def test_no_failure_shows_a_secret(fail: Callable[[Desk], None], desk: Desk, everything_written: Callable[[], str]) -> None:
    login_again(desk)
    with pytest.raises(IntradayError) as caught:
        fail(desk)
    try:
        raise caught.value
    except IntradayError:
        logger.opt(exception=True).error("it failed")
        logging.getLogger("x").exception("it failed")
    text = everything_written()
    assert text.count("it failed") >= 2
    # loguru shows the variables of the tests' own frames too, which do hold secrets: those lines are not the program's.
    for shown in (with_locals(caught.value), program_s_part(text), *desk.told[2:]):
        assert "planted" not in shown
        assert str(desk.store.entries.get((SERVICE, ENTRY))) not in shown


def program_s_part(text: str) -> str:
    """A log without what loguru tells about frames of the tests."""
    frames = re.split(r"\n(?=.{0,4}File )", text)
    return "\n".join(frame for frame in frames if "/tests/" not in frame.split("\n")[0])


def test_no_success_shows_a_secret(desk: Desk, everything_written: Callable[[], str]) -> None:
    browser = Browser(desk.broker)
    authenticator = desk.authenticator()
    done = authenticator.login(browser.open, no_ask, desk.told.append)
    pages = browser.join()
    shown = [repr(done), str(done.session), repr(authenticator), repr(desk.tokens.current()), str(authenticator.status())]
    shown += [pages[1].text, *desk.told, *browser.opened, everything_written()]
    for text in shown:
        assert "planted" not in text
        assert desk.store.entries[SERVICE, ENTRY] not in text


def test_a_failing_page_thread_shows_nothing(desk: Desk, everything_written: Callable[[], str]) -> None:
    hooked: list[str] = []
    before = threading.excepthook
    threading.excepthook = lambda args: hooked.append(str(args))
    try:
        browser = Browser(desk.broker, request_token="planted bad token")
        with pytest.raises(LoginFailed) as caught:
            desk.authenticator().login(browser.open, no_ask, desk.told.append)
        browser.join()
    finally:
        threading.excepthook = before
    assert hooked == []
    assert "planted" not in everything_written() + str(caught.value) + browser.pages[1].text


PROCESS = """
import os, subprocess, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from auth_cases import API_KEY, ISSUER, MemoryStore
from intraday.auth.key import KEY_VARIABLE, TokenKey
from intraday.auth.login import Authenticator, LoginPlace
from intraday.auth.token import TokenManager
from intraday.domain.broker import Credentials, Secret
from intraday.domain.clock import SimClock
keys = TokenKey(Secret(os.environ[KEY_VARIABLE]), MemoryStore())
tokens = TokenManager(Path(sys.argv[1]) / "token", keys, SimClock(0), API_KEY, ISSUER)
def open_browser(url):
    browser = subprocess.Popen(["cat", "-", url])
    print(os.getpid(), browser.pid, flush=True)
    return True
place = LoginPlace("https://kite.test/connect/login", 0, 20)
Authenticator(None, tokens, Credentials(API_KEY, Secret(os.environ["SECRET"])), place).login(open_browser, input, print)
"""


def test_the_process_list_shows_no_secret(tmp_path: Path, root: Path) -> None:
    """While a login waits: neither our command line nor the browser's holds API key, state, secret or key."""
    key = new_key().reveal()
    environ = {"PATH": "/usr/bin:/bin", KEY_VARIABLE: key, "SECRET": API_SECRET}
    command = [sys.executable, "-c", PROCESS, str(tmp_path), str(root / "src"), str(root / "tests")]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        ours, browser = (psutil.Process(int(pid)) for pid in program.stdout.readline().split())
        lines = " ".join(browser.cmdline()), " ".join(ours.cmdline()[3:])
        program.terminate()
        browser.kill()
    assert "http://127.0.0.1:" in lines[0]
    for line in lines:
        for secret in (API_KEY, API_SECRET, key, "state", "api_key"):
            assert secret not in line
