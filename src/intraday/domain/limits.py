"""Circuit limits: the prices between which an exchange lets an instrument trade on a day; and dated tick sizes. Pure.

Limits are in force from a session's open, and an exchange may move them within the day. What is known of them is kept with the
moment it became known; ``core.price_rules`` uses those known by the open.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import IST_NS
from intraday.domain.errors import InputError
from intraday.domain.ports import WriteReport
from intraday.domain.session import midnight_ns

LIMIT = np.dtype(
    [
        ("instrument_id", "i4"),
        ("session", "i4"),  # session number
        ("lower", "i4"),  # paise
        ("upper", "i4"),  # paise, above lower
        ("known_ns", "i8"),  # when it became known
    ],
)

Limits = NDArray[Any]  # LIMIT[n]
PAISE_MAX = 2**31 - 1
COLUMNS = ("session", "symbol", "lower", "upper")


class LimitStore(Protocol):
    """Circuit limits; what was once known stays."""

    def write(self, limits: Limits, source: str) -> WriteReport:
        """Store what differs from what was known at that moment. Keys (instrument, session, known) occur once."""
        ...

    def read(self, ids: Sequence[int], first: date, last: date) -> Limits:
        """Those of sessions ``first .. last``, ordered by (session, instrument, known)."""
        ...


@dataclass(frozen=True, slots=True)
class TickSize:
    """Paise, from the day ``since`` on; None: from the beginning."""

    instrument_id: int
    since: date | None
    paise: int


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One line of a file: prices in paise, ``known_ns`` when they became known."""

    symbol: str
    session: date
    lower: int
    upper: int
    known_ns: int


def paise(rupees: float) -> int:
    """Whole paise; 0 for what is no price that fits."""
    return round(rupees * 100.0) if 0.0 < rupees <= PAISE_MAX / 100.0 else 0


def read_limits(text: str, name: str) -> list[LimitRow]:
    """A CSV with columns session, symbol, lower and upper (rupees), and perhaps known: a day, or a day and time IST.

    Without ``known`` a limit was known when its day began: exchanges publish them the evening before. InputError names the line.
    """
    rows = [row for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"))) if any(cell.strip() for cell in row)]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    missing = [column for column in COLUMNS if column not in header]
    if missing or len(rows) < 2:
        found = "no line" if not missing else f"no column {', '.join(missing)}"
        raise InputError(f"{name}: expected the columns {', '.join(COLUMNS)}, and a line a limit; found {found}")
    out = [_row(dict(zip(header, row, strict=False)), f"{name}:{k}") for k, row in enumerate(rows[1:], 2)]
    keys = [(row.symbol, row.session, row.known_ns) for row in out]
    if len(set(keys)) < len(keys):
        twice = next(key for k, key in enumerate(keys) if key in keys[:k])
        raise InputError(f"{name}: expected one line for {twice[0]} on {twice[1]}, found two that were known at the same time")
    return out


def _row(cells: Mapping[str, str], where: str) -> LimitRow:
    def cell(column: str) -> str:
        return cells.get(column, "").strip()

    try:
        session = date.fromisoformat(cell("session"))
        lower, upper = (paise(float(cell(column))) for column in ("lower", "upper"))
        known_ns = _known_ns(cell("known")) if cell("known") else midnight_ns(session)
    except ValueError as error:
        raise InputError(f"{where}: expected a session as YYYY-MM-DD and prices in rupees, found {error}") from None
    if not cell("symbol") or not 0 < lower < upper:
        raise InputError(f"{where}: expected a symbol and 0 < lower < upper, found {', '.join(cells.values())}")
    return LimitRow(cell("symbol").upper(), session, lower, upper, known_ns)


def _known_ns(text: str) -> int:
    """``2026-11-20`` or ``2026-11-20 08:55``, IST."""
    local = datetime.fromisoformat(text)
    if local.tzinfo is not None:
        raise ValueError(f"a time with an offset ({text!r}); times are IST")
    return int(local.replace(tzinfo=UTC).timestamp()) * 1_000_000_000 - IST_NS
