"""The day's access token on disk: encrypted, readable by its owner only, and known to die at 06:00 IST."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.fernet import Fernet, InvalidToken

from intraday.auth.key import KEY_VARIABLE, fernet, fingerprint
from intraday.auth.lifetime import TokenState, death_ns, ist, token_state
from intraday.domain.arrays import MINUTE_NS
from intraday.domain.broker import BrokerSession, Secret
from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError, NoToken, TokenDead

MAGIC = "intraday-token-1"
FILE_BYTES_MAX = 65_536

LOG_IN = "run `intraday auth login`"


class KeySource(Protocol):
    """Where the key comes from: ``auth.key.TokenKey``."""

    def find(self) -> Secret | None:
        """The key, None where nobody has made one yet. Raises ConfigError."""
        ...

    def find_or_make(self) -> Secret:
        """The key, made where there is none. Raises ConfigError."""
        ...


@dataclass(frozen=True, slots=True)
class TokenStatus:
    """Where the login stands, by the clock alone: a token revoked elsewhere still looks valid. No secret in it."""

    state: TokenState
    advice: str
    user_id: str | None = None
    user_name: str | None = None
    login_ns: int | None = None
    expires_ns: int | None = None

    @property
    def usable(self) -> bool:
        """True while the token is worth trying."""
        return self.state not in (TokenState.MISSING, TokenState.DEAD)


class TokenManager:
    """Keeps one BrokerSession in ``path``. The file is mode 0600 in a folder of mode 0700, replaced atomically.

    ``api_key`` and ``issuer`` (the address that gave the token) have to be those of the stored session: the token of another app
    is not used, and none is sent to another address. ``api_key`` None: no key is configured, any is accepted.
    """

    def __init__(self, path: Path, keys: KeySource, clock: Clock, api_key: str | None, issuer: str) -> None:
        self._path = path
        self._keys = keys
        self._clock = clock
        self._api_key = api_key
        self._issuer = issuer.rstrip("/")

    def prepare(self) -> None:
        """Make sure, before anybody logs in, that a token could be kept. Raises ConfigError: no key, no folder to write to."""
        self._keys.find_or_make()
        self._make_folder()

    def save(self, session: BrokerSession) -> None:
        """Replace the stored session. After a crash either the old or the new one is there, whole. Raises ConfigError."""
        key = self._keys.find_or_make()
        cipher = fernet(key)
        assert cipher is not None, "keys are checked when they are found"
        sealed = _seal(cipher, session, self._issuer, self._clock.now_ns() // 1_000_000_000)
        self._make_folder()
        self._replace(f"{MAGIC} {fingerprint(key)}\n{sealed}\n".encode())

    def stored(self) -> BrokerSession:
        """The stored session, dead or alive. Raises NoToken: none, unreadable, or of another app or address."""
        sealed, cipher = self._read()
        found = _opened(sealed, cipher)
        if found is None:
            raise NoToken(_damaged(self._path))
        session, issuer = found
        if issuer != self._issuer:
            raise NoToken(f"the stored token was given by {issuer}, the configuration says {self._issuer}: {LOG_IN}")
        if self._api_key is not None and session.api_key != self._api_key:
            raise NoToken(f"the stored token belongs to another API key than the configured one: {LOG_IN}")
        return session

    def current(self) -> BrokerSession:
        """The session to work with. Raises NoToken as ``stored`` does, TokenDead after its 06:00."""
        session = self.stored()
        if self._clock.now_ns() >= death_ns(session.login_ns):
            raise TokenDead(_dead(session))
        return session

    def access_token(self) -> Secret:
        """``domain.broker.TokenSource``: read from the file at each call, so a new login elsewhere is seen."""
        return self.current().access_token

    def status(self) -> TokenStatus:
        """Where the login stands, by the clock alone. Raises nothing: what cannot be read is ``missing``, with the reason."""
        try:
            session = self.stored()
        except NoToken as error:
            return TokenStatus(TokenState.MISSING, str(error))
        now_ns = self._clock.now_ns()
        state = token_state(session.login_ns, now_ns)
        expires_ns = death_ns(session.login_ns)
        advice = _advice(state, session, expires_ns, now_ns)
        return TokenStatus(state, advice, session.user_id, session.user_name, session.login_ns, expires_ns)

    def forget(self) -> bool:
        """Delete the stored session and what a crash may have left of one; False where there was none. Raises ConfigError."""
        try:
            for left in self._path.parent.glob(f".{self._path.name}-*"):
                left.unlink(missing_ok=True)
            self._path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ConfigError(f"cannot delete {self._path} ({error.strerror or error}): delete it by hand") from None
        return True

    def _make_folder(self) -> None:
        folder = self._path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        except OSError as error:
            raise self._unwritable(folder, error) from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise self._unwritable(folder, PermissionError(13, "Permission denied"))

    def _replace(self, content: bytes) -> None:
        folder = self._path.parent
        temporary: str | None = None
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{self._path.name}-", dir=folder)  # 0600 from its first instant
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
            _sync_folder(folder)
        except OSError as error:
            if temporary is not None:
                with suppress(OSError):
                    os.unlink(temporary)
            raise self._unwritable(self._path, error) from None

    def _unwritable(self, path: Path, error: OSError) -> ConfigError:
        return ConfigError(
            f"system.data_dir: cannot write {path} ({error.strerror or error}); expected a folder of yours that can be written"
        )

    def _read(self) -> tuple[str, Fernet]:
        """The sealed session and what opens it. Raises NoToken."""
        magic, _, sealed = self._text().partition("\n")
        name, _, mark = magic.partition(" ")
        if name != MAGIC or not sealed.strip():
            raise NoToken(_damaged(self._path))
        try:
            key = self._keys.find()
        except ConfigError as error:
            raise NoToken(f"a token is stored, but {error}; or {LOG_IN} again") from None
        if key is None or fingerprint(key) != mark:
            raise NoToken(
                f"{self._path} was encrypted with another key than this one ({KEY_VARIABLE}, else the key store): "
                f"set the key it was written with, or {LOG_IN} again"
            )
        cipher = fernet(key)
        assert cipher is not None, "keys are checked when they are found"
        return sealed.strip(), cipher

    def _text(self) -> str:
        """The file, if nobody else may read it. Raises NoToken."""
        try:
            with self._path.open("rb") as file:
                mode, folder_mode = os.fstat(file.fileno()).st_mode & 0o777, self._path.parent.stat().st_mode & 0o777
                content = file.read(FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            raise NoToken(f"nobody is logged in: {LOG_IN}") from None
        except OSError as error:
            raise NoToken(f"{self._path} cannot be read ({error.strerror or error}): {LOG_IN} as the user who runs this") from None
        for path, found, wanted in ((self._path, mode, 0o600), (self._path.parent, folder_mode, 0o700)):
            if found & 0o077:
                raise NoToken(
                    f"{path} is open to other users of this machine (mode {found:04o}, expected {wanted:04o}) and is not used: "
                    f"`chmod {wanted:o} {path}`, or {LOG_IN} again if somebody may have read it"
                )
        return content.decode("ascii", errors="replace") if len(content) <= FILE_BYTES_MAX else ""


def _seal(cipher: Fernet, session: BrokerSession, issuer: str, now_s: int) -> str:
    """The session as encrypted text."""
    values = {
        "issuer": issuer,
        "user_id": session.user_id,
        "user_name": session.user_name,
        "api_key": session.api_key,
        "access_token": session.access_token.reveal(),
        "login_ns": session.login_ns,
    }
    return cipher.encrypt_at_time(json.dumps(values).encode(), now_s).decode()


def _opened(sealed: str, cipher: Fernet) -> tuple[BrokerSession, str] | None:
    """Session and issuer; None where they cannot be read: nothing is raised while the text lies open here."""
    try:
        v = json.loads(cipher.decrypt(sealed.encode()))
        session = BrokerSession(
            str(v["user_id"]), str(v["user_name"]), str(v["api_key"]), Secret(str(v["access_token"])), int(v["login_ns"])
        )
        return session, str(v["issuer"])
    except (InvalidToken, ValueError, KeyError, TypeError):
        return None


def _damaged(path: Path) -> str:
    return f"{path} is damaged or was not written by this program: {LOG_IN} again"


def _dead(session: BrokerSession) -> str:
    return (
        f"the access token of {session.user_id} expired at {ist(death_ns(session.login_ns))}, as all do at 06:00 IST: "
        f"{LOG_IN}, best after 08:00"
    )


def _advice(state: TokenState, session: BrokerSession, expires_ns: int, now_ns: int) -> str:
    if state is TokenState.DEAD:
        return _dead(session)
    if session.login_ns > now_ns + 10 * MINUTE_NS:
        return f"logged in at {ist(session.login_ns)}, which is still to come: check this machine's clock ({ist(now_ns)})"
    if state is TokenState.DYING:
        return f"Kite ends tokens in stages before 06:00 IST, so this one may stop working any minute: {LOG_IN} after 08:00"
    if state is TokenState.SUSPECT:
        return (
            f"logged in at {ist(session.login_ns)}: Kite may still end tokens from before 08:00 IST the same morning; "
            f"{LOG_IN} again after 08:00"
        )
    return f"works until {ist(expires_ns)}, unless it is logged out or another login takes its place"


def _sync_folder(folder: Path) -> None:
    """Make the rename durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
