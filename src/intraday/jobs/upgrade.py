"""``intraday db upgrade``."""

from __future__ import annotations

from pathlib import Path

from intraday.config.settings import Settings
from intraday.database.upgrade import Upgraded, upgrade
from intraday.domain.errors import ConfigError
from intraday.domain.ports import Progress


def run_upgrade(settings: Settings, old_bindir: Path | None, progress: Progress) -> Upgraded:
    """Take our own server's cluster to this program's PostgreSQL. Raises ConfigError where a DSN is configured, StorageError."""
    if settings.database.dsn is not None:
        raise ConfigError("database.dsn names a server that is not ours: upgrade it with its own tools")
    return upgrade(settings.system.data_dir, progress, old_bindir=old_bindir, timeout_s=settings.database.embedded_start_timeout_s)
