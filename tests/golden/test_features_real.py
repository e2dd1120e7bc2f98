"""All features on real minutes of 2021: the two stocks with most bars and an index, with the recorder's holes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from intraday.core.anchor import AnchorRule
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.panel import panel_of
from intraday.core.registry import default_registry
from intraday.domain.arrays import BAR, Bars, Mask, Panel
from intraday.domain.session import SessionTable
from property import laws

REGISTRY = default_registry()
FEATURES = FeatureSet.of(1, None, REGISTRY, AnchorRule("2021-03-26"))
N_ROWS = 4000


def bars_of(path: Path, inst: int) -> Bars:
    frame = pl.read_parquet(path).unique("ts", keep="first", maintain_order=True)
    bars = np.zeros(len(frame), BAR)
    bars["ts_ns"], bars["inst"] = frame["ts"].dt.timestamp("ns").to_numpy(), inst
    for name in ("open", "high", "low", "close", "volume"):
        bars[name] = frame[name].cast(pl.Float64).to_numpy()
    if not bars["volume"].any():
        bars["volume"] = np.nan
    return bars


@pytest.fixture(scope="module")
def panel(shared: Path) -> Panel:
    files = sorted((shared / "data" / "bars" / "nse_2021_from_ticks").glob("*.parquet"))
    indices = [f for f in files if f.stem.startswith("NIFTY")][:1]
    others = (f for f in files if not f.stem.startswith("NIFTY"))
    stocks = sorted(others, key=lambda f: -len(pl.read_parquet(f, columns=["ts"])))[:2]
    if len(indices) + len(stocks) < 3:
        pytest.skip("set nse_2021_from_ticks has fewer than two stocks and an index here")
    bars = np.concatenate([bars_of(f, i) for i, f in enumerate([*stocks, *indices])])
    return panel_of(bars, 3, 1, SessionTable.load()).rows(0, N_ROWS)


def make(has_volume: Mask) -> FeatureCalculator:
    return FeatureCalculator(FEATURES, has_volume)


def test_the_laws_hold_on_real_bars(panel: Panel) -> None:
    laws.chunks(make, panel, [1, 375, 376, 2500])
    laws.steps(make, panel.rows(0, 900), np.random.default_rng(0))
    laws.truncation(make, panel, 1234)
    laws.instruments(make, panel, np.array([2, 0]), 1000)
    laws.absences(make, panel, [0, 400, 400, 3999])
    laws.recovery(make, panel, 2222)


def test_values_are_where_they_must_be(panel: Panel) -> None:
    values = make(laws.volumes(panel)).batch(panel)
    assert not np.isinf(values).any()
    later = panel.session >= np.unique(panel.session)[3]  # two whole sessions, and 26 March has the index alone
    for f, feature in enumerate(FEATURES.features):
        if feature.expr.across:  # three instruments are no cross-section; test_features_families.py has one
            assert np.isnan(values[:, :, f]).all() or "count" in feature.expr.text, feature.name
            continue
        for s in range(3):
            own = np.flatnonzero(panel.mask[:, s])[feature.expr.warmup_at(panel.timeframe) :]
            column = values[own[later[own]], s, f]
            assert len(column) > 500, feature.name
            if feature.needs_volume and s == 2:
                assert np.isnan(column).all(), feature.name
            else:
                assert np.isfinite(column).mean() > (0.95 if feature.undefined else 0.9999), (feature.name, s)
