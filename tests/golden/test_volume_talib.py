"""Lines of volume against TA-Lib, before the cast: relative 1e-9, absolute 1e-9 of the line's own size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib

from golden import exact
from intraday.domain.arrays import F8

T = 3000
NAMES = ("obv_slope_20", "ad_slope_20", "adosc_3_10")
REAL = {"nse_2016": ("ADANIENT", "PAGEIND", "SAIL"), "nse_2021_from_ticks": ("RELIANCE", "SHREECEM")}
Bars = dict[str, F8]


def random_bars() -> Bars:
    rng = np.random.default_rng(5)
    close = np.round(250.0 * np.exp(np.cumsum(rng.standard_t(4, T) * 1e-3)), 1)
    open_ = np.round(close * np.exp(rng.normal(0, 4e-4, T)), 1)
    wide = rng.random((2, T)) * (rng.random(T) < 0.9)  # now and then a bar without wicks, or without any range
    high, low = np.maximum(open_, close) + wide[0], np.minimum(open_, close) - wide[1]
    return {"open": open_, "high": high, "low": low, "close": close, "volume": np.floor(rng.lognormal(8, 1, T))}


def real_bars(path: Path) -> Bars:
    if not path.is_file():
        pytest.skip(f"set {path.parent.name} lacks {path.stem} here")
    frame = pl.read_parquet(path).unique("ts", keep="first", maintain_order=True).head(T)
    return {name: frame[name].cast(pl.Float64).to_numpy() for name in exact.PRICES}


@pytest.fixture(scope="module", params=["random", *(f"{folder}/{name}" for folder, names in REAL.items() for name in names)])
def bars(request: pytest.FixtureRequest) -> Bars:
    if request.param == "random":
        return random_bars()
    return real_bars(request.getfixturevalue("shared") / "data" / "bars" / f"{request.param}.parquet")


def lines(m: Bars, name: str) -> tuple[F8, F8]:
    """The line and what TA-Lib makes of it."""
    high, low, close, volume = (m[k] for k in ("high", "low", "close", "volume"))
    if name == "obv_slope_20":
        line = talib.OBV(close, volume)
        return line, talib.LINEARREG_SLOPE(line, 20)
    line = talib.AD(high, low, close, volume)
    return line, talib.LINEARREG_SLOPE(line, 20) if name == "ad_slope_20" else talib.ADOSC(high, low, close, volume, 3, 10)


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_talib(bars: Bars, name: str) -> None:
    row = np.arange(len(bars["close"]))
    found = exact.values(bars, name, (row // 375).astype(np.int32), (row % 375).astype(np.float64), timeframe=1)
    line, expected = lines(bars, name)
    usual = talib.SMA(bars["volume"], 20)
    ok = (row >= 300) & (usual > 0)  # TA-Lib starts both averages of ADOSC at the first bar: (9/11)^300
    assert ok.sum() > 1000
    np.testing.assert_allclose((found * usual)[ok], expected[ok], rtol=1e-9, atol=1e-9 * np.abs(line).max())
