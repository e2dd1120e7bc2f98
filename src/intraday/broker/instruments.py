"""InstrumentManager: the broker's lists of instruments, once a day, and what follows from them.

A list is taken over whole or not at all: all configured exchanges are fetched and checked before anything is stored, and then in
one transaction. Kite makes it once a day, before about 08:30 IST; a second sync of the same list changes no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from intraday.broker.dump import parse, refuse_partial
from intraday.domain.clock import Clock
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.listings import Dump, ListingApi, ListingStore, Roll, SyncReport
from intraday.domain.membership import FNO, Flag
from intraday.domain.session import AUCTION_FROM, day_of

FNO_SOURCE = "stocks with futures in the broker's list"


class InstrumentManager:
    """Keeps the stored instruments those of the broker. ``exchanges``: whose lists are fetched, in that order."""

    def __init__(self, api: ListingApi, store: ListingStore, clock: Clock, exchanges: Sequence[str] = ("NSE", "NFO")) -> None:
        self._api = api
        self._store = store
        self._clock = clock
        self._exchanges = tuple(exchanges)

    async def sync(self, day: date | None = None) -> SyncReport:
        """Take over the lists as those of ``day`` (None: today, IST). Returns what changed since the last ones.

        Raises BrokerError (BadAnswer for a list that cannot be the whole one) and AuthError: nothing is stored then. ConfigError
        when a later day was synced already.
        """
        day = day or day_of(self._clock.now_ns())
        before = self._store.sizes(day)
        dumps = []
        for exchange in self._exchanges:
            dump = parse(await self._api.instruments(exchange), exchange)
            refuse_partial(dump, before.get(exchange))
            dumps.append(dump)
        return self._store.sync(day, dumps, rolls(day, dumps))

    def tokens(self, instruments: Iterable[Instrument], day: date) -> Mapping[int, int]:
        """The broker's number by instrument id as of ``day``. One that was not listed then, as far as known, is not in it."""
        return self._store.tokens([i.id for i in instruments], day)


def rolls(day: date, dumps: Iterable[Dump]) -> list[Roll]:
    """What follows from the lists: the stocks of NSE that have futures, and from 2026-08-03 on their closing auction.

    Nothing without the lists of both exchanges.
    """
    by_exchange = {dump.exchange: dump for dump in dumps}
    if not {"NSE", "NFO"} <= by_exchange.keys():
        return []
    names = {x.name for x in by_exchange["NFO"].listings if x.segment == "NFO-FUT"}
    stocks = (x.instrument for x in by_exchange["NSE"].listings if x.instrument.kind is Kind.EQUITY)
    keys = frozenset(stock.key for stock in stocks if stock.symbol in names)
    found = [Roll("universe", FNO, keys, FNO_SOURCE)]
    if day >= AUCTION_FROM:
        found.append(Roll("flag", Flag.CLOSING_AUCTION, keys, FNO_SOURCE))
    return found
