"""Fixed-horizon, trend-scanning and meta-labels: by hand, and trend scanning against least squares of numpy."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from intraday.core.candles import HistoricalAggregator
from intraday.core.fills import Exit, FillRules, fill_trade
from intraday.core.labels import Barrier, Kind, Labeler, LabelSpec
from intraday.core.meta_labels import MetaLabeler, MetaSpec, Worth
from intraday.core.panel import panel_of
from intraday.domain.arrays import BAR, F4, MINUTE_NS, Bars, Panel
from intraday.domain.session import SessionTable

TABLE = SessionTable.load()
SESSION = TABLE.get(date(2026, 1, 6))
SIGMA = 0.0102 / np.sqrt(12)  # one sigma of the hour is 1.02 rupees of 100
TICK = np.array([0.05])


def walk(seed: int, n: int = 375, missing: float = 0.05) -> Bars:
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, BAR)
    rows["ts_ns"] = SESSION.open_ns + np.arange(n) * MINUTE_NS
    rows["close"] = np.round((100 + np.cumsum(rng.normal(0, 0.08, n))) * 20) / 20
    rows["open"] = np.concatenate([[100.0], rows["close"][:-1]])
    rows["high"], rows["low"] = np.maximum(rows["open"], rows["close"]) + 0.05, np.minimum(rows["open"], rows["close"]) - 0.05
    return rows[rng.random(n) >= missing]


def panels(bars: Bars) -> tuple[Panel, Panel, F4]:
    decisions = panel_of(HistoricalAggregator(1).aggregate(bars, 5), 1, 5, TABLE)
    return panel_of(bars, 1, 1, TABLE), decisions, np.full(decisions.mask.shape, SIGMA, np.float32)


def test_fixed_horizon_by_hand() -> None:
    spec = LabelSpec(kind=Kind.FIXED_HORIZON, target_sigma=0.5)
    for last, label in ((100.6, 1), (100.5, 0), (100.0, 0), (99.5, 0), (99.4, -1)):
        bars = walk(0, missing=0.0)
        for name in ("open", "high", "low", "close"):
            bars[name] = 100.0
        bars["high"][20] = 150.0  # no barrier there to touch
        bars["close"][64] = bars["high"][64] = bars["low"][64] = last
        minutes, decisions, sigma = panels(bars)
        first = Labeler(spec, TICK).label(minutes, decisions, sigma, TABLE)[0]
        assert (first["label"], first["barrier"]) == (label, Barrier.VERTICAL)
        assert (first["ret_long"], first["ret_short"]) == (pytest.approx(last / 100 - 1), pytest.approx(1 - last / 100))
        assert first["t1_ns"] == SESSION.open_ns + 65 * MINUTE_NS


def test_the_horizon_is_the_barrier_label_without_barriers() -> None:
    minutes, decisions, sigma = panels(walk(1))
    plain = Labeler(LabelSpec(target_sigma=50.0, stop_sigma=50.0), TICK).label(minutes, decisions, sigma, TABLE)
    fixed = Labeler(LabelSpec(kind=Kind.FIXED_HORIZON, target_sigma=0.0), TICK).label(minutes, decisions, sigma, TABLE)
    for name in ("ts_ns", "ret_long", "ret_short", "entry_ns", "t1_ns", "barrier"):
        np.testing.assert_array_equal(plain[name], fixed[name])
    np.testing.assert_array_equal(fixed["label"], np.sign(fixed["ret_long"]))


@pytest.mark.parametrize("side", [1, -1])
def test_a_trade_without_target_and_stop_ends_by_time(side: int) -> None:
    """Signals of kinds without barriers store NaN for both prices; one of them alone may be missing, too."""
    bars, nan = walk(2, missing=0.0), float("nan")
    labels = Labeler(LabelSpec(kind=Kind.FIXED_HORIZON), TICK).label(*panels(bars), TABLE)
    for row in labels[::7]:
        args = FillRules(), bars, SESSION, side, int(row["ts_ns"]) + 5 * MINUTE_NS, 60
        fill = fill_trade(*args, nan, nan)
        assert fill is not None and fill.how is Exit.VERTICAL
        assert (fill.ret, fill.known_ns) == (pytest.approx(row["ret_long" if side > 0 else "ret_short"]), row["t1_ns"])
        stopped, won = fill_trade(*args, nan, fill.entry - side * 0.1), fill_trade(*args, fill.entry + side * 0.1, nan)
        assert stopped is not None and won is not None
        assert stopped.how in (Exit.STOP, Exit.VERTICAL) and won.how in (Exit.TARGET, Exit.VERTICAL)


def slow_trend(bars: Bars, closed: int, spec: LabelSpec) -> tuple[float, int, float] | None:
    """(t, end, return to the vertical barrier) by numpy's least squares over every span."""
    minute = (bars["ts_ns"] - SESSION.open_ns) // MINUTE_NS
    due, end = closed + spec.entry_delay_s // 60, min(closed + spec.horizon_min, 360)
    late = np.flatnonzero((minute >= due) & (minute <= due + spec.max_wait_min) & (minute < end))
    if not len(late):
        return None
    entry = late[0]
    seen = np.concatenate([minute[(minute >= minute[entry]) & (minute < end)], [end]])
    if (np.diff(seen) - 1 > spec.max_wait_min).any():
        return None
    best: tuple[float, int, float] | None = None
    inside_all = (minute >= minute[entry]) & (minute < end)
    for stop in range(closed + spec.trend_from_min, end + 1, spec.trend_step_min):
        inside = (minute >= minute[entry]) & (minute < stop)
        x, y, n = minute[inside].astype(float), bars["close"][inside], int(inside.sum())
        if n < spec.trend_from_min // 2:
            continue
        if np.ptp(y) == 0.0:
            t = 0.0
        else:
            (slope, level), rest = np.polyfit(x, y, 1), 0.0
            rest = float(np.sum((y - slope * x - level) ** 2))
            t = slope / np.sqrt(rest / (n - 2) / np.sum((x - x.mean()) ** 2))
        if best is None or abs(t) > abs(best[0]) * (1 + 1e-9):
            best = t, stop, bars["close"][inside_all][-1] / bars["open"][entry] - 1
    return best


@pytest.mark.parametrize("delay_s", [60, 300, 540, 600, 900])
@pytest.mark.parametrize(("seed", "missing"), [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.6)])
def test_trend_scanning_is_least_squares(seed: int, missing: float, delay_s: int) -> None:
    """Also when the first spans end before somebody so late is in the market."""
    spec = LabelSpec(kind=Kind.TREND_SCANNING, horizon_min=40, trend_from_min=10, trend_t=5.0, entry_delay_s=delay_s)
    bars = walk(seed, missing=missing)
    minutes, decisions, sigma = panels(bars)
    got = Labeler(spec, TICK).scan(minutes, decisions, sigma, TABLE)
    rows = {int(r["ts_ns"]): (r, t, e) for r, t, e in zip(got.labels, got.t, got.end_ns, strict=True)}
    assert len(rows) > 5 and set(got.labels["label"]) == {-1, 0, 1}
    for ts in decisions.ts_ns.tolist():
        closed = (ts - SESSION.open_ns) // MINUTE_NS + 5
        expected = slow_trend(bars, closed, spec)
        assert (expected is None) == (ts not in rows), closed
        if expected is not None:
            row, t, end_ns = rows[ts]
            assert (t, row["ret_long"]) == (pytest.approx(expected[0], rel=1e-6), pytest.approx(expected[2]))
            assert end_ns == SESSION.open_ns + expected[1] * MINUTE_NS
            assert row["label"] == (np.sign(t) if abs(t) >= 5.0 else 0)
            assert row["t1_ns"] == SESSION.open_ns + min(closed + 40, 360) * MINUTE_NS  # until then another span could have won


def test_a_straight_line_and_a_flat_one() -> None:
    bars = walk(0, missing=0.0)
    for name in ("open", "high", "low", "close"):
        bars[name] = 100.0
    spec = LabelSpec(kind=Kind.TREND_SCANNING)
    flat = Labeler(spec, TICK).scan(*panels(bars), TABLE)
    assert (flat.t == 0.0).all() and (flat.labels["label"] == 0).all() and len(flat.t) > 50
    bars["close"] = 100.0 - np.arange(375) * 0.25
    line = Labeler(spec, TICK).scan(*panels(bars), TABLE)
    assert (line.labels["label"] == -1).all() and (line.t < -1e6).all()


def test_other_kinds_have_no_t_values() -> None:
    got = Labeler(LabelSpec(), TICK).scan(*panels(walk(2)), TABLE)
    assert np.isnan(got.t).all() and (got.end_ns == 0).all() and len(got.t) == len(got.labels)


@pytest.mark.parametrize("kind", list(Kind))
def test_the_future_changes_nothing_that_was_known(kind: Kind) -> None:
    bars = walk(3)
    spec = LabelSpec(kind=kind)
    cut_ns = SESSION.open_ns + 200 * MINUTE_NS
    full = Labeler(spec, TICK).label(*panels(bars), TABLE)
    minutes, decisions, sigma = panels(bars[bars["ts_ns"] < cut_ns])
    np.testing.assert_array_equal(
        Labeler(spec, TICK).label(minutes, decisions, sigma, TABLE, cut_ns), full[full["t1_ns"] <= cut_ns]
    )


def test_kinds_have_ids_of_their_own() -> None:
    specs = [LabelSpec(kind=k) for k in Kind]
    assert len({s.id for s in specs}) == 3
    stored = {k: v for k, v in json.loads(specs[1].definition()).items() if k not in ("kernels", "rules")}
    assert LabelSpec(**stored) == specs[1] and LabelSpec(**stored).id == specs[1].id
    with pytest.raises(ValueError, match="martingale"):
        LabelSpec(kind="martingale")
    metas = [MetaSpec(s, name, worth) for s in specs for name in ("a", "b") for worth in Worth]
    assert len({m.id for m in metas}) == 12


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("target", "stop"), [(1.0, 1.0), (2.0, 1.0), (0.5, 2.0)])
def test_meta_labels_are_one_side_of_the_labels(seed: int, target: float, stop: float) -> None:
    spec = LabelSpec(target_sigma=target, stop_sigma=stop, horizon_min=40)
    minutes, decisions, sigma = panels(walk(seed))
    both = Labeler(spec, TICK).label(minutes, decisions, sigma, TABLE)
    side = np.random.default_rng(seed).integers(-1, 2, decisions.mask.shape).astype(np.int8)
    got = MetaLabeler(MetaSpec(spec, "rng"), TICK).label(minutes, decisions, sigma, side, np.float64(1e-3), TABLE)
    of = dict(zip(decisions.ts_ns.tolist(), side[:, 0].tolist(), strict=True))
    wanted = both[np.array([of[int(t)] != 0 for t in both["ts_ns"]])]
    mine = got[np.isin(got["ts_ns"], wanted["ts_ns"])]  # the other side may be unknown where this one is not
    assert 20 < len(wanted) == len(mine) and 0 < mine["label"].sum() < len(mine)
    np.testing.assert_array_equal(mine["side"], [of[int(t)] for t in mine["ts_ns"]])
    np.testing.assert_allclose(
        mine["ret"], np.where(mine["side"] > 0, wanted["ret_long"], wanted["ret_short"]), rtol=1e-12, atol=1e-15
    )
    np.testing.assert_array_equal(mine["entry_ns"], wanted["entry_ns"])
    assert (mine["t1_ns"] <= wanted["t1_ns"]).all()
    np.testing.assert_array_equal(got["label"], got["ret"] > 1e-3)
    won = MetaLabeler(replace(MetaSpec(spec, "rng"), worth=Worth.TARGET), TICK).label(
        minutes, decisions, sigma, side, np.float64(0), TABLE
    )
    np.testing.assert_array_equal(won["label"], won["how"] == Exit.TARGET)
    bit = np.where(mine["side"] > 0, Barrier.LONG_TARGET, Barrier.SHORT_TARGET)
    np.testing.assert_array_equal(mine["how"] == Exit.TARGET, (wanted["barrier"] & bit) != 0)
