"""What an audit says: one finding for each subject and law, with the first row that differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F4, I8, Mask


class Outcome(StrEnum):
    """How a law came out."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not checked"  # the data at hand cannot tell; never to be read as passed


class Law(StrEnum):
    """What is checked. docs/audit.md says what each means and what it catches."""

    PREFIX = "prefix invariance"
    FUTURE = "future perturbation"
    CHUNKS = "chunk invariance"
    STEPS = "step = batch"
    WARMUP = "warm-up"
    LATE = "late arrivals"
    ADJUSTED = "adjusted prices"
    WHOLE = "whole panel = trailing window"
    UNUSUAL = "unusual sessions"
    ORDER = "order of instruments"
    MEMBERS = "instruments outside the universe"
    ALONE = "depends on its argument alone"
    LABEL_PREFIX = "labels: the future changes no known label"
    LABEL_TAIL = "labels: none before its outcome is known"
    LABEL_TIMES = "labels: after the decision, within the session"
    SIGMA = "sigma known at the decision"
    WEIGHTS = "weights without the scored rows"
    FOLDS = "folds disjoint in time, across instruments"
    TRAINED = "trained pipeline without the scored rows"
    PIPELINE = "own pipeline fitted on training rows alone"
    LIVE = "live = history"


@dataclass(frozen=True, slots=True)
class Difference:
    """One row. ``inst`` dense row, -1 for none; ``ts_ns`` open time of its decision bar; values as numbers or in words."""

    inst: int
    ts_ns: int
    found: float | str
    expected: float | str


@dataclass(frozen=True, slots=True)
class Finding:
    """``n`` values (or rows) were compared, ``n_different`` of them differ; ``first`` is the earliest."""

    subject: str
    law: Law
    outcome: Outcome
    n: int
    n_different: int = 0
    first: Difference | None = None
    detail: str = ""


def not_checked(subject: str, law: Law, why: str) -> Finding:
    """Nothing could be compared, and why."""
    return Finding(subject, law, Outcome.NOT_CHECKED, 0, detail=why)


def finding(subject: str, law: Law, n: int, n_different: int, first: Difference | None = None, detail: str = "") -> Finding:
    """Passed or failed by ``n_different``; not checked when nothing was compared."""
    if n == 0:
        return not_checked(subject, law, detail or "nothing to compare in these bars")
    outcome = Outcome.FAILED if n_different else Outcome.PASSED
    return Finding(subject, law, outcome, n, n_different, first, detail)


def merged(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for each subject and law, in the order they came: what was compared added up, the graver reason kept."""
    by_key: dict[tuple[str, Law], Finding] = {}
    for f in findings:
        known = by_key.get((f.subject, f.law))
        if known is None:
            by_key[f.subject, f.law] = f
            continue
        told = f if f.outcome is Outcome.FAILED and known.outcome is not Outcome.FAILED else known
        n, n_different = known.n + f.n, known.n_different + f.n_different
        by_key[f.subject, f.law] = finding(f.subject, f.law, n, n_different, told.first, told.detail)
    return list(by_key.values())


class Comparison:
    """Adds up comparisons of float32 [T, S, F] values under one law, and remembers each feature's earliest difference."""

    def __init__(self, law: Law, names: Sequence[str]) -> None:
        self._law = law
        self._names = tuple(names)
        self._n = np.zeros(len(names), np.int64)
        self._different = np.zeros(len(names), np.int64)
        self._first: list[Difference | None] = [None] * len(names)

    def add(self, found: F4, expected: F4, ts_ns: I8) -> None:
        """Bit for bit; NaN equals NaN. Values that are NaN on both sides count as compared nothing."""
        assert found.shape == expected.shape, (found.shape, expected.shape)
        self.add_judged(found, expected, ~same_bits(found, expected), ts_ns)

    def add_judged(self, found: NDArray[Any], expected: NDArray[Any], different: Mask, ts_ns: I8) -> None:
        """The same with the differing cells given, bool [T, S, F]."""
        axes = (0, 1)
        self._n += (~(np.isnan(found) & np.isnan(expected))).sum(axis=axes)
        self._different += different.sum(axis=axes)
        for f in np.flatnonzero(different.any(axis=axes)).tolist():
            t, s = (int(i) for i in np.argwhere(different[:, :, f])[0])
            known = self._first[f]
            if known is None or int(ts_ns[t]) < known.ts_ns:
                self._first[f] = Difference(s, int(ts_ns[t]), float(found[t, s, f]), float(expected[t, s, f]))

    def findings(self) -> Iterator[Finding]:
        """One for each feature, in order."""
        for f, name in enumerate(self._names):
            yield finding(name, self._law, int(self._n[f]), int(self._different[f]), self._first[f])


def same_bits(a: F4, b: F4) -> Mask:
    """bool, elementwise: equal to the last bit, or both NaN."""
    left, right = (np.ascontiguousarray(x, np.float32) for x in (a, b))
    return np.asarray((left.view(np.int32) == right.view(np.int32)) | (np.isnan(left) & np.isnan(right)), np.bool_)
