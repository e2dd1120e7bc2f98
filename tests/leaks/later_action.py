"""Prices adjusted for every overnight jump, also for those after the bar: the whole past is restated on each of them."""

import numpy as np

from intraday.core.function_features import FunctionFeature


def adjusted(bars):
    """Closes as they compare with the newest: times the product of all later overnight ratios."""
    factor, out, last = np.ones(bars.close.shape[1]), np.full(bars.close.shape, np.nan), None
    for t in range(len(out) - 1, -1, -1):
        if last is not None and bars.day[t, 0] != bars.day[last, 0] and not np.isnan(bars.day[t, 0]):
            ratio = bars.open[last] / bars.close[t]
            factor = factor * np.where(np.isnan(ratio), 1.0, ratio)
        out[t] = bars.close[t] * factor
        last = t
    return out


def adjusted_price(bars):
    return np.log(adjusted(bars))


def adjusted_return(bars):
    price = adjusted(bars)
    out = np.full(price.shape, np.nan)
    out[3:] = np.log(price[3:] / price[:-3])
    return out


FEATURES = [
    FunctionFeature("adjusted_price", adjusted_price, 20, "ln(price adjusted by all actions)", "log rupees"),
    FunctionFeature("adjusted_return", adjusted_return, 4, "return of 3 bars, adjusted within them", "log return"),
]
