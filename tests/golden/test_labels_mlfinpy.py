"""Against mlfinpy 0.1.2: its labels bit for bit in the compatibility mode, its uniqueness, weights and bootstrap by ours.

The file is written by scripts/make_mlfinpy_golden.py in an environment of mlfinpy's own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intraday.core.bootstrap import draw_probabilities
from intraday.core.compat_mlfinpy import MlfinpySpec, mlfinpy_labels
from intraday.core.kernels.weights import attribute
from intraday.core.weights import average_uniqueness, concurrency, time_decay

Golden = dict[str, Any]


@pytest.fixture(scope="module")
def golden() -> Golden:
    made: Golden = json.loads((Path(__file__).parent / "mlfinpy_0_1_2.json").read_text(encoding="utf-8"))
    assert made["mlfinpy"] == "0.1.2"
    return made


def compat(golden: Golden, case: Golden) -> np.ndarray:
    spec = MlfinpySpec(case["pt"], case["sl"], golden["vertical_min"], golden["min_ret"])
    ts, close, events, target = (np.array(golden[name]) for name in ("ts_ns", "close", "event_ns", "target"))
    return mlfinpy_labels(spec, ts, close, events, target, np.array(golden["side"], np.int8) if case["with_side"] else None)


@pytest.mark.parametrize("k", range(10))
def test_labels_are_mlfinpy_s(golden: Golden, k: int) -> None:
    case = golden["cases"][k]
    got = compat(golden, case)
    assert len(golden["cases"]) == 10 and len(got) > 60
    np.testing.assert_array_equal(got["t0_ns"], case["t0_ns"])
    np.testing.assert_array_equal(got["t1_ns"], case["t1_ns"])
    np.testing.assert_array_equal(got["label"], case["bin"])
    np.testing.assert_allclose(got["ret"], case["ret"], rtol=0, atol=1e-14)  # the last bit of log is numpy's affair


def test_the_faults_are_there(golden: Golden) -> None:
    """Without a side, stops of 1 and 2 end at the same times; with one they do not. Labels cross the night."""
    cases = {(c["pt"], c["sl"], c["with_side"]): c for c in golden["cases"]}
    assert cases[2.0, 1.0, False]["t1_ns"] != cases[1.0, 1.0, False]["t1_ns"]
    assert cases[1.0, 2.0, False]["t1_ns"] == cases[1.0, 1.0, False]["t1_ns"]
    assert cases[1.0, 2.0, True]["t1_ns"] != cases[1.0, 1.0, True]["t1_ns"]
    one = cases[1.0, 1.0, False]
    night = golden["ts_ns"][int(np.argmax(np.diff(golden["ts_ns"])))]
    assert any(a <= night < b for a, b in zip(one["t0_ns"], one["t1_ns"], strict=True))


def spans(golden: Golden) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Its labels as bar numbers, the last bar included: lives [i, j + 1)."""
    ts, w = np.array(golden["ts_ns"]), golden["weights"]
    return np.searchsorted(ts, w["t0_ns"]), np.searchsorted(ts, w["t1_ns"]) + 1, ts


def test_uniqueness_is_mlfinpy_s(golden: Golden) -> None:
    start, end, _ = spans(golden)
    np.testing.assert_allclose(average_uniqueness(start, end), golden["weights"]["uniqueness"], rtol=1e-13)


@pytest.mark.parametrize("decay", ["1", "0.5", "0", "-0.25"])
def test_time_decay_is_mlfinpy_s(golden: Golden, decay: str) -> None:
    start, end, _ = spans(golden)
    got = time_decay(average_uniqueness(start, end), float(decay))
    np.testing.assert_allclose(got, golden["weights"]["by_decay"][decay], rtol=1e-12, atol=1e-13)


def test_return_attribution_is_mlfinpy_s(golden: Golden) -> None:
    """Its entry bar counts with the return *before* the entry, so that is given here; ours starts at the entry's open."""
    start, end, ts = spans(golden)
    moves = np.diff(np.log(golden["close"]), prepend=np.nan)
    out = np.empty(len(start))
    attribute(start, end, moves, moves, concurrency(start, end, np.arange(len(ts))), out)
    np.testing.assert_allclose(out * (len(out) / out.sum()), golden["weights"]["by_return"], rtol=1e-10, atol=1e-13)


def test_chances_are_mlfinpy_s(golden: Golden) -> None:
    start, end, _ = spans(golden)
    got = draw_probabilities(start, end, np.array(golden["weights"]["drawn"]))
    np.testing.assert_allclose(got, golden["weights"]["chance"], rtol=1e-12)
