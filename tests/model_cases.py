"""Small made-up datasets for the model's tests: known edge, known costs, no market behind them."""

from __future__ import annotations

import numpy as np

from intraday.domain.arrays import DAY_NS, IST_NS, MINUTE_NS
from intraday.model.dataset import Dataset

NAMES = ("signal", "noise_a", "noise_b", "minute")
FIRST_SESSION = 20_000


def dataset(
    sessions: int = 30,
    instruments: int = 6,
    bars: int = 30,
    edge: float = 1.0,
    cost: float = 0.0006,
    seed: int = 1,
    sigma: float = 0.001,
) -> Dataset:
    """Decision bars every 10 minutes with one-hour labels; ``edge`` moves the odds of up against down by the feature ``signal``."""
    rng = np.random.default_rng(seed)
    n = sessions * bars * instruments
    session = np.repeat(np.arange(FIRST_SESSION, FIRST_SESSION + sessions), bars * instruments).astype(np.int32)
    bar = np.tile(np.repeat(np.arange(bars), instruments), sessions)
    inst = np.tile(np.arange(instruments), sessions * bars).astype(np.int32)
    open_ns = session.astype(np.int64) * DAY_NS - IST_NS + 555 * MINUTE_NS
    ts = open_ns + bar * 10 * MINUTE_NS
    entry = ts + 11 * MINUTE_NS
    t1 = np.minimum(entry + rng.integers(5, 61, n) * MINUTE_NS, open_ns + 375 * MINUTE_NS)
    x = rng.standard_normal((n, 4)).astype(np.float32)
    x[:, 3] = bar
    x[rng.random(n) < 0.02, 1] = np.nan
    logits = np.stack([-edge * x[:, 0], np.zeros(n) - 0.5, edge * x[:, 0]], axis=1).astype(np.float64)
    cum = np.cumsum(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), axis=1)
    label = ((rng.random(n)[:, None] > cum).sum(axis=1) - 1).clip(-1, 1).astype(np.int8)
    size = sigma * 3.0 * np.where(label == 0, 0.2 * rng.standard_normal(n), label)
    return Dataset(
        x=x, label=label, ret_long=size, ret_short=-size, sigma=np.full(n, sigma), cost=np.full(n, cost), ts_ns=ts, entry_ns=entry,
        t1_ns=t1, session=session, inst=inst, eligible=np.ones(n, dtype=np.bool_), attribution=np.full(n, np.nan),
        close_ns=ts + 10 * MINUTE_NS, close=np.full(n, 100.0), end_long_ns=t1, end_short_ns=t1,
        may_long=np.ones(n, np.bool_), may_short=np.ones(n, np.bool_),
        skip_long=np.zeros(n, np.bool_), skip_short=np.zeros(n, np.bool_), rules=np.empty((n, 0), dtype=np.int8),
    )  # fmt: skip
