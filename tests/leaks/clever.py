"""What somebody clever may write that takes the future, or something that will be different live; and three honest features."""

from datetime import datetime

import numpy as np

from intraday.core.function_features import FunctionFeature

BY_SHAPE = {}
LATER = {}
PRICES = np.cumsum(np.ones(5000))  # as if it were read from a file of prices


def bar_return(bars):
    return bars.close / bars.open - 1.0


def peeking_where(bars, rows):
    """The bar's return, with that of the next bar where ``rows`` bool [T, S] says so."""
    out = bar_return(bars)
    ahead = np.nan_to_num(out[1:])
    out[:-1] = np.where(rows[:-1], ahead, out[:-1])
    return out


def kept_by_shape(bars):
    if bars.close.shape not in BY_SHAPE:
        BY_SHAPE[bars.close.shape] = bars.close / np.nanmean(bars.close, axis=0)
    return BY_SHAPE[bars.close.shape]


def kept_by_row(bars):
    """What followed a row when it was asked for later."""
    for row, following in zip(bars.close[:-1], bars.close[1:], strict=True):
        LATER[row.tobytes()] = following
    return np.array([np.nan_to_num(LATER.get(row.tobytes(), row) / row - 1.0) for row in bars.close])


def file_of_prices(bars):
    """The price that stands after this one in a table."""
    at = np.searchsorted(PRICES, np.nan_to_num(bars.close)).clip(0, len(PRICES) - 2)
    return PRICES[at + 1] / PRICES[at] - 1.0


def length_of_panel(bars):
    return bars.close / bars.open - 1.0 / len(bars.close)


def holes_to_come(bars):
    out = np.zeros(bars.close.shape)
    out[:-1] = np.isnan(bars.close[1:])
    return out


def chance(bars):
    return bar_return(bars) + np.random.default_rng().normal(0.0, 1e-3, bars.close.shape)


def wall_clock(bars):
    return bar_return(bars) + datetime.now().hour  # noqa: DTZ005, TID251  the point of it


def wraps_around(bars):
    return np.nancumsum(bars.volume, axis=0).astype(np.uint8)


def after_the_open(bars):
    return peeking_where(bars, bars.minute == 0.0)


def on_short_sessions(bars):
    return peeking_where(bars, bars.minutes < 100.0)


def in_the_closing_auction(bars):
    return peeking_where(bars, bars.minutes == 360.0)


def of_the_index(bars):
    return peeking_where(
        bars, np.arange(bars.close.shape[1]) == np.where(bars.minute >= 0.0, -1 if bars.index is None else bars.index, -1)
    )


def by_its_place(bars):
    """A rank in which equals are told apart by their column."""
    rounded = np.where(bars.member, np.round(np.nan_to_num(bar_return(bars)), 3), np.inf)
    return np.where(bars.member, np.argsort(np.argsort(rounded, axis=1, kind="stable"), axis=1), np.nan)


def against_the_others(bars):
    members = np.where(bars.member, bar_return(bars), np.nan)
    return bar_return(bars) - np.nanmean(members, axis=1, keepdims=True)


def against_all_columns(bars):
    """Among them whoever happens to be stored beside the universe."""
    return bar_return(bars) - np.nanmean(bar_return(bars), axis=1, keepdims=True)


def against_the_third(bars):
    return bar_return(bars) - bar_return(bars)[:, 2:3]


def since_the_open(bars):
    return bars.minute / bars.minutes


def tilted(bars, weights=(0.5, 0.3, 0.2)):
    out = np.full(bars.close.shape, np.nan)
    r = bar_return(bars)
    out[2:] = weights[0] * r[2:] + weights[1] * r[1:-1] + weights[2] * r[:-2]
    return out


LEAKS = (
    (kept_by_shape, 5), (kept_by_row, 2), (file_of_prices, 1), (length_of_panel, 4), (holes_to_come, 3), (chance, 1),
    (wall_clock, 1), (wraps_around, 5), (after_the_open, 3), (on_short_sessions, 3), (in_the_closing_auction, 3),
    (of_the_index, 3), (by_its_place, 1), (against_all_columns, 1), (against_the_third, 1),
)  # fmt: skip
HONEST = ((against_the_others, 1), (since_the_open, 1), (tilted, 3))
FEATURES = [FunctionFeature(f.__name__, f, window, "", "") for f, window in (*LEAKS, *HONEST)]
