"""``intraday audit`` from the command line: planted leaks as user features through the config, each caught by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from intraday.cli.root import root as command

LEAKS = Path(__file__).parents[1] / "leaks"
WHOLE, STEPS, ALONE = "whole panel = trailing window", "step = batch", "depends on its argument alone"
SMALL = {
    "trading": {"synthetic": {"instruments": 5, "sessions": 6}},
    "model": {
        "walk_forward": {"min_train_sessions": 3, "test_sessions": 1}, "num_boost_round": 5, "min_data_in_leaf": 20, "threads": 1,
    },
}  # fmt: skip


def run(folder: Path, user_features: Path, *features: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON document and what was said, of an audit of these features on a small made-up market."""
    settings = {**SMALL, "system": {"data_dir": str(folder / "var")}}
    settings["model"] = {**SMALL["model"], "user_features": str(user_features), "features": list(features) or "all"}
    config = folder / "config.yaml"
    config.write_text(json.dumps(settings))
    result = CliRunner().invoke(command, ["audit", "--simulated", "--json", "--by", "a tester", "--config", str(config)])
    document = json.loads(result.stdout) if result.stdout.startswith("{") else {}
    return result.exit_code, document, result.output


def outcomes(document: dict[str, Any], subject: str) -> set[str]:
    found = {f["outcome"] for f in document["findings"] if f["subject"] == subject}
    assert found, f"nothing was checked of {subject}"
    return found


@pytest.mark.parametrize(
    ("file", "leak", "honest", "law", "reason"),
    [
        ("centred_window", "centred", "trailing", WHOLE, "looks ahead: the value depends on the 2nd bar after it"),
        ("shift_minus_one", "next_return", "last_return", WHOLE, "looks ahead: the value depends on the 1st bar after it"),
        ("whole_sample_scaler", "scaled", "scaled_by_the_past", WHOLE, "looks ahead"),
        ("back_fill", "backward", "forward", WHOLE, "looks ahead"),
        ("day_high", "below_day_high", "below_high_so_far", WHOLE, "looks ahead"),
        ("day_mean", "against_day_mean", "against_mean_so_far", WHOLE, "looks ahead"),
        ("running_hour", "this_hour", "last_closed_hour", WHOLE, "looks ahead"),
        ("resample_left", "joined_on_the_start", "joined_on_the_end", WHOLE, "depends on the 2nd bar after it"),
        ("label_volatility", "volatility_ahead", "volatility_behind", WHOLE, "depends on the 12th bar after it"),
        ("late_cross_section", "among_all", "among_those_there", "late arrivals", "looks ahead"),
        ("later_action", "adjusted_price", "adjusted_return", WHOLE, "looks ahead"),
        ("remembers", "against_all_seen", "against_the_window", STEPS, ""),
        ("short_window", "smoothed", "mean_of_three", WHOLE, "needs more than its window of 8 bars"),
    ],
)
def test_a_planted_leak_is_named_and_the_honest_feature_beside_it_passes(
    tmp_path: Path, file: str, leak: str, honest: str, law: str, reason: str
) -> None:
    code, document, output = run(tmp_path, LEAKS / f"{file}.py", "ret_3", leak, honest)
    assert code == 1, output
    assert f"checks failed: {leak}" in output.splitlines()[-1]
    assert {row["subject"] for row in document["failures"]} == {leak}
    row = next(row for row in document["failures"] if row["law"] == law)
    assert reason in row["detail"]
    assert row["instrument"].startswith("NSE:SYN")
    assert row["time"].startswith("2025-01-")
    assert row["found"] != row["expected"]
    assert outcomes(document, honest) == outcomes(document, "ret_3") == {"passed"}
    page = Path(document["page"]).read_text(encoding="utf-8")
    assert f"<b>{leak}</b>" in page
    assert row["time"] in page


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("pipeline_scaler", "fitted on more than the training rows: column 0"),
        ("pipeline_imputer", "a scored row depends on other scored rows"),
        ("pipeline_encoder", "a scored row depends on its label: column 2"),
        ("pipeline_magnitude", "a scored row depends on its label: column 2"),
        ("pipeline_offset", "a scored row depends on its label: column 2"),
        ("pipeline_lazy", "fitted on more than the training rows: column 0"),
        ("pipeline_selection", "fitted on more than the training rows: the number of columns changes"),
    ],
)
def test_a_pipeline_that_sees_the_scored_rows_is_caught(tmp_path: Path, file: str, reason: str) -> None:
    code, document, output = run(tmp_path, LEAKS / f"{file}.py", "ret_3", "trend")
    assert code == 1, output
    assert {row["subject"] for row in document["failures"]} == {"PIPELINE"}
    row = next(row for row in document["failures"] if row["law"] == "own pipeline fitted on training rows alone")
    assert reason in row["detail"]
    assert row["time"].startswith("2025-01-")
    assert row["found"] != row["expected"]


def test_the_example_file_passes_and_is_described(tmp_path: Path) -> None:
    example = LEAKS.parents[1] / "examples" / "user_features.py"
    names = ("my_stretch", "my_effort", "my_squeeze", "my_leader_gap")
    code, document, output = run(tmp_path, example, *names)
    assert code == 0, output
    assert [f["name"] for f in document["own_features"]] == list(names)
    assert document["own_features"][0]["definition"].startswith("(close() - ema(close(), 20)) / std(close(), 20)")
    assert document["own_features"][2]["definition"] == "squeeze of the last 24 slots"
    page = Path(document["page"]).read_text(encoding="utf-8")
    assert "squeeze of the last 24 slots" in page
    assert all(f"<b>{name}</b>" in page for name in names)


def test_an_honest_file_gets_a_certificate(tmp_path: Path) -> None:
    code, document, output = run(tmp_path, LEAKS / "pipeline_honest.py", "ret_3", "trend")
    assert code == 0, output
    assert document["passed"]
    assert document["failures"] == []
    assert document["by"] == "a tester"
    assert document["facts"]["User features"].startswith("pipeline_honest.py, sha256 ")
    by_law = {law["law"]: law for law in document["laws"]}
    assert len(by_law) == 18, sorted(by_law)
    assert all(law["passed"] > 0 for law in by_law.values())
    assert all(law["n"] > 100 for name, law in by_law.items() if name != ALONE)  # which looks at code, not at values
    again = run(tmp_path, LEAKS / "pipeline_honest.py", "ret_3", "trend")[1]
    assert again["findings"] == document["findings"]
    assert again["facts"] == document["facts"]


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        (
            "vol",
            "FunctionFeature('vol', lambda bars: bars.ret_long, 3, '', '')",
            "user feature 'vol': mine.py, line 4: AttributeError: bars have no 'ret_long': a feature is given open, high, low",
        ),
        (
            "split",
            "FunctionFeature('split', lambda bars: bars.close * (bars.date < 3), 3, '', '')",
            "no dates, labels or corporate actions",
        ),
        (
            "ahead",
            "Feature('ahead', 'user', lag(close(), -1), '', '', '')",
            "mine.py, line 4: lag: expected a whole number of bars",
        ),
    ],
)
def test_what_cannot_even_be_expressed_is_refused_by_name(tmp_path: Path, name: str, body: str, message: str) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from intraday.core.expression import close, lag\nfrom intraday.core.feature import Feature\n"
        f"from intraday.core.function_features import FunctionFeature\nFEATURES = [{body}]\n"
    )
    code, _, output = run(tmp_path, mine, name)
    assert code == 2
    assert message in output
