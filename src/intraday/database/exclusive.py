"""One program at a time does a thing on a database, however connections die.

An advisory lock says at once that somebody else is at it. It goes with its connection, though, and the program behind that may
live on: so whoever gets the lock also gets a number, one higher than the last, and each of its transactions begins by looking
whether that is still the newest. The look holds the row until the commit: no number is given out in the middle of a write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from intraday.database.link import Connection
from intraday.domain.errors import ConfigError, StorageError

HELD = "SELECT 1 FROM run_locks WHERE what = $1 AND number = $2 FOR SHARE"  # asyncpg's placeholders
_HELD = "SELECT 1 FROM run_locks WHERE what = %s AND number = %s FOR SHARE"


@dataclass(frozen=True, slots=True)
class Fence:
    """What was held, and the number that goes with it."""

    what: str
    number: int

    def lost(self) -> StorageError:
        """Somebody has a newer number."""
        return StorageError(
            f"expected to be the only `intraday {self.what}` on this database, found that another one took over while this one had "
            "lost its connection: nothing more is stored by this one, stop it"
        )


def hold(connection: Connection, what: str) -> Fence:
    """Hold ``what`` as long as this connection lives. ConfigError when another connection has it."""
    taken = connection.execute("SELECT pg_try_advisory_lock(hashtext('exclusive'), hashtext(%s))", (what,)).fetchone()
    if taken is None or not taken[0]:
        raise ConfigError(_busy(connection, what))
    row = connection.execute(
        """INSERT INTO run_locks AS r (what, number, taken_at) VALUES (%s, 1, now())
           ON CONFLICT (what) DO UPDATE SET number = r.number + 1, taken_at = now() RETURNING number""",
        (what,),
    ).fetchone()
    assert row is not None
    return Fence(what, int(row[0]))


def check(connection: Connection, fences: Iterable[Fence]) -> None:
    """Inside a transaction: StorageError unless all are still ours; they stay so until it ends."""
    for fence in fences:
        if connection.execute(_HELD, (fence.what, fence.number)).fetchone() is None:
            raise fence.lost()


def _busy(connection: Connection, what: str) -> str:
    row = connection.execute(
        """SELECT to_char(min(a.backend_start) AT TIME ZONE 'Asia/Kolkata', 'YYYY-MM-DD HH24:MI')
           FROM pg_locks l JOIN pg_stat_activity a USING (pid)
           WHERE l.locktype = 'advisory' AND l.granted
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND l.classid = (hashtext('exclusive')::bigint & 4294967295)::oid
             AND l.objid = (hashtext(%s)::bigint & 4294967295)::oid""",
        (what,),
    ).fetchone()
    since = f" since {row[0]} IST" if row and row[0] else ""
    return f"another `intraday {what}` writes to this database{since}: stop it first, or set system.data_dir to another folder"
