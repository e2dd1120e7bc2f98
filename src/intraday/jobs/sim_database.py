"""``intraday sim --source database``: stored candles and recorded ticks as the exchange's market."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from intraday.app import System, open_system
from intraday.config.settings import Settings
from intraday.domain.arrays import BAR, Bars, empty
from intraday.domain.clock import Clock
from intraday.domain.errors import NotEnoughData
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.membership import Flag, auction_rule
from intraday.live.recorded import RecordedTicks
from intraday.sim.recorded import ReadTicks, RecordedTape, listed


@contextmanager
def stored_market(settings: Settings, clock: Clock, day: date | None, most: int | None) -> Iterator[tuple[RecordedTape, date]]:
    """The stored market while the database is open, and its day: ``day``, None: the newest that has candles.

    ``most``: no more instruments than that. Raises StorageError, NotEnoughData when no candles are stored.
    """
    with open_system(settings, clock) as system:
        yield _recorded(system, day, most)


def _recorded(system: System, day: date | None, most: int | None) -> tuple[RecordedTape, date]:
    stores = system.stores
    coverage = stores.bars.coverage()
    if not coverage:
        raise NotEnoughData("source database: no candles are stored; import some (`intraday import`) or use --source synthetic")
    day = day or max(stored for _, stored, _ in coverage)
    with_bars = {i for i, _, _ in coverage}
    instruments = [i for i in stores.instruments.all() if i.id in with_bars][:most]
    ids = [i.id for i in instruments]

    def bars(row: int, start_ns: int, end_ns: int) -> Bars:
        if row >= len(ids):  # a future behind the list: nothing is stored of it
            return empty(BAR)
        return stores.bars.read([ids[row]], start_ns, end_ns)

    listing = listed(instruments, day, _auction(system, instruments, day))
    return RecordedTape(listing, system.sessions, bars, _ticks(system, instruments)), day


def _auction(system: System, instruments: list[Instrument], day: date) -> set[str]:
    """Symbols of those whose day ends with the closing auction."""
    members = system.stores.members
    rule = auction_rule(members.spans("flag", Flag.CLOSING_AUCTION), members.known_from("flag", Flag.CLOSING_AUCTION))
    return {i.symbol for i in instruments if i.kind is Kind.EQUITY and rule(i.id, day)}


def _ticks(system: System, instruments: list[Instrument]) -> ReadTicks | None:
    """Recorded ticks, where ``broker.recorded`` names some."""
    recording = system.settings.broker.recorded
    if recording is None:
        return None
    rows = {i.symbol: row for row, i in enumerate(instruments)}
    return RecordedTicks([recording], rows, [i.has_volume for i in instruments], system.sessions).ticks
