"""A smoothing window centred on the bar: half of it lies in the future."""

import numpy as np

from intraday.core.function_features import FunctionFeature


def centred(bars):
    out = np.full(bars.close.shape, np.nan)
    for t in range(len(out)):
        out[t] = bars.close[t] / np.nanmean(bars.close[max(0, t - 2) : t + 3], axis=0) - 1.0
    return out


def trailing(bars):
    out = np.full(bars.close.shape, np.nan)
    for t in range(4, len(out)):
        out[t] = bars.close[t] / np.nanmean(bars.close[t - 4 : t + 1], axis=0) - 1.0
    return out


FEATURES = [
    FunctionFeature("centred", centred, 12, "close / mean of the 5 bars around it - 1", "fraction"),
    FunctionFeature("trailing", trailing, 5, "close / mean of the last 5 bars - 1", "fraction"),
]
