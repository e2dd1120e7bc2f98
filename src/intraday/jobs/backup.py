"""``intraday backup`` and ``intraday restore``: everything the system knows into one file, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import SecretStr

from intraday.app import open_configured
from intraday.config.settings import Settings
from intraday.database import dump_archive, schema
from intraday.database.dump_archive import DUMP, Manifest, opened, verify_whole, written
from intraday.database.dump_drafts import SUFFIX, of_disk, remove_drafts
from intraday.database.dump_files import add_folders, other_journals, placed
from intraday.database.dump_load import alone, analyze, load
from intraday.database.dump_target import check_target
from intraday.database.dump_tools import Tools, choose, installed
from intraday.database.dumping import Frozen, frozen
from intraday.database.pool import Database
from intraday.database.revisions import Chain
from intraday.database.runs import RunRepository
from intraday.domain.clock import Clock
from intraday.domain.errors import InputError
from intraday.domain.ports import Progress
from intraday.jobs.verify import IST

_NAME = re.compile(rf"intraday-\d{{8}}-\d{{6}}(-\d+)?{re.escape(SUFFIX)}")


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup that was made. ``unnamed``: how many of the journals no row names, as their days still ran or were interrupted;
    ``missing``: folders that rows name and that were not there; ``removed``: older backups."""

    file: Path
    bytes: int
    rows: int
    tables: int
    models: int
    journals: int
    unnamed: int
    missing: Sequence[str]
    removed: Sequence[Path]
    seconds: float


@dataclass(frozen=True, slots=True)
class Checked:
    """What a backup's manifest says; its bytes are as they were written. ``made``: the moment it holds."""

    file: Path
    bytes: int
    made: datetime
    program: str
    revision: str
    server: str
    timescaledb: str | None
    rows: int
    tables: int
    models: int
    journals: int


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup that was restored, compared and, where it was older, migrated: ``revision`` is what it has now."""

    file: Path
    rows: int
    tables: int
    models: int
    journals: int
    backup_revision: str
    revision: str
    seconds: float


def run_backup(settings: Settings, folder: Path, keep: int | None, clock: Clock, progress: Progress) -> BackedUp:
    """Back the configured database up into ``folder``, with its models and every journal; then keep the newest ``keep``.

    Raises StorageFull, StorageError; then there is no file.
    """
    begun_ns, now_ns = clock.monotonic_ns(), clock.now_ns()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise of_disk(error, folder) from None
    remove_drafts(folder)
    file = folder.absolute() / f"intraday-{_ist(now_ns):%Y%m%d-%H%M%S}{SUFFIX}"
    with open_configured(settings) as database:
        with frozen(database) as moment:
            with written(file) as archive:
                manifest = _fill(archive, moment, settings.system.data_dir.absolute() / "journal", now_ns, progress)
                moment.take_turn()
            size = archive.path.stat().st_size
            removed = rotated(archive.path, manifest.origin, keep)
        done = BackedUp(
            archive.path, size, manifest.rows, len(manifest.tables), *_kinds(manifest),
            sum(not found.named for found in manifest.folders), manifest.missing, removed,
            (clock.monotonic_ns() - begun_ns) / 1e9,
        )  # fmt: skip
        detail = {"file": done.file.name, "bytes": done.bytes, "rows": done.rows, "removed": [path.name for path in done.removed]}
        RunRepository(database).record(clock.now_ns(), "backup", detail)
        return done


def _fill(archive: dump_archive.ArchiveWriter, moment: Frozen, journals: Path, now_ns: int, progress: Progress) -> Manifest:
    facts = moment.facts()
    Chain().known(facts.revision)  # a newer schema may name its files otherwise
    tools = choose(_major(facts.server), installed())
    sums = moment.sums(progress)
    archive.add(DUMP, moment.dump(tools, progress), packed=True)
    there, missing = add_folders(archive, moment.folders(), progress)
    there += add_folders(archive, other_journals(journals, there), progress)[0]
    manifest = Manifest(
        version("intraday"), now_ns, facts.origin, facts.revision, facts.server, facts.timescaledb, tools.version, facts.bytes,
        facts.relations, sums, tuple(there), tuple(missing),
    )  # fmt: skip
    return archive.finish(manifest)


def rotated(made: Path, origin: str, keep: int | None) -> list[Path]:
    """Remove all but ``keep`` backups of this very database: ``made`` stays, whatever the clock said, then the newest.

    None: keep all. Returns what was removed, oldest first.
    """
    if keep is None:
        return []
    others: list[tuple[int, Path]] = []
    for path in made.parent.iterdir():
        if _NAME.fullmatch(path.name) and path != made:
            try:
                with opened(path) as archive:
                    if archive.manifest.origin == origin:
                        others.append((archive.manifest.made_ns, path))
            except InputError:
                continue  # not ours to judge
    old = [path for _, path in sorted(others)[: max(0, len(others) - keep + 1)]]
    for path in old:
        path.unlink(missing_ok=True)
    return old


def run_check(file: Path, progress: Progress) -> Checked:
    """Read a backup from end to end. Raises InputError unless every byte is as it was written."""
    size = _verified(file, progress)
    with opened(file) as archive:
        archive.check(lambda done: progress("members", done >> 20, size >> 20))
        m = archive.manifest
        return Checked(
            file, size, _ist(m.made_ns), m.program, m.revision, m.server, m.timescaledb, m.rows, len(m.tables), *_kinds(m)
        )


def run_restore(settings: Settings, file: Path, to: str | None, clock: Clock, progress: Progress) -> Restored:
    """Restore a backup into the empty database ``to`` (None: the configured one), models and journals under ``system.data_dir``.

    The file is checked before anything is touched; the restored rows are compared with its manifest before they are kept. Raises
    InputError for a file that is no backup or damaged, StorageError for a database that is not empty or of another kind.
    """
    begun_ns = clock.monotonic_ns()
    _verified(file, progress)
    with opened(file) as archive, open_configured(_aimed(settings, to)) as database, alone(database):
        manifest = archive.manifest
        check_target(database, manifest)
        roots = {"model": settings.model_dir, "journal": settings.system.data_dir.absolute() / "journal"}
        with placed(archive, roots) as paths:
            load(database, archive, _tools_for(database, manifest), paths, progress)
        analyze(database)
        revision = schema.migrate(database.dsn)
        done = Restored(
            file, manifest.rows, len(manifest.tables), *_kinds(manifest), manifest.revision, revision,
            (clock.monotonic_ns() - begun_ns) / 1e9,
        )  # fmt: skip
        detail = {"file": file.name, "made_ns": manifest.made_ns, "rows": done.rows, "revision": manifest.revision}
        RunRepository(database).record(clock.now_ns(), "restore", detail)
        return done


def _aimed(settings: Settings, to: str | None) -> Settings:
    """The settings, with another database."""
    if to is None:
        return settings
    return settings.model_copy(update={"database": settings.database.model_copy(update={"dsn": SecretStr(to)})})


def _tools_for(database: Database, manifest: Manifest) -> Tools:
    with database.autocommit() as connection:
        server = connection.info.server_version // 10_000
    return choose(server, installed(), written_by=_major(manifest.tool))


def _verified(file: Path, progress: Progress) -> int:
    """The size of a file that is as it was written."""
    try:
        size = file.stat().st_size
    except OSError as error:
        raise InputError(f"can't read {file}: {error.strerror}") from None
    verify_whole(file, lambda done: progress("read the file", done >> 20, size >> 20))
    return size


def _kinds(manifest: Manifest) -> tuple[int, int]:
    kinds = [folder.kind for folder in manifest.folders]
    return kinds.count("model"), kinds.count("journal")


def _major(text: str) -> int:
    return int(text.split(".")[0])


def _ist(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone(IST)
