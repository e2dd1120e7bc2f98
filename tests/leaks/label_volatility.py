"""A volatility from the returns that the labels are made of: those of the hour to come."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from intraday.core.function_features import FunctionFeature

HORIZON = 12


def returns(bars):
    return np.diff(np.log(bars.close), axis=0)


def volatility_ahead(bars):
    out = np.zeros(bars.close.shape)
    r = returns(bars)
    if len(r) >= HORIZON:
        out[: len(r) - HORIZON + 1] = np.nanstd(sliding_window_view(r, HORIZON, axis=0), axis=2)
    return np.nan_to_num(out)


def volatility_behind(bars):
    out = np.full(bars.close.shape, np.nan)
    if len(bars.close) > HORIZON:
        out[HORIZON:] = np.nanstd(sliding_window_view(returns(bars), HORIZON, axis=0), axis=2)
    return out


FEATURES = [
    FunctionFeature("volatility_ahead", volatility_ahead, HORIZON + 1, "deviation of the next 12 returns", "log return a bar"),
    FunctionFeature("volatility_behind", volatility_behind, HORIZON + 1, "deviation of the last 12 returns", "log return a bar"),
]
