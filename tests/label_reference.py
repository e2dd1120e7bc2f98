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
    locked: bool


@dataclass(frozen=True)
class Limits:
    """Circuit limits in paise, None: not known; nobody enters within ``near`` paise of one."""

    lower: int | None = None
    upper: int | None = None
    near: int = 0

    def at(self, price: float, near: int = 0) -> bool:
        paise = round(price * 100)
        low = self.lower is not None and self.lower <= paise <= self.lower + near
        return low or (self.upper is not None and self.upper - near <= paise <= self.upper)


@dataclass(frozen=True)
class End:
    how: str
    price: float
    known: int
    both: bool = False
    locked: bool = False


def rounded_barrier(close: float, distance: float, tick: int, up: bool) -> float:
    """In exact arithmetic, forgiving a millionth of a tick."""
    here, there = Fraction(close) * 100 / tick, Fraction(close + (distance if up else -distance)) * 100 / tick
    slack = Fraction(1, 10**6)
    if up:
        steps = max(math.ceil(there - slack), math.floor(here + slack) + 1)
    else:
        steps = max(min(math.floor(there + slack), math.ceil(here - slack) - 1), 1)
    return steps * tick / 100


def leave_when_free(bars: list[Minute], since: int, last_exit: int, due: End, limits: Limits) -> End:
    """A locked position: the first open off the limits, or a mark at the last close when everything must be over."""
    for bar in bars:
        if since <= bar.ts < last_exit and not limits.at(bar.open):
            return End(due.how, bar.open, bar.ts + MIN, due.both, locked=True)
    mark = [bar.close for bar in bars if bar.ts < last_exit][-1]
    return End("vertical", mark, last_exit, due.both, locked=True)


def first_end(bars: list[Minute], side: str, target: float, stop: float, vertical: int, hole: int, limits: Limits) -> End:
    """When the trade should end and at what price, whether or not that can be had."""
    long = side == "long"
    entry, last_end, last_price = bars[0], bars[0].ts, bars[0].open
    for bar in bars:
        if bar.ts >= vertical:
            break
        if bar.ts > last_end + hole and not limits.at(last_price):
            return End("unknown", 0.0, 0)
        end = bar.ts + MIN
        open_at_stop = bar.open <= stop if long else bar.open >= stop
        open_at_target = bar.open >= target if long else bar.open <= target
        if bar is entry and (open_at_stop or open_at_target):
            return End("skipped", bar.open, end)
        if open_at_stop:
            return End("stop", bar.open, end)
        if open_at_target:
            return End("target", bar.open, end)
        reached_stop = bar.low <= stop if long else bar.high >= stop
        reached_target = bar.high >= target if long else bar.low <= target
        if reached_stop:
            return End("stop", stop, end, reached_target)
        if reached_target:
            return End("target", target, end)
        last_end, last_price = end, bar.close
    if vertical > last_end + hole and not limits.at(last_price):
        return End("unknown", 0.0, 0)
    return End("vertical", last_price, vertical)


def one_trade(
    bars: list[Minute], side: str, target: float, stop: float, vertical: int, hole: int, limits: Limits, last_exit: int
) -> End:
    if limits.at(bars[0].open, limits.near):
        return End("skipped", bars[0].open, bars[0].ts + MIN)
    end = first_end(bars, side, target, stop, vertical, hole, limits)
    if end.how in ("unknown", "skipped") or not limits.at(end.price):
        return end
    return leave_when_free(bars, end.known, last_exit, end, limits)


def reference_label(
    minutes: list[Minute], close: float, sigma: float, closed: int, tick: int, last_exit: int,
    horizon: int, n_bars: float, target: float, stop: float, delay_s: int, wait: int,
    limits: Limits = Limits(), halt: int | None = None,
) -> Answer | None:  # fmt: skip
    """``halt``: when trading stops after the decision; what has not ended by then is unknown."""
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
    long = one_trade(after, "long", up, below, vertical, wait * MIN, limits, last_exit)
    short = one_trade(after, "short", down, above, vertical, wait * MIN, limits, last_exit)
    if "unknown" in (long.how, short.how):
        return None
    if halt is not None and closed <= halt < max(long.known, short.known):
        return None
    won = {k: end.known for k, end in ((1, long), (-1, short)) if end.how == "target"}
    tie = len(won) == 2 and long.known == short.known
    label = 0 if not won or tie else min(won, key=lambda k: won[k])
    ret = (long.price / entry.open - 1, 1 - short.price / entry.open)
    return Answer(
        label, (long.how, short.how), long.both or short.both or tie, ret, entry.ts, max(long.known, short.known),
        long.locked or short.locked,
    )  # fmt: skip
