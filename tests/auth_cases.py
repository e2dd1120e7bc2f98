"""Small real doubles for the tests of the login: a key store in memory, a broker that knows one app, sessions at any time."""

from __future__ import annotations

import secrets
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from intraday.auth.key import TokenKey, new_key
from intraday.auth.login import Authenticator, LoginPlace
from intraday.auth.token import TokenManager
from intraday.domain.broker import BrokerSession, Credentials, Profile, Secret, TokenSource
from intraday.domain.clock import SimClock
from intraday.domain.errors import IntradayError, LoginFailed, TokenDead, WrongCredentials

IST = timezone(timedelta(hours=5, minutes=30))
API_KEY = "kiteapikey"
API_SECRET = "planted0api0secret0planted"
ISSUER = "https://api.kite.test"
LOGIN_PAGE = "https://kite.test/connect/login"


def at(text: str) -> int:
    """``2026-11-23 08:05``, IST, as ns UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=IST).timestamp()) * 1_000_000_000


def session(login: str = "2026-11-23 08:05", token: str = "planted0access0token", api_key: str = API_KEY) -> BrokerSession:
    return BrokerSession("AB1234", "Asha Bose", api_key, Secret(token), at(login))


class MemoryStore:
    """A key store that forgets when it goes; ``forgetful`` ones forget at once."""

    def __init__(self, forgetful: bool = False) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self._forgetful = forgetful

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if not self._forgetful:
            self.entries[service, username] = password


def manager(folder: Path, now: str = "2026-11-23 10:00", key: Secret | None = None, **other: str | None) -> TokenManager:
    """A TokenManager under ``folder``; ``other``: api_key, issuer."""
    keys = TokenKey(key or new_key(), MemoryStore())
    values = {"api_key": API_KEY, "issuer": ISSUER, **other}
    return TokenManager(folder / "auth" / "token", keys, SimClock(at(now)), values["api_key"], values["issuer"] or "")


class Broker:
    """Kite's side of the login for one app: request tokens work once, a new access token ends the one before it."""

    def __init__(self, clock: SimClock, api_secret: str = API_SECRET) -> None:
        self.clock = clock
        self.api_secret = api_secret
        self.granted: set[str] = set()
        self.alive: str | None = None
        self.user_of_profile = "AB1234"
        self.fails: dict[str, IntradayError] = {}  # what a call raises instead of answering
        self.calls: list[str] = []

    def grant(self) -> str:
        """The person logs in on the login page: a request token."""
        token = "planted0request0" + secrets.token_hex(8)
        self.granted.add(token)
        return token

    @asynccontextmanager
    async def connect(self, api_secret: str, token: TokenSource) -> AsyncIterator[Calls]:
        yield Calls(self, api_secret, token)


class Calls:
    """One client's connection to ``Broker``: a ``domain.broker.SessionApi``."""

    def __init__(self, broker: Broker, api_secret: str, token: TokenSource) -> None:
        self._broker = broker
        self._api_secret = api_secret
        self._token = token

    async def exchange(self, request_token: Secret) -> BrokerSession:
        self._begin("exchange")
        broker = self._broker
        if self._api_secret != broker.api_secret:
            raise WrongCredentials("POST /session/token: Invalid checksum")
        if request_token.reveal() not in broker.granted:
            raise LoginFailed("POST /session/token: a request token works once")
        broker.granted.discard(request_token.reveal())
        broker.alive = "planted0access0" + secrets.token_hex(8)
        return BrokerSession("AB1234", "Asha Bose", API_KEY, Secret(broker.alive), broker.clock.now_ns())

    async def profile(self) -> Profile:
        self._begin("profile")
        self._require_alive()
        return Profile(self._broker.user_of_profile, "Asha Bose", ("NSE",))

    async def logout(self) -> None:
        self._begin("logout")
        self._require_alive()
        self._broker.alive = None

    async def quote(self) -> None:
        """Market data, for ``probe``."""
        self._begin("quote")
        self._require_alive()

    def _begin(self, call: str) -> None:
        self._broker.calls.append(call)
        if call in self._broker.fails:
            raise self._broker.fails[call]

    def _require_alive(self) -> None:
        if self._token().reveal() != self._broker.alive:
            raise TokenDead("the access token has expired or was revoked")


class Desk:
    """A person's machine: a broker, what it keeps on disk, and an Authenticator over both."""

    def __init__(self, folder: Path, now: str = "2026-11-23 10:00", api_secret: str = API_SECRET, timeout_s: float = 20.0) -> None:
        self.clock = SimClock(at(now))
        self.broker = Broker(self.clock)
        self.path = folder / "auth" / "token"
        self.store = MemoryStore()
        self.tokens = TokenManager(self.path, TokenKey(None, self.store), self.clock, API_KEY, ISSUER)
        self.told: list[str] = []
        self.asked: list[str] = []
        self.api_secret = api_secret
        self.place = LoginPlace(LOGIN_PAGE, 0, timeout_s)

    def authenticator(self) -> Authenticator[Calls]:
        return Authenticator(
            lambda token: self.broker.connect(self.api_secret, token),
            self.tokens,
            Credentials(API_KEY, Secret(self.api_secret)),
            self.place,
            lambda api: api.quote(),
        )

    def paste(self, *lines: str | Callable[[], str]) -> Callable[[str], str]:
        """An ``ask`` that answers with ``lines``, one after the other."""
        rest = list(lines)

        def ask(text: str) -> str:
            self.asked.append(text)
            line = rest.pop(0)
            return line if isinstance(line, str) else line()

        return ask


@dataclass(frozen=True, slots=True)
class Page:
    """What a browser got."""

    status: int
    headers: dict[str, str]
    text: str


def get(url: str, host: str | None = None, method: str = "GET") -> Page:
    """One request over a real socket, redirects not followed. ``host``: another Host header."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.request(
            method, urlunsplit(("", "", parts.path, parts.query, "")), headers={} if host is None else {"Host": host}
        )
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Page(answer.status, headers, answer.read().decode())
    finally:
        connection.close()


def returned(login_page: str, token: str, port: int, **changed: str) -> str:
    """Where Kite sends the browser after a login at ``login_page``, with parameters ``changed``."""
    query = dict(parse_qsl(urlsplit(login_page).query))
    values = {"action": "login", "type": "login", "status": "success", "request_token": token}
    values |= dict(parse_qsl(query["redirect_params"])) | changed
    return f"http://127.0.0.1:{port}/kite?{urlencode(values)}"


class Browser:
    """A person at a browser, in a thread: follows the address it is started with to Kite, logs in, is sent back.

    ``changed``: what is different in the address it is sent back with. ``pages``: everything it was shown, once ``join`` returns.
    """

    def __init__(self, broker: Broker, **changed: str) -> None:
        self.opened: list[str] = []
        self.pages: list[Page] = []
        self._broker = broker
        self._changed = changed
        self._thread = threading.Thread(target=self._visit)

    def open(self, url: str) -> bool:
        self.opened.append(url)
        self._thread.start()
        return True

    def join(self) -> list[Page]:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.pages

    def _visit(self) -> None:
        start = get(self.opened[0])
        port = urlsplit(self.opened[0]).port or 0
        self.pages = [start, get(returned(start.headers["location"], self._broker.grant(), port, **self._changed))]
