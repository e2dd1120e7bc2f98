"""Driver errors become ours, in one place. A message never holds a DSN: libpq's connection texts are cut to what is safe."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg
import psycopg
from adbc_driver_manager import Error as AdbcError
from psycopg.conninfo import conninfo_to_dict

from intraday.domain.errors import StorageError, StorageFull, StorageUnavailable

Room = Callable[[], int]  # bytes left on the server's disk, where we can know it

ROOM_MIN = 64 * 2**20  # four WAL segments: below this a write is refused before the server meets the wall
TRIES = 3  # of a transaction that others got in the way of
_GONE = ("57P01", "57P02", "57P03", "53300")  # admin shutdown, crash shutdown, cannot connect now, too many connections
_CONTENDED = ("40001", "40P01", "55P03")  # not serialisable, deadlock, a lock that others kept for too long
_BAD_DSN = (
    "the DSN (database.dsn, or the one given) is no valid one: expected postgresql://user:password@host:port/name with what is "
    "special in the password percent-encoded (@ is %40, / is %2F, % is %25), or key=value words, a value with spaces in '...'"
)
# What libpq says of a DSN it cannot take apart quotes pieces of it, and where it took it apart wrongly a host or name holds an @.
_OF_A_DSN = re.compile(r"@|://|password=|connection option|connection info|percent-encoded|\bURI\b|port number|bad value for")
_OF_A_HOST = re.compile(r"resolve host|translate host|getaddrinfo|host name")
_LIMITS = {
    "statement": "a statement took longer than database.statement_timeout_s allows, or database.live_timeout_s in a live run",
    "lock": "another session held for too long what a statement needed; half of database.statement_timeout_s may go into waiting, "
    "of database.live_timeout_s in a live run",
    "idle": "a transaction did nothing for twice database.statement_timeout_s, so the server ended it",
}


class Contended(StorageError):
    """Transactions got in each other's way and the server undid this one: all of it may be done again at once.

    ``Database.run`` and the live writer do so, TRIES times in all.
    """


def check_dsn(dsn: str) -> None:
    """Raise StorageError, quoting nothing, for a DSN that libpq can't take apart, or takes apart wrongly: an unencoded password."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        raise StorageError(_BAD_DSN) from None
    names = [str(parts.get(key) or "") for key in ("host", "hostaddr", "dbname")]
    port = str(parts.get("port") or "")
    if any("@" in name[1:] for name in names) or not re.fullmatch(r"[\d,]*", port):  # a leading @: an abstract socket
        raise StorageError(_BAD_DSN) from None


def check_room(room: Room | None, need: int = 0) -> None:
    """Raise StorageFull unless ``need`` bytes fit and leave a reserve.

    A server that runs out of room while writing its log stops at once and can't even recover, so we ask before we write.
    """
    if room is None:
        return
    left = room()
    if left < need + ROOM_MIN:
        raise StorageFull(
            f"no room left on the database's disk: {left // 2**20} MiB free, about {(need + ROOM_MIN) // 2**20} MiB needed; "
            "nothing was stored, free some and run again"
        )


@contextmanager
def mapped(room: Room | None = None, sockets: bool = False) -> Iterator[None]:
    """Raise StorageUnavailable, StorageFull or StorageError for whatever psycopg, asyncpg or ADBC raise inside.

    ``sockets``: nothing but asyncpg is at work inside, which lets the errors of its socket through: those too. Otherwise an
    OSError is the caller's own and stays.
    """
    try:
        yield
    except psycopg.Error as error:
        lost = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
        raise _ours(error.sqlstate, lost, _first_line(error), room) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        state = getattr(error, "sqlstate", None)
        lost = isinstance(error, asyncpg.InterfaceError) and "clos" in str(error)
        raise _ours(state, lost, _first_line(error), room) from None
    except asyncpg.InternalClientError as error:  # the server died inside a statement, and the driver lost its place
        raise _ours(None, True, _first_line(error), room) from None
    except AdbcError as error:
        state = error.sqlstate if error.sqlstate and error.sqlstate.strip("\0") else None
        raise _ours(state, state is None, _first_line(error), room) from None
    except OSError as error:
        if not sockets:
            raise
        raise _ours(None, True, _first_line(error), room) from None


def _ours(state: str | None, lost: bool, text: str, room: Room | None) -> StorageError:
    if state in {"53100", "58030"} and ("space" in text or state == "53100"):
        return StorageFull("no room left on the database's disk; the transaction was rolled back, free some and run again")
    if state is None and _OF_A_DSN.search(text):
        return StorageError(_BAD_DSN)
    if lost or state in _GONE or (state or "").startswith("08"):
        if room is not None and _room_left(room) < ROOM_MIN:
            return StorageFull(
                "the database stopped: no room left on its disk; nothing half-written remains, free some and start again"
            )
        return StorageUnavailable(f"no connection to the database: {_safe(text, state)}")
    limit = _limit(state, text)
    if limit is not None:
        kind = Contended if state in _CONTENDED else StorageError
        return kind(f"{_LIMITS[limit]}; nothing of it was stored. Run again when less is going on, or allow more")
    if state in _CONTENDED:
        return Contended(f"the database undid a transaction that met another: {text} (SQLSTATE {state}); do the same again")
    if state == "42703":
        return StorageError(
            f"the database's schema is another one than this program's: {text}; run `intraday db migrate`, then the same again"
        )
    return StorageError(f"the database refused: {text} (SQLSTATE {state})")


def _limit(state: str | None, text: str) -> str | None:
    if state == "57014" and "statement timeout" in text:
        return "statement"
    return {"55P03": "lock", "25P03": "idle"}.get(state or "")


def _room_left(room: Room) -> int:
    try:
        return room()
    except OSError:
        return ROOM_MIN


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def _safe(text: str, state: str | None) -> str:
    """Without a SQLSTATE it is libpq's text: it may quote where it connected to, not a name it could not find."""
    return "the host in the DSN has no known address" if state is None and _OF_A_HOST.search(text) else text
