"""The random parts of the synthetic market: motions, times and counts, plain Python and pure.

Brownian motion by midpoint displacement: Lévy 1948; Fournier, Fussell, Carpenter 1982.
Hashing: SplitMix64 (Steele, Lea, Flood 2014).
"""

from __future__ import annotations

import struct
from itertools import accumulate
from math import exp, sqrt
from random import Random
from statistics import NormalDist

from intraday.domain.arrays import MINUTE_NS
from intraday.domain.session import Session

MASK = 2**64 - 1
GRID_STEPS = 2**15  # of the long motion
BURSTS_A_DAY = 4
BURST_TRADES = 12.0  # this many times the trades of an ordinary minute in a burst
KNOTS = 256
NORMAL = [NormalDist().inv_cdf((i + 0.5) / 4096) for i in range(4096)]
FINE = [z / sqrt(sum(x * x for x in NORMAL[8::16]) / 256) for z in NORMAL[8::16]]  # 256 steps of variance one


def _day_shape() -> list[float]:
    """Share of the session at which each 256th of the day's trades has happened: dense at both ends."""
    weight = [0.7 + 1.8 * exp(-(i + 0.5) / KNOTS / 0.06) + 0.8 * exp(((i + 0.5) / KNOTS - 1.0) / 0.05) for i in range(KNOTS)]
    passed = [0.0, *accumulate(weight)]
    out, i = [], 0
    for k in range(KNOTS + 1):
        wanted = passed[-1] * k / KNOTS
        while i < KNOTS - 1 and passed[i + 1] < wanted:
            i += 1
        out.append(min((i + (wanted - passed[i]) / weight[i]) / KNOTS, 1.0))
    return out


def seeded(seed: int | str) -> Random:
    """The generator of one thing: the same seed gives the same numbers in every process."""
    return Random(seed)  # nosec B311 - a market has to be repeatable, not secret


def trade_times(rng: Random, rate: float, session: Session, bursts: list[int]) -> list[int]:
    """When trades happen, ns, ascending: a Poisson process of the day's shape, with more of it in bursts."""
    length = session.close_ns - session.open_ns
    n = poisson(rng, rate * session.minutes)
    out = []
    for u in struct.unpack(f"<{n}I", rng.randbytes(4 * n)):
        k = u >> 24
        out.append(session.open_ns + int(length * (SHAPE[k] + (SHAPE[k + 1] - SHAPE[k]) * (u & 0xFFFFFF) / 0x1000000)))
    for at_ns in bursts:
        more = poisson(rng, BURST_TRADES * rate)
        out += [at_ns + rng.randrange(MINUTE_NS) for _ in range(more)]
    out.sort()
    return [t for t in out if not paused(session, t)] if session.pauses else out


def burst_minutes(rng: Random, session: Session) -> list[int]:
    """Minutes in which bursts happen, ns of their beginning, ascending; none in the last half hour."""
    last = session.minutes - 30
    if last <= 0:
        return []
    n = poisson(rng, BURSTS_A_DAY * session.minutes / 375)
    return sorted({session.open_ns + rng.randrange(last) * MINUTE_NS for _ in range(n)})


def poisson(rng: Random, mean: float) -> int:
    """A Poisson number; the normal approximation above 30."""
    if mean > 30:
        return max(0, round(mean + sqrt(mean) * rng.choice(NORMAL)))
    n, product, floor = 0, rng.random(), exp(-mean)
    while product > floor:
        n += 1
        product *= rng.random()
    return n


def paused(session: Session, at_ns: int) -> bool:
    """Whether trading was halted at that instant."""
    return any(start <= at_ns < end for start, end in session.pauses)


def mix(x: int) -> int:
    """64 well-mixed bits of any integer (SplitMix64: Steele, Lea, Flood 2014)."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def motion(key: int, step: int) -> float:
    """Brownian motion of ``key`` at ``step`` of 0 .. GRID_STEPS, by midpoint displacement; variance one a step."""
    low, high = 0, GRID_STEPS
    at_low, at_high = 0.0, sqrt(GRID_STEPS) * NORMAL[mix(key) >> 52]
    while step not in (low, high):
        middle = (low + high) // 2
        at = (at_low + at_high) / 2 + sqrt(high - low) / 2 * NORMAL[mix(key ^ middle * 0xA24BAED4963EE407) >> 52]
        if step < middle:
            high, at_high = middle, at
        else:
            low, at_low = middle, at
    return at_low if step == low else at_high


SHAPE = _day_shape()
