"""Live against history: a recorded day through ``intraday verify``, or a day of made-up ticks through the live path's own parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from intraday.backtest.verify import VerifyReport
from intraday.core.audit.laws import Group
from intraday.core.audit.result import Comparison, Difference, Finding, Law, finding, not_checked
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
    """``intraday verify`` of recorded days, as findings: each recomputation, and what better bars leave unexplained.

    Not checked: a recomputation that had no row on either side, and a day of which no other source has a bar.
    """
    for report in reports:
        subject = f"{report.run.day} {report.run.source}"
        for check in report.checks:
            wrong = len(check.differences)
            first = check.differences[0] if check.differences else None
            told = None if first is None else Difference(first.inst, first.ts_ns, first.again, first.stored)
            field = ": nothing is stored and nothing is recomputed" if first is None else f": {first.what} {first.field}"
            n = max(check.n_rows, wrong)
            yield finding(subject, Law.LIVE, n, wrong, told, check.name if n and not wrong else f"{check.name}{field}")
        yield _corrected(subject, report)


def _corrected(subject: str, report: VerifyReport) -> Finding:
    """Better bars against what was stored."""
    name, n, wrong = "as corrected", report.n_best, report.n_unexplained
    if not wrong and not (n and report.n_other):
        why = "no other source has a bar of the day, it would be compared with itself" if n else "no bar of the day is stored"
        return not_checked(subject, Law.LIVE, f"{name}: {why}: backfill it (`intraday backfill`), then audit again")
    return finding(subject, Law.LIVE, max(n, wrong), wrong, None, f"{name}: explained from better bars")
