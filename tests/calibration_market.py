"""A made-up market whose odds are known and never change: how often calibrated forecasts come true can be told from luck."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from intraday.domain.arrays import DAY_NS, F8, IST_NS, MINUTE_NS
from intraday.model.calibration import softmax
from intraday.model.dataset import Dataset

FEATURES = ("signal", "bar", "volatility", "noise_a", "noise_b")
FIRST_SESSION = 20_000
BARS, INSTRUMENTS = 30, 6
SIGMA = 0.001


def stationary_market(sessions: int, edge: float, seed: int) -> tuple[Dataset, F8]:
    """Rows of 30 decision bars a session of 6 instruments, and the odds [n, 3] that their labels were drawn with.

    Odds of a move are U-shaped over the session and rise with a volatility that persists over sessions; ``edge`` moves those of up
    against down with ``signal``. Outcomes of a bar are correlated (0.1), and time-outs last longest, so weights favour moves.
    """
    rng, n = np.random.default_rng(seed), sessions * BARS * INSTRUMENTS
    day, bar = np.divmod(np.repeat(np.arange(sessions * BARS), INSTRUMENTS), BARS)
    volatility = np.zeros(sessions)
    for k in range(1, sessions):
        volatility[k] = 0.9 * volatility[k - 1] + 0.4 * rng.standard_normal()
    signal, noise = rng.standard_normal(n), rng.standard_normal((n, 2))
    x = np.column_stack([signal, bar, volatility[day] + 0.3 * rng.standard_normal(n), noise]).astype(np.float32)
    move = 0.8 * ((bar - BARS / 2) / (BARS / 2)) ** 2 + 0.2 * x[:, 2] - 0.3
    odds = softmax(np.column_stack([move - edge * x[:, 0], np.zeros(n), move + edge * x[:, 0]]))
    common = np.repeat(rng.standard_normal(sessions * BARS), INSTRUMENTS)
    luck = ndtr(np.sqrt(0.1) * common + np.sqrt(0.9) * rng.standard_normal(n))
    label = ((luck[:, None] > odds.cumsum(axis=1)).sum(axis=1) - 1).clip(-1, 1).astype(np.int8)
    open_ns = (FIRST_SESSION + day) * DAY_NS - IST_NS + 555 * MINUTE_NS
    ts_ns = open_ns + bar * 10 * MINUTE_NS
    lasts = np.where(label == 0, 60, rng.integers(5, 61, n)) * MINUTE_NS
    t1_ns = np.minimum(ts_ns + 11 * MINUTE_NS + lasts, open_ns + 375 * MINUTE_NS)
    ret = 3.0 * SIGMA * np.where(label == 0, 0.2 * rng.standard_normal(n), label)
    data = Dataset(
        x=x, label=label, ret_long=ret, ret_short=-ret, sigma=np.full(n, SIGMA), cost=np.full(n, 0.0006), ts_ns=ts_ns,
        entry_ns=ts_ns + 11 * MINUTE_NS, t1_ns=t1_ns, session=(FIRST_SESSION + day).astype(np.int32),
        inst=np.tile(np.arange(INSTRUMENTS), sessions * BARS).astype(np.int32), eligible=np.ones(n, np.bool_),
        attribution=np.full(n, np.nan), close_ns=ts_ns + 10 * MINUTE_NS, close=np.full(n, 100.0), end_long_ns=t1_ns,
        end_short_ns=t1_ns, rules=np.empty((n, 0), np.int8),
        may_long=np.ones(n, np.bool_), may_short=np.ones(n, np.bool_),
        skip_long=np.zeros(n, np.bool_), skip_short=np.zeros(n, np.bool_),
    )  # fmt: skip
    return data, odds
