"""How many connections one program has, writers' and readers' together: who needs one more waits.

Waiting is the back-pressure: whoever has no connection has encoded nothing yet, so threads that write pile up no memory. The maker
of psycopg has a pool too; it can't share one limit with ADBC's connections (docs/adr/0012-database-drivers.md).
"""

from __future__ import annotations

import threading
from enum import Enum
from typing import Protocol

from intraday.domain.errors import StorageUnavailable


class Kind(Enum):
    """What a place is for."""

    WRITER = "writer"
    READER = "reader"


class Closable(Protocol):
    """A connection."""

    def close(self) -> None:
        """End it."""
        ...


class Places:
    """At most ``total`` connections, each in use or kept for the next who needs its kind.

    One place is never a writer's: a write reads while it holds its own connection, and writers that all wait for a reader would
    wait for ever. Safe to use from several threads.
    """

    def __init__(self, total: int, wait_s: float) -> None:
        assert total >= 2, f"expected two connections or more, found {total}: a write may read on a second one"
        self._total = total
        self._wait_s = wait_s
        self._changed = threading.Condition()
        self._busy = {Kind.WRITER: 0, Kind.READER: 0}
        self._idle: dict[Kind, list[Closable]] = {Kind.WRITER: [], Kind.READER: []}

    def take(self, kind: Kind) -> Closable | None:
        """A place, and in it the connection that was last used there; None: make one, there is room for it. Then ``give`` it back.

        StorageUnavailable when all are in use for too long.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._free(kind), self._wait_s):
                raise StorageUnavailable(
                    f"no free connection to the database for {self._wait_s:g} s: all {self._total} of this program are in use; "
                    "run less at once, or raise database.connections"
                )
            self._busy[kind] += 1
            if self._idle[kind]:
                return self._idle[kind].pop()
            surplus = self._surplus()
        if surplus is not None:
            surplus.close()
        return None

    def give(self, kind: Kind, connection: Closable | None) -> None:
        """The place is free; ``connection`` is kept for the next one, None: it is closed."""
        with self._changed:
            self._busy[kind] -= 1
            if connection is not None:
                self._idle[kind].append(connection)
            self._changed.notify_all()  # a place that is of no use to one who waits may be to another

    def drain(self, kind: Kind | None = None) -> list[Closable]:
        """Forget the idle connections, of one kind or all, for the caller to close."""
        with self._changed:
            kinds = list(Kind) if kind is None else [kind]
            found = [connection for one in kinds for connection in self._idle[one]]
            for one in kinds:
                self._idle[one] = []
            return found

    def _free(self, kind: Kind) -> bool:
        in_use = sum(self._busy.values())
        return in_use < self._total and (kind is Kind.READER or self._busy[Kind.WRITER] < self._total - 1)

    def _surplus(self) -> Closable | None:
        """An idle connection of the other kind, where a new one would be one too many."""
        idle = [connections for connections in self._idle.values() if connections]
        if idle and sum(self._busy.values()) + sum(map(len, idle)) > self._total:
            return idle[0].pop(0)
        return None
