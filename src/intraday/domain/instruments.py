"""What an instrument is, apart from how a broker numbers it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from intraday.domain.session_rules import Segment


class Kind(StrEnum):
    """What is traded, as far as bars and costs care."""

    EQUITY = "equity"
    INDEX = "index"
    FUTURE = "future"


@dataclass(frozen=True, slots=True)
class Instrument:
    """Keyed by exchange and symbol: broker tokens are reused, symbols are what people type.

    ``id`` is the database's; 0 before it was stored. ``tick_size`` in paise. An index has no volume: ``has_volume`` is False and
    its volume is missing, never zero.
    """

    exchange: str
    symbol: str
    kind: Kind = Kind.EQUITY
    tick_size: int = 5
    lot_size: int = 1
    id: int = 0

    @property
    def has_volume(self) -> bool:
        """False for indices."""
        return self.kind is not Kind.INDEX

    @property
    def segment(self) -> Segment:
        """Whose hours it keeps: futures trade longer than the cash market."""
        return Segment.DERIVATIVES if self.kind is Kind.FUTURE else Segment.EQUITY

    @property
    def key(self) -> str:
        """``NSE:RELIANCE``, as Kite writes it."""
        return f"{self.exchange}:{self.symbol}"
