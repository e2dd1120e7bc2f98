"""Prices scaled by the mean and the deviation of the whole sample."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from intraday.core.function_features import FunctionFeature

WIDTH = 75


def scaled(bars):
    return (bars.close - np.nanmean(bars.close, axis=0)) / np.nanstd(bars.close, axis=0)


def scaled_by_the_past(bars):
    out = np.full(bars.close.shape, np.nan)
    past = sliding_window_view(bars.close, WIDTH, axis=0)
    out[WIDTH - 1 :] = (bars.close[WIDTH - 1 :] - np.nanmean(past, axis=2)) / np.nanstd(past, axis=2)
    return out


FEATURES = [
    FunctionFeature("scaled", scaled, WIDTH, "(close - mean) / deviation", "deviations"),
    FunctionFeature("scaled_by_the_past", scaled_by_the_past, WIDTH, "the same of the last 75 bars", "deviations"),
]
