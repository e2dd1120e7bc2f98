"""The coarser bars, 15 and 60 minutes: the last CLOSED one, carried to every decision bar until the next one closes."""

from __future__ import annotations

import math

from intraday.core.expression import (
    Expr,
    bucket_close,
    bucket_high,
    bucket_low,
    bucket_volume,
    clip,
    close,
    ema,
    hold,
    log,
    max_,
    min_,
    prev,
    ratio,
    wilder,
)
from intraday.core.feature import Feature

FAMILY = "timeframes"
FRAMES = (15, 60)
WILDER = "Wilder (1978)"
COARSER = "a decision timeframe that does not divide it"


def features() -> list[Feature]:
    """Family ``timeframes``."""
    return [feature for frame in FRAMES for feature in [*_trend(frame), *_spread(frame)]]


def _now(x: Expr) -> Expr:
    return hold(x, close())


def _rsi(frame: int) -> Expr:
    change = bucket_close(frame) - prev(bucket_close(frame))
    up, down = wilder(clip(change, 0.0, math.inf), 14), wilder(clip(-change, 0.0, math.inf), 14)
    return ratio(up, up + down, 0.5) * 100.0


def _trend(frame: int) -> list[Feature]:
    c = bucket_close(frame)
    bars = f"of closed {frame}-minute bars"
    fast, slow = ema(c, 9), ema(c, 21)
    return [
        Feature(f"m{frame}_ret_1", FAMILY, _now(log(ratio(c, prev(c)))), f"ln(close / the one before) {bars}, nights included",
                "log return", "definition", COARSER),
        Feature(f"m{frame}_trend", FAMILY, _now(ratio(fast, slow)) - 1.0, f"EMA9 / EMA21 - 1 {bars}", "fraction", "TA-Lib EMA",
                COARSER),
        Feature(f"m{frame}_ema_dist_21", FAMILY, ratio(close(), _now(slow)) - 1.0, f"close now / EMA21 {bars} - 1", "fraction",
                "TA-Lib EMA", COARSER),
        Feature(f"m{frame}_rsi_14", FAMILY, _now(_rsi(frame)), f"RSI14 {bars}; 50 if flat", "0 .. 100", WILDER, COARSER),
    ]  # fmt: skip


def _spread(frame: int) -> list[Feature]:
    last, v = prev(bucket_close(frame)), bucket_volume(frame)
    true_range = max_(bucket_high(frame), last) - min_(bucket_low(frame), last)
    bars = f"of closed {frame}-minute bars"
    return [
        Feature(f"m{frame}_atr_pct_14", FAMILY, ratio(_now(wilder(true_range, 14)), close()), f"ATR14 {bars} / close now",
                "fraction of price", WILDER, COARSER),
        Feature(f"m{frame}_vol_rel_20", FAMILY, _now(ratio(v, ema(v, 20))), f"volume / EMA20 of it, itself included, {bars}",
                "ratio", "definition", f"no trade in the {frame}-minute bars so far, or {COARSER}"),
    ]  # fmt: skip
