"""A rank among all instruments, in which one whose bar is late counts with the bar that it has later."""

import numpy as np

from intraday.core.function_features import FunctionFeature


def share_below(x, member):
    """Share of the members that are lower, of those that are there."""
    there = ~np.isnan(x) & member
    lower = (x[:, None, :] < x[:, :, None]) & there[:, None, :]
    return np.where(there, lower.sum(axis=2) / np.maximum(there.sum(axis=1, keepdims=True), 1), np.nan)


def among_all(bars):
    x = bars.close / bars.open - 1.0
    for t in range(len(x) - 2, -1, -1):
        x[t] = np.where(np.isnan(x[t]), x[t + 1], x[t])
    return share_below(x, bars.member)


def among_those_there(bars):
    return share_below(bars.close / bars.open - 1.0, bars.member)


FEATURES = [
    FunctionFeature("among_all", among_all, 4, "rank of the bar's return, late ones filled in", "0 .. 1"),
    FunctionFeature("among_those_there", among_those_there, 1, "rank of the bar's return among those that are there", "0 .. 1"),
]
