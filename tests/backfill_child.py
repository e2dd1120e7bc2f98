"""A backfill in a process of its own that may be killed at any moment.

Each event is a line of a log that is only added to, written in one piece before the next step is taken: what is asked for before it
is asked, and what was stored after it was committed. It is also sent to whoever decides when to kill.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import date
from multiprocessing.connection import Connection

from backfill_world import World, fetch, trading_day
from intraday.database.bars import BarRepository
from intraday.database.fetches import FetchRepository
from intraday.database.instruments import InstrumentRepository
from intraday.database.pool import Database
from intraday.domain.arrays import Bars
from intraday.domain.broker import Fetched, Interval
from intraday.domain.clock import Clock
from intraday.domain.ports import Gap, WriteReport
from pace_cases import virtual


class Log:
    """A file that is only added to, line by line."""

    def __init__(self, path: str, tell: Connection) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._tell = tell

    def add(self, **event: object) -> None:
        os.write(self._fd, (json.dumps(event) + "\n").encode())
        self._tell.send(event)


class NotedApi:
    """``CandleApi`` that notes each request before it goes out."""

    def __init__(self, api: object, log: Log) -> None:
        self._api = api
        self._log = log

    async def fetch_historical_data(self, token: int, interval: Interval, start_ns: int, end_ns: int) -> Bars:
        self._log.add(event="ask", token=token, start_ns=start_ns, end_ns=end_ns)
        return await self._api.fetch_historical_data(token, interval, start_ns, end_ns)  # type: ignore[attr-defined, no-any-return]


class NotedStore:
    """``FetchStore`` that notes each answer before and after it was stored."""

    def __init__(self, store: FetchRepository, log: Log) -> None:
        self._store = store
        self._log = log

    def save(self, instrument_id: int, bars: Bars, fetched: Sequence[Fetched], gaps: Sequence[Gap], known_ns: int) -> WriteReport:
        self._log.add(event="save")
        report = self._store.save(instrument_id, bars, fetched, gaps, known_ns)
        days = [f.day.isoformat() for f in fetched]
        self._log.add(event="stored", id=instrument_id, days=days, inserted=report.inserted, unchanged=report.unchanged)
        return report

    def fetched(self, ids: Sequence[int], first: date, last: date) -> list[Fetched]:
        return self._store.fetched(ids, first, last)


def main(dsn: str, path: str, world: World, tell: Connection) -> None:
    """Fetch and store everything of ``world`` that the database does not have."""
    log = Log(path, tell)
    with Database(dsn) as database:
        bars = BarRepository(database)
        store = NotedStore(FetchRepository(database, bars), log)
        stored = InstrumentRepository(database).upsert(world.instruments())

        async def run(clock: Clock) -> None:
            async with trading_day(world, clock) as (exchange, rest):
                log.add(event="start")
                report = await fetch(world, clock, NotedApi(rest, log), store, bars, world.targets(stored))
                assert report.complete, report
                meter = exchange.limits
                log.add(event="end", busiest=meter.busiest("historical"), refused=meter.refused("historical"))

        virtual(run, world.start_ns)
