"""Features without a peer in TA-Lib, against plain numpy and pandas written from the formulas, session by session."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from golden import exact
from golden.test_features_talib import OURS, real_panel
from intraday.core.registry import default_registry
from intraday.domain.arrays import F8

DAYS, SLOTS = 6, 75
REGISTRY = default_registry()
MINE = {"returns", "trend", "momentum", "volatility"}  # the families of this file and of test_features_talib.py


def lively(days: int) -> pd.DataFrame:
    rng = np.random.default_rng(17)
    n = days * SLOTS
    slot = np.tile(np.arange(SLOTS), days)
    close = 1500.0 * np.exp(np.cumsum(rng.normal(0, 1e-3, n) + (slot == 0) * rng.normal(0, 1e-2, n)))
    open_ = close * np.exp(rng.normal(0, 6e-4, n))
    spread = 1 + rng.random((2, n)) * 1e-3
    out = pd.DataFrame({"session": np.repeat(np.arange(days), SLOTS), "minute": slot * 5.0, "open": open_, "close": close})
    out["high"], out["low"] = np.maximum(open_, close) * spread[0], np.minimum(open_, close) / spread[1]
    out["volume"] = np.floor(rng.lognormal(8, 1, n)) + 1.0
    return out


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return lively(DAYS)


def everything(frame: pd.DataFrame) -> dict[str, F8]:
    """The covered features of the frame's instrument by name, [T] each."""
    covered = [REGISTRY[name] for name in dict.fromkeys([*(name for name, _ in REFERENCES), *OURS])]
    market = {column: frame[column].to_numpy(np.float64) for column in exact.PRICES}
    session, minute = frame["session"].to_numpy(np.int32), frame["minute"].to_numpy(np.float64)
    panel = exact.panel_of_one(market, session, minute, timeframe=5)
    return {name: column[:, 0] for name, column in exact.table(panel, covered).items()}


@pytest.fixture(scope="module")
def computed(frame: pd.DataFrame) -> dict[str, F8]:
    return everything(frame)


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


def yang_zhang(f: pd.DataFrame) -> pd.Series[float]:
    """Window by window, with the paper's own sums."""
    o, h, low, c = (np.log(f[k].to_numpy()) for k in ("open", "high", "low", "close"))
    first = (f["session"] != f["session"].shift(1)).to_numpy()
    out = np.full(len(f), np.nan)
    n = 20
    for t in range(n - 1, len(f)):
        at = range(t - n + 1, t + 1)
        jumps = [0.0 if first[i] else o[i] - c[i - 1] for i in at]
        bodies = [c[i] - o[i] for i in at]
        inside = sum((h[i] - c[i]) * (h[i] - o[i]) + (low[i] - c[i]) * (low[i] - o[i]) for i in at) / n
        k = 0.34 / (1.34 + (n + 1) / (n - 1))
        out[t] = math.sqrt(np.var(jumps, ddof=1) + k * np.var(bodies, ddof=1) + (1 - k) * inside)
    return pd.Series(out)


def bipower(f: pd.DataFrame) -> pd.Series[float]:
    size = intraday_return(f).abs()
    return pd.Series(np.sqrt(math.pi / 2 * (size * size.shift(1)).rolling(20).mean()))


def jump_share(f: pd.DataFrame) -> pd.Series[float]:
    return (1 - bipower(f) ** 2 / (intraday_return(f) ** 2).rolling(20).mean()).clip(lower=0)


def moment(f: pd.DataFrame, power: int) -> pd.Series[float]:
    """Standardised about zero, as the realised moments are."""
    return intraday_return(f).rolling(20).apply(lambda r: float(np.mean(r**power) / np.mean(r**2) ** (power / 2)), raw=True)


def one_sided(f: pd.DataFrame, sign: int) -> pd.Series[float]:
    return intraday_return(f).rolling(20).apply(lambda r: float(np.mean(r**2 * (np.sign(r) == sign))), raw=True)


def vol_of_vol(f: pd.DataFrame) -> pd.Series[float]:
    realised = np.sqrt((intraday_return(f) ** 2).rolling(20).mean())
    return pd.Series(realised.rolling(20).std(ddof=0) / realised.rolling(20).mean())


def session_vol(f: pd.DataFrame) -> pd.Series[float]:
    return pd.Series(np.sqrt((intraday_return(f) ** 2).groupby(f["session"]).expanding().mean().to_numpy()))


def r2(f: pd.DataFrame) -> pd.Series[float]:
    return f["close"].rolling(14).apply(lambda c: float(np.corrcoef(c, np.arange(14))[0, 1] ** 2), raw=True)


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
    ("yang_zhang_20", yang_zhang),
    ("bipower_20", bipower),
    ("jump_share_20", jump_share),
    ("semi_up_20", lambda f: np.sqrt(one_sided(f, 1))),
    ("semi_down_20", lambda f: np.sqrt(one_sided(f, -1))),
    ("semi_balance_20", lambda f: (one_sided(f, 1) - one_sided(f, -1)) / (intraday_return(f) ** 2).rolling(20).mean()),
    ("rskew_20", lambda f: moment(f, 3)),
    ("rkurt_20", lambda f: moment(f, 4)),
    ("vol_of_vol_20", vol_of_vol),
    ("rvol_session", session_vol),
    ("linreg_r2_14", r2),
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


@pytest.mark.parametrize(("name", "reference"), REFERENCES, ids=[n for n, _ in REFERENCES])
def test_feature_is_its_formula(frame: pd.DataFrame, computed: dict[str, F8], name: str, reference: Reference) -> None:
    expected, found = np.asarray(reference(frame), np.float64), computed[name]
    assert np.array_equal(np.isnan(found), np.isnan(expected)), (name, np.isnan(found).sum(), np.isnan(expected).sum())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_volatility_of_real_bars_is_its_formula(shared: Path) -> None:
    """With the holes of the set of 2021: bars that are not there take no part."""
    panel = real_panel(shared / "data" / "bars" / "nse_2021_from_ticks").rows(0, 3000)
    measures = [(name, reference) for name, reference in REFERENCES if REGISTRY[name].family == "volatility"]
    table = exact.table(panel, [REGISTRY[name] for name, _ in measures])
    for s in range(panel.n_instruments):
        own = panel.mask[:, s]
        own_bars = pd.DataFrame({name: getattr(panel, name)[own, s] for name in exact.PRICES})
        own_bars["session"] = panel.session[own]
        for name, reference in measures:
            expected, found = np.asarray(reference(own_bars), np.float64), table[name][own, s]
            assert np.array_equal(np.isnan(found), np.isnan(expected)), name
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=name)


def test_every_feature_has_a_golden_answer() -> None:
    answered = {name for name, _ in REFERENCES} | set(OURS)
    assert answered <= set(REGISTRY)
    assert {f.name for f in REGISTRY.values() if f.family in MINE} <= answered


FLAT = {
    "bb_pctb_20": 0.5, "zscore_60": 0.0, "bb_width_20": 0.0, "sigma": 0.0, "efficiency_10": 0.0, "vol_above_vwap": 0.0,
    "mfi_14": 50.0, "rsi_14": 50.0, "stoch_k_14": 50.0, "dx_14": 0.0, "adx_14": 0.0, "roc_20": 0.0, "mom_atr_10": 0.0,
    "ppo_21_50": 0.0, "apo_12_26": 0.0, "trix_15": 0.0, "cmo_14": 0.0, "willr_60": -50.0, "stoch_rsi_14": 50.0, "cci_14": 0.0,
    "ultosc": 50.0, "bop_14": 0.0, "aroon_up_25": 100.0, "aroon_down_25": 100.0, "aroon_osc_25": 0.0, "dema_dist_20": 0.0,
    "tema_dist_20": 0.0, "wma_dist_20": 0.0, "kama_dist_10": 0.0, "linreg_slope_14": 0.0, "linreg_dist_14": 0.0,
    "linreg_angle_14": 0.0, "linreg_r2_14": 0.0, "donchian_up_20": 0.0, "donchian_down_20": 0.0, "donchian_width_20": 0.0,
    "keltner_20": 0.0, "yang_zhang_20": 0.0, "bipower_20": 0.0, "jump_share_20": 0.0, "semi_up_20": 0.0, "semi_down_20": 0.0,
    "semi_balance_20": 0.0, "rskew_20": 0.0, "rkurt_20": 0.0, "vol_of_vol_20": 0.0, "rvol_session": 0.0, "trange_rel_14": 0.0,
}  # fmt: skip


def flat_from(frame: pd.DataFrame, bar: int) -> pd.DataFrame:
    """Every price from ``bar`` on is one price."""
    before = frame.index < bar
    return frame.assign(**{name: frame[name].where(before, 1234.35) for name in ("open", "high", "low", "close")})


def test_a_flat_market_is_flat_and_not_rounding(frame: pd.DataFrame) -> None:
    found = everything(flat_from(frame, 0))
    given = {name: set(found[name][~np.isnan(found[name])]) for name in FLAT}
    assert given == {name: {value} for name, value in FLAT.items()}


SHARE = {
    "0 .. 1": (0.0, 1.0),
    "-1 .. 1": (-1.0, 1.0),
    "0 .. 100": (0.0, 100.0),
    "-100 .. 0": (-100.0, 0.0),
    "-100 .. 100": (-100.0, 100.0),
}


def test_a_market_locked_for_days_gives_no_rounding_for_values() -> None:
    """Averages decay towards the price, and ranges to nothing: a quotient of two remainders must not be shown as a signal."""
    found = everything(flat_from(lively(days=40), 2 * SLOTS))
    for name, feature in REGISTRY.items():
        if feature.family in MINE:
            locked = found[name][10 * SLOTS :]
            assert np.isfinite(locked).all(), name
            low, high = SHARE.get(feature.units, (-1.5, 1.5))
            assert low - 1e-9 <= locked.min(), (name, locked.min())
            assert locked.max() <= high + 1e-9, (name, locked.max())
