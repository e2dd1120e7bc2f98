"""Today's high, known at the open."""

import numpy as np

from intraday.core.function_features import FunctionFeature


def by_day(bars, reduce):
    out = np.full(bars.high.shape, np.nan)
    for day in np.unique(bars.day[:, 0]):
        rows = bars.day[:, 0] == day
        out[rows] = reduce(bars.high[rows])
    return out


def below_day_high(bars):
    return bars.close / by_day(bars, lambda high: np.nanmax(high, axis=0)) - 1.0


def below_high_so_far(bars):
    return bars.close / by_day(bars, lambda high: np.fmax.accumulate(high, axis=0)) - 1.0


FEATURES = [
    FunctionFeature("below_day_high", below_day_high, 75, "close / day's high - 1", "fraction"),
    FunctionFeature("below_high_so_far", below_high_so_far, 75, "close / high of the day so far - 1", "fraction"),
]
