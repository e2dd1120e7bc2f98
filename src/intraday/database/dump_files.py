"""Model artifacts and journals, those that no row names yet too: into a backup, and back to where the restored system looks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from intraday.database.dump_archive import Archive, ArchiveWriter, Folder, is_member
from intraday.database.dump_drafts import of_disk
from intraday.domain.errors import InputError, StorageUnavailable
from intraday.domain.ports import Progress

_CHUNK = 1 << 20


def add_folders(writer: ArchiveWriter, folders: Sequence[Folder], progress: Progress) -> tuple[list[Folder], list[str]]:
    """Add the files of every folder. Returns (folders in the archive, paths of those that are not there)."""
    there, missing = [], []
    for i, folder in enumerate(folders):
        progress("models and journals", i, len(folders))
        files = sorted(path for path in Path(folder.path).rglob("*") if path.is_file())
        for path in files:
            writer.add(f"{folder.member}/{path.relative_to(folder.path).as_posix()}", _chunks(path))
        if files:
            there.append(folder)
        else:
            missing.append(folder.path)
    progress("models and journals", len(folders), len(folders))
    return there, missing


def other_journals(root: Path, named: Sequence[Folder]) -> list[Folder]:
    """Journals under ``root`` that a backup doesn't have already, by name: of days that run or were interrupted."""
    taken = {folder.member for folder in named}
    places = sorted({path.parent.relative_to(root).as_posix() for path in root.glob("*/*/*/*.seg")})
    return [
        Folder("journal", str(root / place), member, named=False)
        for place in places
        if is_member(member := f"journal/{place}") and member not in taken
    ]


@contextmanager
def placed(archive: Archive, roots: Mapping[str, Path]) -> Iterator[dict[str, str]]:
    """Unpack every folder under the root of its kind; yields {path in the rows: path now}. If the block raises they go again.

    A folder that is there with the same files is used as it is, and so is a journal that went on since the backup; one with other
    files raises InputError, and nothing is unpacked.
    """
    targets = {folder: roots[folder.kind].joinpath(*folder.member.split("/")[1:]) for folder in archive.manifest.folders}
    wanted = [folder for folder, target in targets.items() if not _same(archive, folder, target)]
    made: list[Path] = []
    try:
        try:
            for folder in wanted:
                _unpack(archive, folder, targets[folder])
                made.append(targets[folder])
        except OSError as error:
            raise of_disk(error, targets[folder]) from None
        yield {folder.path: str(target) for folder, target in targets.items()}
    except StorageUnavailable:
        raise  # the link broke, perhaps within the commit: rows may name them
    except BaseException:
        for target in made:
            shutil.rmtree(target, ignore_errors=True)
        raise


def _same(archive: Archive, folder: Folder, target: Path) -> bool:
    """True when all its files are there already, False when the folder is not."""
    if not target.exists():
        return False
    if not folder.named and _went_on(archive, folder, target):
        return True
    there = {f"{folder.member}/{path.relative_to(target).as_posix()}": path for path in target.rglob("*") if path.is_file()}
    wanted = {name: archive.manifest.members[name].sha256 for name in _members(archive, folder)}
    if there.keys() != wanted.keys() or any(_digest(path) != wanted[name] for name, path in there.items()):
        raise InputError(
            f"{target} is there already, with other files than the backup's: nothing was restored. "
            "Move it away, or set system.data_dir to another folder"
        )
    return True


def _went_on(archive: Archive, folder: Folder, target: Path) -> bool:
    """True when every file there begins with the bytes of the backup's: a journal is only appended to."""
    for name in _members(archive, folder):
        path, member = target / name.removeprefix(f"{folder.member}/"), archive.manifest.members[name]
        if not path.is_file() or path.stat().st_size < member.bytes or _digest(path, member.bytes) != member.sha256:
            return False
    return True


def _unpack(archive: Archive, folder: Folder, target: Path) -> None:
    """The final rename makes the folder whole or absent; a draft that a killed restore left is begun anew."""
    draft = target.with_name(f".{target.name}.restoring")
    shutil.rmtree(draft, ignore_errors=True)
    for name in _members(archive, folder):
        path = draft / name.removeprefix(f"{folder.member}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for chunk in archive.stream(name):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    draft.rename(target)


def _members(archive: Archive, folder: Folder) -> list[str]:
    return [name for name in archive.manifest.members if name.startswith(f"{folder.member}/")]


def _digest(path: Path, size: int | None = None) -> str:
    """Of the file, or of its first ``size`` bytes."""
    digest, left = sha256(), size
    for chunk in _chunks(path):
        digest.update(chunk if left is None else chunk[:left])
        left = None if left is None else max(0, left - len(chunk))
    return digest.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
