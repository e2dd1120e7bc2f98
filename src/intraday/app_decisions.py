"""COMPOSITION ROOT, the part that says on what terms signals are given: who may be traded intraday, and how much."""

from __future__ import annotations

from collections.abc import Sequence

from intraday.config.trading import TradingSettings
from intraday.core.sizing import Sizing
from intraday.core.tradability import Contract, TradeLists
from intraday.database.stores import Stores
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.listings import ChangeKind


def stored_trade_lists(stores: Stores, instruments: Sequence[Instrument]) -> TradeLists:
    """The dated lists of the database, and the futures that are listed now where one of ``instruments`` is an index.

    A contract counts from the list it appeared on; one that stood on the first list of all, from the newest: nobody noted its day.
    """
    members = stores.members
    found = TradeLists.read(lambda flag: members.spans("flag", flag), lambda flag: members.known_from("flag", flag))
    if not any(i.kind is Kind.INDEX for i in instruments):
        return found
    appeared = {c.key: c.day for c in stores.listings.changes() if c.kind is ChangeKind.LISTED}
    newest = stores.listings.newest()
    listed = [held.listing for held in stores.listings.listed() if held.instrument.kind is Kind.FUTURE]
    contracts = tuple(
        Contract(row.instrument.symbol, row.name, row.instrument.lot_size, row.expiry, since)
        for row in listed
        if row is not None and row.expiry is not None and (since := appeared.get(row.instrument.key, newest)) is not None
    )
    return TradeLists(found.flags, contracts)


def sizing_of(trading: TradingSettings) -> Sizing:
    """Suggested quantities by the configured capital and risk; a trade is never larger than what its costs were computed at."""
    return Sizing(trading.capital_inr, trading.risk_per_trade_pct / 100.0, trading.notional_inr)
