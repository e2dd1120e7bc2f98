"""``intraday backup`` and ``intraday restore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, Session, VerboseOption, session
from intraday.domain.clock import SystemClock

if TYPE_CHECKING:
    from intraday.jobs.backup import BackedUp, Checked, Restored


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.command("backup")(backup)
    root.command("restore")(restore)


ToFolder = Annotated[Path, typer.Option("--to", help="Folder of the backups; made if it is not there.", metavar="FOLDER")]
KeepOption = Annotated[
    int | None, typer.Option("--keep", min=1, help="Remove all but the newest N backups of this database.", metavar="N")
]
FileArgument = Annotated[Path, typer.Argument(help="A file that `intraday backup` made.", metavar="FILE")]
ToDsn = Annotated[
    str | None,
    typer.Option(
        "--to",
        envvar="INTRADAY_RESTORE_TO",
        show_envvar=True,
        help="An empty database; the configured one if not given. A DSN with a password belongs in the variable.",
        metavar="DSN",
    ),
]
CheckOption = Annotated[bool, typer.Option("--check", help="Only read the file and say whether it is whole.")]


def backup(
    to: ToFolder,
    keep: KeepOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write the database, the models and the journals into one file.

    It holds one moment, also while `intraday live` goes on. No password and no token is in it.

    \b
    Examples:
      intraday backup --to /backups
      intraday backup --to /backups --keep 14 --json
    """
    from intraday.jobs.backup import run_backup

    with session(config, as_json, verbose) as run:
        settings = run.settings
        with run.progress() as progress:
            done = run_backup(settings, to, keep, SystemClock(), progress)
        _show_backup(run, done)


def restore(
    file: FileArgument,
    to: ToDsn = None,
    check: CheckOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Restore a backup into an empty database, or check the file.

    Models and journals go under system.data_dir. Every table is compared with the backup before anything is kept.

    \b
    Examples:
      intraday restore intraday-20260105-160000.backup --check
      intraday restore intraday-20260105-160000.backup
      INTRADAY__SYSTEM__DATA_DIR=elsewhere intraday restore intraday-20260105-160000.backup
      intraday restore intraday-20260105-160000.backup --to postgresql://me@db:5432/empty
    """
    from intraday.jobs.backup import run_check, run_restore

    with session(config, as_json, verbose) as run:
        if check:
            with run.progress() as progress:
                found = run_check(file, progress)
            _show_check(run, found)
            return
        settings = run.settings
        with run.progress() as progress:
            done = run_restore(settings, file, to, SystemClock(), progress)
        _show_restore(run, done)


def _show_backup(run: Session, done: BackedUp) -> None:
    for path in done.missing:
        run.say(f"warning: a row names {path}, which is not there: the backup is without it")
    lines = [
        str(done.file),
        f"{done.bytes / 1e6:,.1f} MB in {done.seconds:.1f} s: {done.rows:,} rows of {done.tables} tables, {done.models} models, "
        f"{done.journals} journals" + (f" ({done.unnamed} of days that run or were interrupted)" if done.unnamed else ""),
        *(f"removed {path}" for path in done.removed),
    ]
    run.emit(done, lambda out: out.print("\n".join(lines), markup=False, soft_wrap=True))


def _show_check(run: Session, found: Checked) -> None:
    kind = f"PostgreSQL {found.server}" + (f" with TimescaleDB {found.timescaledb}" if found.timescaledb else "")
    text = (
        f"{found.file} is whole: {found.bytes / 1e6:,.1f} MB of {found.made:%Y-%m-%d %H:%M:%S} IST\n"
        f"{kind}, schema revision {found.revision}, made by intraday {found.program}\n"
        f"{found.rows:,} rows of {found.tables} tables, {found.models} models, {found.journals} journals"
    )
    run.emit(found, lambda out: out.print(text, markup=False, soft_wrap=True))


def _show_restore(run: Session, done: Restored) -> None:
    migrated = "" if done.revision == done.backup_revision else f", migrated from revision {done.backup_revision}"
    text = (
        f"restored in {done.seconds:.1f} s and compared: {done.rows:,} rows of {done.tables} tables, {done.models} models, "
        f"{done.journals} journals; schema revision {done.revision}{migrated}\n"
        "`intraday verify` proves the days again"
    )
    run.emit(done, lambda out: out.print(text, markup=False, soft_wrap=True))
