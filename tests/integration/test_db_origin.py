from __future__ import annotations

import pytest

from intraday.database.pool import Database
from intraday.database.stores import Stores
from intraday.domain.arrays import BAR, empty
from intraday.domain.errors import ConfigError
from intraday.domain.instruments import Instrument
from intraday.domain.ports import Source

pytestmark = pytest.mark.integration
MADE_UP = "the bundled exchange (seed 7)"


def test_a_database_is_filled_from_one_broker_only(database):
    origin = Stores(database).origin
    origin.claim("the bundled exchange", 10**18)
    origin.claim("the bundled exchange", 2 * 10**18)
    with pytest.raises(ConfigError, match=r"holds the candles of the bundled exchange, expected those of api\.kite\.trade"):
        origin.claim("api.kite.trade", 3 * 10**18)


def write(stores: Stores, *sources: Source) -> None:
    """The same minute from each, one after the other."""
    infy = stores.instruments.upsert([Instrument("NSE", "INFY")])[0]
    for k, source in enumerate(sources):
        bar = empty(BAR, 1)
        bar["ts_ns"], bar["close"] = 1_736_221_500_000_000_000, 1500.0 + k
        stores.bars.write([infy.id], bar, source, 10**18 + k)


@pytest.mark.parametrize("sources", [(Source.IMPORT,), (Source.IMPORT, Source.BROKER), (Source.BROKER, Source.IMPORT)])
def test_made_up_prices_do_not_join_imported_ones_be_these_the_best_or_not(database: Database, sources: tuple[Source, ...]) -> None:
    stores = Stores(database)
    write(stores, *sources)
    with pytest.raises(
        ConfigError, match=r"imported candles, and those of .* are made up: .* Set system\.data_dir .*; or work on what is stored"
    ):
        stores.origin.claim(MADE_UP, 10**18, made_up=True)
    stores.origin.claim("api.kite.trade", 10**18)  # nothing was claimed, and real prices may come to imported ones


def test_made_up_prices_join_what_is_their_own(database: Database) -> None:
    stores = Stores(database)
    stores.origin.claim(MADE_UP, 10**18, made_up=True)
    write(stores, Source.BROKER, Source.TICK, Source.REPLAY)
    stores.origin.claim(MADE_UP, 10**18, made_up=True)
    write(stores, Source.IMPORT)
    with pytest.raises(ConfigError, match=r"imported candles.* Set X, and import there again$"):  # here is a mixture
        stores.origin.claim(MADE_UP, 10**18, made_up=True, change="X")


def test_one_program_at_a_time(database, dsn):
    with Database(dsn) as other:
        with database.exclusive("live"):
            with pytest.raises(ConfigError, match=r"another `intraday live` writes to this database since \d{4}-.* IST: stop it"):
                with other.exclusive("live"):
                    raise AssertionError("two of them")
            with other.exclusive("replay"):
                pass
        with other.exclusive("live"):
            pass
