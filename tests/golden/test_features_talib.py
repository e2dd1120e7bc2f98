"""Features against TA-Lib, instrument by instrument, on a random market and on real bars.

Where TA-Lib starts its recursion at the same bar, every value must agree; MACD's fast average and ADX start elsewhere there, so
those are compared after a burn-in, when the start has decayed below the tolerance ((11/13)^250 and (13/14)^600).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib
from numpy.typing import NDArray

from golden import exact
from intraday.domain.arrays import F8

T = 3000
Market = dict[str, F8]


def random_market() -> Market:
    rng = np.random.default_rng(42)
    close = 250.0 * np.exp(np.cumsum(rng.standard_t(4, T) * 1e-3))
    open_ = np.concatenate([[250.0], close[:-1]]) * np.exp(rng.normal(0, 2e-4, T))
    high = np.maximum(open_, close) * (1 + rng.random(T) * 1e-3)
    low = np.minimum(open_, close) * (1 - rng.random(T) * 1e-3)
    return {"open": open_, "high": high, "low": low, "close": close, "volume": np.floor(rng.lognormal(8, 1, T)) + 1.0}


def real_market(shared: Path) -> Market:
    files = sorted((shared / "data" / "bars" / "nse_2021_from_ticks").glob("*.parquet"))
    if not files:
        pytest.skip("no bars of set nse_2021_from_ticks in the shared data")
    stocks = (frame for f in files if (frame := pl.read_parquet(f))["volume"].sum() > 0)
    frame = next(stocks).head(T)
    return {name: frame[name].cast(pl.Float64).to_numpy() for name in ("open", "high", "low", "close", "volume")}


@pytest.fixture(scope="module", params=["random", "real"])
def market(request: pytest.FixtureRequest) -> Market:
    return random_market() if request.param == "random" else real_market(request.getfixturevalue("shared"))


def values(market: Market, name: str) -> F8:
    row = np.arange(len(market["close"]))
    return exact.values(market, name, (row // 375).astype(np.int32), (row % 375).astype(np.float64), timeframe=1)


def agree(found: F8, expected: NDArray[np.float64], burn_in: int = 0, scale: float = 1.0) -> None:
    if burn_in == 0:
        assert np.array_equal(np.isnan(found), np.isnan(expected)), "warm-up differs"
    ok = ~np.isnan(expected) & (np.arange(len(expected)) >= burn_in)
    assert ok.sum() > 2000
    np.testing.assert_allclose(found[ok], expected[ok], rtol=1e-9, atol=1e-11 * scale)


def test_rsi(market: Market) -> None:
    agree(values(market, "rsi_14"), talib.RSI(market["close"], 14), scale=100)
    agree(values(market, "rsi_5"), talib.RSI(market["close"], 5), scale=100)


@pytest.mark.parametrize(("name", "period"), [("ema_dist_9", 9), ("ema_dist_50", 50), ("ema_dist_200", 200)])
def test_ema(market: Market, name: str, period: int) -> None:
    agree(values(market, name), market["close"] / talib.EMA(market["close"], period) - 1)


def test_ema_cross(market: Market) -> None:
    agree(values(market, "ema_9_21"), talib.EMA(market["close"], 9) / talib.EMA(market["close"], 21) - 1)


@pytest.mark.parametrize(("name", "column"), [("macd", 0), ("macd_signal", 1), ("macd_hist", 2)])
def test_macd(market: Market, name: str, column: int) -> None:
    agree(values(market, name), talib.MACD(market["close"], 12, 26, 9)[column] / market["close"], burn_in=300)


def test_bollinger(market: Market) -> None:
    upper, middle, lower = talib.BBANDS(market["close"], 20, 2.0, 2.0)
    wide = upper - lower > 1e-3 * middle  # TA-Lib's one-pass variance loses its digits in narrower bands
    assert wide.sum() > 500
    width, pctb = values(market, "bb_width_20"), values(market, "bb_pctb_20")
    np.testing.assert_allclose(width[wide], (upper - lower)[wide] / middle[wide], rtol=1e-7)
    np.testing.assert_allclose(pctb[wide], (market["close"] - lower)[wide] / (upper - lower)[wide], rtol=1e-7, atol=1e-7)


def test_atr(market: Market) -> None:
    c = market["close"]
    agree(values(market, "atr_pct_14"), talib.ATR(market["high"], market["low"], c, 14) / c)


@pytest.mark.parametrize(("name", "peer"), [("plus_di_14", talib.PLUS_DI), ("minus_di_14", talib.MINUS_DI), ("adx_14", talib.ADX)])
def test_directional_movement(market: Market, name: str, peer: Callable[..., NDArray[np.float64]]) -> None:
    agree(values(market, name), peer(market["high"], market["low"], market["close"], 14), burn_in=900, scale=100)


def test_stochastic(market: Market) -> None:
    high, low, close = market["high"], market["low"], market["close"]
    k = values(market, "stoch_k_14")
    span = talib.MAX(high, 14) - talib.MIN(low, 14)
    fast, _ = talib.STOCHF(high, low, close, 14, 1, 0)
    fast = np.where(span == 0, 50.0, fast)  # TA-Lib says 0 where nothing moved
    known = ~np.isnan(span)
    np.testing.assert_allclose(k[known], fast[known], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(values(market, "stoch_d_14")[15:], talib.SMA(fast[13:], 3)[2:], rtol=1e-9, atol=1e-9)


def test_money_flow(market: Market) -> None:
    high, low, close = market["high"], market["low"], market["close"]
    typical = (high + low + close) / 3
    tie = np.abs(np.diff(typical, prepend=0.0)) < 1e-6  # TA-Lib lets rounding decide there
    untied = np.convolve(tie, np.ones(14))[:T] == 0
    expected, found = talib.MFI(high, low, close, market["volume"], 14), values(market, "mfi_14")
    ok = ~np.isnan(expected) & untied
    assert ok.sum() > 1500
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found[ok], expected[ok], rtol=1e-9, atol=1e-9)
