"""Missing minutes: which minutes a session should have, runs of those it has not, and the reasons that are stored with them.

A gap row says that one source lacks these minutes: NOT_IN_FILE is the importer's, every other reason the broker's. What another
source has of them changes nothing of that.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from intraday.domain.arrays import I8, MINUTE_NS
from intraday.domain.session import Session

NOT_IN_FILE = "not in the imported file"  # the same for every file, so that a second import changes nothing
NO_SESSION = "no candles of this session at the broker"
NO_CANDLE = "no candle at the broker"
SCATTERED = "minutes without a candle at the broker, here and there"
PADDING = "no_trade_padding"  # quarantined with it, a minute had no trade: that is no gap (core.validate.RejectReason)


def expected_minutes(sessions: Iterable[Session], until_ns: int | None = None) -> I8:
    """int64[n]: open times of the minutes of continuous trading, pauses left out, ascending; only those before ``until_ns``."""
    grids = [_minutes(session) for session in sessions]
    grid = np.concatenate(grids) if grids else np.empty(0, dtype=np.int64)
    return grid if until_ns is None else grid[grid < until_ns]


def runs(minutes: I8) -> I8:
    """int64[g, 2]: runs of consecutive minutes (ascending), open times ``start <= t < end``. A night or a pause ends a run."""
    if minutes.size == 0:
        return np.empty((0, 2), dtype=np.int64)
    first = np.concatenate(([True], np.diff(minutes) != MINUTE_NS))
    last = np.concatenate((first[1:], [True]))
    return np.column_stack((minutes[first], minutes[last] + MINUTE_NS))


def minutes_of(start_ns: int, end_ns: int) -> I8:
    """int64[n]: every minute with ``start_ns <= t < end_ns``."""
    return np.arange(start_ns, end_ns, MINUTE_NS, dtype=np.int64)


def _minutes(session: Session) -> I8:
    grid = minutes_of(session.open_ns, session.close_ns)
    for start, end in session.pauses:
        grid = grid[(grid < start) | (grid >= end)]
    return grid
