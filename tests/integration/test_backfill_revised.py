"""An evening's backfill from an exchange that publishes late and revises, and another the next morning."""

from __future__ import annotations

from datetime import date

import pytest

from backfill_killed import complete_days
from backfill_world import SESSIONS, World, fetch, trading_day, wanted
from intraday.broker.backfill import BackfillReport
from intraday.database.bars import BarRepository
from intraday.database.fetches import FetchRepository
from intraday.database.instruments import InstrumentRepository
from intraday.database.pool import Database
from intraday.domain.arrays import BAR, MINUTE_NS, empty
from intraday.domain.clock import Clock
from intraday.domain.ports import Source
from pace_cases import virtual

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ALL = (0, 2**63 - 1)
DAY = date(2025, 6, 27)


def test_the_next_morning_everything_is_as_the_exchange_has_it_in_the_end(database: Database) -> None:
    world = World(3, SESSIONS.previous(DAY).day, DAY)
    bars = BarRepository(database)
    store = FetchRepository(database, bars)
    stored = InstrumentRepository(database).upsert(world.instruments())
    targets = world.targets(stored)
    tokens = {instrument.id: token for instrument, token in targets}

    async def main(clock: Clock) -> BackfillReport:
        async with trading_day(world, clock) as (exchange, rest):
            exchange.knobs.candles.publish_delay_s = 40.0
            exchange.knobs.candles.late_revision_share = 1.0
            return await fetch(world, clock, rest, store, bars, targets)

    def differs() -> dict[str, int]:
        """Minutes in which what is stored is not what the exchange has in the end, by symbol."""
        rows = {row.symbol: wanted(world, row) for row in world.listing()}
        held = {i.symbol: bars.read([i.id], *ALL, Source.BROKER) for i in stored}
        return {s: len({r.tobytes() for r in rows[s]} ^ {r.tobytes() for r in held.get(s, empty(BAR))}) for s in rows}

    close_ns = SESSIONS.get(DAY).close_ns
    evening = virtual(main, close_ns + 25 * 10**9)
    assert evening.complete
    assert all(n > 0 for n in differs().values()), differs()
    assert {day for _, day in complete_days(database, tokens)} == {world.first}

    morning = virtual(main, close_ns + 17 * 60 * MINUTE_NS)
    assert (morning.requests, morning.failed) == (len(targets), 0)
    assert set(differs().values()) == {0}
    assert morning.written.inserted >= len(targets)  # the last minute, which was not there yet
    assert morning.written.revised >= 1
    assert len(complete_days(database, tokens)) == 2 * len(targets)
    with database.autocommit() as connection:
        versions, superseded = (
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("bar_versions", "bar_superseded")
        )
    assert superseded == morning.written.revised  # the old version stays
    assert versions == sum(wanted(world, row).shape[0] for row in world.listing()) + superseded
    assert virtual(main, close_ns + 18 * 60 * MINUTE_NS).planned == 0
