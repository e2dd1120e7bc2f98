"""The stitched out-of-sample path: what the trades of all folds made, session by session. The unit of every verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intraday.domain.arrays import F8, I4, I8
from intraday.model.metrics import OutOfSample, session_sums


@dataclass(frozen=True, slots=True)
class DailyPath:
    """One row a scored session, ascending; sessions without a trade are there, with zeros.

    ``gross`` and ``cost`` float64 [T]: sums over the session's trades of the return on one trade's notional (0.001 is 10 bps);
    ``trades`` int64 [T] how many there were, those never entered not among them. Not annualised, nothing compounded.
    """

    session: I4
    gross: F8
    cost: F8
    trades: I8

    def __len__(self) -> int:
        """T, the number of scored sessions."""
        return int(self.session.shape[0])

    @property
    def net(self) -> F8:
        """``gross - cost``, float64 [T]."""
        out: F8 = self.gross - self.cost
        return out


def shown_path_of(oos: OutOfSample) -> DailyPath:
    """The path of what observe mode would show in ``oos``, whether it was expected to pay or not: what the test could have seen."""
    sessions = np.unique(oos.session).astype(np.int32)
    at = oos.session[oos.shown_trade]
    gross = np.where(oos.shown > 0, oos.ret_long, oos.ret_short)[oos.shown_trade]
    return DailyPath(
        sessions,
        session_sums(gross, at, sessions),
        session_sums(oos.cost[oos.shown_trade], at, sessions),
        session_sums(np.ones(at.size), at, sessions).astype(np.int64),
    )


def path_of(oos: OutOfSample) -> DailyPath:
    """The path of the trades in ``oos``; its sessions are all of ``oos.session``, traded or not."""
    sessions = np.unique(oos.session).astype(np.int32)
    at, entered = oos.session[oos.trade], oos.entered[oos.trade].astype(np.float64)
    return DailyPath(
        sessions,
        session_sums(oos.gross[oos.trade], at, sessions),
        session_sums(oos.paid[oos.trade], at, sessions),
        session_sums(entered, at, sessions).astype(np.int64),
    )
