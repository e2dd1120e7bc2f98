"""The laws on random expressions of the whole language: random trees over random markets with gaps, an index and a universe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intraday.core import expression as e
from intraday.core.anchor import AnchorRule
from intraday.core.feature import Feature
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.operations import OPS, Expr
from intraday.domain.arrays import Mask, Panel
from property import laws
from property.test_feature_laws import INDEX, INSTRUMENTS, TIMEFRAME, clean_panel, rough_panel

LEAVES: list[Callable[[], Expr]] = [
    e.open_,
    e.high,
    e.low,
    e.close,
    e.volume,
    e.minute,
    e.minutes,
    e.weekday,
    e.grid_minute,
    e.start,
]
BUCKETS = [e.bucket_open, e.bucket_high, e.bucket_low, e.bucket_close, e.bucket_volume]
ONE: list[Callable[[Expr], Expr]] = [
    e.log, e.sqrt, e.abs_, e.sin, e.cos, e.sign, e.prev, e.running_sum, e.bars_since, e.session_first, e.session_sum, e.session_max,
    e.session_min, e.session_before, e.session_count, e.across_rank, e.across_mean, e.across_std, e.across_count, e.of_index,
    lambda x: -x, lambda x: x * 0.5 - 3.0, lambda x: e.clip(x, -5.0, 600.0), lambda x: e.power(x, 0.5),
    lambda x: e.exp(e.clip(x, -9.0, 9.0)),
    lambda x: e.slot_mean(x, 4), lambda x: e.slot_std(x, 4), lambda x: e.ewm_std(x, 8, 3),
]  # fmt: skip
TWO: list[Callable[[Expr, Expr], Expr]] = [
    lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / y, e.max_, e.min_,
    e.greater, e.equal, e.given, e.when, e.hold,
    lambda x, y: e.where(x, y, x),
]  # fmt: skip
WINDOWS: list[Callable[[Expr, int], Expr]] = [
    e.lag, e.ema, e.wilder, e.kama, e.total, e.mean, e.std, e.skew, e.kurt, e.highest, e.lowest, e.argmax, e.argmin,
    e.rank, e.mean_rank, e.slope,
    e.resi, e.r2, e.wma, lambda x, n: e.quantile(x, n, 0.3),
]  # fmt: skip
PAIRS: list[Callable[[Expr, Expr, int], Expr]] = [e.corr, e.cov, e.beta]


def grown(below: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    width = st.integers(4, 14)
    return st.one_of(
        st.builds(lambda f, x: f(x), st.sampled_from(ONE), below),
        st.builds(lambda f, x, y: f(x, y), st.sampled_from(TWO), below, below),
        st.builds(lambda f, x, n: f(x, n), st.sampled_from(WINDOWS), below, width),
        st.builds(lambda f, x, y, n: f(x, y, n), st.sampled_from(PAIRS), below, below, width),
    )


ROOTS = st.one_of(
    st.sampled_from(LEAVES).map(lambda f: f()), st.builds(lambda f, m: f(m), st.sampled_from(BUCKETS), st.sampled_from([15, 60]))
)
TREES = st.lists(st.recursive(ROOTS, grown, max_leaves=5), min_size=1, max_size=8)
SEEDS = st.integers(0, 2**20)
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


class Written:
    """Builds calculators of some expressions, named by their text."""

    def __init__(self, expressions: list[Expr]) -> None:
        self.names = tuple(x.text for x in expressions)
        features = tuple(Feature(f"x{i}", "test", x, "", "", "") for i, x in enumerate(expressions))
        self.features = FeatureSet(TIMEFRAME, features, AnchorRule())

    def __call__(self, has_volume: Mask, index: int | None = INDEX) -> FeatureCalculator:
        return FeatureCalculator(self.features, has_volume, index)


@QUICK
@given(trees=TREES, seed=SEEDS, cuts=st.lists(st.integers(0, 280), max_size=5))
def test_chunks_and_steps_are_one_batch(trees: list[Expr], seed: int, cuts: list[int]) -> None:
    panel = rough_panel(seed)
    laws.chunks(Written(trees), panel, cuts)
    laws.steps(Written(trees), panel, np.random.default_rng(seed))


@QUICK
@given(trees=TREES, seed=SEEDS, cut=st.integers(1, 280), extra=st.lists(st.integers(0, 270), max_size=20))
def test_the_future_changes_no_past_and_empty_rows_nothing(trees: list[Expr], seed: int, cut: int, extra: list[int]) -> None:
    panel = rough_panel(seed)
    laws.truncation(Written(trees), panel, cut)
    laws.absences(Written(trees), panel, extra)


@QUICK
@given(trees=TREES, seed=SEEDS, cut=st.integers(0, 280))
def test_a_restored_snapshot_goes_on(trees: list[Expr], seed: int, cut: int) -> None:
    laws.recovery(Written(trees), rough_panel(seed), cut)


@QUICK
@given(trees=TREES, seed=SEEDS, order=st.permutations(range(INSTRUMENTS)), n=st.integers(1, INSTRUMENTS), cut=st.integers(0, 250))
def test_other_instruments_change_nothing_but_what_compares(
    trees: list[Expr], seed: int, order: list[int], n: int, cut: int
) -> None:
    panel = rough_panel(seed)
    laws.shuffled(Written(trees), panel, INDEX, np.array(order))
    alone = [x for x in trees if not x.across]
    if alone:
        laws.instruments(Written(alone), panel, np.array(order[:n]), cut)


@QUICK
@given(trees=TREES, seed=SEEDS, outside=st.sets(st.integers(1, INSTRUMENTS - 1), min_size=1, max_size=3))
def test_who_is_no_member_or_not_there_changes_nothing(trees: list[Expr], seed: int, outside: set[int]) -> None:
    laws.outsiders(Written(trees), rough_panel(seed), INDEX, np.array(sorted(outside)))


@QUICK
@given(trees=TREES, seed=SEEDS, threads=st.integers(1, 3), block=st.sampled_from([1, 2, 4, 512]), size=st.integers(1, 20_000))
def test_blocks_chunks_and_threads_change_no_bit(trees: list[Expr], seed: int, threads: int, block: int, size: int) -> None:
    panel = rough_panel(seed)
    whole = Written(trees)(laws.volumes(panel)).batch(panel)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("intraday.core.features.BLOCK", block)
        patch.setattr("intraday.core.features.CARRIED_BYTES", size)
        found = FeatureCalculator(Written(trees).features, laws.volumes(panel), INDEX, threads).batch(panel)
    laws.same(found, whole, f"blocks of {block}, chunks of {size}, {threads} threads", Written(trees))


@QUICK
@given(trees=TREES, seed=SEEDS)
def test_what_else_is_computed_changes_no_bit(trees: list[Expr], seed: int) -> None:
    """Shared rings are as long as the longest needs, and registers are where they are free: neither may show."""
    panel = rough_panel(seed)
    whole = Written(trees)(laws.volumes(panel)).batch(panel)
    for f, tree in enumerate(trees):
        alone = Written([tree])
        laws.same(alone(laws.volumes(panel)).batch(panel), np.ascontiguousarray(whole[:, :, f : f + 1]), "alone", alone)


def test_the_trees_can_use_the_whole_language() -> None:
    inner = {"window", "bucket", "carried", "ring", "displaced", "adaptive", "affine", "at_start"}
    made: set[str] = set()
    x, y = e.close(), e.volume()
    for tree in [f() for f in LEAVES] + [f(15) for f in BUCKETS] + [f(x) for f in ONE] + [f(x, y) for f in TWO]:
        made |= names(tree)
    for tree in [f(x, 5) for f in WINDOWS] + [f(x, y, 5) for f in PAIRS]:
        made |= names(tree)
    assert {op for op in OPS if not op.startswith(("sum_", "sorted"))} - inner <= made, set(OPS) - inner - made


def names(tree: Expr) -> set[str]:
    return {tree.op}.union(*(names(a) for a in tree.args))


# ------------------------------------------------------------------------------------------------- the laws have teeth


class Compared:
    """A calculator that compares across instruments, with a fault: ``fault`` sees the panel and returns what to subtract."""

    def __init__(self, fault: Callable[[Panel], Any]) -> None:
        self._fault = fault

    def __call__(self, has_volume: Mask, index: int | None = INDEX) -> Compared:
        return self

    def batch(self, panel: Panel) -> Any:
        value = panel.close - self._fault(panel)[:, None]
        return np.where(panel.mask, value, np.nan).astype(np.float32)[:, :, None]


def mean_of_everybody(panel: Panel) -> Any:
    return np.nanmean(panel.close, axis=1)


def first_column(panel: Panel) -> Any:
    return np.where(panel.mask[:, 0], panel.close[:, 0], 0.0)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_planted_faults_break_the_cross_laws() -> None:
    panel, order = rough_panel(1), np.array([3, 0, 1, 2, 5, 4, 6, 8, 7], np.int64)
    with pytest.raises(AssertionError, match="other prices"):
        laws.outsiders(Compared(mean_of_everybody), panel, INDEX, np.array([2]))  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="columns"):
        laws.shuffled(Compared(first_column), panel, INDEX, order)


@pytest.mark.parametrize("make", [e.across_mean, e.across_std, e.across_rank], ids=lambda f: f.__name__)
def test_not_a_bit_depends_on_the_order_of_columns(make: Callable[[Expr], Expr]) -> None:
    """In float64: the cast to float32 would hide that a plain sum depends on the order of its terms."""
    rng = np.random.default_rng(3)
    panel, n = clean_panel(4, 200).rows(0, 20), 200
    panel.close[:] = rng.lognormal(0.0, 6.0, panel.close.shape) * rng.choice([-1.0, 1.0], panel.close.shape)
    tree = Written([make(e.close())])
    whole = tree(laws.volumes(panel)).batch(panel, dtype=np.float64)
    differs = 0
    for _ in range(5):
        order = rng.permutation(n)
        found = tree(laws.volumes(panel)).batch(panel.columns(order), dtype=np.float64)
        np.testing.assert_array_equal(found, whole[:, order])
        differs += sum(naive(row[order]) != naive(row) for row in panel.close)
    assert differs > 0


def naive(values: Any) -> float:
    total = 0.0
    for v in values:
        total += v
    return total
