"""Simulated martingales with the stylised facts of the fitted sets (``parameters.py``), a minute at a time.

Given everything before it and its own variance v, which is drawn first, a minute's log return is normal with mean -v/2: the
expected price is the last price. Fat tails come from v alone (Student's t as a normal of random variance, cut), its persistence
from log autoregressions, its U from the day's shape; one market factor makes stocks move together; nights are gaps of the same
kind. Inside a minute the path is a Brownian bridge, whose highest and lowest points are drawn from their exact laws (reflection
principle; each by itself: Karatzas & Shreve 1991, section 2.8), so a barrier is met as often as a martingale meets it.

Prices are put on the tick grid so that nothing is gained by it: opens and closes to the nearest tick, highs down and lows up, to
the last price of the grid that the path has reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from intraday.core.null_markets.parameters import DAY_PHI, GAP_CAP, MINUTES, TAIL_CAP, Fit, LogVol
from intraday.domain.arrays import BAR, F8, MINUTE_NS, Bars, empty
from intraday.domain.session import Session

TICK_PAISE = 5


class Minutes(NamedTuple):
    """One-minute bars of a market, float64 [D sessions, 375, S]; prices in rupees on a grid of 5 paise, volume in whole shares."""

    open: F8
    high: F8
    low: F8
    close: F8
    volume: F8


class Sizes(NamedTuple):
    """Variances of log returns, before the minute's own luck: of the market [D, 375, 1], each stock [D, 375, S]; ``own_log`` is the
    log of the stocks' size against its usual level."""

    market: F8
    own: F8
    own_log: F8


def draw_minutes(rng: np.random.Generator, fit: Fit, sessions: int, stocks: int, drift: F8 | None = None) -> Minutes:
    """A market. ``drift`` float64 [D, 375, S]: log drift of each minute from its open on, which a planted edge adds; None: none."""
    beta = np.maximum(1.0 + fit.beta_sd * rng.standard_normal(stocks), 0.1)
    level = np.exp(rng.uniform(np.log(fit.low_price), np.log(fit.high_price), stocks))
    sizes = _sizes(rng, fit, sessions, stocks)
    market_variance = sizes.market * _luck(rng, fit.tail_df, sizes.market.shape, TAIL_CAP)
    own_variance = sizes.own * _luck(rng, fit.tail_df, sizes.own.shape, TAIL_CAP)
    total = beta**2 * market_variance + own_variance
    before = _normal(rng, fit.between * market_variance, fit.between * own_variance, beta)
    before[:, 0] = _nights(rng, fit, sizes, beta)
    within, inside = (
        (1.0 - fit.between) * total,
        _normal(rng, (1.0 - fit.between) * market_variance, (1.0 - fit.between) * own_variance, beta),
    )
    if drift is not None:
        inside = inside + drift
    steps = np.stack([before, inside], axis=2).reshape(-1, stocks)
    path = (np.log(level) + np.cumsum(steps, axis=0)).reshape(sessions, MINUTES, 2, stocks)
    opened = path[:, :, 0]
    high, low = (opened + _extreme(rng, inside, within, sign) for sign in (1.0, -1.0))
    volume = _volume(rng, fit, sizes.own_log, level)
    return _on_grid(opened, high, low, path[:, :, 1], volume)


def to_bars(minutes: Minutes, sessions: Sequence[Session]) -> Bars:
    """BAR rows ordered by (ts, inst); ``sessions``: D regular ones, in order."""
    days, length, stocks = minutes.close.shape
    assert len(sessions) == days and all(s.minutes == length for s in sessions), "regular sessions, one a day of the market"
    out = empty(BAR, days * length * stocks)
    opens = np.array([s.open_ns for s in sessions], np.int64)
    out["ts_ns"] = np.repeat((opens[:, None] + np.arange(length) * MINUTE_NS).ravel(), stocks)
    out["inst"] = np.tile(np.arange(stocks, dtype=np.int32), days * length)
    for name in Minutes._fields:
        out[name] = getattr(minutes, name).ravel()
    return out


def _sizes(rng: np.random.Generator, fit: Fit, sessions: int, stocks: int) -> Sizes:
    curve = fit.shape.curve()
    curve2 = (curve**2 / np.mean(curve**2))[:, None]
    own_log = _log_vol(rng, fit.own_vol, sessions, stocks)
    market_log = _log_vol(rng, fit.market_vol, sessions, 1)
    own_sd = fit.own_sd * np.exp(fit.own_spread * rng.standard_normal(stocks))
    return Sizes(
        fit.market_sd**2 * curve2 * _unit(market_log, fit.market_vol), own_sd**2 * curve2 * _unit(own_log, fit.own_vol), own_log
    )


def _unit(log_size: F8, law: LogVol) -> F8:
    """Variances with a mean of one from log sizes."""
    out: F8 = np.exp(2.0 * log_size - 2.0 * (law.minute**2 + law.day**2))
    return out


def _log_vol(rng: np.random.Generator, law: LogVol, sessions: int, n: int) -> F8:
    """Log sizes [sessions, 375, n] of mean zero: the day's level and the autoregression of its minutes, both stationary."""
    shocks = law.minute * np.sqrt(1.0 - law.phi**2) * rng.standard_normal((sessions, MINUTES, n))
    out: F8 = np.empty_like(shocks)
    level = law.minute * rng.standard_normal((sessions, n))
    for m in range(MINUTES):
        level = law.phi * level + shocks[:, m]
        out[:, m] = level
    day = law.day * rng.standard_normal(n)
    for d in range(sessions):
        out[d] += day
        day = DAY_PHI * day + law.day * np.sqrt(1.0 - DAY_PHI**2) * rng.standard_normal(n)
    return out


def _luck(rng: np.random.Generator, df: float, shape: tuple[int, ...], most: float) -> F8:
    """Factors of variance with a mean of about one that turn a normal into Student's t, at most ``most``."""
    out: F8 = np.minimum((df - 2.0) / (2.0 * rng.standard_gamma(df / 2.0, shape)), most)
    return out


def _normal(rng: np.random.Generator, market: F8, own: F8, beta: F8) -> F8:
    """Log returns of these variances whose exponential has the mean one: market [D, n, 1], own [D, n, S]."""
    common = np.sqrt(market) * rng.standard_normal(market.shape)
    out: F8 = beta * common + np.sqrt(own) * rng.standard_normal(own.shape) - 0.5 * (beta**2 * market + own)
    return out


def _nights(rng: np.random.Generator, fit: Fit, sizes: Sizes, beta: F8) -> F8:
    """Overnight log returns [D, S]; the first night's is as good as any."""
    days, _, stocks = sizes.own.shape
    market = np.mean(sizes.market, axis=(0, 1)) * MINUTES * fit.night_market**2 * _luck(rng, fit.night_df, (days, 1), GAP_CAP)
    own = np.mean(sizes.own, axis=(0, 1)) * MINUTES * fit.night_own**2 * _luck(rng, fit.night_df, (days, stocks), GAP_CAP)
    return _normal(rng, market, own, beta)


def _extreme(rng: np.random.Generator, move: F8, variance: F8, sign: float) -> F8:
    """How far a Brownian bridge from 0 to ``move`` goes up (``sign`` 1) or down (-1): its exact law, by inversion."""
    reach = -2.0 * variance * np.log1p(-rng.random(move.shape))
    out: F8 = 0.5 * (move + sign * np.sqrt(move**2 + reach))
    return out


def _volume(rng: np.random.Generator, fit: Fit, own_log: F8, level: F8) -> F8:
    """Shares a minute: U-shaped, persistent, larger when prices move more, with luck of its own."""
    curve = fit.volume_shape.curve()
    sessions, _, stocks = own_log.shape
    active = _log_vol(rng, fit.volume_vol, sessions, stocks) + fit.volume_on_size * own_log
    rest = np.sqrt(max(fit.volume_rest**2 - fit.volume_vol.minute**2 - fit.volume_vol.day**2, 0.0))
    active += rest * rng.standard_normal(own_log.shape)
    usual = fit.turnover / level * (curve / curve.mean())[:, None]
    out: F8 = np.maximum(np.floor(usual * np.exp(active)), 1.0)
    return out


def _on_grid(opened: F8, high: F8, low: F8, close: F8, volume: F8) -> Minutes:
    """Log prices as rupees on the tick grid."""
    step = TICK_PAISE / 100.0
    at_open, at_close = (np.maximum(np.rint(np.exp(log) / step), 1.0) for log in (opened, close))
    top = np.maximum(np.floor(np.exp(high) / step), np.maximum(at_open, at_close))
    bottom = np.minimum(np.maximum(np.ceil(np.exp(low) / step), 1.0), np.minimum(at_open, at_close))
    rupees = [ticks * TICK_PAISE / 100.0 for ticks in (at_open, top, bottom, at_close)]
    return Minutes(rupees[0], rupees[1], rupees[2], rupees[3], volume)
