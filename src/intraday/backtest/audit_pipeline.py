"""The law of a user's own preparation of rows: each row as the training rows alone say, whatever else is there.

A scaler fitted on everything, an encoder that reads the scored rows' labels, a choice of columns that looks at both: none of them
shows in a feature. So the rows are prepared again, by a pipeline that remembers nothing of the first time, with less to see or with
something else where it must not look.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.core.audit.result import Difference, Finding, Law, finding, not_checked
from intraday.core.user_features import Pipeline, UserFeatures, load_user_features
from intraday.domain.arrays import F4, F8, Mask
from intraday.domain.errors import ConfigError
from intraday.domain.session import SessionTable
from intraday.model.dataset import Dataset
from intraday.model.splits import Fold

OWN = "PIPELINE"
SPREADS = 1e-5  # of a column's spread: more than two orders of summation differ by, less than a leak is of use with
ROUNDINGS = 16.0  # of the numbers' own type, for a column that is large and hardly varies
Labels = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class _Rows:
    """What a pipeline is given: ``x`` float32 [n, F], ``label`` int8 [n], ``train`` bool [n]."""

    x: F4
    label: Labels
    train: Mask

    def only(self, kept: Mask) -> _Rows:
        return _Rows(self.x[kept], self.label[kept], self.train[kept])


@dataclass(frozen=True, slots=True)
class _Again:
    """Another way to prepare the rows ``kept`` bool [n]; ``exact``: to the last bit, which the same shapes allow."""

    what: str
    kept: Mask
    prepared: NDArray[Any]
    exact: bool


def anew(user: UserFeatures, sessions: SessionTable) -> Pipeline:
    """The pipeline of ``user``'s file, run again: nothing that an earlier call left in the file's module is there.

    Raises ConfigError when the file is another one by now.
    """
    again = load_user_features(user.path, sessions, user.timeframe)
    if again.digest != user.digest or again.pipeline is None:
        raise ConfigError(f"{user.path}: expected the file that the audit began with, found another; run the audit again")
    return again.pipeline


def plain_split(data: Dataset) -> list[Fold]:
    """The sessions' last third (one at least) scored, the rest learned from, as one fold; none without two sessions."""
    sessions = np.unique(data.session)
    if len(sessions) < 2:
        return []
    at = min(-(-2 * len(sessions) // 3), len(sessions) - 1)
    score = np.flatnonzero(data.session >= sessions[at])
    before = np.flatnonzero(data.session < sessions[at])
    fit = before[data.t1_ns[before] < data.ts_ns[score].min()]
    if len(fit) == 0:
        return []
    first, last = (int(sessions[0]), int(sessions[at - 1])), (int(sessions[at]), int(sessions[-1]))
    return [Fold(fit, np.empty(0, np.int64), score, first, first, last, len(before) - len(fit))]


def rotate(label: Labels) -> Labels:
    """Down becomes up, hold down, up hold: whatever is made of a label changes, its magnitude and whether it is zero too."""
    return np.array([1, -1, 0], np.int8)[label + 1]


def pipeline_law(
    fresh: Callable[[], Pipeline], data: Dataset, folds: Sequence[Fold], rng: np.random.Generator, on: str = ""
) -> Finding:
    """Training rows as prepared alone; scored rows whatever the others and the labels among them are. ``on``: which folds.

    ``fresh`` makes the pipeline anew. Raises ConfigError when it fails or gives something else than a table of numbers.
    """
    if not folds:
        return not_checked(OWN, Law.PIPELINE, "needs labels of two sessions: import more, or widen --from and --to")
    n, wrong, first, why = 0, 0, None, on
    for fold in folds:
        at = np.concatenate([fold.fit, fold.stop, fold.score])
        train = np.arange(len(at)) < len(at) - len(fold.score)
        rows = _Rows(data.x[at], data.label[at], train)
        whole = _prepare(fresh(), rows)
        for again in _ways(fresh, rows, rng):
            bad, found, expected, told = _compared(whole[again.kept], again)
            n, wrong = n + int(again.kept.sum()), wrong + int(bad.sum())
            if bad.any() and first is None:
                k = int(at[again.kept][np.flatnonzero(bad)[0]])
                first = Difference(int(data.inst[k]), int(data.ts_ns[k]), found, expected)
                why = f"{again.what}: {told}{on and '; '}{on}"
    return finding(OWN, Law.PIPELINE, n, wrong, first, why)


def _ways(fresh: Callable[[], Pipeline], rows: _Rows, rng: np.random.Generator) -> Iterator[_Again]:
    """The same rows in each way that must not matter."""
    train, number = rows.train, np.arange(len(rows.train))
    everything, some = np.ones(len(train), np.bool_), train | (number % 2 == 0)
    yield _Again("it gives other values for the same rows", everything, _prepare(fresh(), rows), exact=True)
    yield _Again("fitted on more than the training rows", train, _prepare(fresh(), rows.only(train)), exact=False)
    yield _Again("a scored row depends on other scored rows", some, _prepare(fresh(), rows.only(some)), exact=False)
    others = _Rows(rows.x, np.where(train, rows.label, rotate(rows.label)), train)
    yield _Again("a scored row depends on its label", everything, _prepare(fresh(), others), exact=True)
    x = rows.x.copy()
    x[~some] = rows.x[rng.choice(number, int((~some).sum()))]
    others = _Rows(x, rows.label, train)
    yield _Again("a scored row depends on other scored rows", some, _prepare(fresh(), others)[some], exact=True)
    same = fresh()
    _prepare(same, rows.only(train & (number < max(train.sum() // 2, 1))))
    yield _Again("it remembers an earlier call", everything, _prepare(same, rows), exact=True)


def _prepare(pipeline: Pipeline, rows: _Rows) -> NDArray[Any]:
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of nanmean and its kin where nothing is there
            found: NDArray[Any] = np.asarray(pipeline(rows.x.copy(), rows.label.copy(), rows.train.copy()))
    except Exception as error:  # noqa: BLE001  it is the user's code: whatever it raises is theirs to mend
        raise ConfigError(f"{OWN}: {type(error).__name__}: {error}") from error
    if found.ndim != 2 or len(found) != len(rows.x) or found.dtype.kind not in "fiub":
        expected = f"expected numbers of shape ({len(rows.x)}, columns)"
        raise ConfigError(f"{OWN}: {expected}, found {found.dtype} of shape {found.shape}")
    return found.copy()  # it may be the pipeline's own memory, which the next call overwrites


def _compared(whole: NDArray[Any], again: _Again) -> tuple[Mask, float | str, float | str, str]:
    """bool [n] of rows that differ, the first of them as found and expected, and where."""
    other = again.prepared
    if whole.shape[1] != other.shape[1]:
        told = f"{whole.shape[1]} columns", f"{other.shape[1]} columns"
        return np.ones(len(whole), np.bool_), *told, "the number of columns changes"
    bad = ~((whole == other) | ((whole != whole) & (other != other)))
    if not again.exact:
        bad &= _apart(whole, other)
    if not bad.any():
        return bad.any(axis=1), "", "", ""
    k, column = (int(i) for i in np.argwhere(bad)[0])
    return bad.any(axis=1), float(whole[k, column]), float(other[k, column]), f"column {column}"


def _apart(found: NDArray[Any], expected: NDArray[Any]) -> Mask:
    """bool [n, G]: one of them NaN, or apart by more than 1e-5 of the column's spread and some roundings."""
    rounding = max(np.finfo(a.dtype).eps if a.dtype.kind == "f" else 0.0 for a in (found, expected))
    ours, theirs = found.astype(np.float64), expected.astype(np.float64)
    near = SPREADS * np.array([_spread(column) for column in theirs.T]) + ROUNDINGS * rounding * np.abs(theirs)
    with np.errstate(invalid="ignore"):  # of infinities
        return np.asarray(~(np.abs(ours - theirs) <= near), np.bool_)


def _spread(column: F8) -> float:
    """Between the quarters; 0 without any value. A far value more or less makes nothing else look alike."""
    there = column[np.isfinite(column)]
    return float(np.subtract(*np.quantile(there, [0.75, 0.25]))) if there.size else 0.0
