"""The second-by-second path of a made-up market: prices, trades and volume of every instrument over one session.

What is imitated (stylised facts, Cont 2001, "Empirical properties of asset returns"): volatility and volume high at the open
and the close (U shape), log-AR(1) volatility from minute to minute and from day to day, fat tails through that mixture,
overnight gaps, one market and a few sector factors, prices on a tick grid, thin instruments with seconds and minutes without
a trade. Given the volatility, every innovation is symmetric and independent, and half its variance is taken off the drift:
prices are a martingale except for the planted edge (see ``add_edge``) and the rounding to ticks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F8, I8, Mask

SECOND_NS = 1_000_000_000
MARKET_VOL, SECTOR_VOL = 0.008, 0.005  # standard deviations of one full session's log return
SESSION_SECONDS = 22_500.0  # of 375 minutes, what the volatilities above refer to
N_SECTORS = 3
BURST_MINUTES, DRIFT_MINUTES = 15, 60
BURSTS_PER_MINUTE = 4.0 / 375.0
BURST_VOL, BURST_VOLUME = 2.0, 5.0
AR_MINUTE, AR_DAY = 0.97, 0.9

F32 = NDArray[np.float32]


class Traits(NamedTuple):
    """What stays the same for an instrument all its life; arrays [S], the index (if any) in the last column."""

    level: F8  # price on the first day, rupees
    beta: F8
    sector: I8
    vol: F8  # own (idiosyncratic) volatility of a session's log return; 0 for the index
    trade: F8  # probability of a trade in a second
    shares: F8  # mean shares a trade
    tick: I8  # paise
    is_index: Mask


class DayState(NamedTuple):
    """What one session hands to the next; arrays [S]."""

    log_price: F8  # at the last close
    log_vol: F8  # day-level log volatility multiplier, AR(1)
    close: I8  # last price, paise
    volume: I8  # whole day's volume


class Path(NamedTuple):
    """One session, second by second: [n seconds, S]."""

    open_ns: int
    price: NDArray[np.int32]  # paise
    traded: Mask  # a trade (for the index: an update) in that second
    volume: I8  # cumulative for the day, the opening auction included
    auction: I8  # [S], shares matched before the open


def draw_traits(rng: np.random.Generator, n: int, with_index: bool) -> Traits:
    """Traits of ``n`` instruments: of the stocks 60 % trade in most seconds, 25 % in every third, the rest are thin."""
    n_stocks = n - int(with_index)
    level = np.exp(rng.uniform(np.log(90.0), np.log(4500.0), n))
    beta = rng.uniform(0.7, 1.3, n)
    vol = rng.uniform(0.010, 0.016, n)
    rank = np.arange(1, n + 1) / n_stocks
    trade = np.select([rank <= 0.6, rank <= 0.85], [0.92, 0.35], 0.04)
    shares = np.exp(rng.normal(np.log(60_000.0), 0.5, n)) / level
    index = np.zeros(n, dtype=np.bool_)
    sector = np.arange(n, dtype=np.int64) % N_SECTORS
    if with_index:
        level[-1], beta[-1], vol[-1], trade[-1], index[-1] = 24_000.0, 1.0, 0.0, 1.0, True
    tick = np.select([level < 250.0, level < 1000.0, index], [1, 5, 5], 10).astype(np.int64)
    return Traits(level, beta, sector, vol, trade, shares, tick, index)


def first_state(traits: Traits) -> DayState:
    """The state before the first session."""
    close = np.round(traits.level * 100.0 / traits.tick).astype(np.int64) * traits.tick
    zero = np.zeros(len(close))
    return DayState(np.log(traits.level), zero, close, np.zeros(len(close), dtype=np.int64))


def day_shape(n_minutes: int) -> F8:
    """U-shaped volatility multipliers [n_minutes] with a mean square of one: three times as high at the open as at noon."""
    at = (np.arange(n_minutes) + 0.5) / n_minutes
    shape: F8 = 0.7 + 1.5 * np.exp(-at / 0.06) + 0.5 * np.exp((at - 1.0) / 0.05)
    scaled: F8 = shape / np.sqrt(np.mean(shape**2))
    return scaled


def minute_vol(rng: np.random.Generator, n_minutes: int, n: int) -> F8:
    """Log volatility [n_minutes, n]: persistent AR(1) plus an independent part, which together make fat tails."""
    fresh = rng.normal(0.0, 0.3 * np.sqrt(1.0 - AR_MINUTE**2), (n_minutes, n))
    out = np.empty((n_minutes, n))
    level = rng.normal(0.0, 0.3, n)
    for t in range(n_minutes):
        level = AR_MINUTE * level + fresh[t]
        out[t] = level
    return out + rng.normal(0.0, 0.3, (n_minutes, n)) - 0.18  # E[exp(2x)] = 1: the variance stays what it was set to


def burst_starts(rng: np.random.Generator, n_minutes: int, traits: Traits) -> Mask:
    """Minutes [n_minutes, S] in which a burst of trading begins: about four a day and stock, none in the index."""
    starts: Mask = rng.random((n_minutes, len(traits.level))) < BURSTS_PER_MINUTE
    starts[:, traits.is_index] = False
    return starts


def add_edge(own: F32, sd: F32, starts: Mask, edge: float) -> F32:
    """The planted edge: log drift a second [n seconds, S], to be added to the own innovations ``own``.

    A burst is a quarter of an hour of five times the volume and twice the own volatility. When it ends, the price goes on in the
    direction in which it moved, for an hour, at a constant rate that sums to ``edge * tanh(move / sd) * sd``, with ``move`` the
    sum of the burst's own innovations and ``sd`` its standard deviation: the drift depends on the past alone.
    ``sd`` [n seconds, S] is the standard deviation of ``own`` a second. 0 plants nothing.
    """
    n, drift = own.shape[0], np.zeros_like(own)
    for minute, s in np.argwhere(starts):
        first, last = minute * 60, (minute + BURST_MINUTES) * 60
        if last >= n or edge == 0.0:
            continue
        spread = np.sqrt(np.sum(sd[first:last, s].astype(np.float64) ** 2))
        move = np.sum(own[first:last, s], dtype=np.float64)
        rate = edge * np.tanh(move / spread) * spread / (DRIFT_MINUTES * 60)
        drift[last : last + DRIFT_MINUTES * 60, s] += np.float32(rate)
    return drift


def widen(starts: Mask, factor: float) -> F8:
    """Multipliers [n_minutes, S]: ``factor`` in the minutes of a burst, 1 elsewhere."""
    inside = np.zeros(starts.shape, dtype=np.bool_)
    for k in range(BURST_MINUTES):
        inside[k:] |= starts[: len(starts) - k]
    return np.where(inside, factor, 1.0)


def draw_returns(rng: np.random.Generator, traits: Traits, state: DayState, starts: Mask, edge: float) -> tuple[F8, F8]:
    """Log returns a second [n seconds, S] and log activity a minute [n_minutes, S], which drives volume."""
    n_minutes, n = starts.shape
    shape = day_shape(n_minutes)[:, None] / np.sqrt(SESSION_SECONDS)
    common_vol = minute_vol(rng, n_minutes, 1 + N_SECTORS)
    own_vol = minute_vol(rng, n_minutes, n) + state.log_vol
    scale = np.array([MARKET_VOL] + [SECTOR_VOL] * N_SECTORS)
    common_sd = np.repeat(shape * scale * np.exp(common_vol), 60, axis=0)
    own_sd = np.repeat((shape * traits.vol * np.exp(own_vol) * widen(starts, BURST_VOL)).astype(np.float32), 60, axis=0)
    common = common_sd * rng.standard_normal(common_sd.shape)
    own = own_sd * rng.standard_normal(own_sd.shape, dtype=np.float32)
    factor = common[:, :1] * traits.beta
    factor += common[:, 1 + traits.sector] * ~traits.is_index
    variance = (common_sd[:, :1] * traits.beta) ** 2 + common_sd[:, 1 + traits.sector] ** 2 * ~traits.is_index + own_sd**2
    activity = own_vol - state.log_vol + common_vol[:, :1] * 0.5
    return factor + own + add_edge(own, own_sd, starts, edge) - 0.5 * variance, activity


def draw_gap(rng: np.random.Generator, traits: Traits) -> F8:
    """Overnight log returns [S] with Student-t tails of four degrees of freedom."""
    heavy = rng.standard_t(4, 1 + len(traits.level)) / np.sqrt(2.0)
    gap: F8 = traits.beta * 0.5 * MARKET_VOL * heavy[0] + 0.4 * traits.vol * heavy[1:]
    return gap


def draw_trades(rng: np.random.Generator, traits: Traits, starts: Mask, activity: F8) -> tuple[Mask, I8, I8]:
    """Seconds with a trade [n, S], cumulative volume [n, S] and the auction's volume [S]."""
    n_minutes, n = starts.shape
    busy = widen(starts, BURST_VOLUME) * np.exp(0.8 * activity) * day_shape(n_minutes)[:, None]
    chance = np.where(traits.is_index, 1.0, np.clip(traits.trade * np.maximum(busy, 0.5), 0.0, np.maximum(traits.trade, 0.6)))
    traded: Mask = rng.random((n_minutes * 60, n), dtype=np.float32) < np.repeat(chance, 60, axis=0)
    mean = np.repeat((traits.shares * busy).astype(np.float32), 60, axis=0)
    size = (mean * rng.standard_exponential(traded.shape, dtype=np.float32)).astype(np.int64) + 1
    auction = rng.integers(100, 20_000, n) * ~traits.is_index
    volume = np.cumsum(np.where(traded & ~traits.is_index, size, 0), axis=0)
    return traded, volume + auction, auction


def draw_path(
    rng: np.random.Generator, traits: Traits, state: DayState, open_ns: int, n_minutes: int, edge: float,
) -> tuple[Path, DayState]:  # fmt: skip
    """One session from the state the last one left, and the state it leaves. All randomness comes from ``rng``."""
    starts = burst_starts(rng, n_minutes, traits)
    step, activity = draw_returns(rng, traits, state, starts, edge)
    step[0] += draw_gap(rng, traits)
    np.cumsum(step, axis=0, out=step)
    step += state.log_price
    grid = traits.tick / 100.0
    price = np.maximum(np.round(np.exp(step) / grid), 1.0) * traits.tick
    traded, volume, auction = draw_trades(rng, traits, starts, activity)
    log_vol = AR_DAY * state.log_vol + rng.normal(0.0, 0.25 * np.sqrt(1.0 - AR_DAY**2), len(grid))
    path = Path(open_ns, price.astype(np.int32), traded, volume, auction)
    close: NDArray[Any] = path.price[-1].astype(np.int64)
    return path, DayState(step[-1].copy(), log_vol, close, volume[-1].copy())
