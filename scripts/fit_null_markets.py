"""Fit the constants of ``src/intraday/core/null_markets/parameters.py`` to the real one-minute bars of two sets.

    python scripts/fit_null_markets.py DATA        (the folder with bars/nse_2016 and bars/nse_2021_from_ticks)

Moments, each by its own plain estimator, on sessions that have nearly all of their 375 minutes: the day's shape of volatility and
volume, how much of it the market is, how volatility persists, how fat the tails are, how large the nights are. The generator was
committed before its first result; nothing here looks at a forecast.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import curve_fit

F8 = NDArray[np.float64]
MINUTES = 375
MINUTE = np.arange(MINUTES, dtype=np.float64)
SETS = ("nse_2016", "nse_2021_from_ticks")
LAGS = np.arange(2, 61)
NOT_STOCKS = ("NIFTY", "INDIA", "BANKNIFTY")


def load(folder: Path) -> dict[str, F8]:
    """open, close, volume float64 [D, 375, S] of one set, NaN without a bar."""
    frames = []
    for path in sorted(folder.glob("*.parquet")):
        if not path.stem.startswith(NOT_STOCKS):
            frame = pl.read_parquet(path, columns=["ts", "open", "close", "volume"]).unique("ts", keep="first")
            minute = pl.col("ts").dt.hour().cast(pl.Int32) * 60 + pl.col("ts").dt.minute() - 555
            frames.append(frame.with_columns(day=pl.col("ts").dt.date(), minute=minute, symbol=pl.lit(path.stem)))
    rows = pl.concat(frames).filter((pl.col("minute") >= 0) & (pl.col("minute") < MINUTES))
    days, symbols = (rows[name].unique().sort().to_list() for name in ("day", "symbol"))
    at = [
        np.searchsorted(np.array(days), rows["day"].to_numpy()), rows["minute"].to_numpy(),
        np.searchsorted(np.array(symbols), rows["symbol"].to_numpy()),
    ]  # fmt: skip
    out = {}
    for name in ("open", "close", "volume"):
        grid = np.full((len(days), MINUTES, len(symbols)), np.nan)
        grid[tuple(at)] = rows[name].to_numpy()
        out[name] = grid
    full = np.isfinite(out["close"]).sum(axis=1).max(axis=1) > 340
    return {name: grid[full] for name, grid in out.items()}


def u_shape(minute: F8, floor: float, opened: float, opening: float, closed: float, closing: float) -> F8:
    """``parameters.Shape``'s curve."""
    return floor + opened * np.exp(-minute / opening) + closed * np.exp((minute - (MINUTES - 1)) / closing)


def fit_shape(level: F8) -> list[float]:
    """The five numbers, of a level [375] whose mean is one."""
    start = (0.8, 3.0, 5.0, 0.5, 15.0)
    bounds = ([0.0, 0.0, 1.0, 0.0, 2.0], [5.0, 30.0, 60.0, 30.0, 80.0])
    found, _ = curve_fit(u_shape, np.arange(1, MINUTES), level[1:], start, bounds=bounds)
    return [round(float(v), 3) for v in found]


def persistence(size: F8) -> tuple[float, float, float]:
    """phi and sd of the minute part, sd of the day part, of the logs behind sizes [D, 375, n] without the day's shape.

    If a size is exp(h) times luck of its own, the log of E[size size_later] / E[size]^2 is the covariance of the two h.
    """
    known = np.minimum(size / np.nanmean(size, axis=(0, 1)), 8.0)
    cov = np.array([np.log(np.nanmean(known[:, lag:] * known[:, :-lag]) / np.nanmean(known) ** 2) for lag in LAGS])
    bounds = ([0.0, 0.8, 0.0], [2.0, 0.995, 1.0])
    (variance, phi, day), _ = curve_fit(lambda k, v, p, c: v * p**k + c, LAGS, cov, (0.1, 0.95, 0.02), bounds=bounds)
    return round(float(phi), 4), round(float(np.sqrt(variance)), 3), round(float(np.sqrt(day)), 3)


def tails(values: F8) -> float:
    """Degrees of freedom of a Student t by the ratio of the 99.5 % and 90 % quantiles of sizes, which ticks do not round away."""
    from scipy.stats import t as student

    v = np.abs(values[np.isfinite(values)])
    ratio = float(np.quantile(v, 0.995) / np.quantile(v, 0.9))
    grid = np.arange(2.2, 60.0, 0.1)
    ratios = student.ppf(0.9975, grid) / student.ppf(0.95, grid)
    return round(float(grid[np.argmin(np.abs(ratios - ratio))]), 1)


def local_size(x: F8, width: int = 21) -> F8:
    """Root mean square of the minutes around each, itself left out, [D, 375, n]."""
    square = np.nan_to_num(x) ** 2
    padded = np.pad(square, ((0, 0), (width // 2, width // 2), (0, 0)))
    near = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1).sum(axis=-1) - square
    out: F8 = np.sqrt(np.maximum(near, 1e-12) / (width - 1))
    return out


def slope(y: F8, x: F8) -> float:
    """Of y on x."""
    return float(np.cov(y, x)[0, 1] / x.var())


def figures(bars: dict[str, F8]) -> dict[str, Any]:
    """Every constant of one set."""
    close, opened, volume = np.log(bars["close"]), np.log(bars["open"]), bars["volume"]
    whole = np.diff(close, axis=1, prepend=opened[:, :1])
    between = opened[:, 1:] - close[:, :-1]
    n = close.shape[2]
    market = np.nanmean(whole, axis=2)
    beta = np.array([np.nansum(whole[..., s] * market) / np.nansum(market**2) for s in range(n)])
    market_ms = max(float(np.nanmean(market**2)) - float(np.nanmean((whole - beta * market[..., None]) ** 2)) / n, 0.0)
    own = whole - beta * market[..., None]
    own_sd = np.sqrt(np.nanmean(own**2, axis=(0, 1)))
    rms = np.sqrt(np.nanmean((whole / np.sqrt(np.nanmean(whole**2, axis=(0, 1)))) ** 2, axis=(0, 2)))
    shape = fit_shape(rms / np.sqrt(np.mean(rms**2)))
    curve = u_shape(MINUTE, *shape)
    flat = own / curve[:, None] / own_sd
    flat_market = (market / curve / np.sqrt(np.nanmean(market**2)))[..., None]
    own_vol, market_vol = (persistence(np.abs(x)) for x in (flat, flat_market))
    turnover = np.nanmean(volume / np.nanmean(volume, axis=(0, 1)), axis=(0, 2))
    active = np.log(np.maximum(volume, 1.0) / np.nanmean(volume, axis=(0, 1)) / u_shape(MINUTE, *fit_shape(turnover))[:, None])
    size = np.log(np.maximum(np.abs(flat), 0.05))
    night = opened[1:, 0] - close[:-1, -1]
    night = night[np.nanmax(np.abs(night), axis=1) < 0.12]
    full_day = np.sqrt(MINUTES)
    night_market = np.nanmean(night, axis=1)
    rest = (active - np.nanmean(active, axis=1, keepdims=True)).ravel(), (size - np.nanmean(size, axis=1, keepdims=True)).ravel()
    good = np.isfinite(rest[0]) & np.isfinite(rest[1])
    return {
        "sessions": close.shape[0], "instruments": n, "shape": shape, "volume_shape": fit_shape(turnover),
        "market_sd": round(float(np.sqrt(market_ms)), 7), "own_sd": round(float(np.exp(np.log(own_sd).mean())), 7),
        "own_spread": round(float(np.log(own_sd).std()), 3), "beta_sd": round(float(beta.std()), 3),
        "own_vol": own_vol, "market_vol": market_vol, "tail_df": tails((flat / local_size(flat))[:, 15:-15]),
        "between": round(float(np.nanmean(between**2) / np.nanmean(whole[:, 1:] ** 2)), 3),
        "night_market": round(float(np.nanmedian(np.abs(night_market)) / 0.6745 / (np.sqrt(market_ms) * full_day)), 3),
        "night_own": round(float(np.nanmedian(np.abs(night - night_market[:, None]) / own_sd) / 0.6745 / full_day), 3),
        "night_df": tails(night / np.nanmedian(np.abs(night), axis=0)),
        "volume_vol": persistence(np.exp(active)), "volume_on_size": round(slope(rest[0][good], rest[1][good]), 3),
        "volume_rest": round(float(np.std((rest[0] - np.nanmean(rest[0]))[good])), 3),
        "price": [round(float(v), 1) for v in np.nanquantile(np.nanmean(bars["close"], axis=(0, 1)), [0.1, 0.9])],
        "turnover": round(float(np.nanmedian(np.nanmean(volume * bars["close"], axis=(0, 1))))),
    }  # fmt: skip


def main(data: Path) -> None:
    """Write the figures of both sets as JSON lines."""
    for name in SETS:
        sys.stdout.write(json.dumps({"set": name, **figures(load(data / "bars" / name))}, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
