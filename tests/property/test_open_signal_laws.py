"""When a signal is over: each side's own end, and one open signal per instrument as the labels say it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from intraday.core.decision import DecisionRule, best_side, latest_bar_ns
from intraday.core.fills import Barriers, barriers, fill_trade
from intraday.core.function_features import Failure
from intraday.core.label_sessions import Traded
from intraday.core.labels import LabelSpec
from intraday.core.open_signals import OpenSignals
from intraday.core.panel import NO_LISTS, Day, regular_day
from intraday.core.trade_ends import side_ends
from intraday.domain.arrays import F4, F8, I8, MINUTE_NS, Bars, Mask
from intraday.domain.events import Action, SaveSignals, Signal
from intraday.live.engine import Engine, EngineSpec
from intraday.model.dataset import join
from intraday.model.metrics import take_flat
from intraday.model.thresholds import sides_and_trades
from intraday.signal.generator import SignalGenerator, SignalSpec
from property.test_label_laws import DAYS, Case, cases, label, specs, with_a_halt, with_limits

TICK = 5


def ends_of(case: Case, spec: LabelSpec, known_ns: int | None = None) -> tuple[I8, I8]:
    traded = Traded.of(np.full(case.minutes.n_instruments, TICK / 100), NO_LISTS, case.bands)
    found = side_ends(case.minutes, case.decisions, case.sigma, spec, traded, case.table, known_ns)
    return found.long, found.short


@settings(max_examples=12, deadline=None)
@hypothesis_given(case=cases, spec=specs, seed=st.integers(0, 2**32 - 1), limited=st.booleans())
def test_the_later_end_is_the_labels(case: Case, spec: LabelSpec, seed: int, limited: bool) -> None:
    case = with_limits(case, seed) if limited else case
    long, short = ends_of(case, spec)
    rows = label(case, spec, TICK)
    at = np.searchsorted(case.decisions.ts_ns, rows["ts_ns"])
    both = np.maximum(long, short)[at, rows["inst"]]
    np.testing.assert_array_equal(both, rows["t1_ns"])
    known = (long > 0) & (short > 0)
    assert int(known.sum()) == len(rows) and known[at, rows["inst"]].all()
    closed = case.decisions.ts_ns[:, None] + spec.timeframe * MINUTE_NS
    assert ((long > closed) | (long == 0)).all() and ((short > closed) | (short == 0)).all()


@settings(max_examples=10, deadline=None)
@hypothesis_given(case=cases, spec=specs, k=st.integers(0, 10_000))
def test_the_future_changes_no_end(case: Case, spec: LabelSpec, k: int) -> None:
    cut = int(case.minutes.ts_ns[k % len(case.minutes)]) + MINUTE_NS
    whole = ends_of(case, spec)
    early = ends_of(case, spec, cut)
    for full, part in zip(whole, early, strict=True):
        assert (part[(full > 0) & (full <= cut)] > 0).all()
        np.testing.assert_array_equal(part[part > 0], full[part > 0])


@settings(max_examples=10, deadline=None)
@hypothesis_given(case=cases, spec=specs)
def test_an_end_is_the_one_of_a_simulated_fill(case: Case, spec: LabelSpec) -> None:
    ends = ends_of(case, spec)
    session = case.table.get(DAYS[0])
    for t in range(0, len(case.decisions), 7):
        if case.decisions.session[t] != session.number or not case.decisions.mask[t, 0]:
            continue
        price, sigma = case.decisions.close[t, :1], case.sigma[t, :1].astype(np.float64)
        levels = barriers(price, sigma, np.array([TICK / 100]), spec.horizon_bars, spec.target_sigma, spec.stop_sigma)
        closed = int(case.decisions.ts_ns[t]) + spec.timeframe * MINUTE_NS
        for side, end, target, stop in (
            (1, ends[0], levels.long_target, levels.long_stop),
            (-1, ends[1], levels.short_target, levels.short_stop),
        ):
            if np.isnan(target[0]):
                assert end[t, 0] == 0
                continue
            mine = case.bars[case.bars["inst"] == 0]
            fill = fill_trade(spec.rules, mine, session, side, closed, spec.horizon_min, float(target[0]), float(stop[0]))
            assert end[t, 0] == (0 if fill is None else fill.known_ns)


# ------------------------------------------------------------------------------------------------ one open signal at a time


def levels_of(case: Case, spec: LabelSpec) -> Barriers:
    """Of every decision, [T * S] each."""
    n = case.decisions.close.size
    sigma = np.where(case.sigma > 0.0, case.sigma, np.nan).astype(np.float64).ravel()
    return barriers(
        case.decisions.close.ravel(), sigma, np.full(n, TICK / 100), spec.horizon_bars, spec.target_sigma, spec.stop_sigma
    )


def freed(case: Case, spec: LabelSpec, ends: tuple[I8, I8]) -> tuple[I8, I8]:
    """The ends, and where they are unknown what the rule for open signals says: nothing entered, or the vertical barrier."""
    long, short = (e.copy() for e in ends)
    has_bar = {(int(r["ts_ns"]), int(r["inst"])) for r in case.bars}
    for t, s in np.ndindex(*case.decisions.mask.shape):
        session = next(x for x in map(case.table.get, DAYS) if x.number == case.decisions.session[t])
        closed = min(int(case.decisions.ts_ns[t]) + spec.timeframe * MINUTE_NS, session.close_ns)
        last = min(session.close_ns, session.square_off_ns - spec.square_off_buffer_min * MINUTE_NS)
        end = min(closed + spec.horizon_min * MINUTE_NS, last)
        due = -(-(closed + spec.entry_delay_s * 10**9) // MINUTE_NS) * MINUTE_NS
        wait = (closed + spec.entry_delay_s * 10**9) // MINUTE_NS * MINUTE_NS + spec.max_wait_min * MINUTE_NS
        entered = any((ts, s) in has_bar for ts in range(due, min(wait, end - 1) + 1, MINUTE_NS))
        end = end // MINUTE_NS * MINUTE_NS
        for out in (long, short):
            if out[t, s] == 0:
                out[t, s] = end if entered else min(wait + MINUTE_NS, end)
    return long, short


def given(case: Case, spec: LabelSpec, side: I8, rng: np.random.Generator) -> list[tuple[int, int]]:
    """(decision row, instrument) of the signals that were given, the minutes told in pieces of any size."""
    out: list[tuple[int, int]] = []
    levels, shape = levels_of(case, spec), case.decisions.mask.shape
    goals = [np.reshape(x, shape) for x in levels]
    for day in DAYS:
        session = case.table.get(day)
        limits = None if case.bands is None else case.bands.on(session.number)
        opened = OpenSignals(session, spec, np.full(shape[1], TICK / 100), limits)
        told = session.open_ns
        for t in np.flatnonzero(case.decisions.session == session.number):
            closed = min(int(case.decisions.ts_ns[t]) + spec.timeframe * MINUTE_NS, session.close_ns)
            for until in [*sorted(rng.integers(told, closed, rng.integers(0, 4)) // MINUTE_NS * MINUTE_NS), closed]:
                opened.follow(case.bars[(case.bars["ts_ns"] >= told) & (case.bars["ts_ns"] < until)], int(until))
                told = max(told, int(until))
            new = np.flatnonzero((side[t] != 0) & (opened.since(np.arange(shape[1])) == 0))
            target, stop = (np.where(side[t] > 0, goals[k][t], goals[k + 2][t])[new] for k in (0, 1))
            opened.add(new, side[t, new], target, stop, closed, session)
            out += [(int(t), s) for s in new.tolist()]
    return out


@settings(max_examples=25, deadline=None)
@hypothesis_given(case=cases, spec=specs, seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["plain", "limits", "halt"]))
def test_given_while_free_is_taken_while_flat(case: Case, spec: LabelSpec, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    case = with_limits(case, seed) if kind == "limits" else case
    case = with_a_halt(case, int(rng.integers(20, 330)), int(rng.integers(1, 40))) if kind == "halt" else case
    shape = case.decisions.mask.shape
    priced = ~np.isnan(levels_of(case, spec).long_target).reshape(shape) & case.decisions.mask
    side = np.where(priced & (rng.random(shape) < 0.6), rng.choice([-1, 1], shape), 0).astype(np.int8)
    long, short = freed(case, spec, ends_of(case, spec))
    ends = np.where(side > 0, long, short)
    closed = np.repeat(case.decisions.ts_ns + spec.timeframe * MINUTE_NS, shape[1])
    inst = np.tile(np.arange(shape[1], dtype=np.int32), shape[0])
    taken = take_flat(side.ravel(), inst, closed, ends.ravel()).reshape(shape)
    assert given(case, spec, side, rng) == [(int(t), int(s)) for t, s in np.argwhere(taken)]


# ---------------------------------------------------------------------------------------------------------- the engine itself

RULE = DecisionRule((-3.0, 0.0, 3.0), (3.0, 0.0, -3.0), 0.0002)


class Told:
    """Features and predictor that say what a table says: the row's own volatility and probabilities, and the first instrument's
    part of the reasons."""

    def __init__(self, case: Case, p: F8) -> None:
        self._case, self._p = case, p

    def update(self, bars: Bars, ts_ns: int, day: Day) -> F4:
        t = int(np.searchsorted(self._case.decisions.ts_ns, ts_ns))
        inst = bars["inst"].astype(np.int64)
        return np.stack([self._case.sigma[t, inst], np.full(len(inst), t), inst], axis=1).astype(np.float32)

    def predict(self, x: F4) -> F8:
        out: F8 = self._p[x[:, 1].astype(np.int64), x[:, 2].astype(np.int64)]
        return out

    def take_failures(self) -> tuple[Failure, ...]:
        return ()


def engine_says(case: Case, spec: LabelSpec, p: F8, rng: np.random.Generator) -> dict[tuple[int, int], Signal]:
    """Every signal by (decision row, instrument); closed minutes come in pieces of any length."""
    n = case.minutes.n_instruments
    ticks, told = np.full(n, TICK / 100), Told(case, p)
    decider = SignalGenerator(SignalSpec(RULE, np.zeros(n), spec, ticks, observe=False, model_id="m"))
    out = {}
    for day in DAYS:
        session = case.table.get(day)
        limits = None if case.bands is None else case.bands.on(session.number)
        opened = OpenSignals(session, spec, ticks, limits)
        engine = Engine(session, regular_day(session, n), EngineSpec(spec.timeframe, 0, 0), told, told, decider, opened)
        at = session.open_ns
        while at < session.close_ns:
            until = min(at + int(rng.choice([1, 1, 1, 2, 7, 18])) * MINUTE_NS, session.close_ns)
            bars = case.bars[(case.bars["ts_ns"] >= at) & (case.bars["ts_ns"] < until)]
            for effect in engine.close_bars(bars, until, until):
                for s in effect.signals if isinstance(effect, SaveSignals) else ():
                    out[int(np.searchsorted(case.decisions.ts_ns, s.bar_ns)), s.inst] = s
            at = until
    return out


@settings(max_examples=20, deadline=None)
@hypothesis_given(case=cases, spec=specs, seed=st.integers(0, 2**32 - 1), limited=st.booleans())
def test_the_engine_gives_what_the_backtest_of_the_rows_takes(case: Case, spec: LabelSpec, seed: int, limited: bool) -> None:
    rng = np.random.default_rng(seed)
    case = with_limits(case, seed) if limited else case
    shape = case.decisions.mask.shape
    p = rng.dirichlet([1.0, 1.0, 1.0], shape)
    said = engine_says(case, spec, p, rng)
    sigma = np.where(case.sigma > 0.0, case.sigma, np.nan).astype(np.float64)
    side, expected = best_side(RULE, p.reshape(-1, 3), sigma.ravel(), np.zeros(sigma.size))
    session = [case.table.get(day) for day in DAYS]
    latest = np.array([latest_bar_ns(spec, next(s for s in session if s.number == k)) for k in case.decisions.session])
    timely = case.decisions.mask & (case.decisions.ts_ns <= latest)[:, None]
    side = np.where(timely.ravel() & (expected >= RULE.threshold), side, 0).astype(np.int8)
    ends = ends_of(case, spec)
    long, short = (e.ravel() for e in freed(case, spec, ends))
    closed = np.repeat(case.decisions.ts_ns + spec.timeframe * MINUTE_NS, shape[1])
    inst = np.tile(np.arange(shape[1], dtype=np.int32), shape[0])
    taken = take_flat(side, inst, closed, np.where(side > 0, long, short)).reshape(shape)
    assert {k: s.action for k, s in said.items() if s.action is not Action.HOLD} == {
        (int(t), int(s)): Action.BUY if side.reshape(shape)[t, s] > 0 else Action.SELL for t, s in np.argwhere(taken)
    }
    held = {k for k, s in said.items() if s.note.startswith("open signal since ")}
    assert held == {(int(t), int(s)) for t, s in np.argwhere((side.reshape(shape) != 0) & ~taken)}
    labelled = ((ends[0] > 0) & (ends[1] > 0) | (side.reshape(shape) == 0)).all(axis=0)  # training sees every row that was wanted
    assert np.array_equal(taken[:, labelled], trained_on(case, spec, p, latest)[:, labelled])


def trained_on(case: Case, spec: LabelSpec, p: F8, latest: I8) -> Mask:
    """The trades of the out-of-sample figures, [T, S]."""
    labels, shape = label(case, spec, TICK), case.decisions.mask.shape
    at = (np.searchsorted(case.decisions.ts_ns, labels["ts_ns"]), labels["inst"])
    data = join(
        labels["ts_ns"],
        labels["inst"],
        np.zeros((len(labels), 1), np.float32),
        labels,
        lambda number: 0.0,
        timeframe=spec.timeframe,
    )
    long, short = ends_of(case, spec)
    data = replace(data, end_long_ns=long[at], end_short_ns=short[at], eligible=labels["ts_ns"] <= latest[at[0]])
    out = np.zeros(shape, np.bool_)
    out[at] = sides_and_trades(RULE, p[at], data).trade
    return out
