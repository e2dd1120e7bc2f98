"""The file of a backup: whole or refused, whatever happens to it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backup_cases import PLAIN, archive_file
from intraday.database.dump_archive import DUMP, Folder, Member, opened, verify_whole, written
from intraday.database.dump_drafts import of_disk, published, remove_drafts
from intraday.database.dump_files import add_folders, other_journals, placed
from intraday.domain.errors import InputError, StorageError, StorageFull, StorageUnavailable
from intraday.jobs.backup import rotated
from job_cases import quiet

NOISE = np.random.default_rng(7).bytes(3_000_000)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "intraday-x.backup"
    written_as = archive_file(path, NOISE, folders=(Folder("model", "/there/m1", "models/m1"),))
    verify_whole(path)
    with opened(path) as archive:
        archive.check()
        assert archive.manifest == written_as
        assert b"".join(archive.stream(DUMP)) == NOISE
        assert archive.manifest.rows == 3
    assert zipfile.ZipFile(path).testzip() is None
    assert path.stat().st_mode & 0o77 == 0, "it is nobody else's"


def test_any_other_byte_and_any_missing_one_is_seen(tmp_path: Path) -> None:
    good = tmp_path / "good.backup"
    archive_file(good, NOISE[:20_000])
    content, bad = good.read_bytes(), tmp_path / "bad.backup"
    random = np.random.default_rng(11)
    ends = [0, 1, len(content) - 67, len(content) - 66, len(content) - 65, len(content) - 1]
    for at in [*ends, *random.integers(0, len(content), 200)]:
        bad.write_bytes(content[:at] + bytes([content[at] ^ (1 << random.integers(8))]) + content[at + 1 :])
        with pytest.raises(InputError):
            verify_whole(bad)
    for size in [*ends, *random.integers(0, len(content), 50)]:
        bad.write_bytes(content[:size])
        with pytest.raises(InputError):
            verify_whole(bad)
    bad.write_bytes(content + b"\n")
    with pytest.raises(InputError):
        verify_whole(bad)


@pytest.mark.parametrize("content", [b"", b"no backup at all", b"x" * 5000])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.backup"
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected a backup made by `intraday backup`"):
        verify_whole(path)
    with pytest.raises(InputError, match="expected a backup made by `intraday backup`"), opened(path):
        pass
    with pytest.raises(InputError, match="No such file"):
        verify_whole(tmp_path / "absent")


def test_an_archive_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    """Each is a good ZIP."""
    path = tmp_path / "other.backup"

    def refused(members: dict[str, str], reason: str) -> None:
        with zipfile.ZipFile(path, "w") as file:
            for name, text in members.items():
                file.writestr(name, text)
        with pytest.raises(InputError, match=reason), opened(path):
            pass

    refused({"a.txt": "x"}, "manifest.json")
    refused({"manifest.json": "{}", DUMP: "x"}, "format")
    refused({"manifest.json": "no JSON", DUMP: "x"}, "expected a backup")
    text = PLAIN.to_json()
    refused({"manifest.json": text.replace('"format": 1', '"format": 2'), DUMP: "x"}, "expected format 1, found 2")
    refused({"manifest.json": text, DUMP: "x"}, "its members are not those of its manifest")
    outside = "models/../../x"
    manifest = replace(PLAIN, members={DUMP: Member(1, ""), outside: Member(1, "")})
    refused({"manifest.json": manifest.to_json(), DUMP: "x", outside: "x"}, "its members are not those of its manifest")


def test_a_member_that_differs_from_the_manifest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.backup"
    archive_file(tmp_path / "good.backup", b"A")
    with zipfile.ZipFile(tmp_path / "good.backup") as good, zipfile.ZipFile(path, "w") as file:
        file.writestr("manifest.json", good.read("manifest.json"))
        file.writestr(DUMP, "B")
    with opened(path) as archive, pytest.raises(InputError, match="SHA-256 differs"):
        archive.check()


def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"some"
        raise StorageUnavailable("the server went away")

    with pytest.raises(StorageUnavailable), written(tmp_path / "intraday-1.backup") as archive:
        archive.add(DUMP, broken())
    assert list(tmp_path.iterdir()) == []


def test_drafts_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    dead = tmp_path / "intraday-1.backup.part"
    dead.write_bytes(b"half")
    (tmp_path / "notes.part").write_bytes(b"somebody's")
    with written(tmp_path / "intraday-2.backup") as archive:
        remove_drafts(tmp_path)
        draft, notes = sorted(path.name for path in tmp_path.iterdir())
        assert draft.startswith("intraday-2.")
        assert notes == "notes.part"
        archive.add(DUMP, [b"x"])
        archive.finish(PLAIN)
    assert {path.name for path in tmp_path.iterdir()} == {"intraday-2.backup", "notes.part"}


def test_the_newest_of_this_database_stay(tmp_path: Path) -> None:
    for i in range(4):
        archive_file(tmp_path / f"intraday-20260101-00000{i}.backup", made_ns=i)
    archive_file(tmp_path / "intraday-20260101-000009.backup", origin="43/intraday", made_ns=0)
    archive_file(tmp_path / "mine-20260101-000000.backup", made_ns=0)
    (tmp_path / "intraday-20260101-000008.backup").write_text("not a backup")
    made = tmp_path / "intraday-20260101-000003.backup"
    assert rotated(made, PLAIN.origin, None) == []
    assert rotated(made, PLAIN.origin, 5) == []
    assert [path.name[:24] for path in rotated(made, PLAIN.origin, 2)] == [
        "intraday-20260101-000000",
        "intraday-20260101-000001",
    ]
    assert sorted(path.name[:24] for path in tmp_path.iterdir()) == [
        "intraday-20260101-000002", "intraday-20260101-000003", "intraday-20260101-000008", "intraday-20260101-000009",
        "mine-20260101-000000.bac",
    ]  # fmt: skip


def test_the_one_just_made_stays_though_the_clock_was_set_back(tmp_path: Path) -> None:
    for i in range(3):
        archive_file(tmp_path / f"intraday-20260101-00000{i}.backup", made_ns=i)
    first, second, third = sorted(tmp_path.iterdir())
    assert rotated(first, PLAIN.origin, 2) == [second]
    assert rotated(first, PLAIN.origin, 1) == [third]
    assert list(tmp_path.iterdir()) == [first]


def test_two_of_one_second_both_stay(tmp_path: Path) -> None:
    """One after the other and at the same time; the counted names are rotated like the others."""
    path = tmp_path / "intraday-20260101-000000.backup"
    archive_file(path, made_ns=1)
    with written(path) as one, written(path) as other:
        for archive, made_ns in ((one, 2), (other, 3)):
            archive.add(DUMP, [b"x"])
            archive.finish(replace(PLAIN, made_ns=made_ns))
    names = {opened_ns(found): found.name for found in tmp_path.iterdir()}
    assert names == {1: path.name, 3: "intraday-20260101-000000-2.backup", 2: "intraday-20260101-000000-3.backup"}
    assert (one.path.name, other.path.name) == (names[2], names[3])
    assert rotated(one.path, PLAIN.origin, 1) == [path, other.path]


def opened_ns(path: Path) -> int:
    verify_whole(path)
    with opened(path) as archive:
        return archive.manifest.made_ns


def test_without_links_nothing_is_overwritten_either(tmp_path: Path) -> None:
    def no_links(draft: Path, name: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    draft, path = tmp_path / "draft", tmp_path / "a.backup"
    for content in (b"1", b"2"):
        draft.write_bytes(content)
        published(draft, path, no_links)
    assert files(tmp_path) == {"a.backup": b"1", "a-2.backup": b"2"}


# --------------------------------------------------------------------------------------------------------------- folders


@pytest.fixture
def backed_up(tmp_path: Path) -> Path:
    """A backup of one model and one journal; a third folder is named by a row but not there."""
    model, journal = tmp_path / "old" / "m1", tmp_path / "old" / "journals" / "r1"
    for folder, name, content in ((model, "model.txt", b"tree"), (model / "more", "x.json", b"{}"), (journal, "00000.seg", NOISE)):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    folders = [
        Folder("model", str(model), "models/m1"),
        Folder("journal", str(journal), "journal/tick/2026-01-05/r1"),
        Folder("journal", str(tmp_path / "gone"), "journal/tick/2026-01-06/r2"),
    ]
    path = tmp_path / "b.backup"
    with written(path) as archive:
        archive.add(DUMP, [b"x"], packed=True)
        there, missing = add_folders(archive, folders, quiet)
        archive.finish(replace(PLAIN, folders=tuple(there), missing=tuple(missing)))
    assert missing == [str(tmp_path / "gone")]
    return path


def roots(tmp_path: Path) -> dict[str, Path]:
    return {"model": tmp_path / "new" / "models", "journal": tmp_path / "new" / "journal"}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


UNPACKED = {"models/m1/model.txt": b"tree", "models/m1/more/x.json": b"{}", "journal/tick/2026-01-05/r1/00000.seg": NOISE}


def test_folders_go_where_the_restored_system_looks(tmp_path: Path, backed_up: Path) -> None:
    for _ in range(2):  # the second time they are there already
        with opened(backed_up) as archive, placed(archive, roots(tmp_path)) as paths:
            assert paths == {
                str(tmp_path / "old" / "m1"): str(tmp_path / "new" / "models" / "m1"),
                str(tmp_path / "old" / "journals" / "r1"): str(tmp_path / "new" / "journal" / "tick" / "2026-01-05" / "r1"),
            }
        assert files(tmp_path / "new") == UNPACKED


def test_journals_that_no_row_names_come_along(tmp_path: Path) -> None:
    """Back at the same place; one that went on since is left as it is, one that differs is never overwritten."""
    root, path = tmp_path / "old", tmp_path / "b.backup"
    for place in ("tick/2026-01-05/r1", "tick/2026-01-05/r2", "sim/2026-01-06/.r3.restoring", "sim/2026-01-06/r3"):
        (root / place).mkdir(parents=True)
        (root / place / "00000.seg").write_bytes(b"half")
    (root / "tick" / "2026-01-07" / "empty").mkdir(parents=True)
    named = Folder("journal", str(root / "tick/2026-01-05/r1"), "journal/tick/2026-01-05/r1")
    others = other_journals(root, [named])
    assert [(f.member, f.named) for f in others] == [("journal/sim/2026-01-06/r3", False), ("journal/tick/2026-01-05/r2", False)]
    with written(path) as archive:
        archive.add(DUMP, [b"x"])
        there, missing = add_folders(archive, [named, *others], quiet)
        archive.finish(replace(PLAIN, folders=tuple(there)))
    new = {f"journal/{place}/00000.seg": b"half" for place in ("tick/2026-01-05/r1", "tick/2026-01-05/r2", "sim/2026-01-06/r3")}

    def place() -> dict[str, bytes]:
        with opened(path) as archive, placed(archive, roots(tmp_path)):
            return files(tmp_path / "new")

    assert place() == new
    going_on = tmp_path / "new" / "journal" / "tick" / "2026-01-05" / "r2"
    (going_on / "00000.seg").write_bytes(b"half and half")
    (going_on / "00001.seg").write_bytes(b"more")
    assert place().keys() == new.keys() | {"journal/tick/2026-01-05/r2/00001.seg"}
    for content in (b"halF and half", b"hal"):
        (going_on / "00000.seg").write_bytes(content)
        with pytest.raises(InputError, match="is there already, with other files"):
            place()
    (going_on / "00000.seg").write_bytes(b"half")
    (tmp_path / "new" / "journal" / "tick" / "2026-01-05" / "r1" / "00000.seg").write_bytes(b"half and half")
    with pytest.raises(InputError, match="r1 is there already, with other files"):
        place()


@pytest.mark.parametrize("change", ["other content", "another file", "a file less"])
def test_other_folders_are_never_overwritten(tmp_path: Path, backed_up: Path, change: str) -> None:
    there = tmp_path / "new" / "models" / "m1"
    (there / "more").mkdir(parents=True)
    (there / "model.txt").write_bytes(b"treE" if change == "other content" else b"tree")
    if change != "a file less":
        (there / "more" / "x.json").write_bytes(b"{}")
    if change == "another file":
        (there / "y").write_bytes(b"")
    before = files(tmp_path / "new")
    with opened(backed_up) as archive, pytest.raises(InputError, match="is there already, with other files"):
        placed(archive, roots(tmp_path)).__enter__()
    assert files(tmp_path / "new") == before


@pytest.mark.parametrize(("error", "left"), [(StorageError("refused"), {}), (StorageUnavailable("the link broke"), UNPACKED)])
def test_a_restore_that_fails_takes_its_folders_away(
    tmp_path: Path, backed_up: Path, error: StorageError, left: dict[str, bytes]
) -> None:
    """Unless the database may have committed; and never what was there before."""
    (tmp_path / "new" / "models").mkdir(parents=True)
    (tmp_path / "new" / "models" / "mine").write_bytes(b"1")
    with opened(backed_up) as archive, pytest.raises(type(error)), placed(archive, roots(tmp_path)):
        raise error
    assert files(tmp_path / "new") == left | {"models/mine": b"1"}


def test_a_draft_that_a_killed_restore_left_is_begun_anew(tmp_path: Path, backed_up: Path) -> None:
    draft = tmp_path / "new" / "models" / ".m1.restoring"
    draft.mkdir(parents=True)
    (draft / "half").write_bytes(b"1")
    with opened(backed_up) as archive, placed(archive, roots(tmp_path)):
        pass
    assert files(tmp_path / "new") == UNPACKED


def test_a_full_disk_is_said_so(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    assert isinstance(of_disk(full, tmp_path), StorageFull)
    with pytest.raises(StorageError, match="can.t use .*: No such file"), written(tmp_path / "file" / "x.backup"):
        pass
