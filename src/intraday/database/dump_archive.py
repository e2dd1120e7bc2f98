"""The file of a backup: a ZIP with the dump, the folders its rows name, and a manifest. Written and read in a stream, never held.

The archive's comment is the SHA-256 of everything before it: one changed or missing byte anywhere is seen before anything else
is done with the file. The manifest has size and SHA-256 of every member besides, to be checked one by one while unpacking. Any
ZIP program opens it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from intraday.database.dump_drafts import drafted, of_disk, published, sync
from intraday.domain.errors import InputError

FORMAT = 1
DUMP = "database.dump"
_MANIFEST = "manifest.json"
_NOT_OURS = "expected a backup made by `intraday backup`"
_CHUNK = 1 << 20
_COMMENT = struct.Struct("<H64s")  # length of the comment, the comment: the last bytes of the file
_MEMBER = re.compile(r"(?:[\w=+@-][\w.=+@-]*/)*[\w=+@-][\w.=+@-]*")  # no part is empty or begins with a dot
Told = Callable[[int], None]  # bytes done so far


def is_member(name: str) -> bool:
    """True for a name a file or a folder of an archive may have."""
    return _MEMBER.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TableSum:
    """Rows of a table and the sum of their hashes, which does not depend on their order."""

    rows: int
    content: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that a row names. ``kind``: model or journal; ``path`` as in the row; ``member``: the folder in the archive.

    ``named`` False: no row names it, it is the journal of a day that still ran or was interrupted.
    """

    kind: str
    path: str
    member: str
    named: bool = True


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is. ``made_ns``: moment of its snapshot, ns since the epoch UTC; ``origin`` names the database it is of.

    ``timescaledb`` None: plain PostgreSQL. ``database_bytes`` and ``relations`` say what the target needs. ``missing``: folders
    that rows name and that were not there. No secret is in it.
    """

    program: str
    made_ns: int
    origin: str
    revision: str
    server: str
    timescaledb: str | None
    tool: str
    database_bytes: int
    relations: int
    tables: Mapping[str, TableSum]
    folders: tuple[Folder, ...]
    missing: tuple[str, ...]
    members: Mapping[str, Member] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables.values())

    def to_json(self) -> str:
        """The text in the archive."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read ``to_json``'s text. Raises ValueError, KeyError or TypeError for anything else."""
        raw = json.loads(text)
        if raw["format"] != FORMAT:
            raise ValueError(f"expected format {FORMAT}, found {raw['format']}: it was made by another intraday")
        raw["tables"] = {name: TableSum(**table) for name, table in raw["tables"].items()}
        raw["members"] = {name: Member(**member) for name, member in raw["members"].items()}
        raw["folders"] = tuple(Folder(**folder) for folder in raw["folders"])
        raw["missing"] = tuple(raw["missing"])
        return cls(**raw)


# --------------------------------------------------------------------------------------------------------------- writing


class ArchiveWriter:
    """Members in the order they are added; ``finish`` adds the manifest and the digest of the whole."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.path = path
        self._out = _Hashed(file)
        self._zip = zipfile.ZipFile(self._out, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._members: dict[str, Member] = {}

    def add(self, name: str, chunks: Iterable[bytes], *, packed: bool = False) -> None:
        """Add a file from its bytes; ``packed``: they are compressed already."""
        assert is_member(name), name
        digest, size = hashlib.sha256(), 0
        with self._zip.open(zipfile.ZipInfo(name) if packed else name, "w", force_zip64=True) as out:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                out.write(chunk)
        self._members[name] = Member(size, digest.hexdigest())

    def finish(self, manifest: Manifest) -> Manifest:
        """Write the manifest, completed with the members, and close the archive; returns it."""
        whole = replace(manifest, members=self._members)
        self._zip.writestr(_MANIFEST, whole.to_json())
        self._zip.close()
        self._out.sign()
        return whole

    def abandon(self) -> None:
        """Let go of an archive that was not finished."""
        with suppress(OSError, ValueError):
            self._zip.close()


class _Hashed(io.RawIOBase):
    """A file that is only appended to, and hashed on the way: it can't seek, so ZipFile goes back to nothing."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def write(self, chunk: Any, /) -> int:
        self._digest.update(chunk)
        return self._file.write(chunk)

    def sign(self) -> None:
        """Make the digest the archive's comment. A ZIP without one ends with its length, two zero bytes."""
        self._file.seek(-2, os.SEEK_END)
        self._file.write(_COMMENT.pack(64, self._digest.hexdigest().encode()))


@contextmanager
def written(path: Path) -> Iterator[ArchiveWriter]:
    """A new archive at ``path``, or beside it where that name is taken: the writer's ``path`` says where, after the block.

    It is there, whole and on the disk when the block ends; when it raises or is killed there is none. It grows under a name of its
    own (``.part``), locked as long as somebody writes it. Raises StorageFull, StorageError.
    """
    try:
        draft, file = drafted(path)
        with file:
            writer = ArchiveWriter(file, path)
            try:
                yield writer
                file.flush()
                os.fsync(file.fileno())
                writer.path = published(draft, path)
            except BaseException:
                writer.abandon()
                draft.unlink(missing_ok=True)
                raise
        sync(path.parent)
    except OSError as error:
        raise of_disk(error, path.parent) from None


# --------------------------------------------------------------------------------------------------------------- reading


class Archive:
    """A backup that was opened: its manifest, and its members as streams of checked bytes."""

    def __init__(self, path: Path, file: zipfile.ZipFile, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._zip = file

    def stream(self, name: str) -> Iterator[bytes]:
        """The bytes of a member. Raises InputError at its end when they are not what the manifest says."""
        member = self.manifest.members[name]
        digest, size = hashlib.sha256(), 0
        try:
            with self._zip.open(name) as source:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                    yield chunk
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise InputError(f"{self.path}: {name} can't be read ({error}): take another backup") from None
        if (size, digest.hexdigest()) != (member.bytes, member.sha256):
            raise InputError(f"{self.path}: {name} is not what was backed up (SHA-256 differs): take another backup")

    def check(self, told: Told = lambda done: None) -> None:
        """Read every member and compare it with the manifest. Raises InputError."""
        done = 0
        for name in self.manifest.members:
            for chunk in self.stream(name):
                done += len(chunk)
                told(done)


def verify_whole(path: Path, told: Told = lambda done: None) -> None:
    """Raise InputError unless the file is a backup that ends where it should, with every byte as it was written."""
    try:
        with path.open("rb") as file:
            left = os.fstat(file.fileno()).st_size - _COMMENT.size
            if left < 0:
                raise InputError(f"{path}: {_NOT_OURS}, found {left + _COMMENT.size} bytes")
            digest, done = hashlib.sha256(), 0
            while left > done:
                chunk = file.read(min(_CHUNK, left - done))
                digest.update(chunk)
                done += len(chunk)
                told(done)
            digest.update(b"\0\0")
            length, comment = _COMMENT.unpack(file.read(_COMMENT.size))
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror}") from None
    if length != 64 or not re.fullmatch(rb"[0-9a-f]{64}", comment):
        raise InputError(f"{path}: {_NOT_OURS}, found another file, or one that was cut off")
    if digest.hexdigest().encode() != comment:
        raise InputError(f"{path}: it was altered or damaged since it was made (SHA-256 differs): take another backup")


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """The archive at ``path`` while the block runs; call ``verify_whole`` first. Raises InputError."""
    try:
        file = zipfile.ZipFile(path)
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror}") from None
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: {_NOT_OURS}: {error}") from None
    with file:
        yield Archive(path, file, _manifest(path, file))


def _manifest(path: Path, file: zipfile.ZipFile) -> Manifest:
    try:
        manifest = Manifest.from_json(file.read(_MANIFEST).decode())
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: {_NOT_OURS}: {error}") from None
    names = [entry.filename for entry in file.infolist() if entry.filename != _MANIFEST]
    bad = [name for name in names if not is_member(name)]
    if bad or sorted(names) != sorted(manifest.members) or DUMP not in names:
        raise InputError(f"{path}: {_NOT_OURS}: its members are not those of its manifest")
    return manifest
