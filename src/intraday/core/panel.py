"""Rows to panels: bars of S instruments on common open times, as the feature and label kernels want them."""

from __future__ import annotations

import numpy as np

from intraday.domain.arrays import DAY_NS, IST_NS, MINUTE_NS, Bars, Panel
from intraday.domain.errors import CalendarError
from intraday.domain.session import SessionTable


def panel_of(bars: Bars, n_instruments: int, timeframe: int, sessions: SessionTable) -> Panel:
    """Scatter BAR rows (any order, one per (ts, inst)) into a panel of the open times that occur.

    Raises CalendarError for a bar on a day without a session.
    """
    ts_ns, row = np.unique(bars["ts_ns"], return_inverse=True)
    number, open_ns, close_ns = sessions.arrays()
    session = ((ts_ns + IST_NS) // DAY_NS).astype(np.int32)
    at = np.minimum(np.searchsorted(number, session), len(number) - 1)
    if not np.array_equal(number[at], session):
        bad = np.datetime64(int(session[number[at] != session][0]), "D")
        raise CalendarError(
            f"bars on {bad}, which is no trading day of the session table: expected bars of sessions only; check the import"
        )
    shape = (len(ts_ns), n_instruments)
    columns = {name: np.full(shape, np.nan) for name in ("open", "high", "low", "close", "volume")}
    mask = np.zeros(shape, np.bool_)
    for name, column in columns.items():
        column[row, bars["inst"]] = bars[name]
    mask[row, bars["inst"]] = True
    return Panel(
        timeframe=timeframe,
        ts_ns=ts_ns.astype(np.int64),
        session=session,
        minute=(ts_ns - open_ns[at]) / MINUTE_NS,
        minutes=(close_ns[at] - open_ns[at]) / MINUTE_NS,
        mask=mask,
        **columns,
    )
