"""``intraday db move``: the whole database to another server, or back into our own."""

from __future__ import annotations

from pathlib import Path

from intraday.app import open_configured
from intraday.config.settings import Settings
from intraday.database import schema
from intraday.database.moving import Moved, Mover
from intraday.database.pool import open_database
from intraday.database.runs import RunRepository
from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError
from intraday.domain.ports import Progress

EMBEDDED = "embedded"


def move(settings: Settings, to: str, clock: Clock, progress: Progress) -> Moved:
    """Move everything from the configured database ``to`` a DSN, or to our own server under ``system.data_dir`` (``embedded``).

    The source is left as it is; where it went is in its audit trail, without secrets. A move that was cut off goes on when it is
    called again. Raises ConfigError when the target has data of its own, StorageError.
    """
    if to == EMBEDDED and settings.database.dsn is None:
        raise ConfigError("--to embedded: the configured database is our own server already; name a DSN")
    dsn, folder = (None, settings.system.data_dir) if to == EMBEDDED else (to, Path())
    timeout_s = settings.database.embedded_start_timeout_s
    with open_configured(settings) as source, open_database(dsn, folder, start_timeout_s=timeout_s) as target:
        schema.init(source.dsn)
        schema.init(target.dsn)
        moved = Mover(source, target, progress).run()
        for database, way in ((source, "to another database"), (target, "from another database")):
            RunRepository(database).record(clock.now_ns(), "move", {"way": way, "rows": moved.rows, "resumed": moved.resumed})
        return moved
