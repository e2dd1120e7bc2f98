"""The key that the access token is encrypted with: from the environment, or made once and kept in the OS key store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

from cryptography.fernet import Fernet

from intraday.domain.broker import Secret
from intraday.domain.errors import ConfigError

KEY_VARIABLE = "INTRADAY_TOKEN_KEY"
SERVICE, ENTRY = "intraday", "token-key"  # where it lies in the key store

WITHOUT_KEY_STORE = (
    f"set the environment variable {KEY_VARIABLE} to a key of your own. Make one with `intraday auth key`, "
    "keep it where other secrets are kept, and set the same one every day"
)


class KeyStore(Protocol):
    """The OS key store as ``keyring`` offers it."""

    def get_password(self, service: str, username: str) -> str | None:
        """The stored text, None where there is none."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store ``password``."""
        ...


class OsKeyStore:
    """``keyring``: Keychain on macOS, Secret Service or KWallet on Linux. Raises ConfigError where this machine has none."""

    def get_password(self, service: str, username: str) -> str | None:
        """The stored text, None where there is none. Raises ConfigError."""
        import keyring  # here, since it looks for every key store of the machine when it is first used

        found, problem = _attempt(lambda: keyring.get_password(service, username))
        if problem is not None:
            raise ConfigError(f"the key store of this machine cannot be read ({problem}): {WITHOUT_KEY_STORE}")
        return found

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store ``password``. Raises ConfigError."""
        import keyring

        box = Secret(password)
        del password
        _, problem = _attempt(lambda: keyring.set_password(service, username, box.reveal()))
        if problem is not None:
            raise ConfigError(f"the key store of this machine cannot be written ({problem}): {WITHOUT_KEY_STORE}")


def _attempt(call: Callable[[], str | None]) -> tuple[str | None, str | None]:
    """What ``call`` gave, or the kind of error it died of: its text and trace may hold what was stored."""
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001  # each of a dozen key stores has errors of its own
        return None, type(error).__name__


class TokenKey:
    """The Fernet key. ``given``: the value of INTRADAY_TOKEN_KEY, which wins over the key store."""

    def __init__(self, given: Secret | None, store: KeyStore) -> None:
        self._given = given
        self._store = store
        self._kept: Secret | None = None

    def find(self) -> Secret | None:
        """The key, None where nobody has made one yet. Raises ConfigError: no key store, or what it holds is no key."""
        if self._given is not None:
            return _checked(self._given, KEY_VARIABLE)
        if self._kept is None:
            found = self._stored()
            self._kept = None if found is None else _checked(found, f"entry {SERVICE}/{ENTRY} of the key store")
        return self._kept

    def find_or_make(self) -> Secret:
        """The key; made and kept in the key store at its first use. Raises ConfigError."""
        key = self.find()
        if key is not None:
            return key
        made = new_key()
        self._store.set_password(SERVICE, ENTRY, made.reveal())
        if self._stored() != made:
            raise ConfigError(f"the key store of this machine forgets what it is given: {WITHOUT_KEY_STORE}")
        self._kept = made
        return made

    def _stored(self) -> Secret | None:
        text = self._store.get_password(SERVICE, ENTRY)
        return None if text is None else Secret(text)


def new_key() -> Secret:
    """A random key: 32 bytes as 44 characters of URL-safe base64 (Fernet's format)."""
    return Secret(Fernet.generate_key().decode())


def fingerprint(key: Secret) -> str:
    """Eight hex digits that tell one key from another and nothing about either (the key is 32 random bytes)."""
    return hashlib.sha256(b"intraday token key " + key.reveal().encode()).hexdigest()[:8]


def fernet(key: Secret) -> Fernet | None:
    """The cipher of ``key``, None for a text that is no key."""
    try:
        return Fernet(key.reveal())
    except ValueError:
        return None


def _checked(key: Secret, where: str) -> Secret:
    if fernet(key) is None:
        raise ConfigError(
            f"{where}: expected a key of 44 characters in URL-safe base64, found something else (not shown): "
            "make one with `intraday auth key`"
        )
    return key
