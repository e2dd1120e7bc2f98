"""Every primitive of the language, in float64, against numpy and pandas written from its definition."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from numpy.typing import NDArray

from intraday.core import expression as e
from intraday.core.anchor import AnchorRule
from intraday.core.feature import Feature
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.operations import Expr
from intraday.domain.arrays import DAY_NS, F8, IST_NS, MINUTE_NS, Mask, Panel

DAYS, SLOTS, S, TIMEFRAME = 6, 75, 12, 5
Frame = pd.DataFrame  # rows: decision bars, columns: instruments


def market(seed: int) -> Panel:
    """Twelve instruments that miss bars, jump over night, stand still for a while, and trade very different amounts."""
    rng = np.random.default_rng(seed)
    row = np.arange(DAYS * SLOTS)
    day, slot = row // SLOTS, row % SLOTS
    shape = (len(row), S)
    close = np.round(
        500.0 * np.exp(np.cumsum(rng.normal(0, 1e-3, shape) + (slot == 0)[:, None] * rng.normal(0, 0.05, shape), axis=0)), 2
    )
    close[200:280, 3] = 321.05
    open_ = np.round(close * np.exp(rng.normal(0, 5e-4, shape)), 2)
    high, low = np.maximum(open_, close) + 0.5, np.minimum(open_, close) - 0.35
    volume = np.floor(rng.lognormal(12, 3, shape))
    mask = rng.random(shape) > 0.07
    columns = [np.where(mask, x, np.nan) for x in (open_, high, low, close, volume)]
    ts_ns = (20_000 + day) * DAY_NS - IST_NS + 555 * MINUTE_NS + slot * TIMEFRAME * MINUTE_NS
    member = rng.random(shape) > 0.2
    return Panel(
        TIMEFRAME,
        ts_ns.astype(np.int64),
        (20_000 + day).astype(np.int32),
        slot * 5.0,
        np.full(shape, 375.0),
        member,
        *columns,
        mask,
    )


PANEL = market(1)
CLOSE, VOLUME, HIGH = pd.DataFrame(PANEL.close), pd.DataFrame(PANEL.volume), pd.DataFrame(PANEL.high)
MEMBERS = CLOSE.where(PANEL.member)


def computed(expr: Expr, panel: Panel = PANEL, index: int | None = 2) -> F8:
    one = FeatureSet(panel.timeframe, (Feature("x", "test", expr, "", "", ""),), AnchorRule())
    calculator = FeatureCalculator(one, np.ones(panel.n_instruments, np.bool_), index)
    return np.asarray(calculator.batch(panel, dtype=np.float64)[:, :, 0], np.float64)


def observed(frame: Frame, how: Callable[[pd.Series[Any]], pd.Series[Any]]) -> Frame:
    """``how`` on each column's observations alone."""
    return pd.DataFrame({s: how(frame[s].dropna()).reindex(frame.index) for s in frame})


def rolling(frame: Frame, n: int, how: Callable[[NDArray[Any]], float]) -> Frame:
    return observed(frame, lambda x: x.rolling(n).apply(how, raw=True))


def together(how: Callable[[NDArray[Any], NDArray[Any]], float], n: int) -> Frame:
    """Of close and volume, window by window."""
    out = {}
    for s in CLOSE:
        both = pd.DataFrame({"x": CLOSE[s], "y": VOLUME[s]}).dropna()
        values = [how(part["x"].to_numpy(), part["y"].to_numpy()) if len(part) == n else math.nan for part in both.rolling(n)]
        out[s] = pd.Series(values, both.index).reindex(CLOSE.index)
    return pd.DataFrame(out)


def line(x: NDArray[Any]) -> tuple[float, float]:
    found = scipy.stats.linregress(np.arange(len(x)), x - x[0])
    return float(found.slope), float(found.rvalue) ** 2


def residual(x: NDArray[Any]) -> float:
    slope = line(x)[0]
    return float(x[-1] - (x.mean() + slope * (len(x) - 1) / 2))


def flat_as(value: float, how: Callable[[NDArray[Any]], float]) -> Callable[[NDArray[Any]], float]:
    return lambda x: value if np.ptp(x) == 0.0 else how(x)


def correlation(x: NDArray[Any], y: NDArray[Any]) -> float:
    return math.nan if np.ptp(x) == 0.0 or np.ptp(y) == 0.0 else float(np.corrcoef(x, y)[0, 1])


def regression(x: NDArray[Any], y: NDArray[Any]) -> float:
    return math.nan if np.ptp(x) == 0.0 else float(np.cov(x, y, ddof=0)[0, 1] / np.var(x))


def since(x: pd.Series[Any]) -> pd.Series[Any]:
    times = (x > 0.0).cumsum()
    return x.groupby(times).cumcount().where(times > 0)


def by_slot(frame: Frame, how: Callable[[list[float]], float]) -> Frame:
    out = frame * np.nan
    for s in frame:
        for slot in range(SLOTS):
            past: list[float] = []
            for t in range(slot, len(frame), SLOTS):
                if not math.isnan(frame[s][t]):
                    out.loc[t, s] = how(past)
                    past.append(frame[s][t])
    return out


def slot_deviation(past: list[float]) -> float:
    if len(past) < 2:
        return math.nan
    weights = np.ones(0)
    for n in range(1, len(past) + 1):
        weights = np.append(weights * (1 - max(2 / 5, 1 / n)), max(2 / 5, 1 / n))
    centre = np.dot(weights, past)
    return math.sqrt(np.dot(weights, (np.array(past) - centre) ** 2))


def across(how: Callable[[NDArray[Any]], float]) -> Frame:
    rows = [how(r[~np.isnan(r)]) if np.isfinite(r).sum() >= 5 else math.nan for r in MEMBERS.to_numpy()]
    return pd.DataFrame(np.repeat(np.array(rows)[:, None], S, axis=1)).where(PANEL.mask)


def session_of(frame: Frame) -> Any:
    return frame.groupby(PANEL.session)


COUNT = MEMBERS.notna().sum(axis=1)
c, v = e.close(), e.volume()
CASES: list[tuple[Expr, Callable[[], Frame]]] = [
    (e.exp(c / 500.0), lambda: np.exp(CLOSE / 500.0)),
    (e.sign(c - 500.0), lambda: np.sign(CLOSE - 500.0)),
    (e.power(c, -1.5), lambda: CLOSE**-1.5),
    (e.equal(e.sign(c - 500.0), e.sign(v - 5e5)), lambda: CLOSE * 0 + (np.sign(CLOSE - 500) == np.sign(VOLUME - 5e5))),
    (e.given(c, e.log(c - 500.0)), lambda: CLOSE.where(CLOSE > 500.0)),
    (e.when(c - 500.0, v), lambda: VOLUME.where(CLOSE > 500.0)),
    (e.lag(c, 7), lambda: observed(CLOSE, lambda x: x.shift(7))),
    (e.mean(v, 20), lambda: rolling(VOLUME, 20, np.mean)),
    (e.total(v, 20), lambda: rolling(VOLUME, 20, math.fsum)),
    (e.std(c, 20), lambda: rolling(CLOSE, 20, np.std)),
    (e.std(v, 60), lambda: rolling(VOLUME, 60, np.std)),
    (e.skew(c, 20), lambda: rolling(CLOSE, 20, flat_as(0.0, lambda x: float(scipy.stats.skew(x, bias=False))))),
    (e.kurt(c, 20), lambda: rolling(CLOSE, 20, flat_as(-3.0, lambda x: float(scipy.stats.kurtosis(x, bias=False))))),
    (e.quantile(c, 20, 0.8), lambda: rolling(CLOSE, 20, lambda x: float(np.quantile(x, 0.8)))),
    (e.quantile(c, 5, 0.0), lambda: rolling(CLOSE, 5, np.min)),
    (e.quantile(c, 5, 1.0), lambda: rolling(CLOSE, 5, np.max)),
    (e.argmax(c, 20), lambda: rolling(CLOSE, 20, lambda x: float(np.argmax(x) + 1))),
    (e.argmin(c, 20), lambda: rolling(CLOSE, 20, lambda x: float(np.argmin(x) + 1))),
    (e.rank(c, 20), lambda: rolling(CLOSE, 20, lambda x: float(np.mean(x <= x[-1])))),
    (e.highest(c, 20), lambda: rolling(CLOSE, 20, np.max)),
    (e.lowest(c, 20), lambda: rolling(CLOSE, 20, np.min)),
    (e.slope(c, 20), lambda: rolling(CLOSE, 20, lambda x: line(x)[0])),
    (e.resi(c, 20), lambda: rolling(CLOSE, 20, residual)),
    (e.r2(c, 20), lambda: rolling(CLOSE, 20, flat_as(math.nan, lambda x: line(x)[1]))),
    (e.wma(c, 20), lambda: rolling(CLOSE, 20, lambda x: float(np.average(x, weights=np.arange(1, 21))))),
    (e.cov(c, v, 20), lambda: together(lambda x, y: float(np.cov(x, y, ddof=0)[0, 1]), 20)),
    (e.corr(c, v, 20), lambda: together(correlation, 20)),
    (e.beta(v, c, 20), lambda: together(regression, 20)),
    (e.running_sum(v), lambda: VOLUME.cumsum()),
    (e.bars_since(c - 505.0), lambda: observed(CLOSE - 505.0, since)),
    (e.weekday(), lambda: CLOSE * 0 + np.array([(d + 3) % 7 for d in PANEL.session])[:, None]),
    (e.grid_minute(), lambda: CLOSE * 0 + PANEL.minute[:, None]),
    (e.session_count(c), lambda: session_of(CLOSE.notna().astype(float)).cumsum().where(PANEL.mask)),
    (e.slot_std(c, 4), lambda: by_slot(CLOSE, slot_deviation)),
    (e.across_mean(c), lambda: across(np.mean)),
    (e.across_std(c), lambda: across(np.std)),
    (e.across_rank(e.max_(c, c * 0.0 + 500.0)), lambda: MEMBERS.clip(lower=500.0).rank(axis=1, pct=True).where(COUNT >= 5)),
    (e.across_count(c), lambda: pd.DataFrame(np.repeat(COUNT.to_numpy(float)[:, None], S, axis=1)).where(PANEL.mask)),
    (e.of_index(c), lambda: pd.DataFrame(np.repeat(PANEL.close[:, 2:3], S, axis=1)).where(PANEL.mask)),
]  # fmt: skip


@pytest.mark.parametrize(("expr", "expected"), CASES, ids=[x.text[:40] for x, _ in CASES])
def test_a_primitive_is_what_its_definition_says(expr: Expr, expected: Callable[[], Frame]) -> None:
    found, wanted = computed(expr), expected().to_numpy(np.float64)
    scale = np.nanmax(np.abs(wanted))
    assert np.isfinite(wanted).sum() > 500
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12 * scale)


def test_mean_and_deviation_do_not_drift_or_cancel() -> None:
    """A price of nine digits that moves in its last, after moves a billion times as large, for thousands of bars."""
    rng = np.random.default_rng(5)
    n = 4000
    x = 1e8 + np.where(np.arange(n) % 1000 < 20, rng.normal(0, 1e7, n), rng.normal(0, 1e-2, n))
    panel = straight(x)
    windows = np.lib.stride_tricks.sliding_window_view(x, 30)
    centred = windows - windows[:, :1]
    for expr, wanted in ((e.std(c, 30), centred.std(axis=1)), (e.mean(c, 30), windows[:, 0] + centred.mean(axis=1))):
        np.testing.assert_allclose(computed(expr, panel)[29:, 0], wanted, rtol=1e-9)
    slopes = [line(w)[0] for w in windows]
    np.testing.assert_allclose(computed(e.slope(c, 30), panel)[29:, 0], slopes, rtol=1e-9, atol=1e-12)


def straight(x: F8) -> Panel:
    """One instrument that trades in every row at the closes x."""
    n = len(x)
    shape: tuple[int, int] = (n, 1)
    column = x.reshape(shape)
    yes: Mask = np.ones(shape, np.bool_)
    ts_ns = 20_000 * DAY_NS - IST_NS + 555 * MINUTE_NS + np.arange(n, dtype=np.int64) * MINUTE_NS
    return Panel(
        1, ts_ns, np.full(n, 20_000, np.int32), np.arange(n, dtype=np.float64), np.full(shape, 1e6), yes,
        column, column, column, column, np.ones(shape), yes,
    )  # fmt: skip


def test_what_stands_still_has_no_deviation_no_slope_and_no_correlation() -> None:
    x = np.concatenate([np.random.default_rng(2).lognormal(3, 2, 50), np.full(60, 321.05)])
    panel = straight(x)
    for expr in (e.std(c, 20), e.slope(c, 20), e.resi(c, 20)):
        assert (computed(expr, panel)[-40:] == 0.0).all(), expr.text
    assert (computed(e.mean(c, 20), panel)[-40:] == 321.05).all()
    for expr in (e.corr(c, e.high(), 20), e.r2(c, 20), e.beta(e.high(), c, 20)):
        assert np.isnan(computed(expr, panel)[-40:]).all(), expr.text


# --------------------------------------------------------------------------------------------------------------- buckets


def buckets(panel: Panel, s: int, length: int) -> list[tuple[int, float, float, float, float, float]]:
    """(row that brings it, open, high, low, close, volume) of each closed bucket, by definition: look at all bars, then deliver."""
    rows = np.flatnonzero(panel.mask[:, s])
    grid = ((panel.ts_ns + IST_NS) % DAY_NS // MINUTE_NS - 555).astype(int)
    key = {int(t): (int(panel.session[t]), int(grid[t] // length)) for t in rows}
    closed = []
    for k in dict.fromkeys(key.values()):
        own = [t for t in rows if key[int(t)] == k]
        last = own[-1]
        end = panel.minute[last] + panel.timeframe >= panel.minutes[last, s]
        completes = (grid[last] + panel.timeframe) // length != k[1] or end
        later = [t for t in rows if t > last]
        due = last if completes else (later[0] if later else None)
        if due is not None:
            closed.append((due, own))
    free = -1
    found = []
    for due, own in closed:
        row = next((int(t) for t in rows if t >= due and t > free), None)
        if row is not None:
            free = row
            prices = (panel.open[own[0], s], panel.high[own, s].max(), panel.low[own, s].min(), panel.close[own[-1], s])
            found.append((row, *(float(p) for p in prices), float(panel.volume[own, s].sum())))
    return found


@pytest.mark.parametrize("length", [5, 15, 60])
@pytest.mark.parametrize("missing", [0.0, 0.3, 0.85])
def test_buckets_are_the_closed_bars_of_the_grid(length: int, missing: float) -> None:
    rng = np.random.default_rng(9)
    panel = market(4)
    panel.mask[:] = rng.random(panel.mask.shape) >= missing
    panel.minutes[panel.session >= 20_003, 4:] = 360.0
    panel.mask[(panel.minute >= 360)[:, None] & (panel.minutes == 360.0)] = False
    for name in ("open", "high", "low", "close", "volume"):
        column = getattr(panel, name)
        column[:] = np.where(panel.mask, np.where(np.isnan(column), 400.0, column), np.nan)
    fields = (e.bucket_open, e.bucket_high, e.bucket_low, e.bucket_close, e.bucket_volume)
    values = np.stack([computed(f(length), panel) for f in fields], axis=2)
    for s in range(S):
        rows = np.flatnonzero(np.isfinite(values[:, s, 0]))
        wanted = buckets(panel, s, length)
        assert [int(r) for r in rows] == [w[0] for w in wanted]
        np.testing.assert_allclose(values[rows, s], np.array([w[1:] for w in wanted]).reshape(-1, 5), rtol=1e-12)
    assert np.isnan(computed(e.bucket_close(7), panel)).all(), "no multiple of the timeframe"
