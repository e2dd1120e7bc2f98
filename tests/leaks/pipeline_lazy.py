"""A scaler fitted once, on whatever it is given first: in a notebook that is everything."""

import numpy as np

from intraday.core.expression import close, ema, ratio
from intraday.core.feature import Feature

FEATURES = [Feature("trend", "user", ratio(close(), ema(close(), 10)) - 1.0, "close / EMA10 - 1", "fraction", "user")]
FITTED = {}


def PIPELINE(x, label, train):
    if "mean" not in FITTED:
        FITTED["mean"], FITTED["std"] = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
    return (x - FITTED["mean"]) / FITTED["std"]
