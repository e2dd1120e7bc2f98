"""A scaler fitted on all rows before they are split."""

import numpy as np

from intraday.core.expression import close, ema, ratio
from intraday.core.feature import Feature

FEATURES = [Feature("trend", "user", ratio(close(), ema(close(), 10)) - 1.0, "close / EMA10 - 1", "fraction", "user")]


def PIPELINE(x, label, train):
    return (x - np.nanmean(x, axis=0)) / np.nanstd(x, axis=0)
