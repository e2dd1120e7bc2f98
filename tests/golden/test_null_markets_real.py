"""Real bars with flipped signs stay bars, and what is simulated looks like the stocks it was fitted to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from intraday.core.null_markets.flip import flipped
from intraday.core.null_markets.parameters import NSE_2016
from intraday.core.null_markets.simulate import draw_minutes
from intraday.domain.arrays import BAR, F8, Bars

STOCKS = ("ARVIND", "BIOCON", "CONCOR", "DABUR", "HCLTECH", "HEROMOTOCO", "CIPLA", "BPCL")


@pytest.fixture(scope="module")
def real(shared: Path) -> Bars:
    """Fifteen sessions of 2016, ordered by (ts, inst)."""
    parts = []
    for inst, file in enumerate(f for f in (shared / "data/bars/nse_2016" / f"{s}.parquet" for s in STOCKS) if f.exists()):
        frame = pl.read_parquet(file).unique("ts").sort("ts")
        rows = np.zeros(len(frame), BAR)
        rows["ts_ns"], rows["inst"] = frame["ts"].dt.epoch("us").to_numpy() * 1000, inst
        for name in ("open", "high", "low", "close", "volume"):
            rows[name] = frame[name].to_numpy()
        parts.append(rows)
    bars = np.concatenate(parts)
    return bars[np.lexsort((bars["inst"], bars["ts_ns"]))]


def moves(close: F8) -> F8:
    """Log moves of a minute within the session, float64 [D, 374, S], from closes [D, 375, S]."""
    out: F8 = np.diff(np.log(close), axis=1)
    return out


def together(m: F8) -> float:
    """Mean correlation of two stocks' moves [D, 374, S]."""
    table = np.atleast_2d(np.corrcoef(m.reshape(-1, m.shape[2]).T))
    return float(table[np.triu_indices(len(table), 1)].mean())


def grid(bars: Bars) -> F8:
    n = int(bars["inst"].max()) + 1
    return bars["close"].reshape(-1, 375, n)


def test_flipped_real_bars_are_bars_of_the_same_sizes(real: Bars) -> None:
    other = flipped(np.random.default_rng(1), real, np.full(len(STOCKS), 0.05))
    assert np.all(other["low"] >= 0.05) and np.all(other["high"] >= np.maximum(other["open"], other["close"]))
    assert np.all(other["low"] <= np.minimum(other["open"], other["close"])) and np.array_equal(other["volume"], real["volume"])
    was, now = moves(grid(real)), moves(grid(other))
    assert np.corrcoef(np.abs(was).ravel(), np.abs(now).ravel())[0, 1] > 0.95  # the grid of five paise is coarse for cheap stocks
    assert abs(np.corrcoef(was.ravel(), now.ravel())[0, 1]) < 0.05
    assert now.std() == pytest.approx(was.std(), rel=0.05)
    assert together(now) == pytest.approx(together(was), abs=0.03)  # one coin for all


def test_simulated_minutes_look_like_the_real_ones(real: Bars) -> None:
    """Sizes, shape of the day, tails, persistence and common moves, within what 8 stocks of 15 sessions can tell."""
    n = int(real["inst"].max()) + 1
    was, now = moves(grid(real)), moves(draw_minutes(np.random.default_rng(2), NSE_2016, 100, n).close)

    def figures(m: F8) -> list[float]:
        size = np.abs(m) / np.sqrt((m**2).mean(axis=(0, 1)))
        level = np.sqrt((size**2).mean(axis=(0, 2)))
        near = np.corrcoef(size[:, 5:].ravel(), size[:, :-5].ravel())[0, 1]
        return [
            float(m.std() * 1e4), level[:10].mean() / level[120:250].mean(), level[-15:].mean() / level[120:250].mean(),
            float(np.quantile(size, 0.999) / np.quantile(size, 0.75)), float(near), together(m),
        ]  # fmt: skip

    found, expected = figures(now), figures(was)
    for name, a, b in zip(("sd", "open", "close", "tail", "persistence", "together"), found, expected, strict=True):
        assert 0.4 < a / b < 2.5, (name, a, b, found, expected)
