"""Whose prices changed their scale sits out until its state starts anew, and then has the state of the whole anchor."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from intraday.core.anchor import AnchorRule, Segment, session_of
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.fills import TickSizes
from intraday.core.labels import LabelSpec
from intraday.core.overnight import rescaled
from intraday.core.panel import NO_LISTS, Lists
from intraday.core.price_rules import PriceRules
from intraday.core.registry import default_registry
from intraday.domain.arrays import BAR, MINUTE_NS, Bars
from intraday.domain.ports import Source
from intraday.domain.session import SessionTable
from intraday.history.segment import Piece, SegmentRun, SegmentSpec
from intraday.live.warmup import WarmUp, warm
from memory_stores import MemoryBars

TABLE = SessionTable.load()
N = 2
FEATURES = FeatureSet.of(5, ("sigma", "ret_1", "gap", "rsi_5"), default_registry(), AnchorRule())
DAYS = [date(2024, 7, 1), date(2024, 7, 2), date(2024, 9, 30), date(2024, 10, 1), date(2024, 10, 3)]
LAST_QUARTER = Segment(DAYS[0], DAYS[3], DAYS[4])
EX_IN_MAY = Lists(out=((0, session_of(date(2024, 5, 10)), session_of(DAYS[2])),))


def minutes(days: list[date], seed: int = 0) -> Bars:
    """Forty one-minute bars of each instrument at the start of each day; prices go on from day to day."""
    rng, price, parts = np.random.default_rng(seed), np.full(N, 1000.0), []
    for day in days:
        for minute in range(40):
            rows = np.zeros(N, BAR)
            rows["ts_ns"], rows["inst"] = TABLE.get(day).open_ns + minute * MINUTE_NS, np.arange(N)
            rows["open"] = price
            price = price * np.exp(rng.normal(0.0, 0.001, N))
            rows["close"] = price
            rows["high"], rows["low"] = np.maximum(rows["open"], price), np.minimum(rows["open"], price)
            rows["volume"] = rng.integers(100, 1000, N)
            parts.append(rows)
    return np.concatenate(parts)


def run(lists: Lists, bars: Bars, segment: Segment = LAST_QUARTER, cuts: tuple[date, ...] = ()) -> tuple[SegmentRun, Piece]:
    """The segment's own rows, computed in the pieces that begin on ``cuts``."""
    spec = SegmentSpec(
        segment,
        np.ones(N, np.bool_),
        PriceRules(TickSizes(np.zeros(1, np.int32), np.full((1, N), 0.05))),
        FEATURES,
        LabelSpec(timeframe=5),
        lists,
    )
    it, edges = SegmentRun(spec, TABLE), [TABLE.get(day).open_ns for day in cuts]
    found = [it.advance(part) for part in np.split(bars, np.searchsorted(bars["ts_ns"], edges))]
    return it, Piece(*(np.concatenate([getattr(p, name) for p in found]) for name in ("ts_ns", "inst", "x", "labels")))


def warmed(lists: Lists, bars: Bars, day: date) -> tuple[FeatureCalculator, WarmUp]:
    store = MemoryBars()
    store.write([7, 8], bars, Source.BROKER, 0)
    calculator = FeatureCalculator(FEATURES, np.ones(N, np.bool_))
    return calculator, warm(calculator, store, [7, 8], TABLE.get(day), TABLE, lists)


def test_after_the_quarantine_state_starts_at_the_anchor() -> None:
    bars = minutes(DAYS)
    _, undisturbed = run(NO_LISTS, bars)
    _, after = run(EX_IN_MAY, bars)
    assert after.x.tobytes() == undisturbed.x.tobytes()
    assert len(after.labels) == len(undisturbed.labels)
    assert np.isfinite(after.x[after.inst == 0]).any(axis=0).all()


def test_live_starts_from_the_state_that_history_has() -> None:
    bars = minutes(DAYS[:3])
    plain, _ = warmed(NO_LISTS, bars, DAYS[3])
    after, _ = warmed(EX_IN_MAY, bars, DAYS[3])
    assert after.same_state(plain).all()


def test_bars_behind_an_ex_date_do_not_enter_the_state_before_it() -> None:
    ex_in_july = Lists(out=((0, session_of(DAYS[1]), session_of(date(2024, 12, 31))),))
    _, piece = run(ex_in_july, minutes(DAYS))
    assert set(piece.inst.tolist()) == {1}
    calculator, _ = warmed(ex_in_july, minutes(DAYS[:3]), DAYS[3])
    only_first, _ = warmed(NO_LISTS, minutes(DAYS[:1]), DAYS[3])
    assert calculator.same_state(only_first).tolist() == [True, False]


def halved(bars: Bars, day: date, factor: float = 0.5, inst: int = 0) -> Bars:
    """The instrument trades at half of its price from the day on, and nobody said why."""
    out, at = bars.copy(), (bars["inst"] == inst) & (bars["ts_ns"] >= TABLE.get(day).open_ns)
    for name in ("open", "high", "low", "close"):
        out[name][at] *= factor
    return out


@pytest.mark.parametrize("cuts", [(), (DAYS[1],), (DAYS[2], DAYS[4])])
def test_an_ex_date_that_nobody_entered_excludes_like_one_that_is(cuts: tuple[date, ...]) -> None:
    bars = halved(minutes(DAYS), DAYS[1])
    it, piece = run(NO_LISTS, bars, cuts=cuts)
    _, entered = run(Lists(out=((0, session_of(DAYS[1]), session_of(date(2024, 12, 31))),)), bars)
    assert [(found.row, found.number) for found in it.rescaled] == [(0, session_of(DAYS[1]))]
    assert piece.x.tobytes() == entered.x.tobytes() and piece.labels.tobytes() == entered.labels.tobytes()
    assert set(piece.inst.tolist()) == {1} == set(piece.labels["inst"].tolist())


def test_it_is_back_when_its_state_starts_on_that_day_and_when_it_is_settled() -> None:
    bars = halved(minutes(DAYS), DAYS[1])
    later = bars[bars["ts_ns"] >= TABLE.get(DAYS[1]).open_ns]  # as with a later anchor
    plain, settled = run(NO_LISTS, later)[1], run(Lists(settled=((0, session_of(DAYS[1])),)), bars)[1]
    assert set(plain.inst.tolist()) == {0, 1} == set(settled.inst.tolist())
    assert len(run(Lists(settled=((0, session_of(DAYS[2])),)), bars)[0].rescaled) == 1


def test_an_index_is_not_asked() -> None:
    bars = halved(minutes(DAYS), DAYS[1])
    bars["volume"][bars["inst"] == 0] = np.nan
    assert not run(NO_LISTS, bars)[0].rescaled


def test_live_knows_who_sits_out_and_what_the_next_open_is_compared_with() -> None:
    calculator, start = warmed(NO_LISTS, halved(minutes(DAYS[:3]), DAYS[1]), DAYS[3])
    before, number = minutes(DAYS[:3]), session_of(DAYS[3])
    assert start.overnight.sitting(NO_LISTS, number).out == ((0, number, number),)
    assert start.overnight.before(number)[1] == before["close"][before["inst"] == 1][-1]
    only_first, _ = warmed(NO_LISTS, minutes(DAYS[:1]), DAYS[3])
    assert calculator.same_state(only_first).tolist() == [True, False], "no bar of the new scale entered the state"
    _, settled = warmed(Lists(settled=((1, number),)), minutes(DAYS[:3]), DAYS[3])
    assert np.isnan(settled.overnight.before(number)[1])
    assert np.isnan(settled.overnight.before(number + 41)).all(), "after so long a price may be anywhere"


@pytest.mark.parametrize(
    ("move", "odd"),
    [(0.5, True), (0.49, True), (0.2, True), (2.0, True), (0.75, True), (0.8, True), (0.83, False), (1.17, False), (1.5, False),
     (0.445, False), (3.0, False), (1.0, False), (float("nan"), False)],
)  # fmt: skip
def test_an_open_near_a_simple_ratio_far_away(move: float, odd: bool) -> None:
    assert rescaled(np.array([100.0 * move]), np.array([100.0])).tolist() == [odd]
