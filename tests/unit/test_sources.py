"""The modules that a feature set's id covers."""

import ast
from pathlib import Path

import intraday.core
from intraday.core.sources import FEATURE_MODULES

CORE = Path(intraday.core.__file__).parent
APART = {"sources"}  # says which they are


def imported(name: str) -> set[str]:
    tree = ast.parse((CORE / f"{name}.py").read_text())
    modules = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    return {m.split(".")[2] for m in modules if m.startswith("intraday.core.")} - {"kernels"}


def test_every_module_that_features_are_made_with_is_in_their_id() -> None:
    found: set[str] = set()
    waiting = {"features", "panel", "function_features", "feature_set", "overnight"}
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= imported(name) - found - APART
    assert found == set(FEATURE_MODULES)
