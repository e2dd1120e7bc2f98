"""``intraday instruments`` and ``intraday universe``: the broker's list, and lists of members that people bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

from intraday.app import System, open_system
from intraday.app_broker import build_rest
from intraday.app_feed import build_listings
from intraday.config.settings import RateLimits, Settings
from intraday.database.membership import FlagState, ListReport
from intraday.database.universe import read_text
from intraday.domain.broker import Listing
from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError, InputError
from intraday.domain.instruments import Instrument
from intraday.domain.listings import Change, SyncReport
from intraday.domain.membership import Flag, Row, Span, located, normal, read_list
from intraday.domain.ports import Progress
from intraday.domain.session import day_of
from intraday.domain.universe import key_of
from intraday.jobs.exchange import OVER_THE_WIRE, open_exchange, run_at
from intraday.jobs.gather import claim, noted, refuse_playback, wanted
from intraday.jobs.limits import note_limits
from intraday.jobs.outcome import recorded_run


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import of a list did. ``dated``: the file had days of its own; ``unknown``: symbols no stored instrument has."""

    report: ListReport
    rows: int
    dated: bool
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of an instrument on a day."""

    key: str
    day: date
    flags: Sequence[FlagState]


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the universe on the day asked for; ``since`` None: undated; ``until``: the last day, None: not known to end."""

    key: str
    since: date | None
    until: date | None


@dataclass(frozen=True, slots=True)
class Shown:
    """The universe on a day. ``known``: whether anything is known of that day. ``lists``: every stored list."""

    definition: str
    day: date
    known: bool
    known_from: date | None
    members: Sequence[Member]
    unknown: tuple[str, ...]
    lists: Sequence[str]


def sync(settings: Settings, limits: RateLimits, clock: Clock, progress: Progress) -> SyncReport:
    """Take over today's list of instruments. Raises ConfigError, AuthError, BrokerError: nothing is stored then."""
    if settings.broker.feed not in OVER_THE_WIRE:
        raise ConfigError(
            f"broker.feed: found {settings.broker.feed}, which has no list of instruments; expected {' or '.join(OVER_THE_WIRE)}"
        )
    with (
        open_exchange(settings, limits, clock) as endpoint,
        open_system(settings, endpoint.clock) as system,
        recorded_run(system, "instruments") as run,
    ):

        async def main() -> SyncReport:
            async with build_rest(endpoint, limits, settings) as rest:
                done = await noted(progress, "instruments", build_listings(system, rest, endpoint.clock).sync())
                run.summary["price_limits"] = (await note_limits(system, endpoint, rest, _watched(system, limits))).told
                return done

        refuse_playback(endpoint)
        claim(system, endpoint)
        report = run_at(endpoint, main)
        run.summary |= {"day": str(report.day), "changes": report.counts(), "listed": sum(e.listed for e in report.exchanges)}
        return report


def _watched(system: System, limits: RateLimits) -> list[Instrument]:
    """The instruments of the universe; none where it names what is not stored, or more than a feed carries."""
    try:
        return wanted(system, limits)
    except ConfigError:
        return []


def listed(settings: Settings, clock: Clock, search: str | None, limit: int | None) -> list[Listing]:
    """What is on the broker's list, by key; ``search``: part of a symbol, a former symbol or a name."""
    with open_system(settings, clock) as system:
        return [held.listing for held in system.stores.listings.listed(search, limit) if held.listing is not None]


def changes(settings: Settings, clock: Clock, since: date | None) -> list[Change]:
    """Dated changes from ``since`` on."""
    with open_system(settings, clock) as system:
        return system.stores.listings.changes(since)


def import_flag(settings: Settings, clock: Clock, path: Path, flag: Flag, start: date | None, source: str | None) -> Imported:
    """The file is the whole list as of ``start`` (None: today). InputError for a file that is no list."""
    return _import(settings, clock, "flag", flag.value, path, start, source)


def import_universe(settings: Settings, clock: Clock, name: str, path: Path, start: date | None) -> Imported:
    """The same for a universe, or its whole history where the file has a column ``from``."""
    return _import(settings, clock, "universe", normal(name), path, start, None)


def flags(settings: Settings, clock: Clock, symbol: str, day: date | None) -> Flags:
    """The flags of an instrument on ``day`` (None: today). ConfigError for one that is not stored."""
    with open_system(settings, clock) as system:
        day = day or today(system)
        key = key_of(symbol.upper(), settings.trading.exchange)
        number = system.stores.listings.symbols().find(key, day)
        if number is None:
            raise ConfigError(f"{key} is not a stored instrument: look for it with `intraday instruments list --search`")
        now = next(i.key for i in system.stores.instruments.all() if i.id == number)
        return Flags(now, day, system.stores.members.flags(number, day))


def show_universe(settings: Settings, clock: Clock, day: date | None) -> Shown:
    """Who ``trading.universe`` is on ``day`` (None: today). ConfigError for a list that is not there."""
    with open_system(settings, clock) as system:
        day = day or today(system)
        found = system.membership()
        keys = {i.id: i.key for i in system.stores.instruments.all()}
        if found.spans is None:
            members = [Member(keys[number], None, None) for number in found.ids]
        else:
            members = [Member(keys[s.instrument_id], s.start, _last(s)) for s in found.spans if s.on(day)]
        known = found.spans is None or (found.known_from is not None and found.known_from <= day)
        lists = system.stores.members.names("universe")
        return Shown(
            found.definition, day, known, found.known_from, sorted(members, key=lambda m: m.key), found.unknown, lists
        )  # fmt: skip


def today(system: System) -> date:
    """Today, IST; for the bundled exchange, whose days are made up, the day of its newest list of instruments."""
    if system.settings.broker.feed == "simulator":
        newest = system.stores.listings.newest()
        if newest is not None:
            return newest
    return day_of(system.clock.now_ns())


def _import(settings: Settings, clock: Clock, kind: str, name: str, path: Path, start: date | None, source: str | None) -> Imported:
    rows = read_list(read_text(path), str(path))
    with open_system(settings, clock) as system, recorded_run(system, f"{kind} import") as run:
        day = start or today(system)
        found, unknown = _located(system, rows, day, path)
        told = source or path.name
        dated = rows[0].start is not None
        if dated:
            if start is not None:
                raise InputError(f"{path}: found days in its column from, expected none together with --from")
            report = system.stores.members.take_dated(kind, name, _history(kind, found, told, path), told)
        else:
            report = system.stores.members.take(kind, name, day, {number: row.value for number, row in found}, told)
        run.summary |= {"list": name, "members": report.members, "day": str(report.day), "unknown": len(unknown)}
        return Imported(report, len(rows), dated, tuple(unknown))


def _located(system: System, rows: Sequence[Row], day: date, path: Path) -> tuple[list[tuple[int, Row]], list[str]]:
    symbols, exchange = system.stores.listings.symbols(), system.settings.trading.exchange
    found, unknown = located(rows, lambda symbol, on: symbols.find(key_of(symbol, exchange), on), day)
    if not found:
        raise InputError(
            f"{path}: none of its {len(rows)} symbols is a stored instrument ({', '.join(unknown[:5])} …): run "
            "`intraday instruments sync`, or import their bars first"
        )
    return found, unknown


def _history(kind: str, found: Sequence[tuple[int, Row]], source: str, path: Path) -> list[Span]:
    """The rows as spans. InputError where an instrument is there twice at the same time."""
    symbols = {number: row.symbol for number, row in found}
    spans = [Span(number, row.start, row.end, row.value, source) for number, row in found if row.start is not None]
    spans.sort(key=lambda s: (s.instrument_id, s.start))
    for a, b in pairwise(spans):
        if a.instrument_id == b.instrument_id and (a.end is None or b.start < a.end):
            raise InputError(
                f"{path}: {symbols[a.instrument_id]} is a member twice on {b.start}; expected periods one after another"
            )
    return spans if kind == "flag" else [replace(span, value=None, source="") for span in spans]


def _last(span: Span) -> date | None:
    return None if span.end is None else span.end - timedelta(days=1)
