"""Corporate actions: what a split, a bonus, a dividend or rights make of the prices before their ex-date. Pure.

Prices before the ex-date times ``price_factor`` and volumes times ``volume_factor`` are comparable with those from it on. A factor
is of one action alone; which of them count on a day is ``core.actions``'s affair.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol

from intraday.domain.errors import InputError
from intraday.domain.ports import WriteReport

EXTRAORDINARY = 0.02  # of the price: from here on the exchange adjusts futures and options for a dividend, below it nobody does


class ActionKind(StrEnum):
    """What happened to a share."""

    SPLIT = "split"  # terms before:after, so 1:5 makes five shares of one
    BONUS = "bonus"  # terms new:held, so 1:1 doubles the shares
    DIVIDEND = "dividend"  # terms: rupees a share
    RIGHTS = "rights"  # terms new:held@price
    OTHER = "other"  # terms: the price factor itself


@dataclass(frozen=True, slots=True)
class Action:
    """An action as we knew it from ``known_ns`` on, until ``gone_ns`` (None: still): a correction ends one and begins another.

    ``ex_date``: first day that trades without what the action gives. ``price_factor`` and ``volume_factor``: what earlier prices
    and volumes are multiplied with. ``terms`` as given; ``source``: who says so.
    """

    instrument_id: int
    ex_date: date
    kind: ActionKind
    price_factor: float
    volume_factor: float
    terms: str
    source: str
    known_ns: int
    gone_ns: int | None = None

    @property
    def rescales(self) -> bool:
        """Whether prices before and after are of two scales, so that no state may span it: all but an ordinary dividend."""
        return self.volume_factor != 1.0 or abs(1.0 - self.price_factor) >= EXTRAORDINARY


class ActionStore(Protocol):
    """Corporate actions; nothing that was once known is lost."""

    def add(self, actions: Sequence[Action], now_ns: int) -> WriteReport:
        """Store what is new; an action of the same instrument, ex-date and kind with other factors or terms takes its place."""
        ...

    def remove(self, instrument_id: int, ex_date: date, kind: ActionKind | None, now_ns: int) -> int:
        """It is not so, as known from now on; ``kind`` None: all of that day. Returns how many."""
        ...

    def actions(self, ids: Sequence[int] | None = None, known_ns: int | None = None) -> list[Action]:
        """What counts now, or counted at ``known_ns``, ordered by (instrument, ex-date, kind); ``ids`` None: of all."""
        ...


_RATIO = re.compile(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)(?:@(\d+(?:\.\d+)?))?")


def needs_close(kind: ActionKind) -> bool:
    """Whether the factors depend on the price: dividends and rights want the close of the session before the ex-date."""
    return kind in (ActionKind.DIVIDEND, ActionKind.RIGHTS)


def factors(kind: ActionKind, terms: str, close: float | None = None) -> tuple[float, float]:
    """(price factor, volume factor) of an action. ``close``: raw close of the session before, rupees, see ``needs_close``.

    Dividends: (close - dividend) / close, volumes as they are. Rights: the theoretical ex-rights price over the close, volumes the
    other way. Raises InputError for terms that are none.
    Source: CRSP's cumulative factors; NSE's corporate action adjustment of derivatives (theoretical ex-rights price).
    """
    if needs_close(kind) and (close is None or not 0.0 < close < float("inf")):
        raise InputError(f"a {kind} of {terms}: expected the close before its ex-date, found {close}; give it with --close")
    if kind in (ActionKind.DIVIDEND, ActionKind.OTHER):
        return _of_number(kind, _number(kind, terms), close or 0.0)
    before, after, price = _ratio(kind, terms)
    if kind is ActionKind.SPLIT:
        return before / after, after / before
    new, held = before, after
    if kind is ActionKind.BONUS:
        return held / (new + held), (new + held) / held
    assert close is not None
    if price >= close:
        raise InputError(f"rights {terms}: expected an issue price under the close of {close:g}, found {price:g}")
    factor = (held * close + new * price) / ((new + held) * close)
    return factor, 1.0 / factor


def _of_number(kind: ActionKind, number: float, close: float) -> tuple[float, float]:
    if kind is ActionKind.OTHER:
        return number, 1.0 / number
    if number >= close:
        raise InputError(f"a dividend of {number:g}: expected less than the close of {close:g} before its ex-date")
    return (close - number) / close, 1.0


def _number(kind: ActionKind, terms: str) -> float:
    try:
        number = float(terms)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        wanted = "rupees a share, such as 12.50" if kind is ActionKind.DIVIDEND else "the price factor, such as 0.97"
        raise InputError(f"terms of a {kind}: expected {wanted}, found {terms!r}")
    return number


def _ratio(kind: ActionKind, terms: str) -> tuple[float, float, float]:
    found = _RATIO.fullmatch(terms.strip())
    a, b, price = ((float(x) if x else 0.0) for x in found.groups()) if found else (0.0, 0.0, 0.0)
    if a <= 0.0 or b <= 0.0 or (price > 0.0) != (kind is ActionKind.RIGHTS):
        wanted = {
            ActionKind.SPLIT: "shares before and after, both above 0, such as 1:5",
            ActionKind.BONUS: "new and held shares, both above 0, such as 1:1",
            ActionKind.RIGHTS: "new and held shares and the issue price, such as 1:15@1257",
        }[kind]
        raise InputError(f"terms of a {kind}: expected {wanted}, found {terms!r}")
    return a, b, price


# ------------------------------------------------------------------------------------------------------------ lists as files


@dataclass(frozen=True, slots=True)
class ActionRow:
    """One line of a list of actions. ``known``: day it was announced; ``close``: raw close of the session before; None: untold."""

    symbol: str
    ex_date: date
    kind: ActionKind
    terms: str
    source: str | None = None
    known: date | None = None
    close: float | None = None


def read_actions(text: str, name: str) -> list[ActionRow]:
    """A CSV with columns symbol, ex_date, kind and terms, and perhaps source, known and close. InputError names file and line."""
    rows = [row for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"))) if any(cell.strip() for cell in row)]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    missing = [column for column in ("symbol", "ex_date", "kind", "terms") if column not in header]
    if missing or len(rows) < 2:
        found = "no line" if not missing else f"no column {', '.join(missing)}"
        raise InputError(f"{name}: expected the columns symbol, ex_date, kind and terms, and a line an action; found {found}")
    return [_row(dict(zip(header, row, strict=False)), f"{name}:{k}") for k, row in enumerate(rows[1:], 2)]


def _row(cells: Mapping[str, str], where: str) -> ActionRow:
    def cell(column: str) -> str:
        return cells.get(column, "").strip()

    kind, close = cell("kind").lower(), cell("close")
    if kind not in set(ActionKind) or not cell("symbol") or not cell("ex_date"):
        wanted = f"a symbol, an ex_date and a kind of {', '.join(ActionKind)}"
        raise InputError(f"{where}: expected {wanted}; found {', '.join(cells.values())}")
    try:
        days = [date.fromisoformat(cell(column)) if cell(column) else None for column in ("ex_date", "known")]
        price = float(close) if close else None
    except ValueError as error:
        raise InputError(f"{where}: expected days as YYYY-MM-DD and a close in rupees, found {error}") from None
    assert days[0] is not None
    return ActionRow(cell("symbol").upper(), days[0], ActionKind(kind), cell("terms"), cell("source") or None, days[1], price)
