from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intraday.cli.root import root as command_line

pytestmark = pytest.mark.integration
runner = CliRunner()


def run(*args: str) -> dict:
    result = runner.invoke(command_line, [*args, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_embedded_database_from_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands start our own server and stop it again; the second init changes nothing; doctor sees it."""
    monkeypatch.setenv("INTRADAY__SYSTEM__DATA_DIR", str(folder / "var"))
    before = run("db", "status")
    assert before["revision"] is None
    assert before["current"] is False
    assert before["embedded"] is True
    made = run("db", "init")
    assert made["revision"] == made["expected"]
    assert run("db", "init") == made
    found = run("db", "status")
    assert {name: found[name] for name in made} == made
    assert run("db", "migrate") == {"steps": [], "revision": made["revision"], "roles_missing": None}
    assert [step["applied"] for step in run("db", "history")] == [True] * len(run("db", "history"))
    checks = {check["name"]: check for check in json.loads(runner.invoke(command_line, ["doctor", "--json"]).stdout)["checks"]}
    assert checks["database"]["verdict"] == "OK"
    assert not list((folder / "var" / "pg").rglob("postmaster.pid"))


def test_no_server_is_one_line_and_exit_code_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTRADAY__SYSTEM__DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("INTRADAY__DATABASE__DSN", "postgresql://me:hunter2@127.0.0.1:1/x")
    result = runner.invoke(command_line, ["db", "status"])
    assert result.exit_code == 4
    assert result.output.startswith("error: ")
    assert "hunter2" not in result.output
    assert "Traceback" not in result.output
