"""From one-minute bars to rows to learn from, by the code that history uses, and what undoes any connection between the two.

``market_rows`` is the pipeline without a database: decision bars, registered features, labels, the end of each side's trade, the
simple rules. The others take a Dataset and give one in which outcomes have nothing to do with features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.core.candles import HistoricalAggregator
from intraday.core.decision import latest_bars_ns
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.fills import TickSizes
from intraday.core.label_sessions import Traded
from intraday.core.labels import SIGMA, Labeler, LabelSpec
from intraday.core.panel import NO_LISTS, Lists, panel_of
from intraday.core.rules import rule_sides
from intraday.core.trade_ends import side_ends
from intraday.domain.arrays import DAY_NS, F8, I8, IST_NS, Bars, Panel
from intraday.domain.session import EPOCH, SessionTable
from intraday.model.dataset import Dataset, join, with_trades


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is made of bars: features with ``sigma`` among them, labels of the same timeframe, who trades when.

    ``index``: the market index's dense row.
    """

    features: FeatureSet
    labels: LabelSpec
    sessions: SessionTable
    lists: Lists = NO_LISTS
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """``data`` and the decision bars it was made from."""

    data: Dataset
    decisions: Panel

    def of_panel(self, values: NDArray[Any]) -> NDArray[Any]:
        """Of ``values`` [T, S, ...] on the decision bars those of the rows."""
        at: NDArray[Any] = values[np.searchsorted(self.decisions.ts_ns, self.data.ts_ns), self.data.inst]
        return at


def market_rows(bars: Bars, n: int, recipe: Recipe, ticks: F8 | TickSizes, cost: Callable[[int], float | F8]) -> Rows:
    """Rows of BAR rows ordered by (ts, inst), complete sessions of ``n`` instruments; ``ticks`` rupees [n] or dated.

    ``cost``: the round trip as a return, by session number, one for all or [n]; state starts at the first bar.
    """
    labels = recipe.labels
    minutes = panel_of(bars, n, 1, recipe.sessions, recipe.lists)
    candles = HistoricalAggregator(n).aggregate(bars, labels.timeframe)
    decisions = panel_of(candles, n, labels.timeframe, recipe.sessions, recipe.lists)
    has_volume = np.asarray(np.isfinite(minutes.volume).any(axis=0), np.bool_)
    x = FeatureCalculator(recipe.features, has_volume, recipe.index).batch(decisions)
    sigma = np.ascontiguousarray(x[:, :, recipe.features.column(SIGMA)])
    found = Labeler(labels, ticks, recipe.lists).label(minutes, decisions, sigma, recipe.sessions)
    ends = side_ends(minutes, decisions, sigma, labels, Traded.of(ticks, recipe.lists, None), recipe.sessions)

    def latest(number: int) -> I8:
        return latest_bars_ns(labels, recipe.sessions.get(EPOCH + timedelta(days=number)), n, recipe.sessions, recipe.lists)

    row, inst = np.nonzero(decisions.mask)
    data = join(decisions.ts_ns[row], inst.astype(np.int32), x[row, inst], found, cost, latest, timeframe=labels.timeframe)
    return Rows(with_trades(data, decisions, ends, rule_sides(decisions)), decisions)


def with_column(data: Dataset, values: F8) -> Dataset:
    """One feature more, the last: ``values`` float64 [n]."""
    return replace(data, x=np.column_stack([data.x, values.astype(np.float32)]))


def at_cost(data: Dataset, cost: float) -> Dataset:
    """The same rows at another round trip; returns are gross, so nothing else changes."""
    return replace(data, cost=np.full(len(data), cost))


def shuffled_sessions(data: Dataset, rng: np.random.Generator) -> Dataset:
    """Outcomes of another session at the same time of day, all instruments together, in random order of the sessions.

    Label, returns and ends move together; the ends keep their distance from the decision. Rows without a partner are dropped.
    """
    sessions = np.unique(data.session)
    to = dict(zip(sessions.tolist(), rng.permutation(sessions).tolist(), strict=True))
    return _with_outcomes(data, *_partners(data, np.array([to[s] for s in data.session.tolist()], dtype=np.int64)))


def shuffled_rows(data: Dataset, rng: np.random.Generator) -> Dataset:
    """Outcomes of another row of the same instrument and time of day, each by itself: nothing of a day's common move stays."""
    minute = (data.ts_ns + IST_NS) % DAY_NS
    order = np.lexsort((np.arange(len(data)), data.inst, minute))
    start = np.flatnonzero(np.concatenate([[True], (np.diff(minute[order]) != 0) | (np.diff(data.inst[order]) != 0)]))
    of = np.empty(len(data), dtype=np.int64)
    for group in np.split(order, start[1:]):
        of[group] = rng.permutation(group)
    return _with_outcomes(data, np.arange(len(data)), of)


def mirrored(data: Dataset, rng: np.random.Generator) -> Dataset:
    """Outcomes with long and short changed in half of the sessions, by the toss of a coin each: the sample's drift is no edge."""
    sessions, where = np.unique(data.session, return_inverse=True)
    swap = (rng.random(len(sessions)) < 0.5)[where]
    pairs = (("ret_long", "ret_short"), ("end_long_ns", "end_short_ns"))
    changed = {a: np.where(swap, getattr(data, b), getattr(data, a)) for pair in pairs for a, b in (pair, pair[::-1])}
    return replace(data, label=np.where(swap, -data.label, data.label).astype(np.int8), **changed)


def shifted_features(data: Dataset, sessions: int) -> Dataset:
    """Features of ``sessions`` sessions earlier at the same time of day, the first ones' of the last (a circle), sigma stays."""
    numbers = np.unique(data.session)
    assert 0 < sessions < len(numbers), (sessions, len(numbers))
    to = np.roll(numbers, sessions)[np.searchsorted(numbers, data.session)]
    rows, of = _partners(data, to.astype(np.int64))
    return replace(data.rows(rows), x=data.x[of])


def _partners(data: Dataset, session: I8) -> tuple[I8, I8]:
    """Rows, and for each the row at the same time of day and of the same instrument in ``session`` [n]; where there is one."""
    key = np.dtype([("ts", "i8"), ("inst", "i8")])
    own, wanted = np.empty(len(data), key), np.empty(len(data), key)
    own["ts"], own["inst"] = data.ts_ns, data.inst
    wanted["ts"], wanted["inst"] = data.ts_ns + (session - data.session) * DAY_NS, data.inst
    at = np.minimum(np.searchsorted(own, wanted), len(own) - 1)
    rows = np.flatnonzero(own[at] == wanted)
    return rows, at[rows]


def _with_outcomes(data: Dataset, rows: I8, of: I8) -> Dataset:
    """``rows`` with the outcomes of the rows ``of``; times keep their distance from the decision."""
    kept, other = data.rows(rows), data.rows(of)
    later = kept.close_ns - other.close_ns
    times = {name: getattr(other, name) + later for name in ("entry_ns", "t1_ns", "end_long_ns", "end_short_ns")}
    return replace(kept, label=other.label, ret_long=other.ret_long, ret_short=other.ret_short, **times)
