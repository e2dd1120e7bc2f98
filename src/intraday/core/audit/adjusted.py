"""A corporate action counts from its ex-date on: nothing decided before it may know it, however the bars are adjusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from intraday.core.actions import adjusted
from intraday.core.anchor import EPOCH
from intraday.core.audit.laws import Group
from intraday.core.audit.result import Comparison, Finding, Law, not_checked
from intraday.domain.arrays import F4, Bars, Panel
from intraday.domain.corporate import Action, ActionKind
from intraday.domain.session import day_of


@dataclass(frozen=True, slots=True)
class AdjustedCase:
    """One-minute ``bars`` BAR[n] ordered by (ts, inst), their ``panel``, how one is made of the other, and the stored ``actions``.

    The instrument ids of ``actions`` are dense rows.
    """

    bars: Bars
    panel: Panel
    panel_of: Callable[[Bars], Panel]
    actions: Sequence[Action] = ()


def adjusted_law(case: AdjustedCase, group: Group, values: F4) -> Iterator[Finding]:
    """A made-up split of every instrument, and the stored actions, after a decision day: features up to it must not change."""
    numbers = np.unique(case.panel.session)
    if len(numbers) < 3:
        yield from (not_checked(name, Law.ADJUSTED, "needs three sessions") for name in group.names)
        return
    as_of, ex_date = (EPOCH + timedelta(days=int(n)) for n in (numbers[-2], numbers[-1]))
    later = [a for a in case.actions if a.ex_date > as_of]
    actions = [*later, *(_split(row, ex_date) for row in range(case.panel.n_instruments))]
    known = case.bars[np.array([day_of(int(t)) <= as_of for t in np.unique(case.bars["ts_ns"])])[_places(case.bars)]]
    then = case.panel_of(adjusted(known, range(case.panel.n_instruments), actions, as_of))
    tally = Comparison(Law.ADJUSTED, group.names)
    tally.add(values[: len(then)], group.make().batch(then), then.ts_ns)
    yield from tally.findings()


def _places(bars: Bars) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.unique(bars["ts_ns"], return_inverse=True)[1]


def _split(row: int, ex_date: date) -> Action:
    return Action(row, ex_date, ActionKind.SPLIT, 0.5, 2.0, "1:2", "made up by the audit", 0)
