"""Stored lists of members, by instrument id and day, as features want them: by dense row and session number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

import numpy as np

from intraday.core.panel import Lists, Spans
from intraday.domain.arrays import Mask
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.membership import Membership, Span
from intraday.domain.session import EPOCH, Segment, Session, SessionTable

FOREVER = 1 << 30  # a session number after every session
INDEX = "NIFTY 50"  # the market's, where nothing else is configured


def lists_of(
    instruments: Sequence[Instrument],
    auction: Iterable[Span],
    auction_from: date | None,
    membership: Membership | None,
    out: Spans = (),
) -> Lists:
    """The lists of these instruments, in their order.

    ``auction``: the closing-auction stocks as known from ``auction_from`` on; days before go by that list, as the broker's candles
    do. Members are the instruments of ``membership`` (None: all, every day) that can be traded: an index is compared with nobody.
    Signals are of the instruments of ``membership``, an index among them if it is named there.
    ``out``: who sits out when, by row (``core.actions.excluded``).
    """
    row_of = {instrument.id: row for row, instrument in enumerate(instruments)}
    stocks = {i.id for i in instruments if i.kind is not Kind.INDEX}
    spans: Spans = tuple((row_of[i], 0, FOREVER) for i in sorted(stocks, key=row_of.__getitem__))
    decided: Spans | None = None
    if membership is not None:
        spans = tuple((row_of[i], first, last) for i, first, last in membership.spans if i in stocks)
        decided = tuple((row_of[i], first, last) for i, first, last in membership.spans if i in row_of)
    futures = tuple(row for row, i in enumerate(instruments) if i.segment is Segment.DERIVATIVES)
    return Lists(tuple(_early(auction, auction_from, row_of)), spans, out, futures, decided)


def longest_day(session: Session, instruments: Iterable[Instrument], sessions: SessionTable) -> Session:
    """The session as long as any of ``instruments`` trades: how long a feed of them has to last."""
    late = any(i.segment is Segment.DERIVATIVES for i in instruments)
    return sessions.get(session.day, segment=Segment.DERIVATIVES) if late else session


def index_row(instruments: Sequence[Instrument], name: str | None) -> int | None:
    """Row of the market index: the instrument called ``name`` (symbol or key); None: NIFTY 50, or the only index there is.

    None when there is no such instrument: features that need it are missing.
    """
    indices = [row for row, i in enumerate(instruments) if i.kind is Kind.INDEX]
    wanted = [row for row, i in enumerate(instruments) if (name or INDEX) in (i.symbol, i.key)]
    if wanted or name is not None:
        return wanted[0] if wanted else None
    return indices[0] if len(indices) == 1 else None


def stand_in(has_volume: Mask) -> int | None:
    """Row of the market index in an artifact's golden panel: the first instrument without volume."""
    return next(iter(np.flatnonzero(~has_volume).tolist()), None)


def _early(auction: Iterable[Span], known_from: date | None, row_of: dict[int, int]) -> Iterator[tuple[int, int, int]]:
    for span in auction:
        if known_from is None or span.instrument_id not in row_of:
            continue
        first = 0 if span.on(known_from) else (span.start - EPOCH).days
        last = FOREVER if span.end is None else (span.end - EPOCH).days - 1
        yield row_of[span.instrument_id], first, last
