"""The kept certificate: what it identifies, whether it still stands, and what was not checked, from the command line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from intraday.cli.root import root as command

LEAKS = Path(__file__).parents[1] / "leaks"
SETTINGS: dict[str, Any] = {
    "trading": {"synthetic": {"instruments": 5, "sessions": 4}},
    "model": {"features": ["ret_3", "trend"], "threads": 1, "user_features": str(LEAKS / "pipeline_honest.py")},
}


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return one | {k: merged(one.get(k, {}), v) if isinstance(v, dict) else v for k, v in other.items()}


def run(folder: Path, settings: dict[str, Any], *more: str) -> tuple[int, str]:
    config = folder / "config.yaml"
    config.write_text(json.dumps(merged(settings, {"system": {"data_dir": str(folder / "var")}})))
    result = CliRunner().invoke(command, ["audit", "--by", "a tester", "--config", str(config), *more])
    return result.exit_code, result.output


def document(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text[: text.rindex("}") + 1])
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An audit of four sessions, too few for a fold: its document."""
    code, output = run(tmp_path_factory.mktemp("made"), SETTINGS, "--simulated", "--json")
    assert code == 0, output
    return document(output)


def test_what_was_not_checked_is_said_everywhere(made: dict[str, Any], tmp_path: Path) -> None:
    silent = {
        "folds disjoint in time, across instruments",
        "weights without the scored rows",
        "trained pipeline without the scored rows",
    }
    verdict = f"passed, 3 of {len(made['laws'])} laws not checked"
    assert (made["passed"], made["verdict"]) == (True, verdict)
    assert {row["law"] for row in made["not_checked"]} == silent
    assert all("walk-forward needs at least" in row["detail"] for row in made["not_checked"])
    page = Path(made["page"]).read_text(encoding="utf-8")
    assert f"<strong>{verdict}</strong>" in page
    assert 'class="verdict edge"' not in page
    code, output = run(tmp_path, SETTINGS, "--simulated", "--strict")
    assert code == 1
    assert f"PASSED{verdict.removeprefix('passed')}  certificate " in output
    assert "3 checks could not be made, and --strict wants all of them" in output


def test_with_too_few_sessions_for_a_fold_a_pipeline_that_leaks_is_still_caught(tmp_path: Path) -> None:
    leaks = {"model": {"user_features": str(LEAKS / "pipeline_scaler.py")}}
    code, output = run(tmp_path, merged(SETTINGS, leaks), "--simulated", "--json")
    assert code == 1, output
    (row,) = document(output)["failures"]
    assert row["detail"].startswith("fitted on more than the training rows: column 0; on a plain split of the sessions")


def check(folder: Path, settings: dict[str, Any], path: str | Path, *more: str) -> tuple[int, dict[str, Any], str]:
    code, output = run(folder, settings, "--json", "--check", str(path), *more)
    return code, document(output) if output.startswith("{") else {}, output


def test_the_certificate_is_kept_beside_the_page_and_stands(made: dict[str, Any], tmp_path: Path) -> None:
    assert made["certificate"] == made["page"].removesuffix(".html") + ".json"
    code, found, output = check(tmp_path, SETTINGS, made["certificate"])
    assert code == 0, output
    assert (found["stands"], found["changed"], found["digest"], found["verdict"]) == (True, [], made["digest"], made["verdict"])
    code, output = run(tmp_path, SETTINGS, "--check", made["certificate"])
    assert code == 0
    assert f"STANDS  certificate {made['digest']}, signed a tester: passed, 3 of" in output
    assert check(tmp_path, SETTINGS, made["certificate"], "--strict")[0] == 1


@pytest.mark.parametrize(
    ("settings", "name", "part"),
    [
        ({"model": {"num_leaves": 31}}, "Training", "num_leaves=31"),
        ({"model": {"learning_rate": 0.3}}, "Training", "learning_rate=0.3"),
        ({"model": {"walk_forward": {"embargo_sessions": 0}}}, "Training", "split.embargo=0"),
        ({"trading": {"notional_inr": 900_000}}, "Costs", "notional_inr=900000"),
        ({"trading": {"synthetic": {"seed": 8}}}, "Digest of the bars", ""),
        ({"model": {"features": ["ret_3"]}}, "Feature set", ""),
        ({"model": {"user_features": str(LEAKS / "pipeline_lazy.py")}}, "User features", "pipeline_lazy.py"),
        ({"model": {"user_features": str(LEAKS / "gone.py")}}, "Audit", "found none that can be read"),
    ],
)
def test_a_certificate_of_something_else_does_not_stand_and_what_changed_is_named(
    made: dict[str, Any], tmp_path: Path, settings: dict[str, Any], name: str, part: str
) -> None:
    code, found, output = check(tmp_path, merged(SETTINGS, settings), made["certificate"])
    assert code == 1, output
    assert not found["stands"]
    changed = {change["name"]: change for change in found["changed"]}
    assert part in changed[name]["now"]
    assert changed[name]["now"] != changed[name]["was"]
    assert name in output.splitlines()[-1]
    if name == "Training":
        assert list(changed) == [name]
        assert changed[name]["now"] == part


def test_an_altered_certificate_and_one_of_other_code_do_not_stand(made: dict[str, Any], tmp_path: Path) -> None:
    kept = json.loads(Path(made["certificate"]).read_text(encoding="utf-8"))
    altered = tmp_path / "audit-altered.json"
    altered.write_text(json.dumps({**kept, "by": "somebody else"}))
    code, found, _ = check(tmp_path, SETTINGS, altered)
    assert code == 1
    (change,) = found["changed"]
    assert (change["name"], change["was"]) == ("Certificate", f"digest {kept['digest']}")
    facts = [[name, value.replace("core=", "core=0") if name == "Code" else value] for name, value in kept["facts"]]
    resigned = {k: v for k, v in kept.items() if k != "digest"} | {"facts": facts}  # nobody's key is in it: anyone can do that
    resigned["digest"] = hashlib.sha256(json.dumps(resigned, sort_keys=True).encode()).hexdigest()[:16]
    altered.write_text(json.dumps(resigned))
    code, found, _ = check(tmp_path, SETTINGS, altered)
    assert code == 1
    (change,) = found["changed"]
    assert change["name"] == "Code"
    assert change["now"].startswith("core=")
    assert "," not in change["now"]


def test_a_failed_certificate_never_stands(tmp_path: Path) -> None:
    leaks = merged(SETTINGS, {"model": {"user_features": str(LEAKS / "pipeline_offset.py")}})
    code, output = run(tmp_path, leaks, "--simulated", "--json")
    assert code == 1
    code, found, _ = check(tmp_path, leaks, document(output)["certificate"])
    assert code == 1
    assert [change["name"] for change in found["changed"]] == ["Verdict"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "digest": "0"}', None])
def test_what_is_no_certificate_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "audit-x.json"
    if text is not None:
        path.write_text(text)
    code, _, output = check(tmp_path, SETTINGS, path)
    assert code == 3
    assert "audit-x.json: expected a certificate" in output
