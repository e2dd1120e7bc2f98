"""Combinatorial purged cross-validation: many test paths through the same sessions instead of one.

The sessions are cut into groups, one after the other, of nearly equal length; every choice of ``test_groups`` of them is scored
once by a model fitted on the others. Each group is then scored C(N - 1, k - 1) times, and that many paths can be put together that
pass through every session. Models are fitted on sessions after those they score, which nobody can do in practice: the paths show
how much of a result is the luck of one history, and no verdict rests on them.

Purged on both sides: a row whose span [ts, t1] meets that of a scored row of any instrument is not learned from, and ``embargo``
sessions after each scored block are left out. Source: López de Prado 2018, ch. 12 (and 7 for purging and embargo).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from intraday.domain.arrays import I4, I8
from intraday.domain.errors import ConfigError, NotEnoughData
from intraday.model.metrics import BPS
from intraday.model.path import DailyPath
from intraday.model.significance.sharpe import sharpe_ratio
from intraday.model.splits import Fold, SplitSpec, meeting

MOST_SPLITS = 200  # each is a fit


@dataclass(frozen=True, slots=True)
class CpcvSpec:
    """``groups`` 0: none of it."""

    groups: int = 0
    test_groups: int = 2

    @property
    def n_splits(self) -> int:
        """How many models are fitted."""
        return comb(self.groups, self.test_groups)

    @property
    def n_paths(self) -> int:
        """How many paths come of them."""
        return comb(self.groups - 1, self.test_groups - 1)


@dataclass(frozen=True, slots=True)
class PathFigures:
    """Of each path, in order: the Sharpe ratio of its daily net return (not annualised; NaN without spread), its mean net return a
    session in basis points, and its trades."""

    groups: int
    test_groups: int
    splits: int
    sharpes: tuple[float, ...]
    net_bps_session: tuple[float, ...]
    trades: tuple[int, ...]


def combinatorial(ts_ns: I8, t1_ns: I8, session: I4, split: SplitSpec, spec: CpcvSpec) -> list[Fold]:
    """A fold for every choice of test groups, in lexicographic order; arguments as ``splits.walk_forward``'s.

    The last ``stop_share`` of the sessions learned from decide when to stop boosting. ``score_sessions`` of a fold are the first
    and the last one scored; others between them are learned from. Raises NotEnoughData, and ConfigError for too many splits.
    """
    sessions = np.unique(session)
    if not 0 < spec.test_groups < spec.groups or spec.n_splits > MOST_SPLITS:
        raise ConfigError(
            f"model.cpcv: expected fewer test groups than groups and at most {MOST_SPLITS} splits, found {spec.test_groups} of "
            f"{spec.groups}, {spec.n_splits} splits: lower one of them"
        )
    if sessions.size < 2 * spec.groups:
        raise NotEnoughData(
            f"cross-validation of {spec.groups} groups needs at least {2 * spec.groups} sessions with labels, found {sessions.size}"
            ": import more history or lower model.cpcv.groups"
        )
    groups = np.array_split(np.arange(sessions.size), spec.groups)
    place = np.searchsorted(sessions, session)
    return [
        _fold(ts_ns, t1_ns, place, sessions, np.concatenate([groups[g] for g in chosen]), split)
        for chosen in combinations(range(spec.groups), spec.test_groups)
    ]


def _fold(ts_ns: I8, t1_ns: I8, place: I8, sessions: I4, test: I8, split: SplitSpec) -> Fold:
    """The fold that scores the sessions numbered ``test`` (ascending); ``place``: each row's number of session."""
    left_out = {int(t) + k for t in test for k in range(split.embargo + 1)}
    train = np.array([k for k in range(sessions.size) if k not in left_out], dtype=np.int64)
    n_stop = max(1, int(train.size * split.stop_share))
    stop_at = train.size - n_stop
    kept = train[:stop_at][train[:stop_at] < train[stop_at] - split.embargo] if train.size > n_stop else train[:0]
    if kept.size == 0:
        raise NotEnoughData("cross-validation leaves no sessions to fit: import more history or lower model.cpcv.groups")
    fit, stop, score = (np.flatnonzero(np.isin(place, these)).astype(np.int64) for these in (kept, train[stop_at:], test))
    kept_stop = stop[~meeting(ts_ns[stop], t1_ns[stop], ts_ns[score], t1_ns[score])]
    later = np.concatenate([stop, score])
    kept_fit = fit[~meeting(ts_ns[fit], t1_ns[fit], ts_ns[later], t1_ns[later])]
    if kept_fit.size == 0 or kept_stop.size == 0:
        raise NotEnoughData("purging by label time left an empty window: the labels' horizon is longer than the groups")

    def ends(these: I8) -> tuple[int, int]:
        return int(sessions[these[0]]), int(sessions[these[-1]])

    return Fold(
        kept_fit,
        kept_stop,
        score,
        ends(kept),
        ends(train[stop_at:]),
        ends(test),
        int(fit.size - kept_fit.size + stop.size - kept_stop.size),
    )


def paths(parts: Sequence[DailyPath], spec: CpcvSpec) -> list[DailyPath]:
    """The paths through all sessions, from what each split of ``combinatorial`` (in its order) made of the sessions it scored.

    Path j takes each group from the j-th split that scores it. Source: López de Prado 2018, section 12.3.
    """
    chosen = list(combinations(range(spec.groups), spec.test_groups))
    assert len(parts) == len(chosen), (len(parts), len(chosen))
    groups = np.array_split(np.unique(np.concatenate([p.session for p in parts])), spec.groups)
    scored_by = [[k for k, these in enumerate(chosen) if g in these] for g in range(spec.groups)]
    return [_joined([_part(parts[scored_by[g][j]], groups[g]) for g in range(spec.groups)]) for j in range(spec.n_paths)]


def figures_of(parts: Sequence[DailyPath], spec: CpcvSpec) -> PathFigures:
    """The figures of ``paths``."""
    whole = paths(parts, spec)
    return PathFigures(
        spec.groups,
        spec.test_groups,
        len(parts),
        tuple(sharpe_ratio(p.net).value for p in whole),
        tuple(float(p.net.mean()) * BPS for p in whole),
        tuple(int(p.trades.sum()) for p in whole),
    )


def _part(path: DailyPath, sessions: I4) -> DailyPath:
    at = np.isin(path.session, sessions)
    return DailyPath(path.session[at], path.gross[at], path.cost[at], path.trades[at])


def _joined(parts: Sequence[DailyPath]) -> DailyPath:
    return DailyPath(
        np.concatenate([p.session for p in parts]),
        np.concatenate([p.gross for p in parts]),
        np.concatenate([p.cost for p in parts]),
        np.concatenate([p.trades for p in parts]),
    )
