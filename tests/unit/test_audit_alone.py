"""What a user's function may reach, and what it may not: case by case."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from intraday.core.audit.alone import TABLE, Alone, Reached
from intraday.core.audit.result import Law, Outcome
from intraday.core.user_features import load_user_features
from intraday.domain.session import SessionTable

SESSIONS = SessionTable.load()
HEAD = "import numpy as np\nfrom intraday.core.function_features import FunctionFeature\n"
TAIL = "\nFEATURES = [FunctionFeature('mine', mine, 3, '', '')]\n"


def written(folder: Path, text: str) -> Callable[..., Any]:
    """The function ``mine`` of a user's file."""
    path = folder / "features.py"
    path.write_text(HEAD + text + TAIL)
    namespace: dict[str, Any] = {"__name__": "features", "__file__": str(path)}
    exec(
        compile(path.read_text(), str(path), "exec", dont_inherit=True), namespace
    )  # not loaded: it would be called, and most of them cannot
    found: Callable[..., Any] = namespace["mine"]
    return found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import time\ndef mine(bars):\n    return bars.close + time.time()", "uses time"),
        ("from time import time\ndef mine(bars):\n    return bars.close + time()", "uses time"),
        ("def mine(bars):\n    import time\n    return bars.close + time.time()", "uses time, line 4"),
        ("from datetime import date\ndef mine(bars):\n    return bars.close + date.today().day", "uses date"),
        ("def mine(bars):\n    return np.random.normal(size=bars.close.shape)", "uses .random, line 4"),
        ("R = np.random.default_rng(1)\ndef mine(bars):\n    return R.normal(size=bars.close.shape)", "uses R"),
        ("from numpy.random import default_rng\ndef mine(bars):\n    return default_rng(1)", "uses default_rng"),
        ("def mine(bars):\n    return bars.close * float(open('x').read())", "uses open(), line 4"),
        ("def mine(bars):\n    return bars.close * np.load('x.npy')[-1]", "uses .load, line 4"),
        ("from numpy import loadtxt\ndef mine(bars):\n    return loadtxt('x')", "uses loadtxt"),
        ("import polars as pl\ndef mine(bars):\n    return pl.read_parquet('x')", "uses .read_parquet, line 5"),
        ("import polars as pl\nT = pl.DataFrame({'a': [1]})\ndef mine(bars):\n    return bars.close + T['a'][0]", "holds T"),
        (f"T = list(range({TABLE + 1}))\ndef mine(bars):\n    return bars.close + T[0]", "holds T, 1,001 values"),
        (f"T = np.ones({TABLE + 1})\ndef mine(bars):\n    return (lambda: bars.close + T[0])()", "holds T, 1,001 values"),
        (f"def mine(bars, t=tuple(range({TABLE + 1}))):\n    return bars.close", "holds a default of mine, 1,001 values"),
        (f"T = [list(range({TABLE + 1}))]\ndef help(bars):\n    return T"
         "\ndef mine(bars):\n    return help(bars)", "holds T, 1,001 values"),
        ("N = 0"
         "\ndef mine(bars):\n    global N\n    N = N + 1\n    return bars.close * N", "keeps state between calls in N, line 6"),
        ("def mine(bars):\n    bars.close.setflags(write=True)\n    return bars.close", "uses .setflags, line 4"),
        ("from pathlib import Path\ndef mine(bars):\n    return bars.close + len(Path('x').read_text())", "uses Path"),
        ("class M:\n    def f(self, b):\n        import socket\n        return b.close\nm = M()"
         "\ndef mine(bars):\n    return m.f(bars)", "uses socket"),
        ("def mine(bars):\n    return bars.close + hash('x')", "uses hash(), line 4"),
    ],
)  # fmt: skip
def test_what_reaches_outside_is_told(tmp_path: Path, text: str, reason: str) -> None:
    reasons = Reached(written(tmp_path, text)).reasons
    assert any(r.startswith(reason) for r in reasons), reasons


@pytest.mark.parametrize(
    "text",
    [
        "def mine(bars):\n    '''" + "long " * 900 + "'''\n    return bars.close / bars.open",
        "W = np.array([0.1, 0.2])\nNAMES = {'a': (1, 2.5)}\ndef mine(bars):\n    return bars.close * W[0] + NAMES['a'][1]",
        "from dataclasses import dataclass"
        "\n@dataclass(frozen=True)\nclass P:\n    n: int = 3\n    def of(self, x):\n        return x * self.n\n"
        "P3 = P()\ndef mine(bars):\n    return P3.of(bars.close)",
        "from enum import Enum\nclass E(Enum):\n    A = 1\ndef mine(bars):\n    return bars.close * E.A.value",
        "from scipy.signal import lfilter\nimport math"
        "\ndef mine(bars):\n    return lfilter([1.0], [1.0, -math.exp(-1)], bars.close, axis=0)",
        "def mine(bars):\n    open = bars.open\n    return np.where(np.isnan(open), bars.close, open)",
        "from functools import lru_cache\n@lru_cache\ndef weights(n):\n    return np.arange(n)"
        "\ndef mine(bars):\n    return bars.close * weights(3)[1]",
    ],
)  # fmt: skip
def test_ordinary_functions_are_left_alone(tmp_path: Path, text: str) -> None:
    reached = Reached(written(tmp_path, text))
    assert reached.reasons == []
    assert reached.n > 0


def test_the_example_is_left_alone(root: Path) -> None:
    user = load_user_features(root / "examples" / "user_features.py", SESSIONS)
    functions: dict[str, Callable[..., Any]] = {f.name: f.function for f in user.functions.features}
    assert user.pipeline is not None
    watch = Alone(functions | {"PIPELINE": user.pipeline})
    assert {f.outcome for f in watch.findings()} == {Outcome.PASSED}


def test_compiled_and_partial_functions_are_looked_into() -> None:
    table = np.ones(TABLE + 1)

    @njit
    def compiled(x: float) -> float:
        return x

    def second(x: float, y: Any) -> float:
        return x + float(table[0])

    assert Reached(compiled).reasons == []
    assert Reached(functools.partial(second, y=None)).reasons == ["holds table, 1,001 values: it can be the future"]
    assert Reached(functools.partial(np.add, table)).reasons[0].startswith("holds ")


@pytest.mark.parametrize("back", [False, True])
def test_state_is_seen_also_when_it_is_put_back(back: bool) -> None:
    memory: dict[str, list[float]] = {"last": [0.0]}

    def mine(x: float) -> float:
        memory["last"][0] = x
        return x

    watch = Alone({"mine": mine})
    mine(0.0)
    watch.look()
    assert watch.findings()[0].outcome is Outcome.PASSED
    mine(1.0)
    watch.look()
    if back:
        mine(0.0)
    (found,) = watch.findings()
    assert (found.subject, found.law, found.outcome) == ("mine", Law.ALONE, Outcome.FAILED)
    assert found.first is not None
    assert found.first.found == "keeps state between calls in memory"
