"""One open signal per instrument: what a signal given earlier today is doing now, by the fill rules of labels.

A signal is open from its decision until the end of its trade is known: target, stop, time, or that nothing was entered
(``core/fills.py`` says when). Whoever has closed the minutes up to a decision knows whether it is free then, which is what
``model.metrics.take_flat`` says of labelled rows. An end that a hole or a halt hides counts as the vertical barrier; a position
that is locked at a circuit limit stays open. Nothing outlives its session.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intraday.core.fills import PRICES, clock_of, limit_margin
from intraday.core.kernels.barrier import END, WAIT
from intraday.core.kernels.open_trades import follow_trades
from intraday.core.labels import LabelSpec
from intraday.domain.arrays import F8, I8, MINUTE_NS, Bars
from intraday.domain.session import Session


class OpenSignals:
    """The open signals of one session.

    ``tick_rupees`` float64 [S]; ``limits``: the day's lower and upper circuit limits, float64 [S] each, rupees, NaN where unknown.
    Memory: the session's minutes of the instruments that had a signal.
    """

    def __init__(self, session: Session, label: LabelSpec, tick_rupees: F8, limits: tuple[F8, F8] | None = None) -> None:
        n = len(tick_rupees)
        self._session, self._label = session, label
        self._grid = np.empty((n, len(PRICES), session.minutes))  # pages are touched by the instruments that get a signal
        self._side = np.zeros(n, np.int8)
        self._since_ns = np.zeros(n, np.int64)
        self._clock, self._last = np.zeros((n, 4), np.int64), np.zeros(n, np.int64)
        self._target, self._stop = np.zeros(n), np.zeros(n)
        self._limits = (np.full(n, np.nan), np.full(n, np.nan)) if limits is None else limits
        self._margin = limit_margin(label.rules, tick_rupees)

    def follow(self, minutes: Bars, until_ns: int) -> None:
        """Everything that closed by ``until_ns``: the one-minute bars BAR[n] since the last call, any order, their own instruments'
        each at most once. Bars that came after their minute are not among them: who decided could not know them."""
        if not self._side.any():
            return
        open_ns = self._session.open_ns
        row = (minutes["ts_ns"] - open_ns) // MINUTE_NS
        keep = (self._side[minutes["inst"]] != 0) & (row >= 0) & (row < self._session.minutes)
        bars, row = minutes[keep], row[keep]
        for field, name in enumerate(PRICES):
            self._grid[bars["inst"], field, row] = bars[name]
        lower, upper = self._limits
        closed = min((until_ns - open_ns) // MINUTE_NS, self._session.minutes)
        follow_trades(
            self._grid, closed, self._side, self._clock, self._last, self._label.max_wait_min,
            self._target, self._stop, lower, upper, self._margin,
        )  # fmt: skip

    def since(self, inst: I8) -> I8:
        """The decisions whose signals are open, int64 [n] ns UTC of instruments ``inst``; 0 where none is."""
        return np.where(self._side[inst] != 0, self._since_ns[inst], 0)

    def add(self, inst: I8, side: NDArray[np.int8], target: F8, stop: F8, closed_ns: int, hours: Session) -> None:
        """Signals given at ``closed_ns`` of different instruments, [n] each: ``side`` +1 long or -1 short; ``target`` and ``stop``
        rupees, NaN for none. ``hours``: the session of instruments that trade as long as these."""
        self._open(inst, side, np.full(len(inst), closed_ns), hours)
        self._target[inst] = np.where(np.isnan(target), side * np.inf, target)
        self._stop[inst] = np.where(np.isnan(stop), side * -np.inf, stop)

    def carry(self, inst: I8, closed_ns: I8, hours: Session) -> None:
        """Signals that an earlier run of the day gave at ``closed_ns`` int64 [n], and that were open when it ended.

        They are over at their vertical barrier, for nobody knows the minutes that would say more.
        """
        self._open(inst, np.ones(len(inst), np.int8), closed_ns, hours)
        self._clock[inst, WAIT] = self._clock[inst, END]
        self._target[inst], self._stop[inst] = np.inf, -np.inf

    def _open(self, inst: I8, side: NDArray[np.int8], closed_ns: I8, hours: Session) -> None:
        assert not self._side[inst].any(), f"instruments {inst[self._side[inst] != 0]} have an open signal"
        clock = clock_of(self._label.rules, hours, closed_ns, self._label.horizon_min)
        self._grid[inst] = np.nan
        self._side[inst], self._since_ns[inst] = side, closed_ns
        self._clock[inst], self._last[inst] = clock.rows.T, clock.last
