"""What somebody clever may write as a feature: each caught by ``intraday audit``, by name and by the law that it breaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from intraday.cli.root import root as command

CLEVER = Path(__file__).parents[1] / "leaks" / "clever.py"
WHOLE, UNUSUAL, ORDER, MEMBERS, ALONE = (
    "whole panel = trailing window", "unusual sessions", "order of instruments", "instruments outside the universe",
    "depends on its argument alone",
)  # fmt: skip
HONEST = ("against_the_others", "since_the_open", "tilted")
SETTINGS: dict[str, Any] = {
    "trading": {"synthetic": {"instruments": 5, "sessions": 5}},
    "model": {
        "user_features": str(CLEVER), "num_boost_round": 5, "min_data_in_leaf": 20, "threads": 1,
        "walk_forward": {"min_train_sessions": 3, "test_sessions": 1},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of one audit of all of them."""
    folder = tmp_path_factory.mktemp("clever")
    settings = {**SETTINGS, "system": {"data_dir": str(folder / "var")}}
    settings["model"] = {**SETTINGS["model"], "features": ["ret_3", *NAMES]}
    config = folder / "config.yaml"
    config.write_text(json.dumps(settings))
    result = CliRunner().invoke(command, ["audit", "--simulated", "--json", "--config", str(config)])
    assert result.exit_code == 1, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


CASES = [
    ("kept_by_shape", WHOLE, "looks ahead"),
    ("kept_by_shape", ALONE, ""),
    ("kept_by_row", "prefix invariance", ""),
    ("kept_by_row", ALONE, ""),
    ("file_of_prices", ALONE, ""),
    ("length_of_panel", WHOLE, ""),
    ("holes_to_come", "late arrivals", "looks ahead: the value depends on the 1st bar after it"),
    ("chance", "prefix invariance", ""),
    ("chance", ALONE, ""),
    ("wall_clock", ALONE, "uses .now, line "),
    ("wraps_around", WHOLE, "needs more than its window of 5 bars"),
    ("after_the_open", WHOLE, "looks ahead: the value depends on the 1st bar after it"),
    (
        "on_short_sessions",
        UNUSUAL,
        "a Muhurat evening of 2021-11-04, stock 1: looks ahead: the value depends on the 1st bar",
    ),
    ("in_the_closing_auction", UNUSUAL, "around the closing auction of 2026-08-04, stock 1: looks ahead"),
    ("of_the_index", WHOLE, "looks ahead"),
    ("of_the_index", UNUSUAL, "the index: looks ahead"),
    ("by_its_place", ORDER, ""),
    ("against_all_columns", MEMBERS, "compare those in bars.member"),
    ("against_the_third", ORDER, ""),
]
NAMES = (*dict.fromkeys(name for name, _, _ in CASES), *HONEST)


@pytest.mark.parametrize(("name", "law", "reason"), CASES)
def test_it_is_named_with_the_law_that_it_breaks(audited: dict[str, Any], name: str, law: str, reason: str) -> None:
    rows = [row for row in audited["failures"] if row["subject"] == name]
    (row,) = [row for row in rows if row["law"] == law]
    assert reason in row["detail"]
    assert row["found"] != row["expected"]


def test_nothing_else_is_named(audited: dict[str, Any]) -> None:
    assert {row["subject"] for row in audited["failures"]} == {name for name, _, _ in CASES}
    for honest in (*HONEST, "ret_3"):
        assert {f["outcome"] for f in audited["findings"] if f["subject"] == honest} == {"passed"}
    for name in (
        "against_all_columns",
        "on_short_sessions",
        "in_the_closing_auction",
        "file_of_prices",
        "wall_clock",
        "by_its_place",
    ):
        assert len([row for row in audited["failures"] if row["subject"] == name]) == 1, "only the law made for it sees it"


def test_a_function_that_fails_without_some_instruments_leaves_the_others_judged(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import numpy as np\nfrom intraday.core.function_features import FunctionFeature\n"
        "def needs_four(bars):\n    return np.zeros(bars.close.shape) + bars.close[:, [3]] * 0.0\n"
        "def crowd(bars):\n    return bars.close / bars.open - np.nanmean(bars.close / bars.open, axis=1, keepdims=True)\n"
        "FEATURES = [FunctionFeature(f.__name__, f, 1, '', '') for f in (needs_four, crowd)]\n"
    )
    settings = {
        **SETTINGS,
        "trading": {"synthetic": {"instruments": 4, "sessions": 5}},
        "system": {"data_dir": str(tmp_path / "var")},
    }
    settings["model"] = {**SETTINGS["model"], "user_features": str(mine), "features": ["needs_four", "crowd"]}
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(settings))
    result = CliRunner().invoke(command, ["audit", "--simulated", "--json", "--config", str(config)])
    failures = json.loads(result.stdout)["failures"]
    assert {row["subject"] for row in failures if row["law"] == MEMBERS} == {"needs_four", "crowd"}
