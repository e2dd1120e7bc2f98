"""Windows against their definitions in numpy, over series with ties, missing bars and values that stand still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intraday.core import expression as e
from intraday.core.anchor import AnchorRule
from intraday.core.feature import Feature
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.operations import Expr
from intraday.domain.arrays import Panel

Window = NDArray[np.float64]

DEFINITIONS: dict[str, tuple[Callable[[Expr, int], Expr], Callable[[Window], float]]] = {
    "rank": (e.rank, lambda v: np.count_nonzero(v <= v[-1]) / len(v)),
    "mean_rank": (e.mean_rank, lambda v: (np.count_nonzero(v <= v[-1]) + np.count_nonzero(v < v[-1]) + 1.0) / 2.0 / len(v)),
    "quantile": (lambda x, n: e.quantile(x, n, 0.5), lambda v: float(np.quantile(v, 0.5))),
    "highest": (e.highest, lambda v: v.max()),
    "lowest": (e.lowest, lambda v: v.min()),
    "argmax": (e.argmax, lambda v: float(np.argmax(v)) + 1.0),
    "argmin": (e.argmin, lambda v: float(np.argmin(v)) + 1.0),
    "lag": (lambda x, n: e.lag(x, n - 1) if n > 1 else x, lambda v: v[0]),
}
WIDTHS = (1, 2, 3, 5, 8, 13)
PRICES = st.sampled_from([np.nan, np.nan, 1.0, 1.5, 2.0, 2.0, 7.25, 1e6])


def panel(close: NDArray[np.float64]) -> Panel:
    ones: Window = np.ones(close.shape)
    n = len(close)
    return Panel(
        5, np.arange(n), np.ones(n, np.int32), np.arange(0.0, 5.0 * n, 5.0), ones * 375.0, ones == 1.0,
        close, close, close, close, ones, ~np.isnan(close),
    )  # fmt: skip


def defined(close: NDArray[np.float64], width: int, statistic: Callable[[Window], float]) -> NDArray[np.float64]:
    """The statistic of each instrument's last ``width`` bars at each of its bars."""
    out = np.full(close.shape, np.nan)
    for s in range(close.shape[1]):
        there = np.flatnonzero(~np.isnan(close[:, s]))
        for k in range(width, len(there) + 1):
            out[there[k - 1], s] = statistic(close[there[k - width : k], s])
    return out


@pytest.mark.parametrize("name", DEFINITIONS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(st.tuples(*[PRICES] * 3), min_size=1, max_size=60))
def test_a_window_is_what_numpy_makes_of_its_observations(name: str, rows: list[tuple[float, ...]]) -> None:
    """All widths at once, which share a ring, and instruments whose bars are missing at different times."""
    build, statistic = DEFINITIONS[name]
    close = np.array(rows)
    written = [*(build(e.close(), n) for n in WIDTHS), e.mean(e.close() * 2.0, 4)]  # a shorter ring stands before the others
    features = tuple(Feature(f"x{i}", "test", x, "", "", "") for i, x in enumerate(written))
    calculator = FeatureCalculator(FeatureSet(5, features, AnchorRule()), np.ones(3, np.bool_))
    found: Any = calculator.batch(panel(close), dtype=np.float64)
    for f, width in enumerate(WIDTHS):
        expected = defined(close, width, statistic)
        compare: Any = np.testing.assert_allclose if name == "quantile" else np.testing.assert_array_equal
        compare(found[:, :, f], expected, **({"rtol": 1e-15} if name == "quantile" else {}))
