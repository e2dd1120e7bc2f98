from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import click
import pytest
import typer
import yaml
from typer.testing import CliRunner

from intraday.cli import doctor
from intraday.cli.history import _columns
from intraday.cli.root import root as command_line
from intraday.config.settings import MetricSettings, Settings, Threshold
from intraday.domain.errors import ConfigError
from intraday.domain.session import SessionTable

runner = CliRunner()
LIMIT = Threshold(warn=10, fail=1)


@pytest.fixture(autouse=True)
def own_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTRADAY__SYSTEM__DATA_DIR", str(tmp_path / "var"))


def leaf_commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}

    def walk(command: click.Command, name: str) -> None:
        children = getattr(command, "commands", None)
        if children is None:
            found[name.strip()] = command
            return
        for child, sub in children.items():
            walk(sub, f"{name} {child}")

    walk(typer.main.get_command(command_line), "")
    return found


COMMANDS = leaf_commands()
NEEDED = {  # arguments without which a command is wrong usage
    "adjust add": ["INFY", "--ex", "2024-06-03", "--bonus", "1:1"],
    "adjust import": [__file__],
    "adjust remove": ["INFY", "--ex", "2024-06-03"],
    "instruments import": [__file__, "--flag", "mis"],
    "instruments flags": ["INFY"],
    "universe import": ["mine", __file__],
    "backup": ["--to", "backups"],
    "restore": ["x.backup"],
    "db move": ["--to", "postgresql://db/x"],
    "db query": ["SELECT 1"],
    "features show": ["rsi_14"],
    "charges": ["buy:100@1234.55"],
    "limits import": ["limits.csv"],
    "limits list": ["RELIANCE"],
    "models show": ["3f9c"],
    "models compare": ["3f9c"],
    "models promote": ["3f9c"],
}


def test_every_command_of_the_brief_is_there() -> None:
    wanted = "run,import,historical,replay,live,verify,signals,db init,db migrate,db status,doctor,demo,config validate,config show"
    assert set(COMMANDS) >= set(wanted.split(","))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_and_the_common_options(name: str) -> None:
    result = runner.invoke(command_line, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert f"  intraday {name}" in result.output
    for option in ("--config", "--json", "--verbose")[:: 2 if name == "db shell" else 1]:  # a shell prints no document
        assert option in result.output
    summary = result.output.splitlines()[2].strip()
    assert len(summary) <= 65  # longer ones are cut in the list of commands


@pytest.mark.parametrize("args", [["bogus"], ["replay"], ["import"], ["signals", "--limit", "0"], ["verify", "--source", "moon"]])
def test_wrong_usage_exits_with_2(args: list[str]) -> None:
    assert runner.invoke(command_line, args).exit_code == 2


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"replay", "import"}))
def test_a_bad_configuration_stops_every_command(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("trading: {timefram: 5}\n")
    result = runner.invoke(command_line, [*name.split(), *NEEDED.get(name, []), "--config", str(path)])
    assert result.exit_code == 2
    assert "trading.timefram: unknown key, did you mean 'timeframe'?" in result.output
    assert "Traceback" not in result.output


def test_config_validate_and_show(root: Path) -> None:
    path = str(root / "config" / "config.yaml")
    environ = {"INTRADAY__DATABASE__DSN": "postgresql://me:hunter2@db/x"}
    valid = json.loads(runner.invoke(command_line, ["config", "validate", "--config", path, "--json"], env=environ).stdout)
    assert valid["valid"] is True
    assert "INTRADAY__DATABASE__DSN" in valid["environment"]
    assert [Path(name).name for name in valid["files"]] == ["config.yaml", "rate_limit_config.yaml", "metrics.yaml"]
    shown = runner.invoke(command_line, ["config", "show", "--config", path], env=environ).stdout
    assert "hunter2" not in shown
    assert yaml.safe_load(shown)["trading"]["timeframe"] == 5


@pytest.mark.parametrize(("mode", "wanted"), [("HISTORICAL_MODE", "historical"), ("LIVE_MODE", "live")])
def test_run_does_what_the_mode_says(mode: str, wanted: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name in ("historical", "live"):
        monkeypatch.setattr(f"intraday.cli.run.{name}", lambda name=name, **options: called.append(name))
    path = str(root / "config" / "config.yaml")
    result = runner.invoke(command_line, ["run", "--config", path], env={"INTRADAY__SYSTEM__MODE": mode})
    assert (result.exit_code, called) == (0, [wanted])


def test_a_wrong_file_beside_is_found(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    (tmp_path / "rate_limit_config.yaml").write_text("qoute: {per_s: 1}")
    result = runner.invoke(command_line, ["config", "validate", "--config", str(tmp_path / "config.yaml")])
    assert result.exit_code == 2
    assert "rate_limit_config.yaml: qoute: unknown key, did you mean 'quote'?" in result.output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model: {features: [ret_1, rsi_14]}", "model.features: expected 'sigma' among them"),
        ("model: {features: [sigma, rsi_41]}", "unknown feature 'rsi_41'"),
        ("model: {user_features: mine.py}", "mine.py"),
    ],
)
def test_features_that_are_not_there_are_found(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    result = runner.invoke(command_line, ["config", "validate", "--config", str(tmp_path / "config.yaml")])
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())


def test_column_mapping() -> None:
    assert _columns(["ts=datetime", "close=a=b"]) == {"ts": "datetime", "close": "a=b"}
    for bad in ("ts", "ts=", "cls=x"):
        with pytest.raises(ConfigError, match=f"--map: found '{bad}', expected FIELD=COLUMN"):
            _columns([bad])


@pytest.mark.slow
def test_the_module_runs_and_a_polite_kill_is_an_interrupt(root: Path, tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(root / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "intraday", "config", "validate", "--json"], cwd=root, env=environ, capture_output=True
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["valid"] is True
    script = (
        "import os, signal\nimport intraday.cli.root as r\nr.root = lambda **named: os.kill(os.getpid(), signal.SIGTERM)\nr.main()"
    )
    killed = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True)
    assert killed.returncode == 130


# -------------------------------------------------------------------------------------------------------------- doctor


def test_thresholds() -> None:
    verdicts = [doctor.memory(int(gib * 2**30), LIMIT).verdict for gib in (0.5, 5, 50)]
    assert verdicts == ["FAIL", "WARN", "OK"]
    assert doctor.memory(0, LIMIT).advice != ""
    assert doctor.memory(2**40, LIMIT).advice == ""


def test_session_table_about_to_end() -> None:
    table = SessionTable.load()
    announced, last = table.confirmed.toordinal(), table.last.toordinal()
    days = [date.fromordinal(n) for n in (announced - 20, announced - 5, last - 20, last + 1)]
    assert [doctor.session_table(table, day, LIMIT).verdict for day in days] == ["OK", "WARN", "WARN", "FAIL"]


def test_disk(tmp_path: Path) -> None:
    assert doctor.disk(tmp_path / "not" / "yet", Threshold(warn=0, fail=0)).verdict == "OK"
    assert doctor.disk(tmp_path, Threshold(warn=1e9, fail=1e9)).verdict == "FAIL"


def test_encoding_and_clock() -> None:
    assert doctor.encoding("UTF-8", "utf-8").verdict == "OK"
    assert doctor.encoding("ANSI_X3.4-1968", "utf-8").verdict == "WARN"
    assert doctor.clock(0).verdict == "FAIL"
    noon = doctor.clock(1_623_216_600_000_000_000 + 6 * 10**8)
    assert noon.verdict == "FAIL" and "IST" in noon.found
    assert "2026-06-09 05:30:00 UTC, 11:00:00 IST" in doctor.clock(1_780_983_000_000_000_000).found


def test_a_check_that_breaks_is_a_fail_and_the_rest_go_on(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file where a folder should be")
    settings = Settings.model_validate(
        {"system": {"data_dir": str(tmp_path / "var")}, "database": {"dsn": "postgresql://127.0.0.1:1/x"}}
    )
    checks = doctor.examine(settings, MetricSettings(), 1_780_983_000_000_000_000)
    found = {check.name: check for check in checks}
    assert len(found) == 10
    assert found["database"].verdict == "FAIL"
    assert found["python"].verdict == "OK"
    assert found["session table"].verdict == "OK"
    assert "\n" not in found["database"].found
