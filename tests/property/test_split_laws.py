"""No span of a training row may touch a later window, whatever the labels' spans; checked row against row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from intraday.core.weights import average_uniqueness
from intraday.domain.arrays import DAY_NS, IST_NS, MINUTE_NS
from intraday.domain.errors import NotEnoughData
from intraday.model.cpcv import CpcvSpec, combinatorial
from intraday.model.splits import Fold, Runs, Scheme, SplitSpec, meeting, walk_forward


def rows(seed: int, n_sessions: int, span_days: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Several instruments; spans of random length that cross sessions when ``span_days`` is large."""
    rng = np.random.default_rng(seed)
    days = np.sort(rng.choice(np.arange(1, 3 * n_sessions), n_sessions, replace=False)) + 19_000
    session = np.repeat(days, rng.integers(1, 12, n_sessions)).astype(np.int32)
    ts = session.astype(np.int64) * DAY_NS - IST_NS + rng.integers(555, 930, session.size) * MINUTE_NS
    ts.sort()
    t1 = ts + (rng.random(session.size) ** 3 * span_days * DAY_NS).astype(np.int64)
    return ts, t1, session


def leaks(before: np.ndarray, after: np.ndarray, ts: np.ndarray, t1: np.ndarray) -> int:
    """Pairs of spans that touch, by brute force."""
    return sum(bool(ts[i] <= t1[j] and ts[j] <= t1[i]) for i in before.tolist() for j in after.tolist())


def check(fold: Fold, ts: np.ndarray, t1: np.ndarray) -> None:
    assert leaks(fold.fit, fold.stop, ts, t1) == 0
    assert leaks(fold.fit, fold.score, ts, t1) == 0
    assert leaks(fold.stop, fold.score, ts, t1) == 0


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(5, 14), st.sampled_from([0.02, 1.5, 5.0]), st.sampled_from(list(Scheme)), st.integers(2, 6),
    st.integers(1, 4), st.integers(0, 2),
)  # fmt: skip
def test_no_fold_leaks(seed: int, n: int, span: float, scheme: Scheme, min_train: int, test: int, embargo: int) -> None:
    ts, t1, session = rows(seed, n, span)
    spec = SplitSpec(scheme, min_train, test, embargo)
    try:
        folds = walk_forward(ts, t1, session, spec)
    except NotEnoughData:
        assume(False)
        return
    sessions = np.unique(session)
    scored: list[int] = []
    for fold in folds:
        check(fold, ts, t1)
        place = {int(s): i for i, s in enumerate(sessions)}
        assert place[fold.stop_sessions[0]] - place[fold.fit_sessions[1]] == 1 + embargo
        assert place[fold.score_sessions[0]] - place[fold.stop_sessions[1]] == 1 + embargo
        length = place[fold.stop_sessions[1]] - place[fold.fit_sessions[0]] + 1
        assert length == min_train if scheme is Scheme.ROLLING else length >= min_train
        scored += np.unique(session[fold.score]).tolist()
    assert scored == sessions[min_train + embargo :].tolist()  # each later session once, in order


def test_the_check_sees_a_leak() -> None:
    ts, t1, session = rows(3, 12, 5.0)
    fold = walk_forward(ts, t1, session, SplitSpec(min_train=5, test=2, embargo=0))[0]
    inside = (session >= fold.fit_sessions[0]) & (session <= fold.fit_sessions[1])
    unpurged = np.flatnonzero(inside)
    assert unpurged.size + np.sum(session == fold.stop_sessions[0]) > fold.fit.size + fold.stop.size
    assert leaks(unpurged, fold.stop, ts, t1) > 0


def test_a_row_of_another_instrument_is_purged_too() -> None:
    """Purging by row count keeps this row: its own instrument has no row near the boundary."""
    session = np.array([1, 1, 2, 2, 3, 4], dtype=np.int32)
    ts = session.astype(np.int64) * DAY_NS + np.array([0, 1, 0, 1, 0, 0]) * MINUTE_NS
    t1 = ts + MINUTE_NS
    t1[0] = ts[5]  # known only in the score window
    folds = walk_forward(ts, t1, session, SplitSpec(min_train=3, test=1, embargo=0, stop_share=0.34))
    assert folds[0].fit.tolist() == [1, 2, 3]
    assert folds[0].purged == 1


def test_too_few_sessions_say_how_many_are_needed() -> None:
    ts, t1, session = rows(1, 6, 0.02)
    with pytest.raises(NotEnoughData, match=r"at least 7 sessions.*found 6"):
        walk_forward(ts, t1, session, SplitSpec(min_train=5, embargo=1))
    with pytest.raises(NotEnoughData, match="leave none to fit"):
        walk_forward(ts, t1, session, SplitSpec(min_train=2, embargo=1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12), st.integers(0, 1)), min_size=1, max_size=20))
def test_uniqueness_equals_a_minute_by_minute_count(labels: list[tuple[int, int, int]]) -> None:
    start = np.array([a for a, _, _ in labels], dtype=np.int64)
    end = start + np.array([b for _, b, _ in labels])
    inst = np.array([c for _, _, c in labels], dtype=np.int32)
    found = average_uniqueness(start, end, inst)
    for i in range(len(labels)):
        shares = [
            1.0 / sum(1 for j in range(len(labels)) if inst[j] == inst[i] and start[j] <= m < end[j])
            for m in range(start[i], end[i])
        ]
        assert found[i] == pytest.approx(np.mean(shares) if shares else 1.0)


@given(st.lists(st.integers(0, 60)).map(lambda found: np.array(found, dtype=np.int64)), st.booleans())
def test_runs_give_back_any_numbers(numbers: np.ndarray, ascending: bool) -> None:
    numbers = np.unique(numbers) if ascending else numbers
    runs = Runs.of(numbers)
    assert runs.at().dtype == np.int64
    assert runs.at().tolist() == numbers.tolist()
    assert len(runs) == numbers.size


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(8, 14), st.sampled_from([0.02, 1.5, 5.0]), st.integers(0, 2), st.booleans())
def test_the_rows_of_a_fold_are_those_of_its_windows_less_the_purged(
    seed: int, n: int, span: float, embargo: int, crossed: bool
) -> None:
    """Row by row by the definition, for both kinds of folds."""
    ts, t1, session = rows(seed, n, span)
    split = SplitSpec(min_train=5, test=2, embargo=embargo)
    try:
        folds = combinatorial(ts, t1, session, split, CpcvSpec(4, 1)) if crossed else walk_forward(ts, t1, session, split)
    except NotEnoughData:
        assume(False)
        return
    sessions = np.unique(session)
    for k, fold in enumerate(folds):
        stop, score = window(session, fold.stop_sessions), window(session, fold.score_sessions)
        fit = window(session, fold.fit_sessions)
        if crossed:
            near = np.array(
                [s for i, s in enumerate(sessions) if np.isin(sessions[max(0, i - embargo) : i + 1], session[score]).any()]
            )
            fit, stop = (at[~np.isin(session[at], near)] for at in (fit, stop))
        kept_stop = without(stop, score, ts, t1)
        kept_fit = without(fit, np.concatenate([stop, score]), ts, t1)
        assert fold.fit.tolist() == kept_fit.tolist(), k
        assert fold.stop.tolist() == kept_stop.tolist(), k
        assert fold.score.tolist() == score.tolist(), k
        assert fold.purged == fit.size + stop.size - kept_fit.size - kept_stop.size
        assert fold.sizes == (kept_fit.size, kept_stop.size, score.size)


def window(session: np.ndarray, ends: tuple[int, int]) -> np.ndarray:
    return np.flatnonzero((session >= ends[0]) & (session <= ends[1]))


def without(at: np.ndarray, later: np.ndarray, ts: np.ndarray, t1: np.ndarray) -> np.ndarray:
    return at[~meeting(ts[at], t1[at], ts[later], t1[later])]


def test_a_fold_keeps_no_number_a_row() -> None:
    """197 folds of 5 million rows were 6 GiB."""
    session = np.repeat(np.arange(60, dtype=np.int32), 1_000)
    ts = session.astype(np.int64) * DAY_NS + np.tile(np.arange(1_000), 60) * MINUTE_NS
    t1 = ts + 30 * MINUTE_NS
    t1[::97] += 2 * DAY_NS
    folds = walk_forward(ts, t1, session, SplitSpec(min_train=10, test=1))
    folds += combinatorial(ts, t1, session, SplitSpec(), CpcvSpec(6, 2))
    kept = sum(runs.start.nbytes + runs.end.nbytes for fold in folds for runs in fold._rows)
    assert sum(fold.purged for fold in folds) > 100
    assert kept < 0.01 * 8 * sum(sum(fold.sizes) for fold in folds)
