"""Circuit limits and dated ticks in the database."""

from __future__ import annotations

from datetime import date

import numpy as np
import psycopg
import pytest

from intraday.database import schema
from intraday.database.pool import Database
from intraday.database.stores import Stores
from intraday.domain.instruments import Instrument
from intraday.domain.limits import LIMIT, Limits, TickSize
from intraday.domain.ports import WriteReport
from intraday.domain.session import EPOCH, midnight_ns

pytestmark = pytest.mark.integration
DAY = date(2025, 3, 20)
NUMBER = (DAY - EPOCH).days
MORNING = midnight_ns(DAY) + 9 * 3_600 * 10**9


def limits(*rows: tuple[int, int, int, int, int]) -> Limits:
    return np.array(list(rows), LIMIT)


def test_limits_are_kept_by_when_they_were_known(database: Database) -> None:
    stores = Stores(database)
    a, b = (i.id for i in stores.instruments.upsert([Instrument("NSE", "A"), Instrument("NSE", "B")]))
    first = limits((a, NUMBER, 9_000, 11_000, MORNING), (b, NUMBER, 18_000, 22_005, MORNING))
    assert stores.limits.write(first, "Kite") == WriteReport(inserted=2)
    assert stores.limits.write(first, "Kite") == WriteReport(unchanged=2)
    later = limits((a, NUMBER, 9_000, 11_000, MORNING + 10**9), (b, NUMBER, 18_000, 23_000, MORNING + 10**9))
    assert stores.limits.write(later, "Kite") == WriteReport(inserted=1, unchanged=1)  # one of them was moved
    wrong = limits((a, NUMBER, 8_000, 11_000, MORNING))
    assert stores.limits.write(wrong, "list.csv") == WriteReport(revised=1)
    found = stores.limits.read([a, b], DAY, DAY)
    assert found.tolist() == [
        (a, NUMBER, 8_000, 11_000, MORNING), (b, NUMBER, 18_000, 22_005, MORNING), (b, NUMBER, 18_000, 23_000, MORNING + 10**9)
    ]  # fmt: skip
    assert len(stores.limits.read([a], DAY, DAY)) == 1
    assert len(stores.limits.read([a, b], date(2025, 3, 21), date(2025, 4, 1))) == 0
    assert stores.limits.write(limits(), "none") == WriteReport()


def test_an_earlier_version_that_comes_later_is_kept_too(database: Database) -> None:
    stores = Stores(database)
    (a,) = (i.id for i in stores.instruments.upsert([Instrument("NSE", "A")]))
    stores.limits.write(limits((a, NUMBER, 9_000, 11_000, MORNING)), "Kite")
    assert stores.limits.write(limits((a, NUMBER, 9_000, 11_000, midnight_ns(DAY))), "list.csv") == WriteReport(inserted=1)


def test_the_way_down_is_refused_while_there_are_limits(database: Database, dsn: str) -> None:
    stores = Stores(database)
    (a,) = (i.id for i in stores.instruments.upsert([Instrument("NSE", "A")]))
    stores.limits.write(limits((a, NUMBER, 9_000, 11_000, MORNING)), "Kite")
    with pytest.raises(Exception, match="way down from revision 0009 loses the rows of price_limits"):
        schema.migrate(dsn, to="0008")
    with psycopg.connect(dsn) as connection:
        connection.execute("DELETE FROM price_limits")
    schema.migrate(dsn, to="0008")
    schema.migrate(dsn, to="0009")


def test_ticks_are_dated_by_the_list_or_the_day_they_were_stored(database: Database, dsn: str) -> None:
    stores = Stores(database)
    (a,) = (i.id for i in stores.instruments.upsert([Instrument("NSE", "A", tick_size=5)]))
    stores.instruments.upsert([Instrument("NSE", "A", tick_size=10)])
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE instrument_history SET recorded_at = '2025-03-19 20:00+00' WHERE version = 2")
        connection.execute(
            "INSERT INTO instrument_history (instrument_id, version, kind, tick_size, lot_size, valid_from) "
            "VALUES (%s, 3, 'equity', 1, 1, '2025-04-15')", (a,),
        )  # fmt: skip
    assert stores.instruments.tick_sizes([a]) == [TickSize(a, None, 5), TickSize(a, DAY, 10), TickSize(a, date(2025, 4, 15), 1)]
    assert stores.instruments.tick_sizes([]) == []
