"""15-minute bars named by their start, and joined to the 5-minute bars on that name."""

import numpy as np

from intraday.core.function_features import FunctionFeature


def quarters(bars):
    """[T, S]: at the last bar of each quarter of an hour its return, else NaN."""
    out = np.full(bars.close.shape, np.nan)
    out[2:] = bars.close[2:] / bars.open[:-2] - 1.0
    return np.where(bars.minute % 15.0 == 10.0, out, np.nan)


def joined_on_the_start(bars):
    out = np.full(bars.close.shape, np.nan)
    out[:-2] = quarters(bars)[2:]
    return np.nan_to_num(out)


def joined_on_the_end(bars):
    return np.nan_to_num(quarters(bars))


FEATURES = [
    FunctionFeature("joined_on_the_start", joined_on_the_start, 6, "return of the quarter that begins here", "fraction"),
    FunctionFeature("joined_on_the_end", joined_on_the_end, 3, "return of the quarter that ends here", "fraction"),
]
