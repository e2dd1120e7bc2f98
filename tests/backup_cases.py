"""Backups for tests: small archives without a database, and what a process does that is killed on the way."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from intraday.database.dump_archive import DUMP, Manifest, TableSum, written
from intraday.domain.clock import SystemClock
from intraday.domain.ports import Progress
from intraday.jobs.backup import run_backup, run_restore
from job_cases import settings_on

PLAIN = Manifest(
    program="1.0",
    made_ns=1_700_000_000_000_000_000,
    origin="42/intraday",
    revision="0001",
    server="18.4",
    timescaledb=None,
    tool="18.4",
    database_bytes=8_000_000,
    relations=500,
    tables={"public.instruments": TableSum(3, "-12")},
    folders=(),
    missing=(),
)


def archive_file(path: Path, dump: bytes = b"PGDMP and so on", **changes: object) -> Manifest:
    """A backup with this dump and this manifest, as ``intraday backup`` would write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written(path) as archive:
        archive.add(DUMP, [dump], packed=True)
        return archive.finish(replace(PLAIN, **changes))


def killer(moment: str) -> Progress:
    """Kills this very process when ``moment`` is reported."""

    def told(what: str, done: int, total: int) -> None:
        if what == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    return told


def main(command: str, dsn: str, data_dir: str, path: str, moment: str) -> None:
    """``backup`` into, or ``restore`` of, ``path``, killed at ``moment``."""
    settings = settings_on(dsn, Path(data_dir))
    if command == "backup":
        run_backup(settings, Path(path), None, SystemClock(), killer(moment))
    else:
        run_restore(settings, Path(path), None, SystemClock(), killer(moment))


if __name__ == "__main__":
    main(*sys.argv[1:])
