"""``intraday db query`` and ``intraday db shell``: SQL on the configured database; our own server runs while the command does."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from intraday.app import open_configured
from intraday.config.settings import Settings
from intraday.database.asking import TIME_ZONE, Answer, ask
from intraday.database.dump_tools import connection_of
from intraday.database.embedded_host import wheel_bindir


def query(settings: Settings, sql: str, limit: int) -> Answer:
    """The first ``limit`` rows of one statement that reads. Raises InputError for what the server refuses, StorageError."""
    with open_configured(settings) as database:
        return ask(database, sql, limit)


def shell(settings: Settings, environ: Mapping[str, str], write: bool) -> int:
    """psql on the configured database until the user leaves it; its exit code. Read-only unless ``write``; times in IST."""
    with open_configured(settings) as database:
        parts = conninfo_to_dict(database.dsn)
        read_only = [] if write else ["-c default_transaction_read_only=on"]
        options = [str(parts.pop("options", None) or environ.get("PGOPTIONS", "")), f"-c TimeZone={TIME_ZONE}", *read_only]
        where, env = connection_of(make_conninfo("", **parts, options=" ".join(options).strip()), environ)
        return subprocess.run([wheel_bindir() / "psql", "-d", where], check=False, env=env).returncode  # nosec B603
