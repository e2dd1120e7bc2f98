"""Hop 4: which ticks may make candles. Every refused tick has a reason and is counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intraday.core.candles import TickReject, closes
from intraday.core.kernels import candle
from intraday.core.panel import Day
from intraday.domain.arrays import I8, MINUTE_NS, TICK, Ticks, empty
from intraday.domain.events import CountRejects
from intraday.domain.session import Session, midnight_ns, with_auction

FUTURE_NS = 10_000_000_000  # how far a stamp may run ahead of our clock before it is refused


class TickValidator:
    """Refuses what cannot be a tick of this session of the S instruments of ``day``: see ``TickReject``.

    State is per instrument, so the verdict on a tick does not depend on the frame it came in.
    """

    def __init__(self, session: Session, day: Day, future_ns: int = FUTURE_NS) -> None:
        self._open_ns = session.open_ns
        self._close_ns = closes(day)
        early = with_auction(session)
        auction = (self._close_ns == early.close_ns) & early.auction
        self._after = np.where(auction, candle.AUCTION, candle.OUT_OF_SESSION).astype(np.int8)
        self._state = empty(candle.CHECK, len(self._close_ns))
        self._state["volume"] = -1
        self._day_ns = midnight_ns(session.day)
        self._pauses = np.array(session.pauses, np.int64).reshape(-1, 2)
        self._future_ns = future_ns
        self._kept = empty(TICK, 1024)
        self._reason = np.zeros(1024, np.int8)
        self._refused: list[tuple[NDArray[np.int32], I8, NDArray[np.int8]]] = []

    def check(self, ticks: Ticks) -> Ticks:
        """The usable ticks, in order: a view into a buffer that the next call overwrites."""
        n = len(ticks)
        if n > len(self._kept):
            self._kept = empty(TICK, n)
            self._reason = np.zeros(n, np.int8)
        n_kept = candle.check_ticks(
            self._state, ticks, self._day_ns, self._open_ns, self._close_ns, self._after, self._pauses, self._future_ns, self._kept,
            self._reason,
        )  # fmt: skip
        if n_kept < n:
            bad = self._reason[:n] != candle.OK
            self._refused.append((ticks["inst"][bad], ticks["event_ns"][bad], self._reason[:n][bad]))
        return self._kept[:n_kept]

    def take_rejects(self, now_ns: int) -> CountRejects | None:
        """Ticks refused since the last call, counted by instrument, minute of their stamp and reason; None when there are none."""
        if not self._refused:
            return None
        inst = np.concatenate([r[0] for r in self._refused]).astype(np.int64)
        event_ns = np.concatenate([r[1] for r in self._refused])
        reason = np.concatenate([r[2] for r in self._refused]).astype(np.int64)
        self._refused = []
        keys = np.stack([event_ns - event_ns % MINUTE_NS, inst, reason])
        unique, n = np.unique(keys, axis=1, return_counts=True)
        names = tuple(TickReject(int(r)).name.lower() for r in unique[2])
        return CountRejects(now_ns, unique[1].astype(np.int32), unique[0], names, n.astype(np.int64))
