"""Laws of labels on random panels: equal to the slow reference, blind to other instruments, to chunks and to the future."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intraday.core.candles import HistoricalAggregator
from intraday.core.fills import Bands, last_exit_ns
from intraday.core.labels import Barrier, Kind, Labeler, LabelSpec
from intraday.core.panel import panel_of
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.domain.arrays import BAR, F4, MINUTE_NS, Bars, Labels, Panel
from intraday.domain.session import SessionTable
from label_reference import Answer, Limits, Minute, reference_label

TABLE = SessionTable.load()
DAYS = (date(2026, 1, 6), date(2026, 1, 7))
S = 3


@dataclass(frozen=True)
class Case:
    """Bars of S instruments in parts of two sessions, their decision panel and a volatility for each decision."""

    minutes: Panel
    decisions: Panel
    sigma: F4
    bars: Bars
    bands: Bands | None = None
    table: SessionTable = TABLE


def walk_bars(rng: np.random.Generator, inst: int, ts_ns: np.ndarray, step: int, missing: float, tick: int) -> Bars:
    """Coarse random walks on the tick grid, so that barriers are touched exactly, jumped over, and both hit in one minute."""
    n = len(ts_ns)
    close = 10_000 + np.cumsum(rng.integers(-step, step + 1, n)) * tick
    open_ = close + rng.integers(-step, step + 1, n) * tick
    high = np.maximum(open_, close) + rng.integers(0, step + 1, n) * tick
    low = np.minimum(open_, close) - rng.integers(0, step + 1, n) * tick
    rows = np.zeros(n, BAR)
    rows["ts_ns"], rows["inst"], rows["volume"] = ts_ns, inst, 1.0
    for name, paise in (("open", open_), ("high", high), ("low", low), ("close", close)):
        rows[name] = np.maximum(paise, tick) / 100.0
    keep = rng.random(n) >= missing
    if rng.random() < 0.5:  # a hole
        at = rng.integers(0, n)
        keep[at : at + rng.integers(2, 12)] = False
    return rows[keep]


def make_case(seed: int, step: int, missing: float, tick: int, timeframe: int) -> Case:
    rng = np.random.Generator(np.random.PCG64(seed))
    parts = []
    for day in DAYS:
        session = TABLE.get(day)
        first = int(rng.integers(0, 250))
        ts_ns = session.open_ns + np.arange(first, 375 if rng.random() < 0.7 else first + 100) * MINUTE_NS
        parts += [walk_bars(rng, inst, ts_ns, step, missing, tick) for inst in range(S)]
    bars = np.concatenate(parts)
    bars = bars[np.lexsort((bars["inst"], bars["ts_ns"]))]
    decided = HistoricalAggregator(S).aggregate(bars, timeframe)
    decisions = panel_of(decided, S, timeframe, TABLE)
    sigma = rng.uniform(0.0005, 0.004, decisions.mask.shape).astype(np.float32)
    sigma[rng.random(sigma.shape) < 0.1] = np.nan
    sigma[rng.random(sigma.shape) < 0.02] = 0.0
    return Case(panel_of(bars, S, 1, TABLE), decisions, sigma, bars)


def with_limits(case: Case, seed: int) -> Case:
    """Limits inside the range the prices walk in, and the prices cut off there: long stretches at a limit. Some are not known."""
    rng = np.random.Generator(np.random.PCG64(seed))
    bars, numbers = case.bars.copy(), np.array([TABLE.get(day).number for day in DAYS], np.int32)
    lower, upper = np.full((2, S), np.nan), np.full((2, S), np.nan)
    for d, s in np.ndindex(2, S):
        session = TABLE.get(DAYS[d])
        mine = (bars["inst"] == s) & (bars["ts_ns"] >= session.open_ns) & (bars["ts_ns"] < session.close_ns)
        if mine.any() and rng.random() < 0.8:
            upper[d, s], lower[d, s] = np.quantile(bars["close"][mine], [0.9, 0.02], method="nearest")
            for name in ("open", "high", "low", "close"):
                bars[name][mine] = np.clip(bars[name][mine], lower[d, s], upper[d, s])
            moved = mine & (rng.random(len(bars)) < 0.01)  # a limit that was moved: trades beyond it
            bars["high"][moved] += 1.0
            bars["low"][mine & (rng.random(len(bars)) < 0.01)] -= 1.0
    decisions = panel_of(HistoricalAggregator(S).aggregate(bars, 5), S, 5, TABLE)
    return Case(panel_of(bars, S, 1, TABLE), decisions, case.sigma, bars, Bands(numbers, lower, upper))


def with_a_halt(case: Case, minute: int, length: int) -> Case:
    """The same bars, on the first day none in a halt."""
    halted = TABLE.get(DAYS[0])
    start, end = halted.open_ns + minute * MINUTE_NS, halted.open_ns + (minute + length) * MINUTE_NS
    table = SessionTable([replace(halted, pauses=((start, end),)), TABLE.get(DAYS[1])], *DAYS)
    bars = case.bars[(case.bars["ts_ns"] < start) | (case.bars["ts_ns"] >= end)]
    decisions = panel_of(HistoricalAggregator(S).aggregate(bars, 5), S, 5, table)
    at = np.searchsorted(case.decisions.ts_ns, decisions.ts_ns)
    return Case(panel_of(bars, S, 1, table), decisions, np.ascontiguousarray(case.sigma[at]), bars, None, table)


cases = st.builds(
    make_case,
    seed=st.integers(0, 2**32 - 1),
    step=st.sampled_from([1, 3, 12]),
    missing=st.sampled_from([0.0, 0.05, 0.4]),
    tick=st.sampled_from([1, 5, 10]),
    timeframe=st.just(5),
)
specs = st.builds(
    LabelSpec,
    timeframe=st.just(5),
    horizon_min=st.sampled_from([15, 60, 120]),
    target_sigma=st.sampled_from([0.5, 1.0, 2.0]),
    stop_sigma=st.sampled_from([0.5, 1.0, 2.0]),
    entry_delay_s=st.sampled_from([0, 60, 90]),
    square_off_buffer_min=st.sampled_from([0, 5]),
    max_wait_min=st.sampled_from([2, 5]),
)


def label(case: Case, spec: LabelSpec, tick: int = 5, known_ns: int | None = None) -> Labels:
    labeler = Labeler(spec, np.full(case.minutes.n_instruments, tick / 100), bands=case.bands)
    return labeler.label(case.minutes, case.decisions, case.sigma, case.table, known_ns)


@settings(max_examples=25, deadline=None)
@given(case=cases, spec=specs, tick=st.sampled_from([1, 5, 10]))
def test_equal_to_the_slow_reference(case: Case, spec: LabelSpec, tick: int) -> None:
    compare(case, spec, tick, DAYS)


@settings(max_examples=25, deadline=None)
@given(case=cases, spec=specs, seed=st.integers(0, 2**32 - 1), ticks=st.sampled_from([0, 3]))
def test_equal_to_the_slow_reference_with_circuit_limits(case: Case, spec: LabelSpec, seed: int, ticks: int) -> None:
    compare(with_limits(case, seed), replace(spec, limit_ticks=ticks), 5, DAYS)


@settings(max_examples=15, deadline=None)
@given(case=cases, spec=specs, minute=st.integers(20, 330), length=st.integers(1, 40))
def test_equal_to_the_slow_reference_with_a_halt(case: Case, spec: LabelSpec, minute: int, length: int) -> None:
    compare(with_a_halt(case, minute, length), spec, 5, DAYS)


@pytest.mark.parametrize(
    ("folder", "symbol", "day"), [("nse_2016", "BPCL", date(2016, 8, 24)), ("nse_2021_from_ticks", "RELIANCE", date(2021, 4, 7))]
)
def test_equal_to_the_slow_reference_on_real_minutes(shared: Path, folder: str, symbol: str, day: date) -> None:
    """A full day and the day on which the recorder stopped at 10:34: its open trades have no label."""
    file = shared / "data" / "bars" / folder / f"{symbol}.parquet"
    frame = pl.read_parquet(file).filter(pl.col("ts").dt.date() == day).unique("ts").sort("ts")
    assert len(frame) > 60
    bars = np.zeros(len(frame), BAR)
    bars["ts_ns"] = frame["ts"].dt.epoch("us").to_numpy() * 1000
    for name in ("open", "high", "low", "close", "volume"):
        bars[name] = frame[name].to_numpy()
    decisions = panel_of(HistoricalAggregator(1).aggregate(bars, 5), 1, 5, TABLE)
    sigma = np.full(decisions.mask.shape, 0.0008, np.float32)
    n = compare(Case(panel_of(bars, 1, 1, TABLE), decisions, sigma, bars), LabelSpec(), 5, (day,))
    assert 0 < n < len(decisions)


def compare(case: Case, spec: LabelSpec, tick: int, days: tuple[date, ...]) -> int:
    """Every decision, by both; returns how many have a label."""
    got = {(int(r["ts_ns"]), int(r["inst"])): r for r in label(case, spec, tick)}
    n = 0
    for session, inst in ((case.table.get(day), inst) for day in days for inst in range(case.minutes.n_instruments)):
        own = case.bars[
            (case.bars["inst"] == inst) & (case.bars["ts_ns"] >= session.open_ns) & (case.bars["ts_ns"] < session.close_ns)
        ]
        minutes = [Minute(*r) for r in own[["ts_ns", "open", "high", "low", "close"]].tolist()]
        for t in np.flatnonzero(case.decisions.mask[:, inst] & (case.decisions.session == session.number)):
            ts, close, sigma = int(case.decisions.ts_ns[t]), float(case.decisions.close[t, inst]), float(case.sigma[t, inst])
            expected = reference_label(
                minutes, close, sigma, ts + spec.timeframe * MINUTE_NS, tick, last_exit_ns(spec.rules, session), spec.horizon_min,
                spec.horizon_bars, spec.target_sigma, spec.stop_sigma, spec.entry_delay_s, spec.max_wait_min,
                limits_of(case, session.number, inst, spec.limit_ticks * tick), session.pauses[0][0] if session.pauses else None,
            )  # fmt: skip
            row = got.get((ts, inst))
            assert (row is None) == (expected is None), (ts, inst, row, expected)
            if row is not None and expected is not None:
                n += 1
                same(row, expected)
    assert n == len(got)
    return n


def limits_of(case: Case, number: int, inst: int, near: int) -> Limits:
    if case.bands is None:
        return Limits()
    lower, upper = (None if np.isnan(p[inst]) else round(float(p[inst]) * 100) for p in case.bands.on(number))
    return Limits(lower, upper, near)


def same(row: Any, expected: Answer) -> None:
    bits = Barrier(int(row["barrier"]))
    ends = (_end(bits, Barrier.LONG_TARGET, Barrier.LONG_STOP), _end(bits, Barrier.SHORT_TARGET, Barrier.SHORT_STOP))
    assert (int(row["label"]), int(row["entry_ns"]), int(row["t1_ns"])) == (expected.label, expected.entry, expected.t1)
    assert ends == tuple(e if e in ("target", "stop") else "other" for e in expected.ends)
    assert (Barrier.VERTICAL in bits, Barrier.SKIPPED in bits) == ("vertical" in expected.ends, "skipped" in expected.ends)
    assert (Barrier.BOTH_IN_BAR in bits) == expected.both
    assert (Barrier.LOCKED in bits) == expected.locked
    assert (row["ret_long"], row["ret_short"]) == pytest.approx(expected.ret, abs=1e-12)


def _end(bits: Barrier, target: Barrier, stop: Barrier) -> str:
    return "target" if target in bits else "stop" if stop in bits else "other"


@settings(max_examples=25, deadline=None)
@given(case=cases, spec=specs, cut=st.integers(0, 749), kind=st.sampled_from(Kind), limits=st.none() | st.integers(0, 2**32 - 1))
def test_the_future_changes_no_label_known_before(case: Case, spec: LabelSpec, cut: int, kind: Kind, limits: int | None) -> None:
    """Labels of any kind with t1 <= cut stay bit for bit when everything after is cut off, and when it is something else."""
    spec, case = replace(spec, kind=kind), case if limits is None else with_limits(case, limits)
    at = min(cut, len(case.minutes) - 1)
    cut_ns = int(case.minutes.ts_ns[at]) + MINUTE_NS
    full = label(case, spec)
    d = int(np.searchsorted(case.decisions.ts_ns + spec.timeframe * MINUTE_NS, cut_ns, side="right"))
    short = Case(case.minutes.rows(0, at + 1), case.decisions.rows(0, d), case.sigma[:d], case.bars, case.bands)
    np.testing.assert_array_equal(label(short, spec, known_ns=cut_ns), full[full["t1_ns"] <= cut_ns])
    for column in (case.minutes.open, case.minutes.high, case.minutes.low, case.minutes.close):
        column[at + 1 :] *= 3.0
    changed = label(case, spec)
    np.testing.assert_array_equal(changed[changed["t1_ns"] <= cut_ns], full[full["t1_ns"] <= cut_ns])


@settings(max_examples=20, deadline=None)
@given(case=cases, spec=specs)
def test_sessions_and_instruments_do_not_matter_to_each_other(case: Case, spec: LabelSpec) -> None:
    full = label(case, spec)
    parts = []
    for day in DAYS:
        number = TABLE.get(day).number
        m, d = (np.flatnonzero(p.session == number) for p in (case.minutes, case.decisions))
        if len(d):
            one = Case(
                case.minutes.rows(m[0], m[-1] + 1), case.decisions.rows(d[0], d[-1] + 1), case.sigma[d[0] : d[-1] + 1], case.bars
            )
            parts.append(label(one, spec))
    np.testing.assert_array_equal(np.concatenate(parts), full)
    for inst in range(S):
        keep = np.array([inst])
        alone = label(Case(case.minutes.columns(keep), case.decisions.columns(keep), case.sigma[:, keep], case.bars), spec)
        alone["inst"] = inst
        np.testing.assert_array_equal(alone, full[full["inst"] == inst])


@settings(max_examples=20, deadline=None)
@given(case=cases, spec=specs)
def test_rows_are_sound(case: Case, spec: LabelSpec) -> None:
    got = label(case, spec)
    closed = got["ts_ns"] + spec.timeframe * MINUTE_NS
    assert (got["entry_ns"] >= closed + spec.entry_delay_s * 10**9).all()
    assert (got["t1_ns"] > got["entry_ns"]).all()
    for number in np.unique(case.minutes.session):
        session = next(TABLE.get(d) for d in DAYS if TABLE.get(d).number == number)
        mine = got[(got["ts_ns"] >= session.open_ns) & (got["ts_ns"] < session.close_ns)]
        assert (mine["t1_ns"] <= last_exit_ns(spec.rules, session)).all()
    if len(got):
        order = np.lexsort((got["inst"], got["ts_ns"]))
        assert np.array_equal(order, np.arange(len(got)))


def test_a_martingale_favours_neither_side() -> None:
    """Without an edge both trades earn nothing on average and both classes are as frequent; with one session as the unit."""
    sessions = TABLE.between(date(2026, 1, 5), date(2026, 2, 6))
    market = SyntheticMarket(SyntheticSpec(instruments=10, seed=2, edge=0.0, with_index=False), sessions)
    bars = np.concatenate([market.bars(i) for i in range(len(sessions))])
    minutes = panel_of(bars, 10, 1, TABLE)
    decisions = panel_of(HistoricalAggregator(10).aggregate(bars, 5), 10, 5, TABLE)
    sigma = np.full(decisions.mask.shape, 0.0015, np.float32)
    tick = np.array([i.tick_size / 100 for i in market.instruments])
    got = Labeler(LabelSpec(), tick).label(minutes, decisions, sigma, TABLE)
    day = got["ts_ns"] // 86_400_000_000_000
    for name in ("ret_long", "ret_short", "label"):
        means = np.array([got[name][day == d].mean() for d in np.unique(day)])
        assert abs(means.mean()) < 3 * means.std() / np.sqrt(len(means)), name
    assert 0.15 < (got["label"] != 0).mean() < 0.9
