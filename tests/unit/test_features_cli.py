"""``intraday features``: what it lists, says of one, and computes on the made-up market."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from intraday.cli.root import root as command_line
from intraday.core import expression
from intraday.core.registry import default_registry

MINE = """
from intraday.core.expression import *
from intraday.core.feature import Feature
from intraday.core.function_features import FunctionFeature
FEATURES = [
    Feature("my_trend", "user", close() / ema(close(), 30) - 1, "close / EMA30 - 1", "fraction", "mine"),
    FunctionFeature("my_twice", lambda bars: bars.close * 2.0, 3, "twice the close", "rupees"),
]
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "config.yaml").write_text(
        f"system: {{data_dir: {tmp_path / 'var'}}}\nmodel: {{user_features: {tmp_path / 'mine.py'}}}\n"
        "trading: {synthetic: {instruments: 6, sessions: 5}}\n"
    )
    monkeypatch.setenv("INTRADAY_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("COLUMNS", "200")

    def called(*arguments: str) -> tuple[int, str]:
        found = CliRunner().invoke(command_line, ["features", *arguments])
        return found.exit_code, found.output

    return called


def test_everything_is_listed_and_mine_is_marked(run: Any) -> None:
    code, out = run("list", "--json")
    rows = json.loads(out)["features"]
    assert code == 0
    assert [r["name"] for r in rows] == [*default_registry(), "my_trend", "my_twice"]
    assert [r["name"] for r in rows if r["own"]] == ["my_trend", "my_twice"]
    assert all(r["configured"] for r in rows)
    _, out = run("list", "--own")
    assert re.search(r"my_trend \* +user +close / EMA30 - 1 +fraction +29 \+", out), out
    assert "2 features, 2 of them yours (*)" in out and "rsi_14" not in out
    _, out = run("list", "--family", "volatility", "--search", "PARKINSON")
    assert "parkinson_20" in out and "1 features" in out


def test_what_is_shown_can_be_pasted(run: Any) -> None:
    code, out = run("show", "vol_slot_z", "--json")
    feature = json.loads(out)["feature"]
    assert (code, feature["lookback"], feature["needs"]) == (0, "2 sessions +", "volume")
    pasted = eval(feature["expression"], {name: getattr(expression, name) for name in expression.__all__})
    assert pasted == default_registry()["vol_slot_z"].expr
    _, out = run("show", "my_twice")
    assert "my_twice (yours)" in out and "<lambda> of the last 3 slots" in out


def test_values_and_a_picture_of_a_day(run: Any, tmp_path: Path) -> None:
    picture = tmp_path / "trend.svg"
    code, out = run("show", "my_trend", "--simulated", "--sessions", "3", "--plot", str(picture), "--json")
    values = json.loads(out)["values"]
    assert code == 0
    bars, instruments = values["n"], len(values["newest"])
    assert bars == 3 * 75 * instruments, "every bar of the made-up market's three sessions"
    assert values["missing"] == pytest.approx(29 / 225) and values["missing_last"] == 0.0
    assert all(abs(row["value"]) < 0.1 for row in values["newest"])
    assert re.search(r'data-of="my_trend" d="M0 [\d.]+L', picture.read_text()) and "15:00" in picture.read_text()
    code, out = run("show", "my_twice", "--simulated", "--sessions", "1", "--symbol", "syn02")
    assert code == 0 and "NSE:SYN02" in out and "SYN03" not in out
    assert "2.67% of 75 bars, 2.67% of the last session's" in out, "two of 75: the window is three"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "rsi_15"], "found no feature 'rsi_15', expected rsi_5, rsi_14"),
        (
            ["show", "rsi_14", "--simulated", "--symbol", "SYN77"],
            "--symbol: found SYN77, expected one of the universe, such as SYN",
        ),
        (["show", "rsi_14", "--simulated", "--sessions", "1", "--plot", "absent/x.svg"], "absent/x.svg: expected a place to write"),
    ],
)
def test_what_is_not_there_is_told(run: Any, arguments: list[str], message: str) -> None:
    code, out = run(*arguments)
    assert code in (2, 3) and message in out
