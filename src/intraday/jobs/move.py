"""``intraday db move``: the whole database to another server, or back into our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from intraday.app import open_configured
from intraday.config.settings import Settings
from intraday.database import schema
from intraday.database.moving import Moved, Mover
from intraday.database.moving_tables import stranger
from intraday.database.pool import Database, open_database
from intraday.database.runs import RunRepository
from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError
from intraday.domain.ports import Progress

EMBEDDED = "embedded"


@contextmanager
def still(source: Database) -> Iterator[None]:
    """No live run and no replay while the block runs; ConfigError when one is under way. On connections of its own: the move's
    transactions only read."""
    with ExitStack() as stack:
        guard = stack.enter_context(Database(source.dsn, application="intraday db move"))
        for what in ("live", "replay"):
            stack.enter_context(guard.exclusive(what))
        yield


def move(settings: Settings, to: str, clock: Clock, progress: Progress) -> Moved:
    """Move everything from the configured database ``to`` a DSN, or to our own server under ``system.data_dir`` (``embedded``).

    The source is left as it is; where it went is in its audit trail, without secrets. A move that was cut off goes on when it is
    called again. Raises ConfigError when the target has data of its own, StorageError.
    """
    if to == EMBEDDED and settings.database.dsn is None:
        raise ConfigError("--to embedded: the configured database is our own server already; name a DSN")
    dsn, folder = (None, settings.system.data_dir) if to == EMBEDDED else (to, Path())
    timeout_s = settings.database.embedded_start_timeout_s
    otherwise = (
        f"the old rows of our own server are still there; end every `intraday`, move {folder / 'pg'} away (and the folder that its "
        "note `moved-to` names, if there is one), and run it again"
        if to == EMBEDDED
        else "name another one, or drop it first"
    )
    with ExitStack() as stack:
        source = stack.enter_context(open_configured(settings))
        schema.init(source.dsn)
        stack.enter_context(still(source))
        target = stack.enter_context(open_database(dsn, folder, start_timeout_s=timeout_s))
        other = stranger(target)
        if other is not None:
            raise ConfigError(f"expected an empty database to move to, found {other}, which is not ours: name another one")
        schema.init(target.dsn)
        moved = Mover(source, target, progress, otherwise=otherwise).run()
        for database, way in ((source, "to another database"), (target, "from another database")):
            RunRepository(database).record(clock.now_ns(), "move", {"way": way, "rows": moved.rows, "resumed": moved.resumed})
        return moved
