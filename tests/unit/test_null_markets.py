"""Null markets are what they say: martingales in price, on the grid, of the fitted sizes; a planted edge is where it should be."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from intraday.core.null_markets.flip import flipped
from intraday.core.null_markets.parameters import pooled
from intraday.core.null_markets.planted import DRIFT_MINUTES, SHARE, STRENGTH, carrier, draw_sides, drift_of
from intraday.core.null_markets.simulate import Minutes, draw_minutes, to_bars
from intraday.domain.arrays import F8
from intraday.domain.session import Session, SessionTable

FIT = pooled()


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def market() -> Minutes:
    return draw_minutes(rng(), FIT, 120, 8)


def regular(n: int) -> list[Session]:
    days = SessionTable.load().between(date(2024, 11, 4), date(2026, 7, 31))
    return [s for s in days if s.kind == "regular"][:n]


def mean_in_errors(values: F8) -> float:
    """The mean of one value a session in units of its standard error."""
    return float(values.mean() / (values.std(ddof=1) / len(values) ** 0.5))


def test_same_seed_same_market(market: Minutes) -> None:
    again = draw_minutes(rng(), FIT, 120, 8)
    assert all(np.array_equal(a, b) for a, b in zip(market, again, strict=True))


def test_bars_hold_what_bars_must(market: Minutes) -> None:
    for prices in market[:4]:
        assert np.all(prices > 0.0)
        assert np.allclose(np.rint(prices * 20.0) / 20.0, prices, atol=1e-9)  # a grid of five paise
    assert np.all(market.high >= np.maximum(market.open, market.close))
    assert np.all(market.low <= np.minimum(market.open, market.close))
    assert np.all(market.volume >= 1.0) and np.array_equal(market.volume, np.floor(market.volume))


@pytest.mark.parametrize("span", [1, 5, 60])
def test_the_price_is_a_martingale_within_the_day(market: Minutes, span: int) -> None:
    gain = market.close[:, span:] / market.close[:, :-span] - 1.0
    assert abs(mean_in_errors(gain.mean(axis=(1, 2)))) < 3.0
    against = gain[:, span:] * np.sign(gain[:, :-span])  # momentum and reversal, made without hindsight
    assert abs(mean_in_errors(against.mean(axis=(1, 2)))) < 3.0


def test_the_price_is_a_martingale_over_the_night(market: Minutes) -> None:
    gain = market.open[1:, 0] / market.close[:-1, -1] - 1.0
    assert abs(mean_in_errors(gain.mean(axis=1))) < 3.0


def test_it_looks_like_a_market(market: Minutes) -> None:
    move = np.log(market.close[:, 1:] / market.close[:, :-1])
    level = np.sqrt((move**2).mean(axis=(0, 2)))
    size = np.abs(move) / level[:, None]
    expected = np.sqrt(FIT.market_sd**2 * (1.0 + FIT.beta_sd**2) + FIT.own_sd**2 * np.exp(2.0 * FIT.own_spread**2))
    assert np.sqrt((move**2).mean()) == pytest.approx(expected, rel=0.1)
    assert level[:10].mean() > 1.5 * level[150:220].mean() < level[-10:].mean() * 1.5  # the U
    assert (move**4).mean() / (move**2).mean() ** 2 > 5.0  # fat tails
    near, far = (np.corrcoef(size[:, k:].ravel(), size[:, :-k].ravel())[0, 1] for k in (2, 60))
    assert near > far > 0.0  # persistent volatility
    together = np.corrcoef(move.reshape(-1, move.shape[2]).T)
    assert 0.05 < together[np.triu_indices(len(together), 1)].mean() < 0.4
    day = market.volume.mean(axis=(0, 2))
    assert day[:15].mean() > 1.5 * day[150:220].mean() < day[-15:].mean()


def test_a_level_inside_the_minute_is_met_as_often_as_a_martingale_meets_it() -> None:
    """Optional stopping: whoever sells at the first touch of +-h, or at the end of the hour, has gained nothing on average."""
    calm = draw_minutes(rng(8), FIT, 400, 3)
    paid, gains = calm.open[:, 100], []
    upper, lower = paid * 1.003, paid * 0.997
    out = calm.close[:, 159].copy()
    for m in range(159, 99, -1):
        hit_up, hit_down = calm.high[:, m] >= upper, calm.low[:, m] <= lower
        out = np.where(hit_up & ~hit_down, upper, np.where(hit_down, lower, out))
    gains = (out / paid - 1.0).mean(axis=1)
    assert abs(mean_in_errors(gains)) < 3.0


def test_flipped_bars_are_a_martingale_of_the_same_sizes(market: Minutes) -> None:
    trending = draw_minutes(rng(4), FIT, 40, 3, np.full((40, 375, 3), 2e-5))
    bars = to_bars(trending, regular(40))
    bars = bars[rng(1).random(len(bars)) < 0.98]  # holes
    tick = np.full(3, 0.05)
    drifts, before = [], np.log(bars["close"] / bars["open"])
    for seed in range(20):
        other = flipped(rng(seed), bars, tick)
        assert np.all(other["low"] > 0.0) and np.all(other["high"] >= np.maximum(other["open"], other["close"]))
        assert np.all(other["low"] <= np.minimum(other["open"], other["close"]))
        assert np.allclose(np.rint(other["close"] * 20.0) / 20.0, other["close"], atol=1e-9)
        assert np.array_equal(other["volume"], bars["volume"]) and np.array_equal(other["ts_ns"], bars["ts_ns"])
        move = np.log(other["close"] / other["open"])
        drifts.append((other["close"] / other["open"] - 1.0).mean())
    assert np.corrcoef(np.abs(move), np.abs(before))[0, 1] > 0.98  # sizes stay, but for the grid
    assert abs(mean_in_errors(np.array(drifts))) < 3.0
    assert mean_in_errors(before.reshape(-1)) > 3.0  # the trend was there


def test_one_sign_a_minute_for_all() -> None:
    bars = to_bars(draw_minutes(rng(5), FIT, 2, 4), regular(2))
    for name in ("open", "high", "low", "close"):
        bars[name] *= 100.0  # so that the grid is fine
    other = flipped(rng(6), bars, np.full(4, 0.01))
    was, now = (np.log(b["close"] / b["open"]).reshape(-1, 4) for b in (bars, other))
    clear = np.abs(was) > 3e-4
    flips = np.where(clear, np.sign(was) * np.sign(now), 0.0)
    assert np.all((flips.min(axis=1) >= 0.0) | (flips.max(axis=1) <= 0.0))
    assert 0.4 < (flips.max(axis=1) > 0.0).mean() < 0.6
    wide = bars["high"] / np.maximum(bars["open"], bars["close"]) > 1.001
    mirrored = wide & (np.repeat(flips.min(axis=1), 4) < 0.0)
    up, down = np.log(bars["high"] / bars["open"])[mirrored], np.log(other["open"] / other["low"])[mirrored]
    assert mirrored.sum() > 10 and np.allclose(up, down, atol=3e-6)


def test_planted_bars_are_few_both_ways_and_anywhere() -> None:
    side = draw_sides(rng(), 400, 75, 60, 5)
    assert np.all(side[:, 60:] == 0)
    share = (side[:, :60] != 0).mean()
    assert share == pytest.approx(SHARE, rel=0.1) and abs(side.sum()) < 4.0 * np.sqrt((side != 0).sum())
    by_bar = (side[:, :60] != 0).mean(axis=(0, 2))
    assert np.all(np.abs(by_bar - SHARE) < 5.0 * np.sqrt(SHARE / 2000))
    x = carrier(rng(1), side)
    assert x[side > 0].mean() == pytest.approx(STRENGTH, abs=0.1) and x[side == 0].std() == pytest.approx(1.0, abs=0.02)


def test_the_drift_begins_at_the_entry_and_is_over_before_the_next_one() -> None:
    side = np.zeros((1, 75, 2), np.int8)
    side[0, 3, 1] = -1  # closes at minute 20; entered at the open of minute 21
    drift = drift_of(side, 5, 0.001)
    assert drift.shape == (1, 375, 2) and np.flatnonzero(drift[0, :, 1]).tolist() == list(range(21, 21 + DRIFT_MINUTES))
    assert drift.sum() == pytest.approx(-0.001) and not drift[..., 0].any()
