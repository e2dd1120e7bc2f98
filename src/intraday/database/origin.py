"""Which broker a database is filled from. One database, one broker: a simulator's prices must not become Kite's."""

from __future__ import annotations

from intraday.database.copying import stamp
from intraday.database.pool import Connection, Database
from intraday.domain.errors import ConfigError

CHANGE = "system.data_dir to another folder (or database.dsn to another database)"


class OriginRepository:
    """The broker of this database: the first that claims it."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def claim(self, name: str, now_ns: int, *, made_up: bool = False, change: str = CHANGE) -> None:
        """Make ``name`` the broker of this database; ``change``: what to set for another one.

        ConfigError when it is another's, and when ``name``'s prices are ``made_up`` while imported ones are stored: a broker's come
        before those. Nothing is claimed then.
        """
        with self._db.transaction() as connection:
            first = connection.execute(
                "INSERT INTO broker_origin (name, made_up, claimed_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (name, made_up, stamp(now_ns)),
            ).rowcount
            row = connection.execute("SELECT name FROM broker_origin").fetchone()
            assert row is not None
            if row[0] != name:
                raise ConfigError(
                    f"this database holds the candles of {row[0]}, expected those of {name}: prices of two brokers are not mixed. "
                    f"Set {change}"
                )
            if made_up and _has_imports(connection):
                instead = "; or work on what is stored, with broker.feed: recorded" if first else ", and import there again"
                raise ConfigError(
                    f"this database holds imported candles, and those of {name} are made up: they would come before the imported "
                    f"ones. Set {change}{instead}"
                )

    def made_up(self) -> str | None:
        """The simulator whose prices this database holds; None when it is none."""
        with self._db.autocommit() as connection:
            row = connection.execute("SELECT name FROM broker_origin WHERE made_up").fetchone()
        return None if row is None else str(row[0])


def _has_imports(connection: Connection) -> bool:
    row = connection.execute("SELECT EXISTS (SELECT 1 FROM bar_versions WHERE source = 'import')").fetchone()
    return row is not None and bool(row[0])
