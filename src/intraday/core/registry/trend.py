"""Returns and distances from averages."""

from __future__ import annotations

from intraday.core.expression import Expr, close, ema, lag, log, mean, rank, ratio, std
from intraday.core.feature import Feature

SIMPLE = "definition; Campbell, Lo, MacKinlay (1997), section 1.4"


def log_return(bars: int) -> Expr:
    """ln(close / close ``bars`` ago); the night counts."""
    return log(close()) - lag(log(close()), bars)


def features() -> list[Feature]:
    """Families ``returns`` and ``trend``."""
    returns = [
        Feature(f"ret_{n}", "returns", log_return(n), f"ln(close / close {n} bars ago), nights included", "log return", SIMPLE)
        for n in (1, 3, 6, 12, 36)
    ]
    return [*returns, *_averages(), *_bands()]


def _averages() -> list[Feature]:
    c = close()
    macd = ema(c, 12) - ema(c, 26)
    signal = ema(macd, 9)
    appel = "Appel (2005), Technical Analysis; TA-Lib MACD"
    return [
        Feature("ema_dist_9", "trend", ratio(c, ema(c, 9)) - 1.0, "close / EMA9 - 1", "fraction", "TA-Lib EMA"),
        Feature("ema_dist_50", "trend", ratio(c, ema(c, 50)) - 1.0, "close / EMA50 - 1", "fraction", "TA-Lib EMA"),
        Feature("ema_dist_200", "trend", ratio(c, ema(c, 200)) - 1.0, "close / EMA200 - 1", "fraction", "TA-Lib EMA"),
        Feature("ema_9_21", "trend", ratio(ema(c, 9), ema(c, 21)) - 1.0, "EMA9 / EMA21 - 1", "fraction", "TA-Lib EMA"),
        Feature("macd", "trend", ratio(macd, c), "(EMA12 - EMA26) / close", "fraction of price", appel),
        Feature("macd_signal", "trend", ratio(signal, c), "EMA9 of (EMA12 - EMA26), / close", "fraction of price", appel),
        Feature("macd_hist", "trend", ratio(macd - signal, c), "(MACD - signal) / close", "fraction of price", appel),
    ]


def _bands() -> list[Feature]:
    c = close()
    m, d = mean(c, 20), std(c, 20)
    z60 = ratio(c - mean(c, 60), std(c, 60), 0.0)
    bollinger = "Bollinger (2001); TA-Lib BBANDS(20, 2, 2)"
    return [
        Feature("bb_pctb_20", "trend", ratio(c - m + d * 2.0, d * 4.0, 0.5),
                "(close - lower) / (upper - lower), bands mean20 +/- 2 population sd; 0.5 if flat", "share of the band", bollinger),
        Feature("bb_width_20", "trend", ratio(d * 4.0, m), "(upper - lower) / mean20", "fraction of price", bollinger),
        Feature("zscore_60", "trend", z60, "(close - mean60) / population sd60; 0 if flat", "standard deviations", "definition"),
        Feature("rank_36", "trend", rank(c, 36), "share of the last 36 closes not above this one", "1/36 .. 1", "definition"),
    ]  # fmt: skip
