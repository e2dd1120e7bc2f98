from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intraday.cli.root import root as command_line

pytestmark = pytest.mark.integration
runner = CliRunner()

ROWS = [f"2021-06-09 09:{15 + i}:00,{100 + i},{101 + i},{99 + i},{100.5 + i},{1000 + i}" for i in range(5)]
HEAD = "datetime,o,high,low,close,volume"


@pytest.fixture
def bars(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTRADAY__SYSTEM__DATA_DIR", str(folder / "var"))
    made = folder / "bars"
    made.mkdir()
    (made / "INFY.csv").write_text("\n".join([HEAD, *ROWS, ROWS[4], "2021-06-09 09:25:00,100,90,99,95,1", ""]))
    return made


def test_import_accounts_for_every_row_and_again_changes_nothing(bars: Path) -> None:
    args = ["import", str(bars), "--map", "open=o", "--json"]
    first = runner.invoke(command_line, args)
    assert first.exit_code == 0, first.output
    report = json.loads(first.stdout)[0]
    assert (report["symbol"], report["rows"], report["stored"]) == ("INFY", 7, 5)
    assert sum(report["rejected"].values()) == 2
    again = json.loads(runner.invoke(command_line, args).stdout)[0]
    assert (again["stored"], again["unchanged"], again["revised"]) == (0, 5, 0)
    assert again["rejected"] == report["rejected"]


def test_one_bad_file_does_not_stop_the_others(bars: Path) -> None:
    (bars / "BROKEN.parquet").write_bytes(b"PAR1 and then nothing")
    result = runner.invoke(command_line, ["import", str(bars), "--map", "open=o"])
    assert result.exit_code == 3
    assert "BROKEN.parquet" in result.output
    assert "error: 1 of 2 files could not be used; nothing of them was stored" in result.output
    assert "INFY" in result.output
    assert "Traceback" not in result.output


def test_a_path_that_is_not_there(bars: Path) -> None:
    result = runner.invoke(command_line, ["import", str(bars / "none")])
    assert result.exit_code == 3
    assert result.output.startswith("error: ")
    assert "Traceback" not in result.output


def test_commands_that_need_something_stored_say_so(bars: Path) -> None:
    for args in (["replay", "--ticks", str(bars)], ["verify"], ["historical"]):
        environ = {"INTRADAY__BROKER__FEED": "recorded"}
        result = runner.invoke(command_line, args, env=environ)
        assert result.exit_code in (1, 3, 6), (args, result.output, result.exception)
        assert "error: " in result.output
        assert "Traceback" not in result.output
