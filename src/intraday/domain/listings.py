"""The broker's daily list of instruments, and what one list has that the one before it had not.

Rules of comparison, in this order, within one exchange:

1. An instrument without expiry whose token is listed again under another symbol was renamed: it keeps its id.
2. Otherwise exchange and symbol say who it is; another token is a changed token.
3. A token that was another instrument's is a reused token. Kite gives those of expired contracts to new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Protocol

from intraday.domain.broker import Listing
from intraday.domain.instruments import Instrument


class ChangeKind(StrEnum):
    """What can change from one list to the next."""

    LISTED = "listed"
    DELISTED = "delisted"
    RENAMED = "renamed"
    TOKEN_CHANGED = "token_changed"  # nosec B105
    TOKEN_REUSED = "token_reused"  # nosec B105
    TICK_SIZE = "tick_size"
    LOT_SIZE = "lot_size"
    KIND = "kind"
    EXPIRY = "expiry"


@dataclass(frozen=True, slots=True)
class Change:
    """One dated change. ``key`` is the instrument's present one; ``old`` and ``new`` as text, tick sizes in paise."""

    day: date
    key: str
    kind: ChangeKind
    old: str | None = None
    new: str | None = None


@dataclass(frozen=True, slots=True)
class Dump:
    """One exchange's list, parsed. ``n_rows``: all rows that it had; ``rejected``: rows that cannot be used, by reason."""

    exchange: str
    listings: tuple[Listing, ...]
    n_rows: int
    n_options: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Roll:
    """A whole list of members as of the day of the dumps: what is not on it, is not a member from that day on."""

    kind: str  # universe or flag
    name: str
    keys: frozenset[str]
    source: str


@dataclass(frozen=True, slots=True)
class ExchangeReport:
    """What came of one exchange's list. ``first``: there was none before, so nothing of it is a change."""

    exchange: str
    rows: int
    listed: int
    options: int
    rejected: Mapping[str, int]
    first: bool


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did: a second one of the same lists has no changes. ``rolls``: members of each list that follows from them."""

    day: date
    exchanges: tuple[ExchangeReport, ...]
    changes: tuple[Change, ...]
    rolls: Mapping[str, int]

    def counts(self) -> dict[str, int]:
        """Changes by kind, the kinds that occur."""
        found: dict[str, int] = {}
        for change in self.changes:
            found[change.kind.value] = found.get(change.kind.value, 0) + 1
        return found


class ListingApi(Protocol):
    """Where lists of instruments come from: ``broker.rest.RESTClient``."""

    async def instruments(self, exchange: str | None = None) -> bytes:
        """The CSV of one exchange, or of all. Raises BrokerError, AuthError."""
        ...


class ListingStore(Protocol):
    """Listings, tokens and changes by day."""

    def sizes(self, day: date) -> Mapping[str, tuple[int, int]]:
        """By exchange, of its last list before ``day``: (all its rows, rows that became instruments)."""
        ...

    def sync(self, day: date, dumps: Sequence[Dump], rolls: Sequence[Roll]) -> SyncReport:
        """Take the lists over in one transaction. ConfigError when a later day was synced already."""
        ...

    def tokens(self, ids: Sequence[int], day: date) -> dict[int, int]:
        """Token by instrument id as of ``day``; an instrument that was not listed then, as far as known, is not in it."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """What is stored of an instrument. ``listing``: as the last list had it that had it, None if none did; ``listed``: the last
    list of all had it."""

    instrument: Instrument
    listing: Listing | None = None
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Matched:
    """A row of the new list, whose it is (None: a new instrument), and what changed: (kind, old, new)."""

    listing: Listing
    held: Held | None
    changes: tuple[tuple[ChangeKind, str | None, str | None], ...]

    @property
    def renamed(self) -> bool:
        """True when the instrument had another symbol."""
        return self.held is not None and self.held.instrument.symbol != self.listing.instrument.symbol


def compare(
    held: Iterable[Held], listings: Iterable[Listing], holders: Mapping[int, str], *, first: bool
) -> tuple[list[Matched], list[Held]]:
    """The rows of one exchange's new list against what is stored of it: (matched rows in order, instruments that are gone).

    ``holders``: key of the newest holder of every token ever seen. ``first``: the first list of this exchange, in which
    nothing is news. Keys and tokens are unique in ``listings``.
    """
    held, listings = list(held), list(listings)
    by_key = {h.instrument.key: h for h in held}
    owners = _owners(held, listings, by_key)
    matched = [_matched(listing, owners[listing.instrument.key], holders, first) for listing in listings]
    there = {h.instrument.id for h in owners.values() if h is not None}
    return matched, [h for h in held if h.listed and h.instrument.id not in there]


def _owners(held: Sequence[Held], listings: Sequence[Listing], by_key: Mapping[str, Held]) -> dict[str, Held | None]:
    """By key of the new list: the stored instrument it is."""
    lasting = {h.listing.token: h for h in held if h.listed and h.listing is not None and h.listing.expiry is None}
    moves: dict[str, Held] = {}
    for listing in listings:
        holder = lasting.get(listing.token) if listing.expiry is None else None
        if holder is not None and holder.instrument.key != listing.instrument.key:
            moves[listing.instrument.key] = holder
    moving = _drop_blocked(moves, by_key)
    owners: dict[str, Held | None] = {}
    for listing in listings:
        key = listing.instrument.key
        same = by_key.get(key)
        owners[key] = moves.get(key) or (None if same is None or same.instrument.id in moving else same)
    return owners


def _drop_blocked(moves: dict[str, Held], by_key: Mapping[str, Held]) -> set[int]:
    """Give up renamings to a symbol whose stored instrument stays: two histories can't be joined. Returns the ids that move."""
    while True:
        moving = {h.instrument.id for h in moves.values()}
        blocked = [key for key in moves if (same := by_key.get(key)) is not None and same.instrument.id not in moving]
        if not blocked:
            return moving
        for key in blocked:
            del moves[key]


def _matched(listing: Listing, held: Held | None, holders: Mapping[int, str], first: bool) -> Matched:
    changes: list[tuple[ChangeKind, str | None, str | None]] = []
    key = listing.instrument.key
    if not (held is not None and held.listed) and not first:
        changes.append((ChangeKind.LISTED, None, None))
    if held is not None and held.listing is not None:
        changes += _differences(held, held.listing, listing)
    previous = holders.get(listing.token)
    if previous is not None and previous != (key if held is None else held.instrument.key):
        changes.append((ChangeKind.TOKEN_REUSED, previous, str(listing.token)))
    number = 0 if held is None else held.instrument.id
    return Matched(replace(listing, instrument=replace(listing.instrument, id=number)), held, tuple(changes))


def _differences(held: Held, old: Listing, new: Listing) -> list[tuple[ChangeKind, str | None, str | None]]:
    before, after = held.instrument, new.instrument
    pairs: list[tuple[ChangeKind, object, object]] = [
        (ChangeKind.RENAMED, before.symbol, after.symbol),
        (ChangeKind.TOKEN_CHANGED, old.token, new.token),
        (ChangeKind.TICK_SIZE, before.tick_size, after.tick_size),
        (ChangeKind.LOT_SIZE, before.lot_size, after.lot_size),
        (ChangeKind.KIND, before.kind, after.kind),
        (ChangeKind.EXPIRY, old.expiry, new.expiry),
    ]
    return [(kind, _text(a), _text(b)) for kind, a, b in pairs if a != b]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


class Symbols:
    """Who bears a symbol, and who bore it. ``former``: by key, (first day of the next symbol, instrument id)."""

    def __init__(self, current: Mapping[str, int], former: Mapping[str, Sequence[tuple[date, int]]]) -> None:
        self._current = current
        self._former = {key: sorted(spans) for key, spans in former.items()}

    def find(self, key: str, day: date) -> int | None:
        """The instrument that bore ``EXCHANGE:SYMBOL`` on ``day``; else the one that bears it; else the last that did."""
        former = self._former.get(key, [])
        then = next((number for end, number in former if day < end), None)
        if then is not None:
            return then
        return self._current.get(key, former[-1][1] if former else None)
