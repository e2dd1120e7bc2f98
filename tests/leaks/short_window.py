"""No look ahead, but a memory longer than the declared window: in a notebook it is another feature than live."""

import numpy as np

from intraday.core.function_features import FunctionFeature


def smoothed(bars):
    out = bars.close.copy()
    for t in range(1, len(out)):
        out[t] = np.where(np.isnan(out[t]), out[t - 1], 0.9 * out[t - 1] + 0.1 * out[t])
    return bars.close / out - 1.0


def mean_of_three(bars):
    out = np.full(bars.close.shape, np.nan)
    out[2:] = bars.close[2:] / np.nanmean([bars.close[2:], bars.close[1:-1], bars.close[:-2]], axis=0) - 1.0
    return out


FEATURES = [
    FunctionFeature("smoothed", smoothed, 8, "close / exponential mean - 1", "fraction"),
    FunctionFeature("mean_of_three", mean_of_three, 3, "close / mean of three - 1", "fraction"),
]
