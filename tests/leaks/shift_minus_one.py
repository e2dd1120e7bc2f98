"""pandas' ``shift(-1)``: the next bar's return."""

import numpy as np

from intraday.core.function_features import FunctionFeature


def next_return(bars):
    out = np.zeros(bars.close.shape)
    out[:-1] = np.log(bars.close[1:] / bars.close[:-1])
    return np.nan_to_num(out)


def last_return(bars):
    out = np.full(bars.close.shape, np.nan)
    out[1:] = np.log(bars.close[1:] / bars.close[:-1])
    return out


FEATURES = [
    FunctionFeature("next_return", next_return, 3, "ln(next close / close)", "log return"),
    FunctionFeature("last_return", last_return, 2, "ln(close / previous close)", "log return"),
]
