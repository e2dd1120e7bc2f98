"""For every split that the project can make: no training interval [ts, t1] meets a test interval, of any symbol.

The same checker finds the leaks of the splitters people use most: scikit-learn's ``TimeSeriesSplit`` (with a gap of rows, too) and
mlfinpy's ``PurgedKFold``, on pooled data of many symbols. mlfinpy is not a dependency: its index output on the rows of
``leaky_rows`` is recorded in golden/mlfinpy_purged_kfold.json with the version that made it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from intraday.domain.arrays import DAY_NS, IST_NS, MINUTE_NS
from intraday.domain.errors import ConfigError, NotEnoughData
from intraday.model.cpcv import CpcvSpec, combinatorial, paths
from intraday.model.dataset import Dataset
from intraday.model.path import DailyPath
from intraday.model.splits import Fold, Scheme, SplitSpec, meeting, walk_forward
from intraday.model.tuning import inner_folds

GOLDEN = Path(__file__).parents[1] / "golden" / "mlfinpy_purged_kfold.json"


def pooled(seed: int, n_sessions: int, symbols: int, span_days: float) -> tuple[Any, Any, Any, Any]:
    """Rows of some symbols at common and at odd minutes; spans from nothing to days; sessions with holes between them."""
    rng = np.random.default_rng(seed)
    days = np.sort(rng.choice(np.arange(1, 3 * n_sessions), n_sessions, replace=False)) + 19_000
    session = np.repeat(days, rng.integers(1, 4 * symbols, n_sessions)).astype(np.int32)
    ts = session.astype(np.int64) * DAY_NS - IST_NS + (555 + 5 * rng.integers(0, 75, session.size)) * MINUTE_NS
    inst = rng.integers(0, symbols, session.size).astype(np.int32)
    order = np.lexsort((inst, ts))
    ts, inst, session = ts[order], inst[order], session[order]
    t1 = ts + (rng.random(ts.size) ** 3 * span_days * DAY_NS).astype(np.int64)
    return ts, t1, session, inst


def leaks(train: Iterable[int], test: Iterable[int], ts: Any, t1: Any) -> int:
    """Training rows whose closed interval meets that of a test row, by brute force."""
    test = np.asarray(list(test))
    return sum(bool(np.any((ts[i] <= t1[test]) & (ts[test] <= t1[i]))) for i in train)


def check(fold: Fold, ts: Any, t1: Any) -> None:
    for early, late in ((fold.fit, fold.stop), (fold.fit, fold.score), (fold.stop, fold.score)):
        assert leaks(early, late, ts, t1) == 0
        assert early.size and late.size and np.all(np.diff(early) > 0)


SPANS = st.sampled_from([0.0, 0.02, 1.5, 6.0])


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10_000), st.integers(6, 16), st.integers(1, 4), SPANS, st.sampled_from(list(Scheme)), st.integers(2, 6),
       st.integers(1, 4), st.integers(0, 2), st.sampled_from([0.0, 0.2, 0.5]))  # fmt: skip
def test_walk_forward_and_the_search_inside_its_windows_do_not_leak(
    seed: int, n: int, symbols: int, span: float, scheme: Scheme, min_train: int, test: int, embargo: int, share: float
) -> None:
    ts, t1, session, inst = pooled(seed, n, symbols, span)
    spec = SplitSpec(scheme, min_train, test, embargo, share)
    try:
        folds = walk_forward(ts, t1, session, spec)
    except NotEnoughData:
        assume(False)
        return
    for fold in folds:
        check(fold, ts, t1)
        window = np.concatenate([fold.fit, fold.stop])
        try:
            inner = inner_folds(rows(ts, t1, session, inst), window, spec)
        except NotEnoughData:
            continue
        for one in inner:
            check(one, ts, t1)
            used = np.concatenate([one.fit, one.stop, one.score])
            assert np.isin(used, window).all()
            assert leaks(used, fold.score, ts, t1) == 0  # what a search sees is over before what is scored begins


@settings(max_examples=120, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(6, 16), st.integers(1, 4), SPANS, st.integers(2, 6), st.integers(1, 4), st.integers(0, 2)
)
def test_no_split_of_the_combinatorial_cross_validation_leaks(
    seed: int, n: int, symbols: int, span: float, groups: int, test_groups: int, embargo: int
) -> None:
    ts, t1, session, _ = pooled(seed, n, symbols, span)
    spec = CpcvSpec(groups, min(test_groups, groups - 1))
    try:
        folds = combinatorial(ts, t1, session, SplitSpec(embargo=embargo), spec)
    except NotEnoughData:
        assume(False)
        return
    sessions, times = np.unique(session), np.zeros(len(ts), dtype=np.int64)
    assert len(folds) == spec.n_splits
    for fold in folds:
        check(fold, ts, t1)
        times[fold.score] += 1
        scored = np.unique(np.searchsorted(sessions, session[fold.score]))
        learned = np.unique(np.searchsorted(sessions, session[np.concatenate([fold.fit, fold.stop])]))
        blocks_end = scored[~np.isin(scored + 1, scored)]
        assert not np.isin(learned, [e + k for e in blocks_end for k in range(1, embargo + 1)]).any(), "embargo after each block"
    assert np.all(times == spec.n_paths)  # every row is scored once on every path


def rows(ts: Any, t1: Any, session: Any, inst: Any) -> Dataset:
    n = len(ts)
    nothing = np.zeros(n)
    return Dataset(
        x=np.empty((n, 0), np.float32), label=np.zeros(n, np.int8), ret_long=nothing, ret_short=nothing, sigma=nothing,
        cost=nothing, ts_ns=ts, entry_ns=ts, t1_ns=t1, session=session, inst=inst, eligible=np.ones(n, np.bool_),
        attribution=nothing, close_ns=ts, close=nothing, end_long_ns=t1, end_short_ns=t1, rules=np.empty((n, 0), np.int8),
        may_long=np.ones(n, np.bool_), may_short=np.ones(n, np.bool_),
        skip_long=np.zeros(n, np.bool_), skip_short=np.zeros(n, np.bool_),
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
def test_meeting_is_what_brute_force_finds(seed: int, n: int, m: int, span: int) -> None:
    rng = np.random.default_rng(seed)
    start, other = rng.integers(0, 50, n), rng.integers(0, 50, m)
    end, other_end = start + rng.integers(0, span, n), other + rng.integers(0, span, m)
    found = meeting(start, end, other, other_end)
    want = [(start[i] <= other_end).astype(int) @ (other <= end[i]).astype(int) > 0 for i in range(n)]
    assert found.tolist() == want


@pytest.mark.parametrize(("groups", "test_groups"), [(4, 1), (5, 2), (6, 3), (6, 2)])
def test_paths_pass_every_session_once_and_use_every_split(groups: int, test_groups: int) -> None:
    """Each split marks its sessions with its own number; the book's example is 6 groups, 2 of them scored: 15 splits, 5 paths."""
    ts, t1, session, _ = pooled(1, 24, 3, 0.02)
    spec = CpcvSpec(groups, test_groups)
    folds = combinatorial(ts, t1, session, SplitSpec(embargo=0), spec)
    parts = []
    for k, fold in enumerate(folds):
        scored = np.unique(session[fold.score])
        parts.append(DailyPath(scored, np.full(scored.size, float(k)), np.zeros(scored.size), np.ones(scored.size, np.int64)))
    found = paths(parts, spec)
    assert len(found) == spec.n_paths
    for path in found:
        assert path.session.tolist() == np.unique(session).tolist()
    used = np.stack([path.gross for path in found])
    for column in used.T:
        assert len(set(column.tolist())) == spec.n_paths, "no split serves two paths in one session"
    assert set(used.ravel().tolist()) == set(range(spec.n_splits))
    if (groups, test_groups) == (6, 2):
        assert (spec.n_splits, spec.n_paths) == (15, 5)


def test_more_splits_than_anybody_waits_for_are_refused() -> None:
    ts, t1, session, _ = pooled(1, 60, 2, 0.02)
    with pytest.raises(ConfigError, match="at most 200 splits"):
        combinatorial(ts, t1, session, SplitSpec(), CpcvSpec(20, 10))
    with pytest.raises(ConfigError, match="fewer test groups"):
        combinatorial(ts, t1, session, SplitSpec(), CpcvSpec(3, 3))
    with pytest.raises(NotEnoughData, match="at least 20 sessions"):
        combinatorial(*(a[: len(a) // 6] for a in (ts, t1, session)), SplitSpec(), CpcvSpec(10, 2))


# --------------------------------------------------------------------------------------------- the same checker on others


def leaky_rows() -> tuple[Any, Any]:
    """Twelve symbols, eleven sessions, five-minute bars, 25-minute labels: an ordinary pooled frame. Start and end by row.

    A symbol's rows are some nanoseconds off the next one's: mlfinpy raises TypeError where two rows have the same time.
    """
    bars = [d * DAY_NS + (225 + 5 * k) * MINUTE_NS for d in range(19_000, 19_011) for k in range(70)]
    ts = np.repeat(bars, 12) + np.tile(np.arange(12), len(bars))
    return ts, ts + 30 * MINUTE_NS


@pytest.mark.parametrize("gap", [0, 5])
def test_the_checker_finds_the_leaks_of_time_series_split(gap: int) -> None:
    """A gap of rows is a gap of a few rows of one bar when twelve symbols share it."""
    from sklearn.model_selection import TimeSeriesSplit

    ts, t1 = leaky_rows()
    found = [leaks(train[-200:], test[:200], ts, t1) for train, test in TimeSeriesSplit(5, gap=gap).split(ts)]
    assert min(found) > 0


def test_the_checker_finds_the_leaks_of_mlfinpys_purged_k_fold() -> None:
    recorded = json.loads(GOLDEN.read_text())
    ts, t1 = leaky_rows()
    assert recorded["rows"] == len(ts)
    found = []
    for (first, last), kept in zip(recorded["test"], recorded["train"], strict=True):
        train = np.concatenate([np.arange(a, b) for a, b in kept])
        near = train[(train > first - 400) & (train < last + 400)]  # brute force where it can meet
        found.append(leaks(near, range(first, last), ts, t1))
    assert sum(n > 0 for n in found) >= len(found) - 1, found


def test_the_checker_passes_our_own_folds_on_the_same_rows() -> None:
    ts, t1 = leaky_rows()
    session = (ts // DAY_NS).astype(np.int32)
    for fold in walk_forward(ts, t1, session, SplitSpec(min_train=5, test=2)):
        assert leaks(fold.fit[-400:], fold.stop[:400], ts, t1) == 0
        assert leaks(fold.stop[-400:], fold.score[:400], ts, t1) == 0
