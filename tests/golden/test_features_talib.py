"""Features against TA-Lib on a random market and on real minutes of 2016 and 2021, instrument by instrument, before the cast.

Agreement is relative 1e-9 or absolute 1e-9 of the price: a fraction of the price within 1e-9, an index of 0 .. 100 within 1e-9 of
100. Where TA-Lib starts its recursion at the same bar, every value must agree, the missing ones too; where it starts elsewhere,
``burn_in`` bars are left for the difference to decay ((11/13)^250, (13/14)^600 and so on are below the tolerance).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
import talib
from numpy.typing import NDArray

from golden import exact
from intraday.core.panel import panel_of
from intraday.core.registry import default_registry
from intraday.domain.arrays import BAR, F8, Bars, Panel
from intraday.domain.session import SessionTable

T = 3000
REAL = {
    "nse_2016": ("ADANIENT", "BANKBARODA", "PAGEIND", "SAIL", "PTC"),  # dear and cheap, busy and quiet
    "nse_2021_from_ticks": ("RELIANCE", "SHREECEM", "ITC", "NIFTY50"),  # with the recorder's holes
}


class Market(NamedTuple):
    """An instrument's own bars, [T] each, and what we make of them."""

    open: F8
    high: F8
    low: F8
    close: F8
    volume: F8
    found: dict[str, F8]


def random_panel() -> Panel:
    rng = np.random.default_rng(42)
    close = 250.0 * np.exp(np.cumsum(rng.standard_t(4, T) * 1e-3))
    open_ = np.concatenate([[250.0], close[:-1]]) * np.exp(rng.normal(0, 2e-4, T))
    high = np.maximum(open_, close) * (1 + rng.random(T) * 1e-3)
    low = np.minimum(open_, close) * (1 - rng.random(T) * 1e-3)
    volume = np.floor(rng.lognormal(8, 1, T)) + 1.0
    market = dict(zip(exact.PRICES, (open_, high, low, close, volume), strict=True))
    row = np.arange(T)
    return exact.panel_of_one(market, (row // 375).astype(np.int32), (row % 375).astype(np.float64), timeframe=1)


def bars_of(path: Path, inst: int) -> Bars:
    frame = pl.read_parquet(path).unique("ts", keep="first", maintain_order=True)
    bars = np.zeros(len(frame), BAR)
    bars["ts_ns"], bars["inst"] = frame["ts"].dt.timestamp("ns").to_numpy(), inst
    for name in exact.PRICES:
        bars[name] = frame[name].cast(pl.Float64).to_numpy()
    if not bars["volume"].any():
        bars["volume"] = np.nan
    return bars


def real_panel(folder: Path) -> Panel:
    paths = [folder / f"{name}.parquet" for name in REAL[folder.name]]
    if not all(p.is_file() for p in paths):
        pytest.skip(f"set {folder.name} lacks some of {', '.join(REAL[folder.name])} here")
    bars = np.concatenate([bars_of(p, i) for i, p in enumerate(paths)])
    return panel_of(bars, len(paths), 1, SessionTable.load())


@pytest.fixture(scope="module", params=["random", *REAL])
def markets(request: pytest.FixtureRequest) -> list[Market]:
    if request.param == "random":
        panel = random_panel()
    else:
        panel = real_panel(request.getfixturevalue("shared") / "data" / "bars" / request.param)
    registry = default_registry()
    table = exact.table(panel, [registry[name] for name in OURS])
    out = []
    for s in range(panel.n_instruments):
        own = panel.mask[:, s]
        prices = {name: np.ascontiguousarray(getattr(panel, name)[own, s]) for name in exact.PRICES}
        out.append(Market(**prices, found={name: np.ascontiguousarray(column[own, s]) for name, column in table.items()}))
    return out


def fraction(x: F8, of: F8) -> F8:
    return x / of - 1.0


def ema(m: Market, *periods: int) -> F8:
    """Of the close; of that again for further periods."""
    out = m.close
    for period in periods:
        out = talib.EMA(out, period)
    return out


def atr(m: Market, period: int = 14) -> F8:
    return np.asarray(talib.ATR(m.high, m.low, m.close, period))


def quiet(bars: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Whether ``bars`` holds on each of the last ``width``."""
    return np.asarray(np.convolve(~bars, np.ones(width))[: len(bars)] == 0)


class Peer(NamedTuple):
    """What TA-Lib gives in our units; ``burn_in`` 0: the same start; ``scale``: what 1e-9 is a part of."""

    value: Callable[[Market], F8]
    burn_in: int = 0
    scale: float = 1.0


def ultimate(m: Market) -> F8:
    """A flat window counts half with us, nothing with TA-Lib."""
    span = np.nan_to_num(talib.TRANGE(m.high, m.low, m.close), nan=np.inf)
    halves = sum(weight * quiet(span == 0, width) for width, weight in ((7, 4), (14, 2), (28, 1)))
    return np.asarray(talib.ULTOSC(m.high, m.low, m.close, 7, 14, 28) + halves * (50.0 / 7.0))


def sine(m: Market) -> F8:
    return np.asarray(np.sin(np.arctan(talib.LINEARREG_SLOPE(m.close, 14) / atr(m))))


def keltner(m: Market) -> F8:
    upper, middle, _ = talib.KC(m.high, m.low, m.close, 20, 10, 2.0)
    return np.asarray((m.close - middle) / (upper - middle))


def before(x: F8) -> F8:
    return np.concatenate([[np.nan], x[:-1]])


PEERS: dict[str, Peer] = {
    "rsi_14": Peer(lambda m: talib.RSI(m.close, 14), scale=100),
    "rsi_5": Peer(lambda m: talib.RSI(m.close, 5), scale=100),
    "roc_20": Peer(lambda m: talib.ROCP(m.close, 20)),
    "mom_atr_10": Peer(lambda m: talib.MOM(m.close, 10) / atr(m)),
    "ppo_21_50": Peer(lambda m: talib.PPO(m.close, 21, 50, talib.MA_Type.EMA) / 100),
    "apo_12_26": Peer(lambda m: talib.APO(m.close, 12, 26, talib.MA_Type.EMA) / atr(m)),
    "trix_15": Peer(lambda m: talib.TRIX(m.close, 15) / 100),
    "cmo_14": Peer(lambda m: talib.CMOU(m.close, 14), scale=100),
    "ultosc": Peer(ultimate, scale=100),
    "bop_14": Peer(lambda m: talib.SMA(talib.BOP(m.open, m.high, m.low, m.close), 14)),
    "body": Peer(lambda m: talib.BOP(m.open, m.high, m.low, m.close)),
    "aroon_down_25": Peer(lambda m: talib.AROON(m.high, m.low, 25)[0], scale=100),
    "aroon_up_25": Peer(lambda m: talib.AROON(m.high, m.low, 25)[1], scale=100),
    "aroon_osc_25": Peer(lambda m: talib.AROONOSC(m.high, m.low, 25), scale=100),
    "plus_di_14": Peer(lambda m: talib.PLUS_DI(m.high, m.low, m.close, 14), 900, 100),
    "minus_di_14": Peer(lambda m: talib.MINUS_DI(m.high, m.low, m.close, 14), 900, 100),
    "dx_14": Peer(lambda m: talib.DX(m.high, m.low, m.close, 14), 900, 100),
    "adx_14": Peer(lambda m: talib.ADX(m.high, m.low, m.close, 14), 900, 100),
    "ema_dist_9": Peer(lambda m: fraction(m.close, ema(m, 9))),
    "ema_dist_50": Peer(lambda m: fraction(m.close, ema(m, 50))),
    "ema_dist_200": Peer(lambda m: fraction(m.close, ema(m, 200))),
    "ema_9_21": Peer(lambda m: fraction(ema(m, 9), ema(m, 21))),
    "dema_dist_20": Peer(lambda m: fraction(m.close, talib.DEMA(m.close, 20))),
    "tema_dist_20": Peer(lambda m: fraction(m.close, talib.TEMA(m.close, 20))),
    "wma_dist_20": Peer(lambda m: fraction(m.close, talib.WMA(m.close, 20))),
    "kama_dist_10": Peer(lambda m: fraction(m.close, talib.KAMA(m.close, 10))),
    "macd": Peer(lambda m: talib.MACD(m.close, 12, 26, 9)[0] / m.close, 300),
    "macd_signal": Peer(lambda m: talib.MACD(m.close, 12, 26, 9)[1] / m.close, 300),
    "macd_hist": Peer(lambda m: talib.MACD(m.close, 12, 26, 9)[2] / m.close, 300),
    "linreg_slope_14": Peer(lambda m: talib.LINEARREG_SLOPE(m.close, 14) / m.close),
    "linreg_dist_14": Peer(lambda m: (m.close - talib.LINEARREG(m.close, 14)) / m.close),
    "linreg_angle_14": Peer(sine),
    "donchian_up_20": Peer(lambda m: fraction(m.close, before(talib.DONCHIAN(m.high, m.low, 20)[0]))),
    "donchian_down_20": Peer(lambda m: fraction(m.close, before(talib.DONCHIAN(m.high, m.low, 20)[2]))),
    "donchian_width_20": Peer(lambda m: (talib.MAX(m.high, 20) - talib.MIN(m.low, 20)) / m.close),
    "keltner_20": Peer(keltner, 600),
    "atr_pct_14": Peer(lambda m: talib.NATR(m.high, m.low, m.close, 14) / 100),
    "trange_rel_14": Peer(lambda m: talib.TRANGE(m.high, m.low, m.close) / atr(m)),
}
SPECIAL = ("bb_pctb_20", "bb_width_20", "stoch_k_14", "stoch_d_14", "stoch_rsi_14", "willr_60", "cci_14", "mfi_14")
OURS = (*PEERS, *SPECIAL)
"""The features that TA-Lib has too."""


def agree(found: F8, expected: F8, ok: NDArray[np.bool_], scale: float = 1.0, rtol: float = 1e-9) -> None:
    """Where ``ok`` and TA-Lib has a value; that must be most bars."""
    ok = ok & ~np.isnan(expected)
    assert ok.sum() > 0.5 * len(ok), f"{ok.sum()} of {len(ok)} bars left to compare"
    np.testing.assert_allclose(found[ok], expected[ok], rtol=rtol, atol=1e-9 * scale)


@pytest.mark.parametrize("name", PEERS)
def test_agrees_with_talib(markets: list[Market], name: str) -> None:
    peer = PEERS[name]
    for m in markets:
        expected = peer.value(m)
        if peer.burn_in == 0:
            assert np.array_equal(np.isnan(m.found[name]), np.isnan(expected)), "warm-up differs"
        agree(m.found[name], expected, np.arange(len(expected)) >= peer.burn_in, peer.scale)


def test_bollinger(markets: list[Market]) -> None:
    """The bands themselves, in rupees; the features are their shape."""
    for m in markets:
        upper, middle, lower = talib.BBANDS(m.close, 20, 2.0, 2.0)
        width, place = m.found["bb_width_20"], m.found["bb_pctb_20"]
        assert np.array_equal(np.isnan(width), np.isnan(middle))
        ours = m.close / (1.0 + (place - 0.5) * width)
        moved = talib.MAX(m.close, 20) > talib.MIN(m.close, 20)  # TA-Lib's one-pass variance of equal prices is not 0
        agree(ours / m.close, middle / m.close, moved)
        agree(ours * (1 + width / 2) / m.close, upper / m.close, moved)
        agree(ours * (1 - width / 2) / m.close, lower / m.close, moved)


def test_stochastic(markets: list[Market]) -> None:
    for m in markets:
        span = talib.MAX(m.high, 14) - talib.MIN(m.low, 14)
        fast, _ = talib.STOCHF(m.high, m.low, m.close, 14, 1)
        fast = np.where(span == 0, 50.0, fast)  # TA-Lib says 0 where nothing moved
        fast[: 14 - 1] = np.nan
        agree(m.found["stoch_k_14"], fast, ~np.isnan(span), 100)
        agree(m.found["stoch_d_14"], np.concatenate([np.full(13, np.nan), talib.SMA(fast[13:], 3)]), ~np.isnan(span), 100)


def test_williams(markets: list[Market]) -> None:
    for m in markets:
        span = talib.MAX(m.high, 60) - talib.MIN(m.low, 60)
        agree(m.found["willr_60"], talib.WILLR(m.high, m.low, m.close, 60), span > 0, 100)


def test_stochastic_rsi(markets: list[Market]) -> None:
    for m in markets:
        rsi = talib.RSI(m.close, 14)[14:]
        span = np.concatenate([np.full(14, np.nan), talib.MAX(rsi, 14) - talib.MIN(rsi, 14)])
        expected, found = talib.STOCHRSI(m.close, 14, 14, 1)[0], m.found["stoch_rsi_14"]
        assert np.array_equal(np.isnan(found), np.isnan(expected))
        agree(found, expected, span > 1e-6, 100)
        assert (found[span <= 1e-9] == 50.0).all()


def test_commodity_channel(markets: list[Market]) -> None:
    for m in markets:
        expected, found = talib.CCI(m.high, m.low, m.close, 14), m.found["cci_14"]
        assert np.array_equal(np.isnan(found), np.isnan(expected))
        spread = talib.AVGDEV((m.high + m.low + m.close) / 3, 14)
        agree(found, expected, spread > 1e-4, 100)
        assert (found[spread < 1e-9] == 0.0).all()


def test_money_flow(markets: list[Market]) -> None:
    for m in markets:
        if np.isnan(m.volume).all():
            assert np.isnan(m.found["mfi_14"]).all()
            continue
        expected, found = talib.MFI(m.high, m.low, m.close, m.volume, 14), m.found["mfi_14"]
        assert np.array_equal(np.isnan(found), np.isnan(expected))
        change = np.abs(np.diff((m.high + m.low + m.close) / 3, prepend=0.0))
        tie = (change > 0) & (change < 1e-6)  # TA-Lib takes rounding for a move
        nothing_moved = quiet((change < 1e-6) | (m.volume == 0), 14)  # TA-Lib says 0 there
        agree(found, np.where(nothing_moved & ~np.isnan(expected), 50.0, expected), quiet(~tie, 14), 100)
