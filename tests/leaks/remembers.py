"""State kept beside the argument: what a call says depends on what was asked before it, so runs cannot be repeated."""

import numpy as np

from intraday.core.function_features import FunctionFeature

SEEN = []


def against_all_seen(bars):
    SEEN.append(float(np.nanmax(bars.close)))
    return bars.close / max(SEEN)


def against_the_window(bars):
    return bars.close / np.fmax(bars.close, np.concatenate([bars.close[:1], bars.close[:-1]]))


FEATURES = [
    FunctionFeature("against_all_seen", against_all_seen, 5, "close / highest close ever seen", "fraction"),
    FunctionFeature("against_the_window", against_the_window, 2, "close / higher of the last two closes", "fraction"),
]
