"""Who is on a list from when to when: universes and flags, as pure operations on dated intervals.

Lists are given whole, as of a day. Between two of them the earlier one holds; before the first one nothing is known.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

import numpy as np

from intraday.domain.arrays import I4, I8, Mask
from intraday.domain.errors import InputError
from intraday.domain.session import EPOCH

FNO = "FNO"  # the universe of stocks with derivatives
Auction = Callable[[int, date], bool]  # whether this instrument's day ends with the closing auction


class Flag(StrEnum):
    """Dated lists of instruments that are no universes."""

    MIS = "mis"  # may be traded intraday
    T2T = "t2t"  # trade to trade: delivery only
    ASM = "asm"  # additional surveillance
    GSM = "gsm"  # graded surveillance
    CLOSING_AUCTION = "closing_auction"  # continuous trading ends at 15:15


@dataclass(frozen=True, slots=True)
class Span:
    """An instrument's time on a list: ``start <= day < end``, ``end`` None for still there. ``value``: what the list says of it."""

    instrument_id: int
    start: date
    end: date | None = None
    value: str | None = None
    source: str = ""

    def on(self, day: date) -> bool:
        """Whether it holds on ``day``."""
        return self.start <= day and (self.end is None or day < self.end)


def no_auction(instrument_id: int, day: date) -> bool:
    """Nobody takes part, as far as known."""
    return False


def auction_rule(spans: Iterable[Span], known_from: date | None) -> Auction:
    """By the dated list of closing-auction stocks. Days before the first list go by that one: who has derivatives rarely changes,
    and an auction's print taken for a minute of continuous trading would look like a breakout."""
    held: dict[int, list[Span]] = {}
    for span in spans:
        held.setdefault(span.instrument_id, []).append(span)

    def takes_part(instrument_id: int, day: date) -> bool:
        return known_from is not None and any(span.on(max(day, known_from)) for span in held.get(instrument_id, ()))

    return takes_part


def replaced(spans: Iterable[Span], members: Mapping[int, str | None], start: date, end: date | None, source: str) -> list[Span]:
    """``spans`` with exactly ``members`` (id to value) on every day of ``start <= day < end`` (None: for ever), ordered.

    Spans that meet and say the same become one, under the earlier one's source: the same list again changes nothing.
    """
    kept = [piece for span in spans for piece in _outside(span, start, end)]
    kept += [Span(i, start, end, value, source) for i, value in members.items()]
    return merged(kept)


def merged(spans: Iterable[Span]) -> list[Span]:
    """Ordered by (instrument, start); spans of an instrument that meet and say the same joined."""
    out: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.instrument_id, s.start)):
        last = out[-1] if out else None
        if last is not None and (last.instrument_id, last.end, last.value) == (span.instrument_id, span.start, span.value):
            out[-1] = replace(last, end=span.end)
        else:
            out.append(span)
    return out


def _outside(span: Span, start: date, end: date | None) -> list[Span]:
    """What is left of it without ``start <= day < end``."""
    before = [replace(span, end=start if span.end is None else min(span.end, start))] if span.start < start else []
    if end is None or (span.end is not None and span.end <= end):
        return before
    return [*before, replace(span, start=max(span.start, end))]


@dataclass(frozen=True, slots=True)
class Membership:
    """Who may be learned from and decided on, by day. ``spans``: (instrument id, first, last session number), both inclusive.

    ``definition`` says where it comes from, for the manifest of a model. ``known_from``: the first day anything is known of;
    None: nothing ever was.
    """

    definition: str
    spans: tuple[tuple[int, int, int], ...]
    known_from: date | None = None

    @classmethod
    def of(cls, definition: str, spans: Iterable[Span], first: date, last: date, known_from: date | None = None) -> Membership:
        """The spans between ``first`` and ``last``, both inclusive; the digest in the definition is of these."""
        cut = set()
        for span in spans:
            low = max(span.start, first)
            high = last if span.end is None else min(span.end - timedelta(days=1), last)
            if low <= high:
                cut.add((span.instrument_id, (low - EPOCH).days, (high - EPOCH).days))
        kept = tuple(sorted(cut))
        text = hashlib.sha256(repr(kept).encode()).hexdigest()[:12]
        return cls(f"{definition}, dated members {text}", kept, known_from)

    @property
    def ids(self) -> frozenset[int]:
        """Who is a member on any day."""
        return frozenset(i for i, _, _ in self.spans)

    def mask(self, ids: Sequence[int], inst: I4, session: I4) -> Mask:
        """bool [n]: whether instrument ``ids[inst[k]]`` was a member on the session number ``session[k]``."""
        out = np.zeros(inst.shape[0], dtype=np.bool_)
        row_of = {i: k for k, i in enumerate(ids)}
        numbers: I8 = inst.astype(np.int64)
        for i, first, last in self.spans:
            if i in row_of:
                out |= (numbers == row_of[i]) & (session >= first) & (session <= last)
        return out


# ------------------------------------------------------------------------------------------------------- universes by name


def list_name(universe: str | tuple[str, ...]) -> str | None:
    """The stored list that ``trading.universe`` names: ``fno`` and ``index:NAME``; None for ``all``, symbols and ``csv:PATH``."""
    if universe == "fno":
        return FNO
    if isinstance(universe, str) and universe.startswith("index:"):
        return normal(universe.removeprefix("index:"))
    return None


def normal(name: str) -> str:
    """A universe's name as it is stored: upper case, single spaces. InputError for one that can't be."""
    text = " ".join(name.split()).upper()
    if not text or text == "ALL":
        raise InputError(f"found {name!r} as the name of a universe, expected one such as NIFTY50 (all is every instrument)")
    return text


# ------------------------------------------------------------------------------------------------------------ lists as files


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list: ``start`` and ``end`` (exclusive) where the file has such columns."""

    symbol: str
    value: str | None = None
    start: date | None = None
    end: date | None = None


def read_list(text: str, name: str) -> list[Row]:
    """A list of symbols: NSE's CSV of an index (a column Symbol among others), or one symbol a line, perhaps with a value.

    Optional columns ``from`` and ``to`` (first and last day, YYYY-MM-DD, both inclusive; empty ``to``: still there) date each row.
    InputError names the file and the line.
    """
    lines = [row for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"))) if any(cell.strip() for cell in row)]
    header = [cell.strip().lower() for cell in lines[0]] if lines else []
    if "symbol" not in header:
        header, first = ["symbol", "value"], 1
        if max((len(row) for row in lines), default=0) > len(header):
            raise InputError(
                f"{name}: expected a column Symbol, or one symbol (and perhaps a value) a line; found {', '.join(lines[0])}"
            )
    else:
        lines, first = lines[1:], 2
    rows = [_row(dict(zip(header, row, strict=False)), f"{name}:{first + k}") for k, row in enumerate(lines)]
    if not rows:
        raise InputError(f"{name}: expected at least one symbol, found none")
    dated = {row.start is not None for row in rows}
    if len(dated) > 1:
        raise InputError(f"{name}: expected a day in column from in every row or in none")
    return rows


def _row(cells: Mapping[str, str], where: str) -> Row:
    symbol = cells["symbol"].strip().upper()
    if not symbol:
        raise InputError(f"{where}: expected a symbol, found an empty cell")
    start, end = _day(cells.get("from"), where), _day(cells.get("to"), where)
    if end is not None and (start is None or end < start):
        raise InputError(f"{where}: expected from <= to, found {start} and {end}")
    value = (cells.get("value") or "").strip() or None
    return Row(symbol, value, start, None if end is None else end + timedelta(days=1))


def _day(text: str | None, where: str) -> date | None:
    if text is None or not text.strip():
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise InputError(f"{where}: expected a day as YYYY-MM-DD, found {text!r}") from None


def located(rows: Sequence[Row], find: Callable[[str, date], int | None], day: date) -> tuple[list[tuple[int, Row]], list[str]]:
    """(instrument id and row, symbols nobody knows). ``find`` knows who bore a symbol on a day: the row's own, or ``day``."""
    found, unknown = [], []
    for row in rows:
        number = find(row.symbol, row.start or day)
        if number is None:
            unknown.append(row.symbol)
        else:
            found.append((number, row))
    return found, unknown
