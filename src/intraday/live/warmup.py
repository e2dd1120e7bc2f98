"""Before the first tick: bring a cold calculator to the state it would have, had it run since the anchor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from intraday.core.candles import HistoricalAggregator
from intraday.core.features import FeatureCalculator
from intraday.core.overnight import Overnight
from intraday.core.panel import NO_LISTS, Lists, panel_of, within_hours
from intraday.domain.arrays import DAY_NS, Panel
from intraday.domain.ports import BarStore
from intraday.domain.session import Session, SessionTable, midnight_ns

BLOCK = 5  # sessions read at once: bounds memory, changes no bit


def decision_panels(
    bars: BarStore,
    ids: Sequence[int],
    days: Sequence[Session],
    timeframe: int,
    sessions: SessionTable,
    lists: Lists = NO_LISTS,
    block: int = BLOCK,
    overnight: Overnight | None = None,
) -> Iterator[Panel]:
    """Panels of the decision timeframe from the best one-minute bars of ``days``, ``block`` sessions at a time, in order; without
    those that sit out, by the lists and as ``overnight`` finds."""
    aggregator = HistoricalAggregator(len(ids))
    for i in range(0, len(days), block):
        part = days[i : i + block]
        rows = bars.read(ids, midnight_ns(part[0].day), midnight_ns(part[-1].day) + DAY_NS)
        rows = within_hours(rows, len(ids), sessions, lists)
        candles = lists.playing(aggregator.aggregate(rows, timeframe))
        if overnight is not None:
            candles = overnight.take(candles)
        if len(candles):
            yield panel_of(candles, len(ids), timeframe, sessions, lists)


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What a calculator was warmed up with.

    ``anchored``: the database reaches back to the anchor session. ``digests``: of the bars of each instrument, by dense row: equal
    digests must give equal states, so verify can tell a wrong start from a corrected history. ``overnight``: what the next open is
    to be compared with, and who sits out for an ex-date that nobody entered.
    """

    anchored: bool
    digests: tuple[str, ...]
    overnight: Overnight


def warm(
    calculator: FeatureCalculator,
    bars: BarStore,
    ids: Sequence[int],
    session: Session,
    sessions: SessionTable,
    lists: Lists = NO_LISTS,
) -> WarmUp:
    """Advance ``calculator`` from the anchor of ``session`` to the evening before it.

    The database reaches back to the anchor session when some instrument, of this run or not, has a bar in it. When it does not,
    the features of the day are missing (NaN): a state started elsewhere would give other values than history has. An instrument
    whose own bars begin later starts at its first one, here as in history.
    """
    anchor = calculator.feature_set.anchor.anchor(session.day, sessions)
    days = [s for s in sessions.between(anchor, session.day) if s.number < session.number]
    reached = not days or bars.has_any(days[0].open_ns, days[0].close_ns)
    hashes = [hashlib.sha256() for _ in ids]
    overnight, timeframe = Overnight(len(ids), lists.settled), calculator.feature_set.timeframe
    lists = lists.of_state(session.number)
    for panel in decision_panels(bars, ids, days, timeframe, sessions, lists, overnight=overnight):
        calculator.batch(panel)
        for inst, digest in enumerate(hashes):
            _feed(digest, panel, inst)
    calculator.take_failures()  # of days gone by: they were told then
    if not reached:
        calculator.silence()
    return WarmUp(reached, tuple(h.hexdigest()[:16] for h in hashes), overnight)


def _feed(digest: hashlib._Hash, panel: Panel, inst: int) -> None:
    """The instrument's own bars of the panel; rows it has no bar in change nothing."""
    mask = panel.mask[:, inst]
    for column in (panel.ts_ns[mask], *(a[mask, inst] for a in (panel.open, panel.high, panel.low, panel.close, panel.volume))):
        digest.update(np.ascontiguousarray(column).tobytes())
