"""``intraday limits``: circuit limits by session, from the broker every morning, or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from intraday.app import System, open_system
from intraday.app_broker import Endpoint
from intraday.broker.limits import fetch_limits
from intraday.broker.rest import RESTClient
from intraday.config.settings import Settings
from intraday.database.universe import read_text
from intraday.domain.clock import Clock
from intraday.domain.errors import BrokerError, ConfigError, InputError
from intraday.domain.instruments import Instrument
from intraday.domain.limits import LIMIT, LimitRow, read_limits
from intraday.domain.ports import WriteReport
from intraday.domain.session import EPOCH, SessionTable, day_of
from intraday.domain.universe import key_of
from intraday.jobs.outcome import recorded_run


@dataclass(frozen=True, slots=True)
class Noted:
    """What the broker told of today's limits. ``told``: instruments that have one; ``error``: why nothing was told."""

    told: int = 0
    report: WriteReport = WriteReport()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ImportedLimits:
    """What an import did. ``unknown``: symbols no stored instrument has; ``late``: lines known only after their session's open."""

    report: WriteReport
    rows: int
    late: int
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownLimit:
    """A limit of an instrument, rupees. ``in_time``: known by its session's open, so that labels may use it."""

    session: date
    lower: float
    upper: float
    known_ns: int
    in_time: bool


async def note_limits(system: System, endpoint: Endpoint, rest: RESTClient, instruments: Sequence[Instrument]) -> Noted:
    """Store today's limits, as the broker tells them before or in the session; nothing on a day without one, or after it.

    A broker that cannot tell them stops nobody: labels of today then do without. Raises AuthError.
    """
    session, clock = system.sessions.find(endpoint.today), endpoint.clock
    if session is None or clock.now_ns() >= session.close_ns or not endpoint.own_prices:
        return Noted()
    try:
        limits = await fetch_limits(rest, instruments, session.number, clock)
    except BrokerError as error:
        return Noted(error=str(error))
    return Noted(len(limits), system.stores.limits.write(limits, endpoint.name))


def import_limits(settings: Settings, clock: Clock, path: Path, source: str | None) -> ImportedLimits:
    """Store all limits of a CSV, or none. InputError for a file that is no such list, or for days without a session."""
    rows = read_limits(read_text(path), str(path))
    with open_system(settings, clock) as system, recorded_run(system, "limits import") as run:
        opens = _opens(rows, system.sessions, path)
        symbols, now_ns = system.stores.listings.symbols(), clock.now_ns()
        stored, unknown = dict[tuple[int, int, int], tuple[int, int]](), set[str]()
        for row in rows:
            number = symbols.find(key_of(row.symbol, settings.trading.exchange), row.session)
            if number is None:
                unknown.add(row.symbol)
                continue
            key = number, (row.session - EPOCH).days, min(row.known_ns, now_ns)
            if stored.setdefault(key, (row.lower, row.upper)) != (row.lower, row.upper):
                raise InputError(f"{path}: two limits of {row.symbol} on {row.session}, once by a former symbol; expected one")
        if not stored:
            some = ", ".join(sorted(unknown)[:5])
            raise InputError(f"{path}: none of its symbols is a stored instrument ({some}): import bars first")
        limits = np.array([(i, n, lower, upper, known_ns) for (i, n, known_ns), (lower, upper) in stored.items()], LIMIT)
        late = int((limits["known_ns"] > np.array([opens[n] for n in limits["session"].tolist()])).sum())
        report = system.stores.limits.write(limits, source or path.name)
        run.summary |= {"file": path.name, "rows": len(rows), "unknown": len(unknown), "late": late}
        return ImportedLimits(report, len(rows), late, tuple(sorted(unknown)))


def shown(settings: Settings, clock: Clock, symbol: str, first: date | None, last: date | None) -> list[ShownLimit]:
    """What is stored of an instrument, by session and when it was known. ConfigError for one that is not stored."""
    with open_system(settings, clock) as system:
        key = key_of(symbol.upper(), settings.trading.exchange)
        number = system.stores.listings.symbols().find(key, last or day_of(clock.now_ns()))
        if number is None:
            raise ConfigError(f"{key} is not a stored instrument: look for it with `intraday instruments list --search`")
        found = system.stores.limits.read([number], first or system.sessions.first, last or system.sessions.last)
        out = []
        for row in found:
            day = EPOCH + timedelta(days=int(row["session"]))
            session = system.sessions.find(day)
            in_time = session is not None and int(row["known_ns"]) <= session.open_ns
            out.append(ShownLimit(day, int(row["lower"]) / 100, int(row["upper"]) / 100, int(row["known_ns"]), in_time))
        return out


def _opens(rows: Sequence[LimitRow], sessions: SessionTable, path: Path) -> dict[int, int]:
    """When each session of a file opens, by its number."""
    out = {}
    for day in sorted({row.session for row in rows}):
        session = sessions.find(day)
        if session is None:
            raise InputError(f"{path}: expected days with a session, found {day}, on which the exchange was closed")
        out[session.number] = session.open_ns
    return out
