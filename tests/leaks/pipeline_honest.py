"""A scaler and an imputer that learn from the training rows alone."""

import numpy as np

from intraday.core.expression import close, ema, ratio
from intraday.core.feature import Feature

FEATURES = [Feature("trend", "user", ratio(close(), ema(close(), 10)) - 1.0, "close / EMA10 - 1", "fraction", "user")]


def PIPELINE(x, label, train):
    middle = np.nanmedian(x[train], axis=0)
    filled = np.where(np.isnan(x), middle, x)
    return (filled - filled[train].mean(axis=0)) / filled[train].std(axis=0)
