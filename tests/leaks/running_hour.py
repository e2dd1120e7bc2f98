"""The hour's bar at every bar within the hour: its close is known at its end."""

import numpy as np

from intraday.core.function_features import FunctionFeature


def hours(bars):
    """(open, close) of each row's hour, and of the hour before it, [T, S] each."""
    number = np.cumsum(np.diff(bars.day[:, 0] * 24.0 + bars.minute[:, 0] // 60.0, prepend=np.nan) != 0.0)
    now, before = np.full((2, 2, *bars.close.shape), np.nan)
    last = np.full((2, bars.close.shape[1]), np.nan)
    for k in np.unique(number):
        rows = np.flatnonzero(number == k)
        there = rows[~np.isnan(bars.close[rows]).all(axis=1)]
        before[:, rows] = last[:, None]
        if len(there):
            last = np.stack([bars.open[there[0]], bars.close[there[-1]]])
            now[:, rows] = last[:, None]
    return now, before


def this_hour(bars):
    now, _ = hours(bars)
    return now[1] / now[0] - 1.0


def last_closed_hour(bars):
    _, before = hours(bars)
    return before[1] / before[0] - 1.0


FEATURES = [
    FunctionFeature("this_hour", this_hour, 30, "close / open of the hour's bar - 1", "fraction"),
    FunctionFeature("last_closed_hour", last_closed_hour, 30, "close / open of the last closed hour - 1", "fraction"),
]
