"""Walk-forward splits by session, purged by label time across all instruments.

A fold looks like this on the line of sessions; time runs to the right, ``e`` is the embargo::

    [ fit .................. ] e [ early stop ] e [ score ]

Every row has a span [ts, t1]: from the open of its decision bar to the moment its label became known. A fit row whose span
reaches into the early-stop or score window is dropped, and so is an early-stop row that reaches into the score window, whatever
its instrument. Rows are compared by time, never counted: in a pooled frame of many instruments a gap of rows leaks.
Source: López de Prado 2018, ch. 7 (purging, embargo).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from intraday.domain.arrays import I4, I8, Mask
from intraday.domain.errors import NotEnoughData

NONE = np.empty(0, dtype=np.int64)


class Scheme(StrEnum):
    """How the fit window grows."""

    EXPANDING = "expanding"
    ROLLING = "rolling"


@dataclass(frozen=True, slots=True)
class SplitSpec:
    """All lengths in sessions. ``min_train`` counts fit, inner embargo and early stop of the first fold (of each, if rolling)."""

    scheme: Scheme = Scheme.EXPANDING
    min_train: int = 15
    test: int = 5
    embargo: int = 1
    stop_share: float = 0.2  # part of the training sessions that only decides when to stop boosting


@dataclass(frozen=True, slots=True)
class Runs:
    """Whole numbers kept as runs of neighbours, ``[start, end)`` int64 [k] each: a window's rows less a few purged ones are few
    runs, where its numbers would be eight bytes a row."""

    start: I8
    end: I8

    @classmethod
    def of(cls, at: I8) -> Runs:
        """The runs of ``at`` int64 [n]: any numbers, given back in their order."""
        cut = np.flatnonzero(np.diff(at) != 1) + 1
        first, last = np.concatenate([[0], cut]), np.concatenate([cut, [at.size]]) - 1
        return cls(at[first].astype(np.int64), at[last].astype(np.int64) + 1) if at.size else cls(NONE, NONE)

    def __len__(self) -> int:
        """How many numbers."""
        return int((self.end - self.start).sum())

    def at(self) -> I8:
        """The numbers, int64 [n], an array of its own."""
        length = self.end - self.start
        out: I8 = np.repeat(self.start - (np.cumsum(length) - length), length) + np.arange(len(self), dtype=np.int64)
        return out


@dataclass(frozen=True, slots=True, init=False)
class Fold:
    """Row indices (ascending int64, made when they are asked for) and the first and last session number of each window.

    ``purged``: rows of the fit and early-stop windows that were dropped.
    """

    _rows: tuple[Runs, Runs, Runs]
    fit_sessions: tuple[int, int]
    stop_sessions: tuple[int, int]
    score_sessions: tuple[int, int]
    purged: int

    def __init__(
        self, fit: I8, stop: I8, score: I8, fit_sessions: tuple[int, int], stop_sessions: tuple[int, int],
        score_sessions: tuple[int, int], purged: int,
    ) -> None:  # fmt: skip
        given = ((Runs.of(fit), Runs.of(stop), Runs.of(score)), fit_sessions, stop_sessions, score_sessions, purged)
        for name, value in zip(Fold.__slots__, given, strict=True):
            object.__setattr__(self, name, value)

    @property
    def fit(self) -> I8:
        """Rows to fit on."""
        return self._rows[0].at()

    @property
    def stop(self) -> I8:
        """Rows that decide when to stop boosting."""
        return self._rows[1].at()

    @property
    def score(self) -> I8:
        """Rows to score."""
        return self._rows[2].at()

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many rows each window has."""
        fit, stop, score = self._rows
        return len(fit), len(stop), len(score)

    def with_rows(self, fit: I8, stop: I8, score: I8) -> Fold:
        """The same windows with other row indices."""
        return Fold(fit, stop, score, self.fit_sessions, self.stop_sessions, self.score_sessions, self.purged)


def walk_forward(ts_ns: I8, t1_ns: I8, session: I4, spec: SplitSpec) -> list[Fold]:
    """Folds in order of time; each session is scored at most once, the last score window may be shorter.

    ``ts_ns``, ``t1_ns``, ``session`` [n] of all instruments together; sessions must not overlap in ``ts``.
    Raises NotEnoughData when there is no room for one fold, or purging leaves a window empty.
    """
    sessions = np.unique(session)
    first = spec.min_train + spec.embargo
    if sessions.size <= first:
        raise NotEnoughData(
            f"walk-forward needs at least {first + 1} sessions with labels ({spec.min_train} to train, {spec.embargo} embargo, "
            f"1 to score), found {sessions.size}: import more history or lower model.walk_forward.min_train_sessions",
        )
    starts = range(first, sessions.size, spec.test)
    return [_fold(ts_ns, t1_ns, session, sessions, at, spec) for at in starts]


def _fold(ts_ns: I8, t1_ns: I8, session: I4, sessions: I4, at: int, spec: SplitSpec) -> Fold:
    """The fold that scores ``sessions[at : at + spec.test]``."""
    end = at - spec.embargo
    begin = end - spec.min_train if spec.scheme is Scheme.ROLLING else 0
    stop_at = end - max(1, int((end - begin) * spec.stop_share))
    fit_end = stop_at - spec.embargo
    if fit_end <= begin:
        raise NotEnoughData(
            f"{end - begin} training sessions leave none to fit after an early-stop window of {end - stop_at} and an embargo of "
            f"{spec.embargo}: raise model.walk_forward.min_train_sessions",
        )

    def window(lo: int, hi: int) -> I8:
        inside = (session >= sessions[lo]) & (session <= sessions[hi - 1])
        return np.flatnonzero(inside).astype(np.int64)

    stop_end = min(at + spec.test, sessions.size)
    fit, stop, score = window(begin, fit_end), window(stop_at, end), window(at, stop_end)
    kept_stop = stop[t1_ns[stop] < ts_ns[score].min()]
    kept_fit = fit[t1_ns[fit] < ts_ns[stop].min()]  # the early-stop window lies before the score window
    if kept_fit.size == 0 or kept_stop.size == 0:
        raise NotEnoughData("purging by label time left an empty window: the labels' horizon is longer than the windows")
    return Fold(
        kept_fit,
        kept_stop,
        score,
        (int(sessions[begin]), int(sessions[fit_end - 1])),
        (int(sessions[stop_at]), int(sessions[end - 1])),
        (int(sessions[at]), int(sessions[stop_end - 1])),
        purged=int(fit.size - kept_fit.size + stop.size - kept_stop.size),
    )


def meeting(start: I8, end: I8, other_start: I8, other_end: I8) -> Mask:
    """bool [n]: which of the closed spans ``[start, end]`` meet any of the others, whoever's they are."""
    order = np.argsort(other_start, kind="stable")
    begins, reached = other_start[order], np.maximum.accumulate(other_end[order])
    before = np.searchsorted(begins, end, side="right")  # how many of the others begin no later than it ends
    found: Mask = (before > 0) & (reached[np.maximum(before - 1, 0)] >= start)
    return found
