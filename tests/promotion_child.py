"""A process that changes the champion without end, until it is killed."""

from __future__ import annotations

from multiprocessing.connection import Connection

from intraday.database.pool import Database
from intraday.database.stores import Stores


def main(dsn: str, tell: Connection) -> None:
    """One model after the other becomes the champion; each step is told before it is taken and after."""
    with Database(dsn) as database:
        registry = Stores(database).registry
        while True:
            found = registry.champion()
            tell.send("ask")
            kind, name = ("rollback", f"m{found.number}") if found else ("first", "m0")
            registry.promote(name, found.model_id if found else "", 0, kind, 0, "it never ends")
            tell.send(name)
