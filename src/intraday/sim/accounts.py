"""Logins of the exchange: apps, request tokens, access tokens and how they die. Source: KITE_SPEC, sections 2 and 3."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from string import ascii_letters, digits
from urllib.parse import urlencode, urlsplit

from intraday.domain.arrays import DAY_NS, IST_NS
from intraday.domain.clock import Clock
from intraday.sim.knobs import AuthKnobs
from intraday.sim.paths import seeded

ALPHABET = ascii_letters + digits
DEATH_NS = 6 * 3600 * 10**9  # 06:00 IST
INCORRECT = "Incorrect `api_key` or `access_token`."
API_KEY, API_SECRET = "simkey", "simsecret"  # nosec B105  of the one app it knows at first; on loopback, worth nothing
MISSING = "Invalid `api_key` or `access_token`."
NOT_PERMITTED = "Insufficient permission for that call."


class Refused(Exception):
    """An answer that is an error, as Kite gives it: HTTP status, ``error_type`` and text."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message


@dataclass(slots=True)
class App:
    """A registered Kite Connect app. After the login the browser is sent to ``redirect_url``."""

    api_key: str
    api_secret: str
    redirect_url: str


@dataclass(frozen=True, slots=True)
class Account:
    """One login. It is dead from ``dies_ns`` on, whatever happens before."""

    user_id: str
    user_name: str
    api_key: str
    access_token: str
    login_ns: int
    dies_ns: int


@dataclass(slots=True)
class _Request:
    api_key: str
    issued_ns: int


class Accounts:
    """Who may do what. Tokens are drawn from ``seed`` and consist of letters and digits, 32 of them.

    All answers that refuse are raised as Refused. ``knobs`` is read at every call.
    """

    def __init__(
        self,
        clock: Clock,
        knobs: AuthKnobs | None = None,
        *,
        api_key: str = API_KEY,
        api_secret: str = API_SECRET,
        user_id: str = "SIM001",
        user_name: str = "Simulated Trader",
        redirect_url: str = "http://127.0.0.1:5010/kite",
        seed: int = 1,
    ) -> None:
        self.user_id = user_id
        self.user_name = user_name
        self.knobs = knobs or AuthKnobs()
        self._clock = clock
        self._rng = seeded(f"accounts {seed}")
        self._apps = {api_key: App(api_key, api_secret, redirect_url)}
        self._requests: dict[str, _Request] = {}
        self._live: dict[str, Account] = {}

    def register(self, app: App) -> None:
        """Add an app or change its secret or redirect address."""
        self._apps[app.api_key] = app

    def app(self, api_key: str) -> App:
        """The app of this key; Refused when there is none."""
        if api_key not in self._apps:
            raise Refused(400, "InputException", "Invalid `api_key`.")
        return self._apps[api_key]

    def approve(self, api_key: str) -> str:
        """The user logged in: a request token that works once, for a few minutes."""
        self.app(api_key)
        token = self._token()
        self._requests[token] = _Request(api_key, self._clock.now_ns())
        return token

    def redirect(self, api_key: str, request_token: str | None, extra: str = "", redirect_url: str | None = None) -> str:
        """Where the browser goes after the login; ``request_token`` None says that it failed.

        ``extra``: the ``redirect_params`` of the login address, echoed. ``redirect_url``: another address than the registered one;
        only this machine's are followed.
        """
        target = self.app(api_key).redirect_url if redirect_url is None else redirect_url
        if urlsplit(target).hostname not in ("127.0.0.1", "localhost") or urlsplit(target).scheme not in ("http", "https"):
            raise Refused(400, "InputException", "Invalid `redirect_url`.")
        given = {"action": "login", "type": "login", "status": "success" if request_token else "failed"}
        if request_token:
            given["request_token"] = request_token
        joined = "&" if urlsplit(target).query else "?"
        return target + joined + urlencode(given) + (f"&{extra}" if extra else "")

    def exchange(self, api_key: str, request_token: str, checksum: str) -> Account:
        """A request token for an access token. The checksum is checked first; a token with a wrong one stays good."""
        app = self._apps.get(api_key)
        if app is None:
            raise Refused(403, "TokenException", "Invalid `api_key` or `checksum`.")
        wanted = hashlib.sha256((api_key + request_token + app.api_secret).encode()).hexdigest()
        if not hmac.compare_digest(wanted.encode(), checksum.encode()):
            raise Refused(403, "TokenException", "Invalid `checksum`.")
        request = self._requests.pop(request_token, None)
        now_ns = self._clock.now_ns()
        if request is None or request.api_key != api_key or now_ns - request.issued_ns > self.knobs.request_token_s * 1e9:
            raise Refused(403, "TokenException", "Token is invalid or has expired.")
        return self._log_in(api_key, now_ns)

    def grant(self, api_key: str = API_KEY) -> Account:
        """A login without the browser, for children of this program and for tests."""
        self.app(api_key)
        return self._log_in(api_key, self._clock.now_ns())

    def check(self, authorization: str | None, data: bool = False) -> Account:
        """The account behind an Authorization header. ``data``: the call needs market data."""
        scheme, _, pair = (authorization or "").partition(" ")
        api_key, colon, token = pair.partition(":")
        if scheme != "token" or not colon:
            if self.knobs.missing_header_400:
                raise Refused(400, "InputException", MISSING)
            raise Refused(403, "TokenException", INCORRECT)
        account = self.account(api_key, token)
        if data and (not self.knobs.entitled or self.knobs.stage in ("permission", "ws")):
            raise Refused(403, "PermissionException", NOT_PERMITTED)
        return account

    def may_stream(self, api_key: str, access_token: str) -> bool:
        """Whether a WebSocket may be opened, or stay open, with this key and token."""
        try:
            self.account(api_key, access_token)
        except Refused:
            return False
        return self.knobs.entitled and self.knobs.stage not in ("ws", "token")

    def account(self, api_key: str, access_token: str) -> Account:
        """The living account of this key and token."""
        account, now_ns = self._live.get(access_token), self._clock.now_ns()
        expire_ns = self.knobs.expire_at_ns
        dead = account is None or account.api_key != api_key or now_ns >= account.dies_ns or self.knobs.stage == "token"
        if dead or account is None or (expire_ns is not None and account.login_ns < expire_ns <= now_ns):
            raise Refused(403, "TokenException", INCORRECT)
        return account

    def invalidate(self, api_key: str, access_token: str) -> None:
        """``DELETE /session/token``: the token dies."""
        self.account(api_key, access_token)
        del self._live[access_token]

    def revoke_all(self) -> None:
        """Log out of everything, as the user can on the broker's site."""
        self._live.clear()

    def _log_in(self, api_key: str, now_ns: int) -> Account:
        old = [token for token, account in self._live.items() if account.api_key == api_key]
        if not self.knobs.new_login_revokes_old and old and now_ns < self._live[old[-1]].dies_ns:
            return self._live[old[-1]]
        for token in old:
            del self._live[token]
        account = Account(self.user_id, self.user_name, api_key, self._token(), now_ns, death_ns(now_ns))
        self._live[account.access_token] = account
        return account

    def _token(self) -> str:
        return "".join(self._rng.choices(ALPHABET, k=32))


def death_ns(login_ns: int) -> int:
    """The first 06:00 IST after a login."""
    since_midnight = (login_ns + IST_NS) % DAY_NS
    at_six = login_ns - since_midnight + DEATH_NS
    return at_six if at_six > login_ns else at_six + DAY_NS
