"""``intraday db status``: server, schema and features."""

from __future__ import annotations

from dataclasses import dataclass

from intraday.app import open_configured
from intraday.config.settings import Settings
from intraday.database import schema
from intraday.database.status import ServerStatus, server_status


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """``revision`` None before the first ``db init``; ``expected``: this program's."""

    server: ServerStatus
    revision: str | None
    expected: str

    @property
    def current(self) -> bool:
        """True when the schema is this program's."""
        return self.revision == self.expected


def database_status(settings: Settings) -> DatabaseStatus:
    """Ask the configured server. Raises StorageError, also for a server that would lie."""
    with open_configured(settings) as database:
        return DatabaseStatus(server_status(database), *schema.current(database.dsn))
