"""A choice of columns by what they tell of all labels, the scored ones among them."""

import numpy as np

from intraday.core.expression import close, ema, ratio
from intraday.core.feature import Feature

FEATURES = [Feature("trend", "user", ratio(close(), ema(close(), 10)) - 1.0, "close / EMA10 - 1", "fraction", "user")]


def PIPELINE(x, label, train):
    filled = np.nan_to_num(x)
    many = np.concatenate([filled**k for k in range(1, 9)], axis=1)
    told = np.array([abs(np.corrcoef(column, label)[0, 1]) for column in many.T])
    return many[:, told > 0.02]
