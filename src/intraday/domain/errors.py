"""The error tree, on one screen.

IntradayError
├── ConfigError            a file, key or value of the configuration is wrong
├── InputError             a file handed to us (bars, ticks, manifest) cannot be used
├── CalendarError          a date outside the session table
├── StorageError           the database refused, is gone, or would lie
│   ├── StorageUnavailable     no connection; try again later
│   └── StorageFull            no room left on its disk
├── JournalError           a journal segment is damaged or of another version
├── ArtifactError          a model artifact cannot be used
│   └── SkewError              it would predict from other features than it was trained on
├── WireError              bytes from the broker that no packet type allows
├── BrokerError            the broker could not do what it was asked
│   ├── BrokerUnavailable      no connection, a 5xx, no answer in time, the circuit is open; try again later
│   ├── RateLimited            429 after every retry, or the turn would come later than allowed
│   ├── BadAnswer              an answer that is not what the documentation says: broken JSON, wrong content type
│   └── RequestRefused         the request itself is wrong (400); repeating it cannot help
│       └── SpanTooLong            more days of candles than one request may have; carries the cap
├── AuthError              the user has to do something about the login
│   ├── LoginFailed            the login did not come through: timed out, refused, not ours
│   ├── NoToken                nobody has logged in, or the stored token cannot be read
│   ├── TokenDead              the access token expired or was revoked
│   ├── NotEntitled            the API key has no market data
│   ├── WrongCredentials       API key and secret do not belong together, or the key is unknown
│   └── AddressBlocked         the broker refuses this machine's address
├── RegistryError          what was asked of the models' registry is not allowed: no test was won, or it is of another champion
├── NotEnoughData          too little history for what was asked
└── VerifyError            stored rows and recomputed rows differ

A message says what was expected, what was found, and what to do. Expected outcomes are values, not errors;
a broken promise of our own is an ``assert``.
"""


class IntradayError(Exception):
    """Base of every error a user may meet; the CLI prints it in one line and exits with ``exit_code``."""

    exit_code = 1


class ConfigError(IntradayError):
    """A configuration file, key or value is wrong."""

    exit_code = 2


class InputError(IntradayError):
    """A file the user handed us cannot be used; nothing of it was stored."""

    exit_code = 3


class CalendarError(IntradayError):
    """A date outside the session table, or a day on which the exchange is closed."""

    exit_code = 3


class StorageError(IntradayError):
    """The database refused a statement, or would give wrong answers."""

    exit_code = 4


class StorageUnavailable(StorageError):
    """No connection to the database; the same call may succeed later."""


class StorageFull(StorageError):
    """The database has no room left on its disk; the transaction was rolled back."""


class JournalError(IntradayError):
    """A journal segment is damaged, truncated or of another version."""

    exit_code = 5


class ArtifactError(IntradayError):
    """A model artifact is incomplete, altered or missing."""

    exit_code = 6


class SkewError(ArtifactError):
    """The artifact was trained on other features than this program computes."""


class RegistryError(IntradayError):
    """The registry refuses: a promotion without a won test, a test of a model that has seen its sessions."""

    exit_code = 2


class WireError(IntradayError):
    """Bytes from the broker that no packet type allows."""


class NotEnoughData(IntradayError):
    """Too little history for what was asked."""

    exit_code = 3


class VerifyError(IntradayError):
    """Stored rows and recomputed rows differ."""


class BrokerError(IntradayError):
    """The broker could not do what it was asked."""

    exit_code = 7


class BrokerUnavailable(BrokerError):
    """No connection, a 5xx, no answer in time, or the circuit is open; the same call may succeed later."""


class RateLimited(BrokerError):
    """429 after every retry, or the call's turn would have come later than the configured wait."""


class BadAnswer(BrokerError):
    """An answer that is not what the documentation says: broken JSON, a wrong content type, a missing field."""


class RequestRefused(BrokerError):
    """The request itself is wrong (400); repeating it cannot help."""


class SpanTooLong(RequestRefused):
    """More days of candles than one request may have; ``days`` is the cap that the broker named."""

    def __init__(self, message: str, days: int) -> None:
        super().__init__(message)
        self.days = days


class AuthError(IntradayError):
    """The user has to do something about the login."""

    exit_code = 8


class LoginFailed(AuthError):
    """The login did not come through: it timed out, was refused, or was not the one we began."""


class NoToken(AuthError):
    """Nobody has logged in, or the stored token cannot be read."""


class TokenDead(AuthError):
    """The access token expired or was revoked."""


class NotEntitled(AuthError):
    """The API key has no market data: a plan without it, or a permission that was taken away."""


class WrongCredentials(AuthError):
    """API key and secret do not belong together, or the key is unknown."""


class AddressBlocked(AuthError):
    """The broker refuses this machine's address."""
