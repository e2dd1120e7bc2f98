"""A value that exists every third bar, filled backwards to the bars before it."""

import numpy as np

from intraday.core.function_features import FunctionFeature


def every_third(bars):
    """The return of three bars, at the bar that completes a quarter of an hour."""
    out = np.full(bars.close.shape, np.nan)
    out[3:] = np.log(bars.close[3:] / bars.close[:-3])
    return np.where(bars.minute % 15.0 == 10.0, out, np.nan)


def filled(x):
    """The last observation, carried forward."""
    out = x.copy()
    for t in range(1, len(out)):
        out[t] = np.where(np.isnan(out[t]), out[t - 1], out[t])
    return out


def backward(bars):
    return np.nan_to_num(filled(every_third(bars)[::-1])[::-1])


def forward(bars):
    out = np.full(bars.close.shape, np.nan)
    x = every_third(bars)
    for t in range(5, len(out)):
        out[t] = filled(x[t - 2 : t + 1])[-1]
    return out


FEATURES = [
    FunctionFeature("backward", backward, 10, "return of a quarter of an hour, back-filled", "log return"),
    FunctionFeature("forward", forward, 6, "return of the last quarter of an hour, of the last 3 bars", "log return"),
]
