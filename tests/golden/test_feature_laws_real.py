"""Every registered feature under every law on real bars at the decision timeframe: an index and stocks, with the recorder's holes.

``INTRADAY_REAL_LAWS=all`` takes every stock and session of the sets; otherwise a slice that fits the suite.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from intraday.core.anchor import AnchorRule
from intraday.core.audit.laws import Group, feature_laws
from intraday.core.audit.result import Finding, Law, Outcome, merged
from intraday.core.candles import HistoricalAggregator, sort_bars
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.panel import panel_of
from intraday.core.registry import default_registry
from intraday.domain.arrays import BAR, DAY_NS, IST_NS, Bars, Mask, Panel, empty
from intraday.domain.session import SessionTable
from property import laws

REGISTRY = default_registry()
TABLE = SessionTable.load()
TIMEFRAME = 5
EVERYTHING = os.environ.get("INTRADAY_REAL_LAWS") == "all"
SHORT, MANY = 9, 14  # sessions and stocks of the slice: enough for every lookback and for a cross-section
LAWS = {Law.PREFIX, Law.FUTURE, Law.CHUNKS, Law.STEPS, Law.LATE, Law.WARMUP}


@dataclass(frozen=True, slots=True)
class Real:
    """Bars of a set: the index in row 0, then stocks; None without an index."""

    panel: Panel
    index: int | None


def minutes_of(path: Path, inst: int) -> Bars:
    """One-minute bars of continuous trading."""
    frame = pl.read_parquet(path).unique("ts", keep="first", maintain_order=True)
    bars = empty(BAR, len(frame))
    bars["ts_ns"], bars["inst"] = frame["ts"].dt.timestamp("ns").to_numpy(), inst
    for name in ("open", "high", "low", "close", "volume"):
        bars[name] = frame[name].cast(pl.Float64).to_numpy()
    if not bars["volume"].any():
        bars["volume"] = np.nan
    number, open_ns, close_ns = TABLE.arrays()
    at = np.minimum(np.searchsorted(number, (bars["ts_ns"] + IST_NS) // DAY_NS), len(number) - 1)
    return bars[(bars["ts_ns"] >= open_ns[at]) & (bars["ts_ns"] < close_ns[at])]


def real(files: Sequence[Path], index: bool, first: date | None = None, last: date | None = None) -> Real:
    """Decision bars of the files, the index's first; of the last sessions, or those ``first`` to ``last``."""
    bars = sort_bars(np.concatenate([minutes_of(file, inst) for inst, file in enumerate(files)]))
    number = (bars["ts_ns"] + IST_NS) // DAY_NS
    if first is not None and last is not None:
        keep = (number >= (first - date(1970, 1, 1)).days) & (number <= (last - date(1970, 1, 1)).days)
    else:
        keep = number >= (np.unique(number)[-SHORT:][0] if not EVERYTHING else 0)
    candles = HistoricalAggregator(len(files)).aggregate(bars[keep], TIMEFRAME)
    return Real(panel_of(candles, len(files), TIMEFRAME, TABLE), 0 if index else None)


def of_set(shared: Path, name: str) -> Real:
    """Stocks with most rows of a set, its NIFTY 50 first."""
    folder = shared / "data" / "bars" / name
    files = sorted(folder.glob("*.parquet"))
    if not files:
        pytest.skip(f"no files of the real set {name} here")
    indices = [f for f in files if f.stem in ("NIFTY50", "NIFTY_50", "NIFTY")]
    others = [f for f in files if not f.stem.startswith(("NIFTY", "INDIA", "BANKNIFTY"))]
    stocks = sorted(others, key=lambda f: (-pl.scan_parquet(f).select(pl.len()).collect().item(), f.stem))
    return real([*indices[:1], *(stocks if EVERYTHING else stocks[:MANY])], bool(indices))


def make(real: Real, has_volume: Mask | None = None) -> FeatureCalculator:
    features = FeatureSet.of(TIMEFRAME, None, REGISTRY, AnchorRule())
    return FeatureCalculator(features, laws.volumes(real.panel) if has_volume is None else has_volume, real.index)


def checked(real: Real) -> list[Finding]:
    group = Group(tuple(REGISTRY.values()), partial(make, real))
    return merged(feature_laws(group, real.panel, np.random.default_rng(0))[1])


@pytest.mark.parametrize("name", ["nse_2021_from_ticks", "nse_2016"])
def test_every_feature_passes_every_law_and_has_values_that_were_compared(shared: Path, name: str) -> None:
    found = checked(of_set(shared, name))
    assert {(f.subject, f.law) for f in found} == {(feature, law) for feature in REGISTRY for law in LAWS}
    assert [f for f in found if f.outcome is Outcome.FAILED] == []
    silent = {f.subject for f in found if f.outcome is Outcome.NOT_CHECKED}
    assert (
        silent <= {feature for feature, of in REGISTRY.items() if needs_an_index(of.expr.text)}
        if name == "nse_2016"
        else not silent
    )
    assert min(f.n for f in found if f.subject not in silent) > 1000


def needs_an_index(text: str) -> bool:
    return "index" in text


@pytest.mark.parametrize(
    ("first", "last"), [(date(2021, 2, 22), date(2021, 2, 26)), (date(2021, 10, 29), date(2021, 11, 9))], ids=["halt", "Muhurat"]
)
def test_the_halt_and_the_muhurat_evening_of_the_real_index_pass_too(shared: Path, first: date, last: date) -> None:
    found = checked(real([shared / "data" / "bars" / "nse_index_2021_2023" / "NIFTY50.parquet"], True, first, last))
    assert [f for f in found if f.outcome is Outcome.FAILED] == []
    passed = {f.subject for f in found if f.law is Law.STEPS and f.outcome is Outcome.PASSED}
    alone = {name for name, f in REGISTRY.items() if not f.needs_volume and not f.expr.across}
    assert len(alone & passed) > 0.9 * len(alone)


def test_what_is_compared_across_instruments_obeys_its_own_laws(shared: Path) -> None:
    found = of_set(shared, "nse_2021_from_ticks")
    panel = found.panel

    def calculator(has_volume: Mask, index: int = 0) -> FeatureCalculator:
        return make(Real(panel, index), has_volume)

    n = panel.n_instruments
    laws.shuffled(calculator, panel, 0, np.random.default_rng(1).permutation(n))
    laws.outsiders(calculator, panel, 0, np.array([2, n - 1]))
    laws.absences(calculator, panel, [0, 80, 80, len(panel) - 1])
    laws.recovery(calculator, panel, len(panel) // 2 + 7)
    laws.chunks(calculator, panel, [1, 75, 76, len(panel) // 2])
