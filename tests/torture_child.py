"""Work on a database whose server is killed under it: every unit that was acknowledged is one line on standard output.

Run as a program: ``torture_child.py KIND DSN [TARGET]``. The first line says that it begins, the last one that it is done.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import numpy as np

from intraday.database.bars import BarRepository
from intraday.database.moving import Mover
from intraday.database.pool import Database
from intraday.database.rollups import RollupRepository
from intraday.domain.arrays import BAR, DAY_NS, GRID_ORIGIN_NS, MINUTE_NS, Bars, empty
from intraday.domain.ports import Source

UNITS = 6
DAYS = 6
KNOWN = 5
SOURCES = (Source.IMPORT, Source.BROKER)
TURNS = 3


def bars_of(unit: int, source: Source) -> Bars:
    """A unit's minutes: whole days of one instrument, six weeks apart; the broker's differ from the import's in half of them."""
    minutes = np.arange(DAYS * 375)
    bars = empty(BAR, minutes.shape[0])
    bars["ts_ns"] = GRID_ORIGIN_NS + (7305 + 42 * unit + minutes // 375) * DAY_NS + minutes % 375 * MINUTE_NS
    prices = np.random.default_rng(unit).uniform(100, 200, minutes.shape[0]).round(2)
    prices[::2] += 0.05 * (source is Source.BROKER)
    bars["open"] = bars["high"] = bars["low"] = bars["close"] = prices
    bars["volume"] = minutes + unit
    return bars


def lower(dsn: str) -> str:
    """The revision that migrations go down to: the second, with which the timeframes were other tables."""
    from intraday.database import schema  # it brings alembic, which takes longer than most of the work here

    return schema.history(dsn)[1].id


Say = Callable[[object], None]  # a unit was acknowledged


def load(say: Say, database: Database) -> None:
    """One transaction a unit and source."""
    store = BarRepository(database)
    for unit in range(UNITS):
        for source in SOURCES:
            store.write([unit + 1], bars_of(unit, source), source, KNOWN)
            say(f"{unit} {source}")


def refresh(say: Say, database: Database) -> None:
    """Minutes, then their timeframes; a unit is acknowledged when it has both."""
    store, rollups = BarRepository(database), RollupRepository(database)
    for unit in range(UNITS):
        store.write([unit + 1], bars_of(unit, Source.BROKER), Source.BROKER, KNOWN)
        rollups.refresh()
        say(unit)


def migrate(say: Say, database: Database) -> None:
    """Down and up again; a revision is acknowledged when the call returns."""
    from intraday.database import schema

    below = lower(database.dsn)
    for _ in range(TURNS):
        say(schema.migrate(database.dsn, below, lose_data=True))
        say(schema.migrate(database.dsn))


def move(say: Say, database: Database, target: Database) -> None:
    """To another database; what was said of parts is how many are there."""
    Mover(database, target, lambda what, done, total: say(f"{what} {done}")).run()
    say("moved")


WORK: dict[str, Callable[..., None]] = {"load": load, "refresh": refresh, "migrate": migrate, "move": move}


def main(kind: str, *dsns: str) -> None:
    """Do it."""
    say = partial(print, flush=True)
    databases = [Database(dsn) for dsn in dsns]
    for database in databases:
        with database.autocommit():
            pass
    say("begin")
    WORK[kind](say, *databases)
    say("end")


if __name__ == "__main__":
    main(*sys.argv[1:])
