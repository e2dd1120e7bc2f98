"""Live against history: a recorded day through ``intraday verify``, or a day of made-up ticks through the live path's own parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from intraday.backtest.verify import VerifyReport
from intraday.core.audit.laws import Group
from intraday.core.audit.result import Comparison, Difference, Finding, Law, finding
from intraday.core.candles import HistoricalAggregator
from intraday.core.panel import Day
from intraday.domain.arrays import Bars, Panel, Ticks
from intraday.domain.session import Session
from intraday.live.validate import TickValidator


@dataclass(frozen=True, slots=True)
class TickDay:
    """TICK rows of one session in order of ``recv_ns``, as a feed would bring them; minutes close ``grace_ns`` after their end."""

    session: Session
    day: Day
    ticks: Ticks
    grace_ns: int


def tick_day(case: TickDay, group: Group, before: Bars, panel_of: Callable[[Bars], Panel]) -> Iterator[Finding]:
    """Features as live issues them, tick by tick and decision by decision, and as history has them of that day's candles.

    ``before``: one-minute bars of the sessions up to the day; ``panel_of`` makes decision panels of such bars.
    """
    past = panel_of(before)
    usable = TickValidator(case.session, case.day).check(case.ticks).copy()
    aggregator = HistoricalAggregator(len(case.day.minutes))
    closed = aggregator.fold_day(case.session, case.day, usable, case.grace_ns, past.timeframe)
    stored = panel_of(np.concatenate([before, closed.minutes]))
    history = group.make().batch(stored)[len(past) :]
    calculator, ts_ns = group.make(), stored.ts_ns[len(past) :]
    calculator.batch(past)
    issued = np.full(history.shape, np.nan, np.float32)
    for bar_ns in np.unique(closed.decisions["ts_ns"]):
        bars = closed.decisions[closed.decisions["ts_ns"] == bar_ns]
        issued[np.searchsorted(ts_ns, bar_ns), bars["inst"]] = calculator.update(bars, int(bar_ns), case.day)
    tally = Comparison(Law.LIVE, group.names)
    tally.add(issued, history, ts_ns)
    yield from tally.findings()


def verified_days(reports: Sequence[VerifyReport]) -> Iterator[Finding]:
    """``intraday verify`` of recorded days, as findings: each recomputation, and what better bars leave unexplained."""
    for report in reports:
        subject = f"{report.run.day} {report.run.source}"
        for check in report.checks:
            first = check.differences[0] if check.differences else None
            told = None if first is None else Difference(first.inst, first.ts_ns, first.again, first.stored)
            field = "" if first is None else f": {first.what} {first.field}"
            yield finding(subject, Law.LIVE, max(check.n_rows, 1), len(check.differences), told, f"{check.name}{field}")
        yield finding(
            subject, Law.LIVE, max(report.n_best, 1), report.n_unexplained, None, "as corrected: explained from better bars"
        )
