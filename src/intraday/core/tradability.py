"""Who may be bought and sold short intraday on a day, by dated lists, and what an index is traded with.

* **Trade to trade** (T2T): every share bought is taken home, so nothing can be closed the same day: neither BUY nor SELL.
* **ASM and GSM**, at any stage: no shorts. Brokers take them off their intraday lists; buying with the full price still works.
* **MIS**, the broker's list of what may be traded on margin intraday: only who is on it may be sold short.
* **No MIS list of that day**: shorts are assumed, and it says so.
* **An index** cannot be traded. It stands for the nearest dated future listed by then and not expired; else it is a direction only.
* A future has none of these limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from intraday.domain.arrays import I4, I8, Mask
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.membership import Flag, Span

ASSUMED = "shorts assumed: no MIS list of that day"
DIRECTION = "direction only: an index cannot be traded"
# The root of an index's futures where it is not its symbol, as NSE writes both.
ROOTS = {
    "NIFTY 50": "NIFTY",
    "NIFTY BANK": "BANKNIFTY",
    "NIFTY FIN SERVICE": "FINNIFTY",
    "NIFTY MID SELECT": "MIDCPNIFTY",
    "NIFTY NEXT 50": "NIFTYNXT50",
}


@dataclass(frozen=True, slots=True)
class Contract:
    """A dated future: ``root`` names its underlying as the exchange does (``NIFTY``); known to be listed from ``since`` on, the
    last day is ``expiry``."""

    symbol: str
    root: str
    lot_size: int
    expiry: date
    since: date


@dataclass(frozen=True, slots=True)
class Tradable:
    """One session's S instruments: who may be bought (``long``) and sold short (``short``), bool [S].

    ``note``: what limits each, empty for nothing; it is about buying too where ``both`` bool [S] says so, else only about shorts.
    ``lots`` int64 [S]: shares or contracts come in multiples of it; 0: there is nothing to trade.
    """

    long: Mask
    short: Mask
    note: tuple[str, ...]
    both: Mask
    lots: I8

    def may(self, side: int, inst: I8) -> Mask:
        """Whether ``inst`` [n] may be traded on that side, bool [n]."""
        found: Mask = (self.long if side > 0 else self.short)[inst]
        return found

    def said(self, side: int, row: int) -> str:
        """What limits a trade of that side, empty for nothing."""
        return self.note[row] if side < 0 or self.both[row] else ""

    def columns(self, keep: I8) -> Tradable:
        """The instruments ``keep`` alone, in that order."""
        note = tuple(self.note[k] for k in keep.tolist())
        return Tradable(self.long[keep], self.short[keep], note, self.both[keep], self.lots[keep])


def everything(instruments: Sequence[Instrument]) -> Tradable:
    """Where nobody asks: both sides of all of them."""
    yes = np.ones(len(instruments), np.bool_)
    return Tradable(yes, yes, ("",) * len(yes), ~yes, np.array([i.lot_size for i in instruments], np.int64))


@dataclass(frozen=True, slots=True)
class FlagList:
    """A flag's dated list: ``spans`` by instrument id; ``known_from`` its first day, None: there never was a list."""

    spans: Mapping[int, tuple[Span, ...]] = field(default_factory=dict)
    known_from: date | None = None

    @classmethod
    def of(cls, spans: Iterable[Span], known_from: date | None) -> FlagList:
        """From a store's spans, in any order."""
        held: dict[int, tuple[Span, ...]] = {}
        for span in spans:
            held[span.instrument_id] = (*held.get(span.instrument_id, ()), span)
        return cls(held, known_from)

    def known(self, day: date) -> bool:
        """Whether there was a list by then."""
        return self.known_from is not None and self.known_from <= day

    def on(self, number: int, day: date) -> Span | None:
        """Instrument ``number``'s span of that day; None: not on the list, or nobody knows."""
        return next((span for span in self.spans.get(number, ()) if span.on(day)), None)


NO_LIST = FlagList()


@dataclass(frozen=True, slots=True)
class TradeLists:
    """All that is known of tradability: the flags' lists and the futures that lived."""

    flags: Mapping[Flag, FlagList] = field(default_factory=dict)
    contracts: tuple[Contract, ...] = ()

    @classmethod
    def read(cls, spans: Callable[[Flag], Iterable[Span]], known_from: Callable[[Flag], date | None]) -> TradeLists:
        """The flags that say who may be traded, from a store."""
        flags = (Flag.MIS, Flag.T2T, Flag.ASM, Flag.GSM)
        return cls({flag: FlagList.of(spans(flag), known_from(flag)) for flag in flags})

    def on(self, day: date, instruments: Sequence[Instrument]) -> Tradable:
        """Of stored ``instruments`` on ``day``."""
        rows = [self._one(i, day) for i in instruments]
        long, short, note, both, lots = zip(*rows, strict=True) if rows else ((), (), (), (), ())
        masks = (np.array(column, np.bool_) for column in (long, short, both))
        may_long, may_short, about_both = masks
        return Tradable(may_long, may_short, tuple(note), about_both, np.array(lots, np.int64))

    def future_of(self, symbol: str, day: date) -> Contract | None:
        """The nearest contract on the underlying ``symbol`` that was listed by ``day`` and has not expired."""
        root = ROOTS.get(symbol, symbol)
        alive = [c for c in self.contracts if c.root == root and c.since <= day <= c.expiry]
        return min(alive, key=lambda c: c.expiry, default=None)

    def _one(self, instrument: Instrument, day: date) -> tuple[bool, bool, str, bool, int]:
        """long, short, note, whether it is about both, lot."""
        if instrument.kind is Kind.INDEX:
            contract = self.future_of(instrument.symbol, day)
            if contract is None:
                return True, True, DIRECTION, True, 0
            return True, True, f"by {contract.symbol}, lot {contract.lot_size:,}", True, contract.lot_size
        if instrument.kind is Kind.FUTURE:
            return True, True, "", False, instrument.lot_size
        if self._span(Flag.T2T, instrument, day):
            return False, False, "not tradable intraday: trade to trade", True, instrument.lot_size
        for flag in (Flag.GSM, Flag.ASM):
            if span := self._span(flag, instrument, day):
                return True, False, f"no shorts: {flag.upper()} {span.value or ''}".rstrip(), False, instrument.lot_size
        if not self.flags.get(Flag.MIS, NO_LIST).known(day):
            return True, True, ASSUMED, False, instrument.lot_size
        if self._span(Flag.MIS, instrument, day) is None:
            return True, False, "no shorts: not on the MIS list", False, instrument.lot_size
        return True, True, "", False, instrument.lot_size

    def _span(self, flag: Flag, instrument: Instrument, day: date) -> Span | None:
        return self.flags.get(flag, NO_LIST).on(instrument.id, day)


def eligible_sides(tradable: Callable[[int], Tradable], session: I4, inst: I4) -> tuple[Mask, Mask]:
    """Whether row k may be bought, and sold short, bool [n] each; ``tradable`` gives a session number's, asked once each."""
    long, short = np.zeros(len(session), np.bool_), np.zeros(len(session), np.bool_)
    for number in np.unique(session).tolist():
        rows, day = session == number, tradable(number)
        long[rows], short[rows] = day.long[inst[rows]], day.short[inst[rows]]
    return long, short
