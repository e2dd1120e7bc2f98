"""Features of your own: copy this file, name it in config.yaml (``model.user_features: my_features.py``), run ``intraday audit``.

An expression is computed by the program's own kernels, as fast as the built-in features. A function is called with the bars of the
last ``window`` slots, and the last row of what it returns is the value; anything that numpy can do will do.
"""

import numpy as np

from intraday.core.expression import close, ema, high, low, mean, ratio, std, volume
from intraday.core.feature import Feature
from intraday.core.function_features import BarWindow, FunctionFeature

SPAN = 24


def squeeze(bars: BarWindow) -> np.ndarray:
    """Range of the last 6 bars against that of the last 24: low before a breakout. NaN where a bar is missing."""
    return spread(bars, 6) / spread(bars, SPAN)


def spread(bars: BarWindow, width: int) -> np.ndarray:
    """Highest high less lowest low of the last ``width`` rows, [T, S]; NaN in the first rows."""
    out = np.full(bars.close.shape, np.nan)
    for t in range(width - 1, len(out)):
        rows = slice(t - width + 1, t + 1)
        out[t] = bars.high[rows].max(axis=0) - bars.low[rows].min(axis=0)
    return out


def leader_gap(bars: BarWindow) -> np.ndarray:
    """The bar's return less the best among the members of the universe at the same bar."""
    move = bars.close / bars.open - 1.0
    compared = np.where(bars.member & ~np.isnan(move), move, -np.inf)
    best = compared.max(axis=1, keepdims=True)
    return np.where(np.isfinite(best), move - best, np.nan)


FEATURES = [
    Feature(
        "my_stretch", "user", ratio(close() - ema(close(), 20), std(close(), 20)), "(close - EMA20) / sd20", "deviations", "mine",
        undefined="flat prices",
    ),
    Feature(
        "my_effort", "user", ratio(ratio(high() - low(), close()), ratio(volume(), mean(volume(), 20))),
        "range / close / relative volume of 20 bars", "fraction", "mine", undefined="no volume",
    ),
    FunctionFeature("my_squeeze", squeeze, SPAN, "range of 6 bars / range of 24", "0 .. 1", undefined="a missing bar, flat prices"),
    FunctionFeature("my_leader_gap", leader_gap, 1, "return of the bar - best member's", "fraction, <= 0"),
]  # fmt: skip


def PIPELINE(x: np.ndarray, label: np.ndarray, train: np.ndarray) -> np.ndarray:  # noqa: N802
    """Optional: how you prepare rows for a model of your own. The audit sees to it that only ``train`` rows are learned from."""
    middle = np.nanmedian(x[train], axis=0)
    filled = np.where(np.isnan(x), middle, x)
    return (filled - filled[train].mean(axis=0)) / filled[train].std(axis=0)
