"""Laws of the simple rules: equal to a slow reference, blind to other instruments, to other sessions and to the future."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intraday.core.anchor import AnchorRule
from intraday.core.candles import HistoricalAggregator
from intraday.core.decision import said_by
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.panel import panel_of
from intraday.core.rule_features import rule_features
from intraday.core.rules import LENGTHS, OPENING_MIN, RULES, rule_sides
from intraday.domain.arrays import BAR, MINUTE_NS, Panel
from intraday.domain.session import SessionTable

TABLE = SessionTable.load()
DAYS = (date(2021, 11, 3), date(2021, 11, 4), date(2021, 11, 8))  # the one in the middle is Muhurat trading, an hour in the evening
S = 3
CASES = {
    "seed": st.integers(0, 2**32 - 1),
    "timeframe": st.sampled_from([1, 5, 15, 60]),
    "missing": st.sampled_from([0.0, 0.3, 0.9]),
}


def panel(seed: int, timeframe: int, missing: float) -> Panel:
    """Walks of few ticks, so that closes often equal the range and means each other; bars missing; some prices not known."""
    rng = np.random.Generator(np.random.PCG64(seed))
    parts = []
    for day in DAYS:
        session = TABLE.get(day)
        for inst in range(S):
            n = session.minutes
            rows = np.zeros(n, BAR)
            rows["ts_ns"], rows["inst"] = session.open_ns + np.arange(n) * MINUTE_NS, inst
            close = 20_000 + 5 * np.cumsum(rng.integers(-1, 2, n))
            rows["close"], rows["open"] = close / 100.0, close / 100.0
            rows["high"], rows["low"] = (close + 5 * rng.integers(0, 2, n)) / 100.0, (close - 5 * rng.integers(0, 2, n)) / 100.0
            parts.append(rows[(rng.random(n) >= missing) & (np.arange(n) >= rng.choice([0, 0, 40]))])
    bars = np.concatenate(parts)
    bars = bars[np.lexsort((bars["inst"], bars["ts_ns"]))]
    if timeframe > 1:
        bars = HistoricalAggregator(S).aggregate(bars, timeframe)
    out = panel_of(bars, S, timeframe, TABLE)
    unknown = out.mask & (rng.random(out.mask.shape) < 0.02)
    return replace(out, close=np.where(unknown, np.nan, out.close))


def slowly(bars: Panel) -> np.ndarray:
    """Bar by bar, by the words of the docstrings."""
    fast, slow = LENGTHS[bars.timeframe]
    out = np.zeros((len(bars), bars.n_instruments, len(RULES)), np.int8)
    for s in range(bars.n_instruments):
        for number in np.unique(bars.session):
            highs, lows, closes, said, sign = [], [], [], set(), 0
            for t in np.flatnonzero(bars.session == number):
                if not bars.mask[t, s] or not np.isfinite(bars.close[t, s]):
                    continue
                close = bars.close[t, s]
                if bars.minute[t] < OPENING_MIN:
                    highs.append(bars.high[t, s])
                    lows.append(bars.low[t, s])
                elif highs:
                    side = 1 if close > max(highs) else -1 if close < min(lows) else 0
                    if side and side not in said:
                        said.add(side)
                        out[t, s, 0] = side
                closes.append(round(close * 100))
                if len(closes) >= slow:
                    now = int(np.sign(slow * sum(closes[-fast:]) - fast * sum(closes[-slow:])))
                    out[t, s, 1] = now if sign and now and now != sign else 0
                    sign = now or sign
    return out


@settings(max_examples=15, deadline=None)
@given(**CASES)
def test_sides_are_what_the_rules_say(seed: int, timeframe: int, missing: float) -> None:
    bars = panel(seed, timeframe, missing)
    assert np.array_equal(rule_sides(bars), slowly(bars))


@settings(max_examples=15, deadline=None)
@given(**CASES, where=st.floats(0.0, 1.0))
def test_what_comes_later_changes_no_side(seed: int, timeframe: int, missing: float, where: float) -> None:
    bars = panel(seed, timeframe, missing)
    cut = round(where * len(bars))
    assert np.array_equal(rule_sides(bars.rows(0, cut)), rule_sides(bars)[:cut])


@settings(max_examples=15, deadline=None)
@given(**CASES)
def test_sessions_and_instruments_stand_alone(seed: int, timeframe: int, missing: float) -> None:
    bars = panel(seed, timeframe, missing)
    whole = rule_sides(bars)
    cuts = [0, *(np.flatnonzero(np.diff(bars.session)) + 1).tolist(), len(bars)]
    parts = [rule_sides(bars.rows(a, b)) for a, b in zip(cuts, cuts[1:], strict=False)]
    assert np.array_equal(np.concatenate(parts), whole)
    for keep in ([1], [2, 0], [0, 0, 1, 2, 2]):
        assert np.array_equal(rule_sides(bars.columns(np.array(keep))), whole[:, keep])


@settings(max_examples=10, deadline=None)
@given(**CASES)
def test_rows_without_bars_change_nothing(seed: int, timeframe: int, missing: float) -> None:
    bars = panel(seed, timeframe, missing)
    gone = bars.mask.copy()
    gone[:, 1] = False
    prices = [np.where(gone, column, np.nan) for column in (bars.open, bars.high, bars.low, bars.close)]
    lone = replace(bars, mask=gone, open=prices[0], high=prices[1], low=prices[2], close=prices[3])
    assert np.array_equal(rule_sides(lone)[:, [0, 2]], rule_sides(bars)[:, [0, 2]])
    assert not rule_sides(lone)[:, 1].any()


@pytest.mark.parametrize("timeframe", [1, 5, 15, 60])
def test_rules_speak_in_whole_sessions(timeframe: int) -> None:
    """Else the laws above would hold of rules that say nothing."""
    found = np.concatenate([rule_sides(panel(seed, timeframe, 0.0)) for seed in range(5)])
    assert {-1, 1} <= set(found[..., 0].ravel().tolist())
    assert {-1, 1} <= set(found[..., 1].ravel().tolist())


def test_equal_prices_never_cross() -> None:
    bars = panel(1, 5, 0.0)
    flat = np.full(bars.mask.shape, 100.05)
    still = replace(bars, open=flat, high=flat, low=flat, close=flat)
    assert not rule_sides(still).any()


@settings(max_examples=30, deadline=None)
@given(**CASES)
def test_rules_as_features_say_the_same(seed: int, timeframe: int, missing: float) -> None:
    """What a model is put on live is what it was put on in history: by the kernels, and by ``rule_sides``."""
    bars = panel(seed, timeframe, missing)
    known = np.isfinite(bars.close) | ~bars.mask
    bars = replace(bars, close=np.where(known, bars.close, 200.0))  # stored bars have all their prices
    features = FeatureSet(timeframe, tuple(rule_features(timeframe)[name] for name in RULES), AnchorRule())
    x = FeatureCalculator(features, np.ones(S, np.bool_)).batch(bars)
    for k in range(len(RULES)):
        np.testing.assert_array_equal(said_by(x[:, :, k]), rule_sides(bars)[:, :, k])
