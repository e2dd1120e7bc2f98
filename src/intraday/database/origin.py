"""Which broker a database is filled from. One database, one broker: a simulator's prices must not become Kite's."""

from __future__ import annotations

from intraday.database.copying import stamp
from intraday.database.pool import Database
from intraday.domain.errors import ConfigError


class OriginRepository:
    """The broker of this database: the first that claims it."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def claim(self, name: str, now_ns: int) -> None:
        """Make ``name`` the broker of this database. ConfigError when it is another's."""
        with self._db.transaction() as connection:
            connection.execute(
                "INSERT INTO broker_origin (name, claimed_at) VALUES (%s, %s) ON CONFLICT DO NOTHING", (name, stamp(now_ns))
            )
            row = connection.execute("SELECT name FROM broker_origin").fetchone()
        assert row is not None
        if row[0] != name:
            raise ConfigError(
                f"this database holds the candles of {row[0]}, expected those of {name}: prices of two brokers are not mixed. Set "
                "system.data_dir to another folder (or database.dsn to another database) for each"
            )
