"""Logging in and out: the person's part in the browser, then the exchange of the request token for the day's access token.

Source: Kite Connect v3 documentation, "Login flow" (KITE_SPEC 2).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, urlencode

from intraday.auth.lifetime import TokenState
from intraday.auth.server import HOST, REDIRECT_PATH, REQUEST_TOKEN, AuthServer, new_state, read_redirect, same_state
from intraday.auth.token import LOG_IN, TokenManager, TokenStatus
from intraday.domain.broker import BrokerSession, Credentials, Secret, SessionApi, TokenSource
from intraday.domain.errors import (
    AuthError,
    BadAnswer,
    BrokerError,
    ConfigError,
    LoginFailed,
    NotEntitled,
    NoToken,
    TokenDead,
    WrongCredentials,
)

PASTES_MAX = 3
KEY_VARIABLE, SECRET_VARIABLE = "INTRADAY__BROKER__API_KEY", "INTRADAY__BROKER__API_SECRET"

A = TypeVar("A", bound=SessionApi)
T = TypeVar("T")
Open = Callable[[str], bool]  # opens an address in a browser; False when it could not
Ask = Callable[[str], str]  # asks the person for a line of text, without showing it
Tell = Callable[[str], None]  # shows the person a line


@dataclass(frozen=True, slots=True)
class LoginPlace:
    """Where the login happens: Kite's page, the port of the page it returns to, and how long that is waited for."""

    login_url: str
    port: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Login:
    """A login that worked and was stored; ``warnings`` are for the person."""

    session: BrokerSession
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Logout:
    """What a logout did. ``killed``: the broker ended the token; ``forgotten``: a stored one was deleted."""

    killed: bool
    forgotten: bool
    note: str


class Authenticator(Generic[A]):
    """The login of one Kite Connect app.

    ``connect`` opens the broker's calls with the token source it is handed, for each login anew. ``probe`` asks for market data
    once after a login, because a profile does not prove that the key has any; what it raises becomes a warning.
    ``login``, ``logout`` and ``check`` are for the main thread and run an event loop of their own (``loop_factory`` None: an
    ordinary one), for the network only: while the person is waited for there is none.
    """

    def __init__(
        self,
        connect: Callable[[TokenSource], AbstractAsyncContextManager[A]],
        tokens: TokenManager,
        credentials: Credentials,
        place: LoginPlace,
        probe: Callable[[A], Awaitable[object]] | None = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        self._connect = connect
        self._tokens = tokens
        self._credentials = credentials
        self._place = place
        self._probe = probe
        self._loop_factory = loop_factory

    def login(self, open_browser: Open | None, ask: Ask, tell: Tell) -> Login:
        """Let the person log in, exchange, check, store. ``open_browser`` None, or one that opens nothing: paste the address.

        Raises ConfigError (credentials, key, port), LoginFailed, WrongCredentials, AddressBlocked, BrokerError. Nothing is
        stored then and the former login stays.
        """
        if not self._credentials.api_key or not self._credentials.api_secret.reveal():
            raise ConfigError(f"a login needs the environment variables {KEY_VARIABLE} and {SECRET_VARIABLE}, of your app at Kite")
        self._tokens.prepare()
        state = new_state()
        url = Secret(login_url(self._place.login_url, self._credentials.api_key, state))
        if open_browser is not None:
            done = self._in_browser(url, state, open_browser, tell)
            if done is not None:
                return done
            tell("No browser could be opened here.")
        return self._run(self.finish(self._pasted(url, state, ask, tell)))

    async def finish(self, request_token: Secret) -> Login:
        """Exchange ``request_token``, check the new token, store it, ask for market data. Raises as ``login`` does."""
        held = _Held()
        async with self._connect(held.token) as api:
            session = await self._exchange(api, request_token)
            held.session = session
            warnings = await self._check(api, session)
            self._tokens.save(session)
            status = self._tokens.status()
            if status.state is not TokenState.VALID:
                warnings.append(status.advice)
            return Login(session, (*warnings, *await self._probed(api)))

    def logout(self) -> Logout:
        """End the token at the broker and forget it; one that is dead already, or cannot be read, is only forgotten.

        Raises BrokerError or AuthError when the broker could not be asked: the token is kept then, to try again.
        """
        try:
            session = self._tokens.stored()
        except NoToken as error:
            forgotten = self._tokens.forget()
            unread = f"the stored token was deleted, not ended at the broker (it dies at 06:00 IST): {error}"
            return Logout(False, forgotten, unread if forgotten else "nobody was logged in")
        killed = self._tokens.status().usable and self._run(self._kill(session))
        self._tokens.forget()
        user = f"{session.user_id} is logged out"
        return Logout(killed, True, user if killed else f"{user}; the token had ended already")

    def status(self) -> TokenStatus:
        """Where the login stands, by the clock alone."""
        return self._tokens.status()

    def check(self) -> TokenStatus:
        """Where the login stands, asking the broker if the clock leaves a doubt to ask about. Raises BrokerError, AuthError."""
        status = self._tokens.status()
        if not status.usable:
            return status
        try:
            self._run(self._profile(self._tokens.current()))
        except TokenDead as error:
            return replace(status, state=TokenState.DEAD, advice=str(error))
        return status

    def _run(self, main: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            return runner.run(main)

    def _in_browser(self, url: Secret, state: Secret, open_browser: Open, tell: Tell) -> Login | None:
        """None when no browser could be opened."""
        with AuthServer(self._place.port, state, url) as server:
            # Some browsers only return when they are closed, others end in an error after having been of use.
            threading.Thread(target=_open, args=(open_browser, server), name="browser", daemon=True).start()
            tell(f"Log in to Kite in the browser; waiting up to {self._place.timeout_s:g} s for it to come back. Ctrl-C gives up.")
            request_token = server.wait(self._place.timeout_s)
            if request_token is None:
                return None
            done = self._run(self.finish(request_token))
            server.conclude(True, f"{done.session.user_id} is logged in for today.")
            return done

    def _pasted(self, url: Secret, state: Secret, ask: Ask, tell: Tell) -> Secret:
        tell(f"Open this address in a browser, on any machine, and log in to Kite:\n\n  {url.reveal()}\n")
        tell(
            f"The browser ends at http://{HOST}:{self._place.port}{REDIRECT_PATH}?… and may say that nothing is there: never mind. "
            "Copy that whole address, or only its request_token."
        )
        for _ in range(PASTES_MAX):
            found = read_pasted(Secret(ask("Paste it here (it is not shown): ")), state)
            if isinstance(found, Secret):
                return found
            tell(found)
        raise LoginFailed(f"no usable address in {PASTES_MAX} attempts: start again with `intraday auth login --no-browser`")

    async def _exchange(self, api: A, request_token: Secret) -> BrokerSession:
        try:
            session = await api.exchange(request_token)
        except WrongCredentials as error:
            raise WrongCredentials(f"{error}. They come from {KEY_VARIABLE} and {SECRET_VARIABLE}") from None
        if session.api_key != self._credentials.api_key:
            raise BadAnswer("the broker answered the login with a session of another API key; nothing was stored")
        return session

    async def _check(self, api: A, session: BrokerSession) -> list[str]:
        """What the person should know. Raises AuthError: the new token is not good."""
        try:
            profile = await api.profile()
        except TokenDead as error:
            raise TokenDead(f"the new token does not work ({error}); did another login with this API key take its place?") from None
        except BrokerError as error:
            return [f"the new token is stored but could not be tried: {error}"]
        if profile.user_id != session.user_id:
            raise LoginFailed("the broker names one user for the login and another for its profile; nothing was stored")
        return []

    async def _probed(self, api: A) -> list[str]:
        if self._probe is None:
            return []
        try:
            await self._probe(api)
        except NotEntitled as error:
            return [f"logged in, but without market data: {error}"]
        except (BrokerError, AuthError) as error:
            return [f"logged in, but market data could not be tried: {error}"]
        return []

    async def _kill(self, session: BrokerSession) -> bool:
        """False for a token that had ended already."""
        try:
            async with self._connect(_Held(session).token) as api:
                await api.logout()
        except (TokenDead, WrongCredentials):
            return False
        except (BrokerError, AuthError) as error:
            error.args = (f"{error}. The token is still stored: run `intraday auth logout` again",)
            raise
        return True

    async def _profile(self, session: BrokerSession) -> None:
        async with self._connect(_Held(session).token) as api:
            await api.profile()


def _open(open_browser: Open, server: AuthServer) -> None:
    opened = False
    try:
        opened = open_browser(server.start_url)
    finally:
        if not opened:
            server.give_up()


class _Held:
    """The token of one session, stored or not yet."""

    def __init__(self, session: BrokerSession | None = None) -> None:
        self.session = session

    def token(self) -> Secret:
        if self.session is None:
            raise NoToken(f"nobody is logged in: {LOG_IN}")
        return self.session.access_token


def login_url(page: str, api_key: str, state: Secret) -> str:
    """Kite's login page for ``api_key``; ``state`` comes back with the redirect."""
    query = {"v": "3", "api_key": api_key, "redirect_params": urlencode({"state": state.reveal()})}
    return f"{page}{'&' if '?' in page else '?'}{urlencode(query)}"


def read_pasted(text: Secret, state: Secret) -> Secret | str:
    """The request token in a pasted redirect address, query or bare token; in words what is wrong with it otherwise.

    A state in it has to be ours; an address without one is taken, since the person brought it.
    """
    raw = text.reveal().strip().strip("<>\"'")
    if REQUEST_TOKEN.fullmatch(raw):
        return Secret(raw)
    values = parse_qs((raw.partition("?")[2] or raw).partition("#")[0], keep_blank_values=True)
    if "request_token" not in values and "status" not in values:
        return "That is neither the address the browser ended at (it holds request_token=…) nor a request token."
    if "state" in values and not same_state(values, state):
        return "That address belongs to another login: use the address shown above, and paste where it leads."
    return read_redirect(values)
