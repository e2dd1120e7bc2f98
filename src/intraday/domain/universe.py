"""``trading.universe`` resolved: who is meant, and on which days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from intraday.domain.errors import ConfigError
from intraday.domain.instruments import Instrument
from intraday.domain.listings import Symbols
from intraday.domain.membership import FNO, Membership, Row, Span, located


@dataclass(frozen=True, slots=True)
class Universe:
    """``spans``: dated members; None: ``ids`` are members on every day. ``ids``: whoever is a member on any day.

    ``known_from``: before that day nothing is known of a dated list. ``unknown``: symbols of a file that no stored instrument has.
    ``beside``: ids that are loaded and heard with the members and are never one: the market index, where it is not named itself.
    """

    definition: str
    ids: frozenset[int]
    spans: tuple[Span, ...] | None = None
    known_from: date | None = None
    unknown: tuple[str, ...] = ()
    beside: frozenset[int] = frozenset()

    def with_beside(self, number: int | None) -> Universe:
        """The same with this instrument beside the members, unless it is one."""
        return self if number is None or number in self.ids else replace(self, beside=frozenset((number,)))

    def on(self, day: date) -> frozenset[int]:
        """Ids of the members on ``day``; none where nothing is known of it."""
        if self.spans is None:
            return self.ids
        return frozenset(span.instrument_id for span in self.spans if span.on(day))

    def between(self, first: date, last: date) -> Membership | None:
        """Dated membership of these days, both inclusive; None: whoever is loaded, on every day."""
        if self.spans is None and not self.beside:
            return None
        always = (Span(i, date.min) for i in self.ids)
        return Membership.of(self.definition, always if self.spans is None else self.spans, first, last, self.known_from)


def everyone(with_bars: frozenset[int], listed: frozenset[int]) -> Universe:
    """``all``: whoever is ``listed`` on the exchange traded on, and every instrument with stored candles.

    Those that are listed count before they have candles: a first fetch that is interrupted would else be the last one of the rest.
    """
    return Universe(
        "all listed instruments, and all with candles" if listed else "all instruments with candles", listed | with_bars
    )


def named(keys: Sequence[str], known: Iterable[Instrument], symbols: Symbols, day: date) -> Universe:
    """A list of ``EXCHANGE:SYMBOL``. A former symbol will do. ConfigError for one that is not stored."""
    ids = {key: symbols.find(key, day) for key in keys}
    missing = [key for key, number in ids.items() if number is None]
    if missing:
        some = ", ".join(i.key for i in list(known)[:8]) or "none"
        raise ConfigError(
            f"trading.universe: {missing[0]} has no stored bars and is in no list of the broker; expected some of {some} …: "
            "import its bars, or run `intraday instruments sync`"
        )
    return Universe("symbols", frozenset(number for number in ids.values() if number is not None))


def listed_under(name: str, spans: Sequence[Span], known_from: date | None) -> Universe:
    """A stored list: ``fno`` or an imported index. ConfigError when there is none of that name."""
    if known_from is None:
        how = (
            "`intraday instruments sync` (broker.exchanges with NSE and NFO)"
            if name == FNO
            else f'`intraday universe import "{name}" FILE`'
        )
        raise ConfigError(f"trading.universe: there is no list {name} yet; make one with {how}")
    definition = "fno" if name == FNO else f"index:{name}"
    return Universe(definition, frozenset(s.instrument_id for s in spans), tuple(spans), known_from)


def in_file(path: str, rows: Sequence[Row], exchange: str, symbols: Symbols, day: date) -> Universe:
    """A file of symbols, dated where its rows are. Symbols nobody knows are left out; ConfigError when that is all of them."""
    found, unknown = located(rows, lambda symbol, on: symbols.find(key_of(symbol, exchange), on), day)
    if not found:
        raise ConfigError(f"trading.universe: none of the {len(rows)} symbols of {path} is stored; run `intraday instruments sync`")
    ids = frozenset(number for number, _ in found)
    spans = tuple(Span(number, row.start, row.end) for number, row in found if row.start is not None)
    known_from = min((span.start for span in spans), default=None)
    return Universe(f"csv:{path}", ids, spans or None, known_from, tuple(unknown))


def key_of(symbol: str, exchange: str) -> str:
    """``EXCHANGE:SYMBOL`` of a symbol that may or may not name its exchange."""
    return symbol if ":" in symbol else f"{exchange}:{symbol}"
