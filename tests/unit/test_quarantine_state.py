"""Whose prices changed their scale sits out until its state starts anew, and then has the state of the whole anchor."""

from __future__ import annotations

from datetime import date

import numpy as np

from intraday.core.anchor import AnchorRule, Segment, session_of
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.fills import TickSizes
from intraday.core.labels import LabelSpec
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
