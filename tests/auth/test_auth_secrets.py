"""No secret in what is printed, logged or raised, in a repr or in a process list: each is planted, and looked for everywhere."""

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

import keyring
import psutil
import pytest
from keyring.backends.fail import Keyring
from keyring.errors import KeyringError
from loguru import logger

from auth_cases import API_KEY, API_SECRET, Browser, Desk, at
from intraday.auth.key import ENTRY, KEY_VARIABLE, SERVICE, OsKeyStore, TokenKey, fernet, fingerprint, new_key
from intraday.domain.broker import Secret
from intraday.domain.errors import BrokerUnavailable, IntradayError, LoginFailed, TokenDead

pytestmark = pytest.mark.integration


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def no_ask(text: str) -> str:
    raise AssertionError("nothing to ask here")


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
    subprocess.Popen(["sh", "-c", "echo $$; read _", "browser", url])
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
        browser, ours = psutil.Process(int(program.stdout.readline())), psutil.Process(program.pid)
        lines = " ".join(browser.cmdline()), " ".join(ours.cmdline()[3:])
        program.terminate()
        browser.kill()
    assert "http://127.0.0.1:" in lines[0]
    for line in lines:
        for secret in (API_KEY, API_SECRET, key, "state", "api_key"):
            assert secret not in line
