"""Answers of the broker in the database: one transaction each, whatever happens."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import psycopg
import pytest

from broker_cases import SESSIONS, PlainBroker
from database_cases import make_known
from intraday.broker.backfill import BackfillManager, BackfillReport, Target
from intraday.database.bars import BarRepository
from intraday.database.digests import digests
from intraday.database.fetches import FetchRepository
from intraday.database.instruments import InstrumentRepository
from intraday.database.pool import Database
from intraday.domain.arrays import BAR, DAY_NS, MINUTE_NS, empty
from intraday.domain.broker import Fetched
from intraday.domain.clock import Clock, SimClock
from intraday.domain.errors import StorageError
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.ports import Gap, Source, WriteReport
from intraday.domain.session import midnight_ns
from pace_cases import virtual

pytestmark = pytest.mark.integration
DAY = date(2025, 6, 27)
SESSION = SESSIONS.get(DAY)
BEFORE = SESSIONS.previous(DAY)
KNOWN = SESSION.close_ns + 3600 * 10**9
ALL = (0, 2**63 - 1)


@pytest.fixture
def store(database: Database) -> FetchRepository:
    make_known(database, [5, 6])
    return FetchRepository(database, BarRepository(database))


def candles(start_ns: int, n: int) -> np.ndarray:
    return PlainBroker(SimClock()).candles(7, start_ns, start_ns + (n - 1) * MINUTE_NS)


def test_an_answer_comes_back(store: FetchRepository, database: Database) -> None:
    bars = candles(SESSION.open_ns, 375)
    fetched = [Fetched(5, BEFORE.day, BEFORE.close_ns, 0, True), Fetched(5, DAY, SESSION.close_ns, 375, True)]
    gaps = [Gap(5, BEFORE.open_ns, BEFORE.close_ns, "nothing", 375)]
    assert store.save(5, bars, fetched, gaps, KNOWN) == WriteReport(inserted=375)
    assert store.fetched([5, 6], BEFORE.day, DAY) == fetched
    assert store.fetched([5], DAY, DAY) == fetched[1:]
    assert store.fetched([6], BEFORE.day, DAY) == []
    repository = BarRepository(database)
    assert repository.gaps([5], *ALL) == gaps
    assert repository.read([5], *ALL, Source.BROKER).tobytes() == bars.tobytes()
    before = digests(database)
    assert store.save(5, bars, fetched, gaps, KNOWN + 1) == WriteReport(unchanged=375)
    assert digests(database) == before


def test_an_answer_without_candles_is_kept_too(store: FetchRepository, database: Database) -> None:
    fetched = [Fetched(5, DAY, SESSION.close_ns, 0, True)]
    assert store.save(5, empty(BAR), fetched, [], KNOWN) == WriteReport()
    assert store.fetched([5], DAY, DAY) == fetched


def test_a_gap_that_is_filled_goes_and_others_stay(store: FetchRepository, database: Database) -> None:
    repository = BarRepository(database)
    theirs = Gap(6, SESSION.open_ns, SESSION.close_ns, "not asked", 375)
    older = Gap(5, BEFORE.open_ns, BEFORE.open_ns + MINUTE_NS, "not in the imported file", 1)
    filled = Gap(5, SESSION.open_ns + MINUTE_NS, SESSION.open_ns + 3 * MINUTE_NS, "not in the imported file", 2)
    later = Gap(5, SESSION.open_ns + 200 * MINUTE_NS, SESSION.open_ns + 201 * MINUTE_NS, "not in the imported file", 1)
    named = replace(filled, start_ns=filled.start_ns + 9 * MINUTE_NS, end_ns=filled.end_ns + 9 * MINUTE_NS)
    repository.save_gaps([theirs, older, filled, later, named])
    until = SESSION.open_ns + 100 * MINUTE_NS
    asked = [Fetched(5, DAY, until, 98, False)]
    store.save(5, candles(SESSION.open_ns, 100), asked, [replace(named, reason="no candle")], KNOWN)
    assert repository.gaps([5, 6], *ALL) == [older, replace(named, reason="no candle"), later, theirs]
    whole = Gap(5, until, SESSION.close_ns, "no answer", 275)
    store.save(5, empty(BAR), [], [whole], KNOWN)
    assert repository.gaps([5], *ALL) == [older, replace(named, reason="no candle"), whole]


def test_a_later_answer_replaces_the_day(store: FetchRepository) -> None:
    store.save(5, candles(SESSION.open_ns, 10), [Fetched(5, DAY, SESSION.open_ns + 10 * MINUTE_NS, 10, False)], [], KNOWN)
    done = Fetched(5, DAY, SESSION.close_ns, 375, True)
    assert store.save(5, candles(SESSION.open_ns, 375), [done], [], KNOWN) == WriteReport(inserted=365, unchanged=10)
    assert store.fetched([5], DAY, DAY) == [done]


def test_an_empty_answer_is_remembered_and_takes_no_gap_of_stored_candles(store: FetchRepository, database: Database) -> None:
    repository = BarRepository(database)
    gap = Gap(5, SESSION.open_ns + 9 * MINUTE_NS, SESSION.open_ns + 10 * MINUTE_NS, "no candle", 1)
    store.save(5, candles(SESSION.open_ns, 9), [Fetched(5, DAY, SESSION.close_ns, 9, True)], [gap], KNOWN)
    empty_again = Fetched(5, DAY, SESSION.close_ns, 9, False, KNOWN)
    for known_ns in (KNOWN, KNOWN + 1):
        assert store.save(5, empty(BAR), [empty_again], [], known_ns) == WriteReport()
        assert store.fetched([5], DAY, DAY) == [empty_again]
        assert repository.gaps([5], *ALL) == [gap]
    store.save(5, candles(SESSION.open_ns, 10), [Fetched(5, DAY, SESSION.close_ns, 10, True)], [], KNOWN)
    assert store.fetched([5], DAY, DAY) == [Fetched(5, DAY, SESSION.close_ns, 10, True)]
    assert repository.gaps([5], *ALL) == []


def test_bars_days_and_gaps_are_stored_together_or_not_at_all(store: FetchRepository, database: Database) -> None:
    before = digests(database)
    bars = candles(SESSION.open_ns, 375)
    impossible = Fetched(5, DAY, SESSION.close_ns, -1, True)
    gap = Gap(5, BEFORE.open_ns, BEFORE.close_ns, "nothing", 375)
    with pytest.raises(StorageError, match="refused"):
        store.save(5, bars, [impossible], [gap], KNOWN)
    assert digests(database) == before
    assert BarRepository(database).read([5], *ALL).shape == (0,)


def test_what_the_broker_says_becomes_the_best_version(store: FetchRepository, database: Database) -> None:
    repository = BarRepository(database)
    imported = candles(SESSION.open_ns, 3)
    imported["close"] += 0.2
    repository.write([5], imported, Source.IMPORT, KNOWN)
    bars = candles(SESSION.open_ns, 375)
    assert store.save(5, bars, [Fetched(5, DAY, SESSION.close_ns, 375, True)], [], KNOWN) == WriteReport(inserted=375)
    assert repository.read([5], *ALL).tobytes() == bars.tobytes()
    assert repository.read([5], *ALL, Source.IMPORT).tobytes() == imported.tobytes()


def test_a_whole_run_and_its_repetition(store: FetchRepository, database: Database) -> None:
    listed = InstrumentRepository(database).upsert([Instrument("NSE", "AAA"), Instrument("NSE", "NIFTY 50", Kind.INDEX)])
    targets: list[Target] = [(instrument, 50 + k) for k, instrument in enumerate(listed)]
    repository = BarRepository(database)
    brokers = []

    async def main(clock: Clock) -> BackfillReport:
        brokers.append(broker := PlainBroker(clock, extra=[SESSION.open_ns - MINUTE_NS]))
        manager = BackfillManager(broker, store, repository, SESSIONS, clock, lambda *_: None, in_thread=False)
        return await manager.run(targets, date(2025, 1, 1), DAY)

    first = virtual(main, midnight_ns(DAY) + DAY_NS + 8 * 60 * MINUTE_NS)
    n = sum(s.minutes for s in SESSIONS.between(date(2025, 1, 1), DAY))
    assert first.complete
    assert (first.written, first.rejected) == (WriteReport(inserted=2 * n), 2)
    before = digests(database)
    again = virtual(main, midnight_ns(DAY) + 2 * DAY_NS)
    assert (again.planned, brokers[1].asked) == (0, [])
    assert digests(database) == before
    bars = repository.read([i.id for i in listed], *ALL)
    assert np.isnan(bars["volume"][bars["inst"] == 1]).all()
    wanted = brokers[0].candles(50, SESSIONS.get(date(2025, 1, 1)).open_ns, SESSION.close_ns)
    wanted = wanted[wanted["ts_ns"] != SESSION.open_ns - MINUTE_NS]
    assert bars[bars["inst"] == 0].tobytes() == wanted.tobytes()
    with psycopg.connect(database.dsn) as connection:
        rows = connection.execute("SELECT symbol, reason, ts FROM quarantine ORDER BY symbol").fetchall()
    assert [(symbol, reason) for symbol, reason, _ in rows] == [("AAA", "out_of_session"), ("NIFTY 50", "out_of_session")]
