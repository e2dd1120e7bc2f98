"""Volume, VWAP, the day, microstructure, time of day, coarser frames, index and universe against ``family_reference``.

On a random market with holes (an evening session, an early close, frozen prices, minutes without trades, a late riser, a stock
that leaves the universe) and on real bars; before the cast to float32, which would hide the ninth digit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from golden import family_reference as ref
from golden.family_reference import Stock, over
from intraday.core.anchor import AnchorRule
from intraday.core.candles import HistoricalAggregator
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.panel import Lists, panel_of
from intraday.core.registry import default_registry
from intraday.domain.arrays import BAR, F8, MINUTE_NS, Bars, Panel, empty
from intraday.domain.session import SessionTable

REGISTRY = default_registry()
FAMILIES = {"volume", "vwap", "time", "session", "microstructure", "seasonality", "timeframes", "context", "cross-section"}
NAMES = [name for name, feature in REGISTRY.items() if feature.family in FAMILIES and name != "mfi_14"]  # that one: TA-Lib
DAYS = [date(2025, 10, d) for d in (17, 20, 21, 23, 24)] + [date(2026, 8, d) for d in (3, 4, 5)]  # the 21st: an evening
TIMEFRAME, STOCKS = 5, 8
INDEX = STOCKS  # the last column
TABLE = SessionTable.load()


def made_up() -> Panel:
    rng = np.random.default_rng(29)
    sessions = [TABLE.get(day) for day in DAYS]
    ts_ns = np.concatenate([np.arange(s.open_ns, s.close_ns, TIMEFRAME * MINUTE_NS) for s in sessions])
    day = np.concatenate([np.full(len(range(s.open_ns, s.close_ns, TIMEFRAME * MINUTE_NS)), i) for i, s in enumerate(sessions)])
    shape = (len(ts_ns), STOCKS + 1)
    market = rng.normal(0, 7e-4, (shape[0], 1))
    night = np.concatenate([[True], day[1:] != day[:-1]])[:, None] * rng.normal(0, 8e-3, shape)
    close = np.round(800.0 * np.exp(np.cumsum(market + rng.standard_t(4, shape) * 7e-4 + night, axis=0)), 1)
    bars = empty(BAR, shape[0] * shape[1])
    bars["ts_ns"], bars["inst"] = np.repeat(ts_ns, shape[1]), np.tile(np.arange(shape[1]), shape[0])
    open_ = np.round(close * np.exp(rng.normal(0, 6e-4, shape)), 1)
    volume = np.floor(rng.lognormal(8, 1, shape))
    frozen = (day[:, None] == 4) & (np.arange(shape[1]) == 3)
    close[frozen] = open_[frozen] = 812.35
    wide = np.where(frozen, 0.0, 1.0) * rng.random(shape)
    volume[frozen | ((rng.random(shape) < 0.4) & (np.arange(shape[1]) == 2))] = 0.0
    volume[:, INDEX] = np.nan
    columns = {"open": open_, "close": close, "high": np.maximum(open_, close) + wide, "low": np.minimum(open_, close) - wide,
               "volume": volume}  # fmt: skip
    for name, column in columns.items():
        bars[name] = column.ravel()
    there = rng.random(shape) > 0.08
    there[:90, 1] = False  # a late riser
    there[(ts_ns[:, None] >= sessions[5].close_ns - 15 * MINUTE_NS) & (day[:, None] >= 5) & (np.arange(shape[1]) == 4)] = False
    lists = Lists(
        auction=((4, sessions[5].number, sessions[-1].number),),
        member=tuple((s, 0, sessions[4].number if s == 5 else 10**6) for s in range(STOCKS)),
    )
    return panel_of(bars[there.ravel()], STOCKS + 1, TIMEFRAME, TABLE, lists)


def real(shared: Path) -> Panel:
    files = sorted((shared / "data" / "bars" / "nse_2021_from_ticks").glob("*.parquet"))
    index = [f for f in files if f.stem.startswith("NIFTY")][:1]
    stocks = sorted((f for f in files if not f.stem.startswith("NIFTY")), key=lambda f: -f.stat().st_size)[:STOCKS]
    if len(index) + len(stocks) < STOCKS + 1:
        pytest.skip(f"set nse_2021_from_ticks has fewer than {STOCKS} stocks and an index here")
    minutes = np.concatenate([read(f, i) for i, f in enumerate([*stocks, *index])])
    minutes = minutes[np.lexsort((minutes["inst"], minutes["ts_ns"]))]
    bars = HistoricalAggregator(STOCKS + 1).aggregate(minutes, TIMEFRAME)
    everyone = Lists(member=tuple((s, 0, 10**6) for s in range(STOCKS)))
    panel = panel_of(bars, STOCKS + 1, TIMEFRAME, TABLE, everyone)
    return panel.rows(0, 600)


def read(path: Path, inst: int) -> Bars:
    frame = pl.read_parquet(path).unique("ts", keep="first", maintain_order=True).head(4000)
    bars = empty(BAR, len(frame))
    bars["ts_ns"], bars["inst"] = frame["ts"].dt.timestamp("ns").to_numpy(), inst
    for name in ("open", "high", "low", "close", "volume"):
        bars[name] = frame[name].cast(pl.Float64).to_numpy()
    bars["volume"] = np.nan if inst == INDEX else bars["volume"]
    return bars


class Market:
    """A panel, its instruments, the features as computed, and what references need of others."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.stocks = [ref.stock(panel, s) for s in range(panel.n_instruments)]
        self.index = self.stocks[INDEX]
        has_volume = np.asarray(~np.isnan(panel.volume).all(axis=0), np.bool_)
        chosen = FeatureSet.of(TIMEFRAME, NAMES, REGISTRY, AnchorRule())
        self.values: F8 = FeatureCalculator(chosen, has_volume, INDEX).batch(panel, dtype=np.float64)

    def of(self, name: str) -> F8:
        return np.asarray(self.values[:, :, NAMES.index(name)], np.float64)

    def each(self, of: Callable[[Stock], F8]) -> F8:
        return ref.table(self.stocks, len(self.panel), of)


@pytest.fixture(scope="module", params=["random", "real"])
def market(request: pytest.FixtureRequest) -> Market:
    return Market(made_up() if request.param == "random" else real(request.getfixturevalue("shared")))


# ----------------------------------------------------------------------------------------- one instrument looks at itself

ALONE: dict[str, Callable[[Stock], F8]] = {
    "vol_rel_20": lambda b: over(b.v, ref.last(20, np.mean, b.v)),
    "vol_trend_5_20": lambda b: over(ref.last(5, np.mean, b.v), ref.last(20, np.mean, b.v)),
    "turnover_20": lambda b: ref.log(ref.last(20, np.mean, b.c * b.v) / 1e7),
    "signed_vol_20": lambda b: ref.per_volume(b, ref.last(20, np.mean, ref.signed(b.c - ref.before(b.c), b.v))),
    "cmf_20": lambda b: ref.per_volume(b, ref.last(20, np.mean, ref.location(b) * b.v)),
    "force_13": ref.force,
    "obv_slope_20": lambda b: ref.per_volume(b, ref.last(20, ref.line_slope, ref.balance(b))),
    "ad_slope_20": lambda b: ref.per_volume(b, ref.last(20, ref.line_slope, ref.distribution(b))),
    "adosc_3_10": lambda b: ref.per_volume(b, ref.ema(ref.distribution(b), 3) - ref.ema(ref.distribution(b), 10)),
    "vwap_dist": lambda b: over(b.c, ref.vwap(b)) - 1,
    "vwap_dist_sigma": lambda b: over(np.log(b.c / ref.vwap(b)), ref.sigma(b), 0.0),
    "vwap_roll_dist_20": lambda b: b.c / over(ref.last(20, np.sum, b.typical * b.v), ref.last(20, np.sum, b.v)) - 1,
    "vwap_prev_dist": lambda b: over(b.c, ref.yesterday(b, ref.vwap(b))) - 1,
    "vwap_drift": lambda b: np.log(ref.vwap(b) / ref.session_open(b)),
    "vwap_z": ref.vwap_z,
    "vwap_width": lambda b: 4 * np.where(ref.vwap_deviation(b) < ref.TIE, 0.0, ref.vwap_deviation(b)) / ref.vwap(b),
    "vwap_side_bars": ref.side_bars,
    "vwap_above_share": lambda b: ref.today(b, np.mean, ref.above(b)),
    "vol_above_vwap": ref.heavy,
    "session_pos": lambda b: b.minute / b.minutes,
    "tod_sin": lambda b: np.sin(2 * np.pi * b.minute / b.minutes),
    "tod_cos": lambda b: np.cos(2 * np.pi * b.minute / b.minutes),
    "mins_from_open": lambda b: b.minute,
    "mins_to_close": lambda b: b.minutes - b.minute,
    "weekday": lambda b: np.asarray((b.session + 3) % 7, np.float64),
    "ret_session": lambda b: np.log(b.c / ref.session_open(b)),
    "dist_high": lambda b: b.c / ref.today(b, np.max, b.h) - 1,
    "dist_low": lambda b: b.c / ref.today(b, np.min, b.lo) - 1,
    "range_pos": lambda b: over(b.c - ref.today(b, np.min, b.lo), ref.span(b), 0.5),
    "bars_since_high": lambda b: ref.bars_after(b, b.h, np.max),
    "bars_since_low": lambda b: ref.bars_after(b, b.lo, np.min),
    "or_pos": lambda b: ref.or_pos(b, 30),
    "or_break": lambda b: ref.or_break(b, 30),
    "or_width": lambda b: ref.or_width(b, 30),
    "or15_pos": lambda b: ref.or_pos(b, 15),
    "or15_break": lambda b: ref.or_break(b, 15),
    "or15_width": lambda b: ref.or_width(b, 15),
    "ret_first_hour": ref.first_hour,
    "gap": lambda b: ref.session_open(b) / ref.before_of(b)[2] - 1,
    "gap_fill": ref.gap_fill,
    "dist_prev_close": lambda b: b.c / ref.before_of(b)[2] - 1,
    "dist_prev_high": lambda b: b.c / ref.before_of(b)[1] - 1,
    "dist_prev_low": lambda b: b.c / ref.before_of(b)[0] - 1,
    "prev_ret_session": lambda b: ref.yesterday(b, np.log(b.c / ref.session_open(b))),
    "prev_range_pos": ref.prev_range_pos,
    "range_rel_prev": lambda b: over(ref.span(b), ref.before_of(b)[1] - ref.before_of(b)[0]),
    "body": lambda b: over(b.c - b.o, b.h - b.lo, 0.0),
    "close_loc": ref.location,
    "corwin_schultz_20": ref.corwin_schultz,
    "abdi_ranaldo_20": ref.abdi_ranaldo,
    "amihud_20": lambda b: over(ref.last(20, np.mean, np.abs(ref.days_return(b))), ref.last(20, np.mean, b.c * b.v) / 1e7),
    "kyle_lambda_60": ref.kyle,
    "zero_ret_20": lambda b: ref.last(20, np.mean, np.where(np.isnan(ref.before(b.c)), np.nan, b.c == ref.before(b.c))),
    "close_loc_20": lambda b: ref.last(20, np.mean, ref.location(b)),
    "autocorr_20": lambda b: ref.last(20, ref.correlation, ref.days_return(b), ref.before(ref.days_return(b))),
    "var_ratio_5_60": ref.variance_ratio,
    "vol_profile": lambda b: over(ref.today(b, np.sum, b.v), ref.usual(b, ref.today(b, np.sum, b.v))[0]),
    "vol_slot_rel": lambda b: over(b.v, ref.usual(b, b.v)[0]),
    "vol_slot_z": lambda b: over(b.v - ref.usual(b, b.v)[0], ref.usual(b, b.v)[1]),
    "ret_slot_z": ref.ret_slot_z,
    "rvol_profile": ref.rvol_profile,
    "range_slot_rel": ref.range_slot_rel,
    **{f"m{m}_{name}": partial(ref.frame, name, m) for m in (15, 60) for name in ref.FRAME_FEATURES},
}

# -------------------------------------------------------------------------------------------------- it looks at the index

WITH_INDEX: dict[str, Callable[[Stock, Stock], F8]] = {
    "idx_ret_1": lambda b, i: ref.of_index(b, i, lambda x: ref.ret(x, 1)),
    "idx_ret_12": lambda b, i: ref.of_index(b, i, lambda x: ref.ret(x, 12)),
    "idx_ret_session": lambda b, i: ref.of_index(b, i, ALONE["ret_session"]),
    "idx_sigma": lambda b, i: ref.of_index(b, i, ref.sigma),
    "beta_60": lambda b, i: ref.last(60, ref.slope_on, ref.days_return(b), ref.index_return(b, i)),
    "corr_idx_60": lambda b, i: ref.last(60, ref.correlation, ref.days_return(b), ref.index_return(b, i)),
    "idio_vol_60": lambda b, i: (
        ref.last(60, ref.residual_share, ref.days_return(b), ref.index_return(b, i)) * ref.last(60, np.std, ref.days_return(b))
    ),
    "rel_ret_12": lambda b, i: ref.ret(b, 12) - ref.of_index(b, i, lambda x: ref.ret(x, 12)),
    "rel_ret_session": lambda b, i: ALONE["ret_session"](b) - ref.of_index(b, i, ALONE["ret_session"]),
    "idio_ret_12": lambda b, i: ref.ret(b, 12) - WITH_INDEX["beta_60"](b, i) * ref.of_index(b, i, lambda x: ref.ret(x, 12)),
}

# ------------------------------------------------------------------------------------------ it is compared with the others

RANKED: dict[str, Callable[[Stock], F8]] = {
    "xs_ret_1": lambda b: ref.ret(b, 1),
    "xs_ret_12": lambda b: ref.ret(b, 12),
    "xs_ret_session": ALONE["ret_session"],
    "xs_gap": ALONE["gap"],
    "xs_sigma": ref.sigma,
    "xs_vol_slot_rel": ALONE["vol_slot_rel"],
    "xs_vwap_dist": lambda b: np.where(np.abs(b.c - ref.vwap(b)) <= ref.TIE, 0.0, ALONE["vwap_dist"](b)),
}
OF_ALL: dict[str, tuple[Callable[[Stock], F8], Callable[[F8], float]]] = {
    "breadth_vwap": (ref.above, np.mean),
    "breadth_session": (ref.rising, np.mean),
    "dispersion_1": (ref.days_return, np.std),
    "dispersion_session": (ALONE["ret_session"], np.std),
}


def agree(market: Market, name: str, expected: F8) -> None:
    found = market.of(name)
    expected = np.where(market.panel.mask, expected, np.nan)
    assert np.isfinite(expected).sum() > 0.3 * market.panel.mask[:, :STOCKS].sum(), "hardly anything to compare"
    differ = np.isnan(found) != np.isnan(expected)
    assert not differ.any(), f"{name}: at {np.argwhere(differ)[0]} found {found[differ][0]}, expected {expected[differ][0]}"
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", ALONE)
def test_feature_is_its_formula(market: Market, name: str) -> None:
    agree(market, name, market.each(ALONE[name]))


@pytest.mark.parametrize("name", WITH_INDEX)
def test_feature_beside_the_index_is_its_formula(market: Market, name: str) -> None:
    agree(market, name, market.each(lambda b: WITH_INDEX[name](b, market.index)))


@pytest.mark.parametrize("name", RANKED)
def test_rank_is_among_members_with_a_bar_now(market: Market, name: str) -> None:
    values = market.each(RANKED[name])
    rows = zip(values, market.panel.member, strict=True)
    agree(market, name, np.array([ref.ranks(row, member) for row, member in rows]))


@pytest.mark.parametrize("name", OF_ALL)
def test_everyone_is_told_the_same_of_the_members(market: Market, name: str) -> None:
    inner, outer = OF_ALL[name]
    rows = zip(market.each(inner), market.panel.member, strict=True)
    known = np.array([ref.of_members(row, member, outer) for row, member in rows])
    agree(market, name, np.repeat(known[:, None], market.panel.n_instruments, axis=1))


def test_distance_from_the_others_in_their_deviations(market: Market) -> None:
    values = market.each(lambda b: ref.ret(b, 12))
    mean, sd = (
        np.array([ref.of_members(row, member, of) for row, member in zip(values, market.panel.member, strict=True)])
        for of in (np.mean, np.std)
    )
    agree(market, "xs_z_ret_12", (values - mean[:, None]) / sd[:, None])


def test_every_feature_of_these_families_has_a_reference() -> None:
    assert set(ALONE) | set(WITH_INDEX) | set(RANKED) | set(OF_ALL) | {"xs_z_ret_12"} == set(NAMES)


def test_nothing_is_infinite(market: Market) -> None:
    assert not np.isinf(market.values).any()


FLAT: dict[str, float] = {
    "signed_vol_20": 0, "cmf_20": 0, "force_13": 0, "obv_slope_20": 0, "ad_slope_20": 0, "adosc_3_10": 0, "vwap_z": 0,
    "vwap_width": 0, "vwap_dist_sigma": 0, "vol_above_vwap": 0, "vwap_above_share": 0, "range_pos": 0.5, "or_pos": 0.5,
    "or15_pos": 0.5, "or_break": 0, "or15_break": 0, "or_width": 0, "gap": 0, "gap_fill": 0, "prev_range_pos": 0.5,
    "range_rel_prev": np.nan, "body": 0, "close_loc": 0, "bars_since_high": 0, "bars_since_low": 0, "corwin_schultz_20": 0,
    "abdi_ranaldo_20": 0, "amihud_20": 0, "kyle_lambda_60": np.nan, "zero_ret_20": 1, "close_loc_20": 0, "autocorr_20": np.nan,
    "var_ratio_5_60": 1, "ret_slot_z": np.nan, "range_slot_rel": np.nan, "m15_rsi_14": 50, "m15_atr_pct_14": 0, "m15_trend": 0,
    "m15_ret_1": 0, "beta_60": np.nan, "corr_idx_60": np.nan, "breadth_vwap": 0, "dispersion_1": 0, "xs_z_ret_12": np.nan,
}  # fmt: skip


@pytest.fixture(scope="module")
def frozen() -> F8:
    """What a market gives whose prices never move, though it trades: after the fourth session's first bar."""
    panel = made_up()
    still = {name: np.where(panel.mask, 1234.35, np.nan) for name in ("open", "high", "low", "close")}
    market = Market(dataclasses.replace(panel, volume=np.where(panel.volume == 0, 1.0, panel.volume), **still))
    return np.asarray(market.values[panel.session > panel.session[200]][:, [0, 2, 6, 7]], np.float64)


@pytest.mark.parametrize("name", FLAT)
def test_a_flat_market_is_flat_and_not_rounding(frozen: F8, name: str) -> None:
    column = frozen[:, :, NAMES.index(name)]
    found = column[~np.isnan(column)]
    assert set(found.tolist()) == (set() if np.isnan(FLAT[name]) else {FLAT[name]})
