"""Features without a peer in TA-Lib, against plain numpy and pandas written from the formulas, session by session."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from golden import exact
from intraday.core.registry import default_registry
from intraday.domain.arrays import F8

DAYS, SLOTS = 6, 75
REGISTRY = default_registry()


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(17)
    n = DAYS * SLOTS
    slot = np.tile(np.arange(SLOTS), DAYS)
    close = 1500.0 * np.exp(np.cumsum(rng.normal(0, 1e-3, n) + (slot == 0) * rng.normal(0, 1e-2, n)))
    open_ = close * np.exp(rng.normal(0, 6e-4, n))
    spread = 1 + rng.random((2, n)) * 1e-3
    out = pd.DataFrame({"session": np.repeat(np.arange(DAYS), SLOTS), "minute": slot * 5.0, "open": open_, "close": close})
    out["high"], out["low"] = np.maximum(open_, close) * spread[0], np.minimum(open_, close) / spread[1]
    out["volume"] = np.floor(rng.lognormal(8, 1, n)) + 1.0
    return out


def computed(frame: pd.DataFrame, name: str) -> F8:
    market = {column: frame[column].to_numpy(np.float64) for column in exact.PRICES}
    return exact.values(market, name, frame["session"].to_numpy(np.int32), frame["minute"].to_numpy(np.float64), timeframe=5)


def by_day(frame: pd.DataFrame, column: str, how: str) -> pd.Series[float]:
    return getattr(frame.groupby("session")[column], how)()  # type: ignore[no-any-return]


def intraday_return(f: pd.DataFrame) -> pd.Series[float]:
    base = f["close"].shift(1).where(f["session"] == f["session"].shift(1), f["open"])
    return pd.Series(np.log(f["close"] / base))


def sigma(f: pd.DataFrame) -> NDArray[np.float64]:
    """Weights written out: the newest w(n), the ones before what it left over."""
    r, alpha = intraday_return(f).to_numpy(), 2 / 61
    out = np.full(len(r), np.nan)
    weights = np.zeros(0)
    for n in range(1, len(r) + 1):
        w = max(alpha, 1 / n)
        weights = np.append(weights * (1 - w), w)
        mean = np.dot(weights, r[:n])
        if n >= 20:
            out[n - 1] = math.sqrt(np.dot(weights, (r[:n] - mean) ** 2))
    return out


def vwap(f: pd.DataFrame) -> pd.Series[float]:
    typical = (f["high"] + f["low"] + f["close"]) / 3
    money = (typical * f["volume"]).groupby(f["session"]).cumsum()
    return pd.Series(money / by_day(f, "volume", "cumsum"))


def above_vwap(f: pd.DataFrame) -> pd.Series[float]:
    typical = (f["high"] + f["low"] + f["close"]) / 3
    above = f["volume"].where(typical > vwap(f) + 1e-6, 0.0)
    return pd.Series(above.groupby(f["session"]).cumsum() / by_day(f, "volume", "cumsum"))


def slot_mean(f: pd.DataFrame, x: pd.Series[float]) -> NDArray[np.float64]:
    table = x.to_numpy().reshape(DAYS, SLOTS)
    known = np.full((DAYS, SLOTS), np.nan)
    for d in range(1, DAYS):
        known[d] = table[0] if d == 1 else known[d - 1] + 0.1 * (table[d - 1] - known[d - 1])
    return known.ravel()


def opening_range(f: pd.DataFrame) -> pd.Series[float]:
    early = f["minute"] < 30
    top = f["high"].where(early).groupby(f["session"]).cummax().groupby(f["session"]).ffill()
    bottom = f["low"].where(early).groupby(f["session"]).cummin().groupby(f["session"]).ffill()
    return pd.Series(((f["close"] - bottom) / (top - bottom)).clip(-5, 6))


def last_session(f: pd.DataFrame, column: str, how: str) -> pd.Series[float]:
    return f["session"].map(f.groupby("session")[column].agg(how).shift(1))


def roll_spread(f: pd.DataFrame) -> pd.Series[float]:
    r = intraday_return(f)
    serial = r.rolling(20).cov(r.shift(1), ddof=0)
    return pd.Series(2 * np.sqrt((-serial).clip(lower=0)))


def rogers(f: pd.DataFrame) -> pd.Series[float]:
    o, h, low, c = (np.log(f[k]) for k in ("open", "high", "low", "close"))
    return pd.Series(np.sqrt(((h - c) * (h - o) + (low - c) * (low - o)).rolling(20).mean()))


def garman(f: pd.DataFrame) -> pd.Series[float]:
    span, body = np.log(f["high"] / f["low"]), np.log(f["close"] / f["open"])
    return pd.Series(np.sqrt((0.5 * span**2 - (2 * math.log(2) - 1) * body**2).rolling(20).mean()))


def amihud(f: pd.DataFrame) -> pd.Series[float]:
    return intraday_return(f).abs().rolling(20).mean() / ((f["close"] * f["volume"]).rolling(20).mean() / 1e7)


def rank(x: pd.Series[float]) -> pd.Series[float]:
    return x.rolling(36).apply(lambda w: float((w <= w[-1]).mean()), raw=True)


Reference = Callable[[pd.DataFrame], "pd.Series[float] | NDArray[np.float64]"]
REFERENCES: list[tuple[str, Reference]] = [
    *((f"ret_{n}", lambda f, n=n: np.log(f["close"] / f["close"].shift(n))) for n in (1, 3, 6, 12, 36)),
    ("sigma", sigma),
    ("rvol_20", lambda f: np.sqrt((intraday_return(f) ** 2).rolling(20).mean())),
    ("vol_ratio", lambda f: np.sqrt((intraday_return(f) ** 2).rolling(6).mean()) / sigma(f)),
    ("mom_12", lambda f: np.log(f["close"] / f["close"].shift(12)) / (sigma(f) * math.sqrt(12))),
    ("roll_spread_20", roll_spread),
    ("parkinson_20", lambda f: np.sqrt((np.log(f["high"] / f["low"]) ** 2).rolling(20).mean() / (4 * math.log(2)))),
    ("garman_klass_20", garman),
    ("rogers_satchell_20", rogers),
    ("range_pct", lambda f: (f["high"] - f["low"]) / f["close"]),
    ("zscore_60", lambda f: (f["close"] - f["close"].rolling(60).mean()) / f["close"].rolling(60).std(ddof=0)),
    ("rank_36", lambda f: rank(f["close"])),
    ("efficiency_10", lambda f: (f["close"] - f["close"].shift(10)).abs() / f["close"].diff().abs().rolling(10).sum()),
    ("vol_rel_20", lambda f: f["volume"] / f["volume"].rolling(20).mean()),
    ("signed_vol_20", lambda f: (np.sign(f["close"].diff()) * f["volume"]).rolling(20).sum() / f["volume"].rolling(20).sum()),
    ("amihud_20", amihud),
    ("vwap_dist", lambda f: f["close"] / vwap(f) - 1),
    ("vol_above_vwap", above_vwap),
    ("vol_profile", lambda f: by_day(f, "volume", "cumsum") / slot_mean(f, by_day(f, "volume", "cumsum"))),
    ("vol_slot_rel", lambda f: f["volume"] / slot_mean(f, f["volume"])),
    ("session_pos", lambda f: f["minute"] / 375),
    ("tod_sin", lambda f: np.sin(2 * np.pi * f["minute"] / 375)),
    ("tod_cos", lambda f: np.cos(2 * np.pi * f["minute"] / 375)),
    ("ret_session", lambda f: np.log(f["close"] / f.groupby("session")["open"].transform("first"))),
    ("dist_high", lambda f: f["close"] / by_day(f, "high", "cummax") - 1),
    ("dist_low", lambda f: f["close"] / by_day(f, "low", "cummin") - 1),
    ("range_pos", lambda f: (f["close"] - by_day(f, "low", "cummin")) / (by_day(f, "high", "cummax") - by_day(f, "low", "cummin"))),
    ("or_pos", opening_range),
    ("gap", lambda f: f.groupby("session")["open"].transform("first") / last_session(f, "close", "last") - 1),
    ("dist_prev_close", lambda f: f["close"] / last_session(f, "close", "last") - 1),
    ("dist_prev_high", lambda f: f["close"] / last_session(f, "high", "max") - 1),
    ("dist_prev_low", lambda f: f["close"] / last_session(f, "low", "min") - 1),
    ("body", lambda f: (f["close"] - f["open"]) / (f["high"] - f["low"])),
    ("close_loc", lambda f: (2 * f["close"] - f["high"] - f["low"]) / (f["high"] - f["low"])),
]
BY_TALIB = {
    "rsi_14", "rsi_5", "ema_dist_9", "ema_dist_50", "ema_dist_200", "ema_9_21", "macd", "macd_signal", "macd_hist", "bb_pctb_20",
    "bb_width_20", "atr_pct_14", "plus_di_14", "minus_di_14", "adx_14", "stoch_k_14", "stoch_d_14", "mfi_14",
}  # fmt: skip


@pytest.mark.parametrize(("name", "reference"), REFERENCES, ids=[n for n, _ in REFERENCES])
def test_feature_is_its_formula(frame: pd.DataFrame, name: str, reference: Reference) -> None:
    expected, found = np.asarray(reference(frame), np.float64), computed(frame, name)
    assert np.array_equal(np.isnan(found), np.isnan(expected)), (name, np.isnan(found).sum(), np.isnan(expected).sum())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_every_feature_has_a_golden_answer() -> None:
    assert {n for n, _ in REFERENCES} | BY_TALIB == set(REGISTRY)


@pytest.mark.parametrize(("name", "value"), [("bb_pctb_20", 0.5), ("zscore_60", 0.0), ("bb_width_20", 0.0), ("sigma", 0.0),
                                             ("efficiency_10", 0.0), ("vol_above_vwap", 0.0), ("mfi_14", 50.0)])  # fmt: skip
def test_a_flat_market_is_flat_and_not_rounding(frame: pd.DataFrame, name: str, value: float) -> None:
    flat = frame.assign(open=1234.35, high=1234.35, low=1234.35, close=1234.35)
    found = computed(flat, name)
    assert set(found[~np.isnan(found)]) == {value}
