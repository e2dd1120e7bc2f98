"""What every kind of label is made from: the minutes of one session as a grid, and its decisions with their times and limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from intraday.core.fills import FOREVER_NS, Bands, Clock, FillRules, TickSizes, clock_of, limit_margin, minute_grid, tick_paise
from intraday.core.panel import Lists
from intraday.domain.arrays import F4, F8, I8, MINUTE_NS, Panel
from intraday.domain.session import Session, SessionTable

EPOCH = date(1970, 1, 1)
_TILE = 64  # instruments whose minutes stay in a core's cache together; only the time taken depends on it


@dataclass(frozen=True, slots=True)
class Traded:
    """S instruments: their ticks, ``lists`` of who ends before a closing auction, ``bands`` (None: none are known)."""

    ticks: TickSizes
    lists: Lists
    bands: Bands | None

    @classmethod
    def of(cls, tick_rupees: F8 | TickSizes, lists: Lists, bands: Bands | None) -> Traded:
        """``tick_rupees`` float64 [S], the same at all times, or dated."""
        if isinstance(tick_rupees, TickSizes):
            return cls(tick_rupees, lists, bands)
        return cls(TickSizes(np.zeros(1, np.int32), np.asarray(tick_rupees, dtype=np.float64)[None, :]), lists, bands)

    @property
    def n(self) -> int:
        """S."""
        return int(self.ticks.rupees.shape[1])


@dataclass(frozen=True, slots=True)
class LabelPart:
    """The decisions of one session of some instruments that trade for the same time.

    ``rows``: theirs in the decision panel; ``keep`` int64: the instruments' columns; ``ts_ns``, ``closed_ns`` int64 [D]. ``grid``
    float64 [len(keep), 4, M]: open .. close of the session's minutes; ``decided`` (closes) float64 and ``sigma`` float32 [D, S];
    ``tick`` paise and ``lower``, ``upper``, ``margin`` rupees [S].
    """

    rows: slice
    keep: I8
    session: Session
    clock: Clock
    ts_ns: I8
    closed_ns: I8
    grid: F8
    decided: F8
    sigma: F4
    tick: I8
    lower: F8
    upper: F8
    margin: F8


@dataclass(frozen=True, slots=True)
class LabelParts:
    """Cuts panels into parts; what it is given is what ``Labeler`` is."""

    rules: FillRules
    horizon_min: int
    traded: Traded
    sessions: SessionTable

    def of(self, minutes: Panel, decisions: Panel, sigma: F4, known_ns: int | None) -> Iterator[tuple[slice, Iterator[LabelPart]]]:
        """Of each session with decisions, in order of time: its rows of the decision panel, and its parts."""
        n, until = self.traded.n, FOREVER_NS if known_ns is None else known_ns
        assert minutes.timeframe == 1 and minutes.n_instruments == decisions.n_instruments == n, (minutes.n_instruments, n)
        assert sigma.shape == decisions.mask.shape, (sigma.shape, decisions.mask.shape)
        for number in np.unique(decisions.session):
            m, d = (slice(*np.searchsorted(p.session, [number, number + 1]).tolist()) for p in (minutes, decisions))
            yield d, self._session(int(number), minutes.rows(m.start, m.stop), decisions.rows(d.start, d.stop), sigma[d], d, until)

    def _session(self, number: int, minutes: Panel, decisions: Panel, sigma: F4, rows: slice, known_ns: int) -> Iterator[LabelPart]:
        day, n, traded = EPOCH + timedelta(days=number), minutes.n_instruments, self.traded
        prices = (minutes.open, minutes.high, minutes.low, minutes.close)
        lower, upper = (np.full(n, np.nan), np.full(n, np.nan)) if traded.bands is None else traded.bands.on(number)
        rupees = traded.ticks.on(number)
        tick, margin = tick_paise(rupees), limit_margin(self.rules, rupees)
        listed, decided, sigmas = (
            traded.lists.auction_on(number, n),
            np.ascontiguousarray(decisions.close),
            np.ascontiguousarray(sigma),
        )
        for auction in (False, True):
            session = self.sessions.get(day, auction)
            closed = np.minimum(decisions.ts_ns + decisions.timeframe * MINUTE_NS, session.close_ns)
            clock = clock_of(self.rules, session, closed, self.horizon_min, known_ns)
            members = np.flatnonzero(listed == auction)
            for first in range(0, len(members), _TILE):
                keep = members[first : first + _TILE]
                grid = minute_grid(session, minutes.ts_ns, prices, keep)
                yield LabelPart(
                    rows, keep, session, clock, decisions.ts_ns, closed, grid, decided, sigmas, tick, lower, upper, margin
                )
