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
class Fold:
    """Row indices (ascending int64) and the first and last session number of each window."""

    fit: I8
    stop: I8
    score: I8
    fit_sessions: tuple[int, int]
    stop_sessions: tuple[int, int]
    score_sessions: tuple[int, int]
    purged: int  # rows of the fit and early-stop windows that were dropped


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
