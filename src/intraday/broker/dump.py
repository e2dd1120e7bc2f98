"""The CSV list of instruments, as Kite gives it once a day, to listings. Tolerant of rows, strict about the header.

Source: Kite Connect v3 docs, "Instruments"; rows of kiteconnect-mocks. Prices and tick sizes are rupees; ``strike``, ``lot_size``
and ``tick_size`` are 0 where they mean nothing; options are most of the rows.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from intraday.domain.broker import Listing
from intraday.domain.errors import BadAnswer
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.listings import Dump

COLUMNS = (
    "instrument_token", "exchange_token", "tradingsymbol", "name", "expiry", "strike", "tick_size", "lot_size", "instrument_type",
    "segment", "exchange",
)  # fmt: skip
OPTIONS = frozenset({"CE", "PE"})
INDEX_TICK = 5  # paise; the list says 0, and NSE prints its indices in steps of 0.05
TOKEN_MAX = 2**32 - 1

_Cells = Callable[[Sequence[str]], Sequence[str]]


class _Refused(Exception):
    """A row that cannot be used."""


def parse(content: bytes, exchange: str) -> Dump:
    """The usable rows of one exchange's list. Options are counted and left out; a row that cannot be used is counted by reason.

    Raises BadAnswer when the header lacks a column we need: then it is not that list.
    """
    rows = csv.reader(io.StringIO(content.decode("utf-8", errors="replace"), newline=""))
    pick = _picker(next(rows, []), exchange)
    found: dict[str, Listing] = {}
    tokens: set[int] = set()
    rejected: Counter[str] = Counter()
    n_rows = n_options = 0
    for row in _read(rows, exchange):
        n_rows += 1
        try:
            cells = pick(row)
            if cells[8] in OPTIONS:
                n_options += 1
                continue
            listing = _listing(cells, exchange)
            if listing.instrument.key in found or listing.token in tokens:
                raise _Refused("symbol or token twice")
        except _Refused as refusal:
            rejected[str(refusal)] += 1
            continue
        found[listing.instrument.key] = listing
        tokens.add(listing.token)
    return Dump(exchange, tuple(found.values()), n_rows, n_options, dict(rejected))


def refuse_partial(dump: Dump, before: tuple[int, int] | None) -> None:
    """Raise BadAnswer for a list with nothing in it, or with fewer than half of what the last one had (all rows, usable rows).

    Half a list would have half the market delisted.
    """
    size = (dump.n_rows, len(dump.listings))
    if not dump.listings:
        raise BadAnswer(f"{_name(dump.exchange)}: expected instruments, found {dump.n_rows} rows and none usable; try again later")
    if before is not None and any(2 * now < then for now, then in zip(size, before, strict=True)):
        raise BadAnswer(
            f"{_name(dump.exchange)}: found {size[0]} rows, {size[1]} usable, after {before[0]} and {before[1]} in the last one: "
            "that looks like a part of it, so nothing was stored; try again later"
        )


def _read(rows: Iterator[list[str]], exchange: str) -> Iterator[list[str]]:
    """The rows that are not empty."""
    try:
        yield from filter(None, rows)
    except csv.Error as error:  # an open quote swallowed the rest
        raise BadAnswer(f"{_name(exchange)}: expected CSV, found what is none: {error}") from None


def _picker(header: Sequence[str], exchange: str) -> _Cells:
    names = [name.strip().lower() for name in header]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise BadAnswer(
            f"{_name(exchange)}: expected columns {', '.join(COLUMNS)}; missing {', '.join(missing)}; "
            f"found {', '.join(names)[:200] or 'nothing'}"
        )
    where, width = [names.index(name) for name in COLUMNS], len(names)

    def pick(row: Sequence[str]) -> list[str]:
        if len(row) != width:
            raise _Refused("wrong number of columns")
        return [row[k] for k in where]

    return pick


def _listing(cells: Sequence[str], exchange: str) -> Listing:
    token, exchange_token, symbol, name, expiry, strike, tick, lot, type_, segment, there = cells
    kind = _kind(type_, segment)
    symbol = symbol.strip()
    if not symbol:
        raise _Refused("no symbol")
    if there != exchange:
        raise _Refused("another exchange")
    index = kind is Kind.INDEX
    instrument = Instrument(
        exchange, symbol, kind, _tick_size(tick, INDEX_TICK if index else None), _lot_size(lot, 1 if index else None)
    )
    return Listing(
        instrument,
        _number(token, "token", TOKEN_MAX),
        _number(exchange_token, "exchange token", TOKEN_MAX),
        name.strip(),
        segment,
        _expiry(expiry, kind),
        _strike(strike),
    )


def _kind(type_: str, segment: str) -> Kind:
    if segment == "INDICES":
        return Kind.INDEX
    if type_ == "FUT":
        return Kind.FUTURE
    if type_ == "EQ":
        return Kind.EQUITY
    raise _Refused("unknown instrument type")


def _number(text: str, what: str, highest: int) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= highest:
        raise _Refused(f"{what} is no number")
    return int(text)


@lru_cache(maxsize=4096)
def _tick_size(text: str, otherwise: int | None) -> int:
    """Rupees to paise, exactly."""
    try:
        paise = Decimal(text) * 100
    except InvalidOperation:
        raise _Refused("tick size is no number") from None
    if paise == 0 and otherwise is not None:
        return otherwise
    if not (paise.is_finite() and 0 < paise < 10**9) or paise != int(paise):
        raise _Refused("tick size is no whole number of paise")
    return int(paise)


@lru_cache(maxsize=4096)
def _lot_size(text: str, otherwise: int | None) -> int:
    try:
        size = Decimal(text)
    except InvalidOperation:
        raise _Refused("lot size is no number") from None
    if size == 0 and otherwise is not None:
        return otherwise
    if not (size.is_finite() and 0 < size < 10**9) or size != int(size):
        raise _Refused("lot size is no whole number")
    return int(size)


@lru_cache(maxsize=4096)
def _expiry(text: str, kind: Kind) -> date | None:
    if not text.strip():
        if kind is Kind.FUTURE:
            raise _Refused("a future without expiry")
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise _Refused("expiry is no day") from None


@lru_cache(maxsize=4096)
def _strike(text: str) -> float:
    try:
        strike = float(text)
    except ValueError:
        raise _Refused("strike is no number") from None
    if not 0 <= strike < float("inf"):
        raise _Refused("strike is no number")
    return strike


def _name(exchange: str) -> str:
    return f"the broker's list of {exchange} instruments"
