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


class WireError(IntradayError):
    """Bytes from the broker that no packet type allows."""


class NotEnoughData(IntradayError):
    """Too little history for what was asked."""

    exit_code = 3


class VerifyError(IntradayError):
    """Stored rows and recomputed rows differ."""
