"""The rows to learn from, read back from the stores some sessions at a time and kept on disk (``spool.py``).

What is trained on is what is stored: features and labels come from the database, and the stored minutes of the same sessions give
each row its price, when either side's trade was over, and the sides of the simple rules. Memory does not grow with the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from intraday.core.anchor import EPOCH
from intraday.core.candles import HistoricalAggregator
from intraday.core.costs import Costs
from intraday.core.decision import latest_bars_ns
from intraday.core.label_sessions import Traded
from intraday.core.panel import Lists, panel_of, within_hours
from intraday.core.rules import RULES, rule_sides
from intraday.core.tradability import Tradable, TradeLists, eligible_sides
from intraday.core.trade_ends import side_ends
from intraday.core.weights import attributed_returns
from intraday.domain.arrays import F4, F8, Bars, Panel
from intraday.domain.instruments import Instrument
from intraday.domain.membership import Membership
from intraday.domain.ports import Progress, Source
from intraday.domain.session import Session, SessionTable, midnight_ns
from intraday.history.members import no_members, of_members
from intraday.history.plan import HistoricalPlan, Stores
from intraday.history.segment import pieces
from intraday.history.spool import RowSpool
from intraday.model.dataset import Dataset, join, with_trades
from intraday.model.weighting import Weighting


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads the rows of ``universe`` (in order of ``Dataset.inst``) for the days ``first .. last``."""

    plan: HistoricalPlan
    stores: Stores
    sessions: SessionTable
    costs: Costs
    universe: Sequence[Instrument]
    first: date
    last: date
    membership: Membership | None

    def read(self, spool: RowSpool, progress: Progress) -> Dataset:
        """All rows, through the spool. NotEnoughData when none is one of a member."""
        lists, tradable = self.plan.lists(self.universe, self.first, self.last), self.plan.tradable(self.universe)
        days = self.sessions.between(self.first, self.last)
        cuts = list(pieces(days, len(self.universe), self.plan.features, self.plan.piece_mib))
        found = 0
        for done, cut in enumerate(cuts):
            progress("dataset", done, len(cuts))
            part = self._piece(cut, lists)
            if tradable is not None:
                part = self._allowed(part, tradable)
            found += len(part)
            spool.append(part)
        progress("dataset", len(cuts), len(cuts))
        if self.membership is not None and not found:
            raise no_members(self.membership, self.first, self.last)
        return spool.rows()

    def _piece(self, days: Sequence[Session], lists: Lists) -> Dataset:
        """The rows of some whole sessions."""
        plan, ids = self.plan, [i.id for i in self.universe]
        start_ns, end_ns = midnight_ns(days[0].day), midnight_ns(days[-1].day + timedelta(days=1))
        ts, inst, x = self.stores.features.read(plan.features.id, Source.HISTORY, ids, start_ns, end_ns)
        labels = self.stores.labels.read(plan.labels.id, ids, start_ns, end_ns)

        def latest(number: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
            day = self.sessions.get(EPOCH + timedelta(days=number))
            return latest_bars_ns(plan.labels, day, len(ids), self.sessions, lists)

        rows = join(ts, inst, x, labels, self._cost, latest, timeframe=plan.labels.timeframe)
        rows = of_members(rows, self.universe, self.membership)
        if not len(rows):
            return replace(rows, rules=np.empty((0, len(RULES)), dtype=np.int8))
        bars = self.stores.bars.read(ids, start_ns, end_ns, plan.source)
        return self._traded(rows, within_hours(bars, len(ids), self.sessions, lists), lists, days)

    def _allowed(self, rows: Dataset, tradable: TradeLists) -> Dataset:
        """With the sides that may be traded on each row's day."""

        def on(number: int) -> Tradable:
            return tradable.on(EPOCH + timedelta(days=number), self.universe)

        long, short = eligible_sides(on, rows.session, rows.inst)
        return replace(rows, may_long=long, may_short=short)

    def _traded(self, rows: Dataset, bars: Bars, lists: Lists, days: Sequence[Session]) -> Dataset:
        """With what the minutes of their sessions say of each row."""
        plan, n = self.plan, len(self.universe)
        minutes = panel_of(bars, n, 1, self.sessions, lists)
        candles = HistoricalAggregator(n).aggregate(bars, plan.labels.timeframe)
        decisions = panel_of(candles, n, plan.labels.timeframe, self.sessions, lists)
        prices = plan.prices(self.universe, days[0].day, days[-1].day)
        sigma = _on_panel(rows, decisions)
        traded = Traded.of(prices.ticks, lists, prices.bands)
        ends = side_ends(minutes, decisions, sigma, plan.labels, traded, self.sessions, plan.known_ns)
        rows = with_trades(rows, decisions, ends, rule_sides(decisions))
        if plan.training.weights is not Weighting.RETURN_ATTRIBUTION:
            return rows
        return replace(rows, attribution=attributed_returns(rows.entry_ns, rows.t1_ns, rows.inst, minutes))

    def _cost(self, number: int) -> F8:
        """Round trip of each instrument on the session's day, as a return."""
        day = EPOCH + timedelta(days=number)
        kinds = {i.kind: self.costs.round_trip_bps(day, self.plan.notional, i.kind) * 1e-4 for i in self.universe}
        return np.array([kinds[i.kind] for i in self.universe])


def _on_panel(rows: Dataset, decisions: Panel) -> F4:
    """The rows' volatility by decision bar and instrument, float32 [T, S], NaN where there is no row."""
    out = np.full(decisions.mask.shape, np.nan, dtype=np.float32)
    out[np.searchsorted(decisions.ts_ns, rows.ts_ns), rows.inst] = rows.sigma
    return out
