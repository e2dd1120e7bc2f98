"""``intraday backup`` and ``restore`` from the command line, on our own server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from backup_cases import archive_file
from intraday.cli.root import root as command_line

pytestmark = pytest.mark.integration


def run(data_dir: Path, *args: object, **env: str) -> Result:
    settings = {"INTRADAY__SYSTEM__DATA_DIR": str(data_dir), **env}
    return CliRunner().invoke(command_line, [str(arg) for arg in args], env=settings)


def answer(data_dir: Path, *args: object) -> dict:
    result = run(data_dir, *args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_our_own_server_backed_up_rotated_and_restored_elsewhere(folder: Path) -> None:
    """Neither server runs before or after; nothing of them is in the way of the next command."""
    old, new, backups = folder / "old", folder / "new", folder / "backups"
    answer(old, "db", "init")
    first = answer(old, "backup", "--to", backups)
    second = answer(old, "backup", "--to", backups, "--keep", 1)
    assert second["removed"] == [first["file"]] or first["file"] == second["file"]
    assert [str(path) for path in backups.iterdir()] == [second["file"]]
    assert second["rows"] == first["rows"] + 1, "its own line in the audit trail"
    checked = answer(old, "restore", second["file"], "--check")
    assert checked["rows"] == second["rows"]
    assert checked["timescaledb"] is None
    done = answer(new, "restore", second["file"])
    assert done["rows"] == second["rows"]
    assert answer(new, "db", "status")["current"] is True
    again = run(new, "restore", second["file"])
    assert again.exit_code == 4
    assert again.stderr.splitlines()[-1].startswith(
        "error: expected an empty database to restore into, found rows in public.events;"
    )
    assert not list(folder.rglob("postmaster.pid"))
    assert answer(old, "db", "status")["current"] is True


def test_people_are_told_what_they_have(tmp_path: Path) -> None:
    path = tmp_path / "b.backup"
    archive_file(path)
    result = run(tmp_path, "restore", path, "--check")
    assert result.exit_code == 0
    assert "is whole: 0.0 MB of 2023-11-15 03:43:20 IST" in result.stdout
    assert "PostgreSQL 18.4, schema revision 0001, made by intraday 1.0" in result.stdout
    path.write_bytes(path.read_bytes()[:-1])
    result = run(tmp_path, "restore", path, "--check")
    assert result.exit_code == 3
    assert result.stderr.splitlines()[-1].endswith("found another file, or one that was cut off")


def test_a_password_stays_out_of_errors(tmp_path: Path) -> None:
    path = tmp_path / "b.backup"
    archive_file(path)
    where = "postgresql://me:hunter2@127.0.0.1:1/x"
    for result in (
        run(tmp_path, "restore", path, "--verbose", INTRADAY_RESTORE_TO=where),
        run(tmp_path, "restore", path, "--to", where),
        run(tmp_path, "backup", "--to", tmp_path, INTRADAY__DATABASE__DSN=where),
    ):
        assert result.exit_code == 4, result.output
        assert "hunter2" not in result.output + result.stderr
