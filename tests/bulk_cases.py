"""Many bars and vectors for tests of bulk writing and reading: plain random walks, seeded."""

from __future__ import annotations

import numpy as np

from intraday.domain.arrays import BAR, F4, I4, I8, MINUTE_NS, Bars

_OPEN = 225  # minutes after midnight UTC: 09:15 IST


def minutes_of(first: str, days: int) -> I8:
    """Open times of ``days`` sessions of 375 minutes on days in a row."""
    start = np.datetime64(first, "ns").astype(np.int64)
    minutes = np.arange(days)[:, None] * 1440 + _OPEN + np.arange(375)
    return np.asarray(start + minutes.ravel() * MINUTE_NS, dtype=np.int64)


def some_bars(n_inst: int, ts_ns: I8, seed: int = 1) -> Bars:
    """A random walk on every minute for each instrument, ordered by (inst, ts)."""
    rng = np.random.default_rng(seed)
    bars = np.zeros(n_inst * ts_ns.shape[0], dtype=BAR)
    bars["ts_ns"], bars["inst"] = np.tile(ts_ns, n_inst), np.repeat(np.arange(n_inst), ts_ns.shape[0])
    bars["close"] = np.round(1000.0 * np.exp(np.cumsum(rng.normal(0.0, 3e-4, bars.shape[0]))), 2)
    bars["open"] = np.roll(bars["close"], 1)
    bars["high"], bars["low"] = np.maximum(bars["open"], bars["close"]) + 0.05, np.minimum(bars["open"], bars["close"]) - 0.05
    bars["volume"] = rng.integers(0, 50_000, bars.shape[0])
    return bars


def some_vectors(n_inst: int, ts_ns: I8, width: int, seed: int = 1) -> tuple[I8, I4, F4]:
    """(ts_ns, inst, x): a vector for each instrument and time, ordered by (ts, inst)."""
    n = n_inst * ts_ns.shape[0]
    x = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    inst = np.tile(np.arange(n_inst), ts_ns.shape[0]).astype(np.int32)
    return np.repeat(ts_ns, n_inst), inst, x
