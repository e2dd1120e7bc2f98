"""The mean of the day's closes, those still to come included."""

import numpy as np

from intraday.core.function_features import FunctionFeature


def against_day_mean(bars):
    out = np.full(bars.close.shape, np.nan)
    for day in np.unique(bars.day[:, 0]):
        rows = bars.day[:, 0] == day
        out[rows] = bars.close[rows] / np.nanmean(bars.close[rows], axis=0) - 1.0
    return out


def against_mean_so_far(bars):
    out = np.full(bars.close.shape, np.nan)
    for day in np.unique(bars.day[:, 0]):
        rows = bars.day[:, 0] == day
        count = np.cumsum(~np.isnan(bars.close[rows]), axis=0)
        out[rows] = bars.close[rows] / (np.nancumsum(bars.close[rows], axis=0) / np.maximum(count, 1)) - 1.0
    return out


FEATURES = [
    FunctionFeature("against_day_mean", against_day_mean, 75, "close / mean of the day's closes - 1", "fraction"),
    FunctionFeature("against_mean_so_far", against_mean_so_far, 75, "close / mean of the day's closes so far - 1", "fraction"),
]
