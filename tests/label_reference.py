"""A slow, independent statement of the label rules, from docs/labels.md: plain Python, paise as integers where it can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

MIN = 60_000_000_000


@dataclass(frozen=True)
class Minute:
    ts: int
    open: float
    high: float
    low: float
    close: float


@dataclass(frozen=True)
class Answer:
    label: int
    ends: tuple[str, str]
    both: bool
    ret: tuple[float, float]
    entry: int
    t1: int


def rounded_barrier(close: float, distance: float, tick: int, up: bool) -> float:
    """In exact arithmetic, forgiving a millionth of a tick."""
    here, there = Fraction(close) * 100 / tick, Fraction(close + (distance if up else -distance)) * 100 / tick
    slack = Fraction(1, 10**6)
    if up:
        steps = max(math.ceil(there - slack), math.floor(here + slack) + 1)
    else:
        steps = max(min(math.floor(there + slack), math.ceil(here - slack) - 1), 1)
    return steps * tick / 100


def one_trade(bars: list[Minute], side: str, target: float, stop: float, vertical: int, hole: int) -> tuple[str, float, int, bool]:
    long = side == "long"
    entry, last_end, last_price = bars[0], bars[0].ts, bars[0].open
    for bar in bars:
        if bar.ts >= vertical:
            break
        if bar.ts > last_end + hole:
            return "unknown", 0.0, 0, False
        end = bar.ts + MIN
        open_at_stop = bar.open <= stop if long else bar.open >= stop
        open_at_target = bar.open >= target if long else bar.open <= target
        if bar is entry and (open_at_stop or open_at_target):
            return "skipped", bar.open, end, False
        if open_at_stop:
            return "stop", bar.open, end, False
        if open_at_target:
            return "target", bar.open, end, False
        reached_stop = bar.low <= stop if long else bar.high >= stop
        reached_target = bar.high >= target if long else bar.low <= target
        if reached_stop:
            return "stop", stop, end, reached_target
        if reached_target:
            return "target", target, end, False
        last_end, last_price = end, bar.close
    if vertical > last_end + hole:
        return "unknown", 0.0, 0, False
    return "vertical", last_price, vertical, False


def reference_label(
    minutes: list[Minute], close: float, sigma: float, closed: int, tick: int, last_exit: int,
    horizon: int, n_bars: float, target: float, stop: float, delay_s: int, wait: int,
) -> Answer | None:  # fmt: skip
    if not (sigma > 0 and close > 0):
        return None
    unit = close * sigma * math.sqrt(n_bars)
    due, vertical = closed + delay_s * 10**9, min(closed + horizon * MIN, last_exit)
    candidates = [b for b in minutes if due <= b.ts <= due + wait * MIN and b.ts < vertical]
    if not candidates:
        return None
    entry = candidates[0]
    after = [b for b in minutes if b.ts >= entry.ts]
    up, down = (rounded_barrier(close, target * unit, tick, above) for above in (True, False))
    below, above = (rounded_barrier(close, stop * unit, tick, side) for side in (False, True))
    long = one_trade(after, "long", up, below, vertical, wait * MIN)
    short = one_trade(after, "short", down, above, vertical, wait * MIN)
    if "unknown" in (long[0], short[0]):
        return None
    won = {1: long[2], -1: short[2]}
    won = {k: v for k, v in won.items() if (long if k == 1 else short)[0] == "target"}
    tie = len(won) == 2 and long[2] == short[2]
    label = 0 if not won or tie else min(won, key=lambda k: won[k])
    ret = (long[1] / entry.open - 1, 1 - short[1] / entry.open)
    return Answer(label, (long[0], short[0]), long[3] or short[3] or tie, ret, entry.ts, max(long[2], short[2]))
