"""The laws on every registered feature, and proof that each law catches what it is there for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intraday.core import features
from intraday.core.anchor import EPOCH, AnchorRule, from_anchor, reaches
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.panel import Day
from intraday.core.registry import default_registry
from intraday.domain.arrays import BAR, DAY_NS, F4, I8, IST_NS, MINUTE_NS, Bars, Mask, Panel
from property import laws

REGISTRY = default_registry()
NAMES = list(REGISTRY)
STEPS_A_DAY, DAYS, TIMEFRAME, INSTRUMENTS, INDEX = 40, 8, 5, 9, 0
QUICK = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SEEDS = st.integers(0, 2**20)
CUTS = st.lists(st.integers(0, STEPS_A_DAY * DAYS), max_size=6)


def clean_panel(seed: int, n_instruments: int = INSTRUMENTS, days: int = DAYS) -> Panel:
    """Every instrument trades in every row; the third session is short, and starts late as an evening session does."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), STEPS_A_DAY)
    slot = np.tile(np.arange(STEPS_A_DAY), days)
    keep = (day != 2) | (slot < 12)
    day, slot = day[keep], slot[keep]
    shape = (len(day), n_instruments)
    move = rng.standard_t(4, shape) * 1e-3 + np.where((slot == 0)[:, None], rng.normal(0, 0.01, shape), 0.0)
    close = 500.0 * np.exp(np.cumsum(move, axis=0))
    open_ = close * np.exp(rng.normal(0, 5e-4, shape))
    minutes = np.repeat(np.where(day == 2, 60.0, 200.0)[:, None], n_instruments, axis=1)
    return Panel(
        TIMEFRAME, times(day, slot), (20_000 + day).astype(np.int32), slot * float(TIMEFRAME),
        minutes, np.ones(shape, np.bool_), open_, np.maximum(open_, close) * (1 + rng.random(shape) * 1e-3),
        np.minimum(open_, close) * (1 - rng.random(shape) * 1e-3), close, np.floor(rng.lognormal(7, 1, shape)) + 1,
        np.ones(shape, np.bool_),
    )  # fmt: skip


def times(day: I8, slot: I8) -> I8:
    """Open times: from 09:15 IST on, the third session from 18:15."""
    first = np.where(day == 2, 18.25, 9.25) * 3600e9
    return np.asarray((20_000 + day) * DAY_NS - IST_NS + first.astype(np.int64) + slot * TIMEFRAME * MINUTE_NS, np.int64)


def rough_panel(seed: int) -> Panel:
    """The same with an index, missing bars, a late riser, minutes without trades, a flat stretch, one that leaves the universe."""
    rng = np.random.default_rng(seed + 1)
    panel = clean_panel(seed)
    mask = rng.random(panel.mask.shape) > 0.1
    mask[:100, 1] = False
    prices = {name: getattr(panel, name).copy() for name in laws.PRICES}
    prices["volume"][:, 0] = np.nan
    prices["volume"][:, 2] *= rng.random(len(panel)) > 0.5
    prices["volume"][150:190, 3] = 0.0
    for name in ("open", "high", "low", "close"):
        prices[name][150:190, 3] = 321.05
    for column in prices.values():
        column[~mask] = np.nan
    member = panel.member.copy()
    member[120:, 5], member[:, INDEX] = False, False
    minutes = panel.minutes.copy()
    minutes[panel.session >= 20_004, 4] -= 15.0
    return dataclasses.replace(panel, mask=mask, member=member, minutes=minutes, **prices)


def feature_set(*names: str) -> FeatureSet:
    return FeatureSet.of(TIMEFRAME, names, REGISTRY, AnchorRule())


class Maker:
    """Builds calculators of some features; the index stands in the first row."""

    def __init__(self, *names: str) -> None:
        self.features = feature_set(*names)
        self.names = names

    def __call__(self, has_volume: Mask, index: int = INDEX) -> FeatureCalculator:
        return FeatureCalculator(self.features, has_volume, index)


def maker(*names: str) -> Maker:
    return Maker(*names)


LONG = clean_panel(5, days=2 + max(f.sessions + f.expr.warmup_at(TIMEFRAME) // STEPS_A_DAY for f in REGISTRY.values()))
ALONE = [name for name in NAMES if not REGISTRY[name].expr.across]  # their values depend on no other instrument
EVERY = Maker(*NAMES)
EVERY_ALONE = Maker(*ALONE)


def day_of(session: int) -> date:
    return EPOCH + timedelta(days=session)


# --------------------------------------------------------------------------------------------- every registered feature


@QUICK
@given(seed=SEEDS, cuts=CUTS)
def test_chunks_change_nothing(seed: int, cuts: list[int]) -> None:
    laws.chunks(EVERY, rough_panel(seed), cuts)


def test_a_step_is_a_small_batch() -> None:
    laws.steps(EVERY, rough_panel(11), np.random.default_rng(3))


@QUICK
@given(seed=SEEDS, keep=st.permutations(range(INSTRUMENTS)), n=st.integers(1, INSTRUMENTS), cut=st.integers(0, 250))
def test_other_instruments_change_nothing(seed: int, keep: list[int], n: int, cut: int) -> None:
    laws.instruments(EVERY_ALONE, rough_panel(seed), np.array(keep[:n]), cut)


@QUICK
@given(seed=SEEDS, order=st.permutations(range(INSTRUMENTS)))
def test_the_order_of_instruments_changes_only_the_order(seed: int, order: list[int]) -> None:
    laws.shuffled(EVERY, rough_panel(seed), INDEX, np.array(order))


@QUICK
@given(seed=SEEDS, outside=st.sets(st.integers(1, INSTRUMENTS - 1), min_size=1, max_size=3))
def test_who_is_no_member_or_not_there_changes_nothing(seed: int, outside: set[int]) -> None:
    laws.outsiders(EVERY, rough_panel(seed), INDEX, np.array(sorted(outside)))


@QUICK
@given(seed=SEEDS, cut=st.integers(1, 280))
def test_the_future_changes_no_past(seed: int, cut: int) -> None:
    laws.truncation(EVERY, rough_panel(seed), cut)


@QUICK
@given(seed=SEEDS, extra=st.lists(st.integers(0, 270), max_size=20))
def test_empty_rows_change_nothing(seed: int, extra: list[int]) -> None:
    laws.absences(EVERY, rough_panel(seed), extra)


@QUICK
@given(seed=SEEDS, cut=st.integers(0, 280))
def test_a_restored_snapshot_goes_on(seed: int, cut: int) -> None:
    laws.recovery(EVERY, rough_panel(seed), cut)


@QUICK
@given(seed=SEEDS, anchor=st.integers(0, DAYS - 1))
def test_history_before_the_anchor_changes_nothing(seed: int, anchor: int) -> None:
    panel = rough_panel(seed)
    laws.anchored(anchored(20_000 + anchor), panel, int(np.searchsorted(panel.session, 20_000 + anchor)))


def anchored(session: int) -> Callable[[Panel], F4]:
    def compute(panel: Panel) -> F4:
        used = from_anchor(panel, day_of(session))
        out = np.full((len(panel), panel.n_instruments, len(NAMES)), np.nan, np.float32)
        out[len(panel) - len(used) :] = EVERY(laws.volumes(panel)).batch(used)
        return out

    return compute


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = rough_panel(12)
    whole = EVERY(laws.volumes(panel)).batch(panel)
    monkeypatch.setattr(features, "BLOCK", 4)
    monkeypatch.setattr(features, "CARRIED_BYTES", 9 * 50 * 8 * 70)
    shared = FeatureCalculator(EVERY.features, laws.volumes(panel), INDEX, threads)
    laws.same(shared.batch(panel), whole, f"{threads} threads, small blocks and chunks", EVERY)


@pytest.mark.parametrize("name", NAMES)
def test_the_declared_warmup_is_exact(name: str) -> None:
    expr = REGISTRY[name].expr
    laws.warmup(maker(name), LONG, expr.warmup_at(TIMEFRAME), expr.sessions, exact=not expr.uses("bucket"))


def test_an_index_lacks_volume_features_and_nothing_else() -> None:
    panel = LONG
    has_volume = np.arange(INSTRUMENTS) != INDEX
    member = panel.member & has_volume
    values = EVERY(has_volume).batch(dataclasses.replace(panel, member=member))
    for f, name in enumerate(NAMES):
        feature = REGISTRY[name]
        if feature.needs_volume and not feature.expr.across:
            assert np.isnan(values[:, INDEX, f]).all(), name
        elif not feature.expr.across and not feature.undefined:
            assert np.isfinite(values[-1, INDEX, f]).all(), name
        assert np.isfinite(values[-1, 1:, f]).all() or feature.undefined, name


def test_flat_prices_without_trades_poison_nothing() -> None:
    """A session of frozen prices and no volume: only features that say so are undefined in it, and all recover."""
    panel = LONG
    prices = {field: getattr(panel, field).copy() for field in laws.PRICES}
    frozen = panel.session == panel.session[-1] - 3
    for field in ("open", "high", "low", "close"):
        prices[field][frozen] = 400.1
    prices["volume"][frozen] = 0.0
    values = EVERY(np.ones(INSTRUMENTS, np.bool_)).batch(dataclasses.replace(panel, **prices))
    for f, name in enumerate(NAMES):
        if not REGISTRY[name].undefined:
            warm = max(REGISTRY[name].expr.warmup_at(TIMEFRAME), int(np.searchsorted(panel.session, 20_003)))
            assert np.isfinite(values[warm:, :, f]).all(), name
        assert np.isfinite(values[panel.session == panel.session[-1], :, f]).all() or REGISTRY[name].undefined, name
        assert not np.isinf(values[:, :, f]).any(), name


def test_all_features_together_are_what_each_is_alone() -> None:
    panel = rough_panel(8)
    whole = EVERY(laws.volumes(panel)).batch(panel)
    for f, name in enumerate(NAMES):
        laws.same(np.ascontiguousarray(whole[:, :, f : f + 1]), maker(name)(laws.volumes(panel)).batch(panel), name)


@pytest.mark.parametrize("n_instruments", [1, 511, 512, 513])
def test_block_borders_change_no_bit(n_instruments: int) -> None:
    panel = clean_panel(9, n_instruments).rows(0, 130)
    whole = EVERY_ALONE(np.ones(n_instruments, np.bool_)).batch(panel)
    for s in {0, n_instruments // 2, n_instruments - 1}:
        alone = EVERY_ALONE(np.ones(1, np.bool_)).batch(panel.columns(np.array([s])))
        laws.same(alone, np.ascontiguousarray(whole[:, [s]]), f"instrument {s} of {n_instruments}", EVERY_ALONE)


# ------------------------------------------------------------------------------------------------- the laws have teeth


class Planted:
    """A real feature, then one thing done wrong to it."""

    def __init__(self, has_volume: Mask, spoil: Callable[[Panel, F4], F4], before: Callable[[Panel], Panel] = lambda p: p) -> None:
        self._real = FeatureCalculator(feature_set("ret_3"), has_volume)
        self._has_volume, self._spoil, self._before = has_volume, spoil, before

    def batch(self, panel: Panel) -> F4:
        return self._spoil(panel, self._real.batch(self._before(panel)))

    def update(self, bars: Bars, ts_ns: int, day: Day) -> F4:
        one = np.full((1, len(self._has_volume)), np.nan)
        columns = {name: one.copy() for name in laws.PRICES}
        for name, column in columns.items():
            column[0, bars["inst"]] = bars[name]
        mask = ~np.isnan(columns["close"])
        minute = np.array([(ts_ns - day.open_ns) / MINUTE_NS])
        clock = np.array([ts_ns]), np.array([day.number], np.int32), minute, day.minutes[None], day.member[None]
        return self.batch(Panel(TIMEFRAME, *clock, *columns.values(), mask))[0, bars["inst"]]

    def snapshot(self) -> bytes:
        return self._real.snapshot()

    def restore(self, snapshot: bytes) -> None:
        self._real.restore(snapshot)

    def columns(self, keep: I8) -> Planted:
        other = Planted(self._has_volume[keep], self._spoil, self._before)
        other._real = self._real.columns(keep)
        return other


def peek(panel: Panel, values: F4) -> F4:
    """The next row's value."""
    return np.concatenate([values[1:], values[-1:]])


def centre(panel: Panel, values: F4) -> F4:
    """Mean of the rows before, at and after."""
    ends = np.concatenate([values[:1], values, values[-1:]])
    return np.asarray((ends[:-2] + ends[1:-1] + ends[2:]) / np.float32(3), np.float32)


def standardise(panel: Panel, values: F4) -> F4:
    """Less the mean of the whole sample."""
    return np.asarray(values - np.nanmean(values, axis=0, keepdims=True), np.float32)


def pool(panel: Panel, values: F4) -> F4:
    """Less the mean of the other instruments."""
    return np.asarray(values - np.nanmean(values, axis=1, keepdims=True), np.float32)


def back_fill(panel: Panel, values: F4) -> F4:
    """The first value stands for the warm-up, too."""
    out = values.copy()
    for s in range(out.shape[1]):
        known = np.flatnonzero(~np.isnan(out[:, s, 0]))
        out[: known[0] if len(known) else 0, s] = out[known[0], s] if len(known) else np.nan
    return out


def fill(panel: Panel) -> Panel:
    """Every row counts as a bar, at some price."""
    close = np.where(panel.mask, panel.close, 100.0)
    return dataclasses.replace(panel, close=close, mask=np.ones_like(panel.mask))


def untouched(panel: Panel, values: F4) -> F4:
    return values


def planted(spoil: Callable[[Panel, F4], F4], before: Callable[[Panel], Panel] = lambda p: p) -> laws.Make:
    return lambda has_volume: Planted(has_volume, spoil, before)


ALL = np.arange(5)
BROKEN = [
    (peek, "chunks"), (peek, "steps"), (peek, "truncation"), (centre, "chunks"), (centre, "steps"), (centre, "truncation"),
    (standardise, "chunks"), (standardise, "truncation"), (pool, "instruments"), (back_fill, "warmup"),
]  # fmt: skip


def apply(law: str, make: laws.Make) -> None:
    rough, clean = rough_panel(1), clean_panel(1)
    calls: dict[str, Callable[[], None]] = {
        "chunks": lambda: laws.chunks(make, rough, [60, 61, 200]),
        "steps": lambda: laws.steps(make, rough, np.random.default_rng(0)),
        "instruments": lambda: laws.instruments(make, rough, np.array([3, 1]), 100),
        "truncation": lambda: laws.truncation(make, rough, 170),
        "absences": lambda: laws.absences(make, rough, [5, 5, 80, 200]),
        "recovery": lambda: laws.recovery(make, rough, 120),
        "warmup": lambda: laws.warmup(make, clean, 3, 0),
    }
    calls[law]()


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize(("spoil", "law"), BROKEN, ids=lambda x: getattr(x, "__name__", x))
def test_a_planted_fault_breaks_the_law(spoil: Callable[[Panel, F4], F4], law: str) -> None:
    apply(law, planted(untouched))
    with pytest.raises(AssertionError):
        apply(law, planted(spoil))


def test_counting_empty_rows_breaks_the_law() -> None:
    with pytest.raises(AssertionError):
        apply("absences", planted(untouched, fill))


def test_a_state_that_a_snapshot_forgets_breaks_the_law() -> None:
    class Forgetful(Planted):
        def restore(self, snapshot: bytes) -> None:
            self._real = FeatureCalculator(feature_set("ret_3"), self._has_volume)

    with pytest.raises(AssertionError):
        apply("recovery", lambda has_volume: Forgetful(has_volume, untouched))


def test_starting_wherever_history_happens_to_start_breaks_the_law() -> None:
    panel = rough_panel(1)

    def from_the_first_bar(part: Panel) -> F4:
        return FeatureCalculator(feature_set("rsi_14"), laws.volumes(part)).batch(part)

    with pytest.raises(AssertionError):
        laws.anchored(from_the_first_bar, panel, int(np.searchsorted(panel.session, 20_003)))


def test_a_wrong_warmup_breaks_the_law() -> None:
    for wrong in (13, 15):
        with pytest.raises(AssertionError):
            laws.warmup(maker("rsi_14"), clean_panel(5), wrong, 0)


def test_a_silenced_calculator_says_nothing_also_after_recovery() -> None:
    panel = clean_panel(3)
    calculator = maker("ret_1")(np.ones(INSTRUMENTS, np.bool_))
    calculator.batch(panel.rows(0, 20))
    calculator.silence()
    assert np.isnan(calculator.batch(panel.rows(20, 30))).all()
    other = maker("ret_1")(np.ones(INSTRUMENTS, np.bool_))
    other.restore(calculator.snapshot())
    assert np.isnan(other.batch(panel.rows(30, 40))).all()
    assert np.isnan(other.columns(np.array([1])).batch(panel.columns(np.array([1])).rows(40, 50))).all()


def test_reaching_the_anchor_is_told_by_instrument() -> None:
    panel = rough_panel(2)
    assert reaches(panel, day_of(20_000)).tolist() == [i != 1 for i in range(INSTRUMENTS)]
    assert not reaches(panel, day_of(19_000)).any()


def test_update_refuses_an_instrument_twice() -> None:
    bars = np.zeros(2, BAR)
    with pytest.raises(AssertionError, match="twice"):
        maker("ret_1")(np.ones(3, np.bool_)).update(bars, 0, Day(1, 0, np.full(3, 375.0), np.ones(3, np.bool_)))


def test_same_state_is_told_by_instrument_and_to_the_last_bit() -> None:
    panel = clean_panel(5)
    ones = np.ones(panel.n_instruments, np.bool_)
    ours, theirs = maker("rsi_14")(ones), maker("rsi_14")(ones)
    assert ours.same_state(theirs).all()  # both empty: NaN equals NaN
    other = panel.close.copy()
    other[-1, 1] = np.nextafter(other[-1, 1], np.inf)
    ours.batch(panel)
    assert not ours.same_state(theirs).any()
    theirs.batch(dataclasses.replace(panel, close=other))
    assert ours.same_state(theirs).tolist() == [i != 1 for i in range(panel.n_instruments)]
    theirs.restore(ours.snapshot())
    assert ours.same_state(theirs).all()
    theirs.silence()
    assert not ours.same_state(theirs).any()
