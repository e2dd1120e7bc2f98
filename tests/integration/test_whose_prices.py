"""Whose prices a database holds, and who `all` is: made-up and real prices stay apart, played-back ones are not stored again."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from intraday.app import System, open_system
from intraday.app_broker import Endpoint, build_rest
from intraday.app_feed import build_backfill, build_listings
from intraday.cli.root import root
from intraday.config.settings import RateLimits, Settings
from intraday.database.pool import Database
from intraday.domain.arrays import BAR, MINUTE_NS, empty
from intraday.domain.clock import SystemClock
from intraday.domain.errors import ConfigError
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.ports import Source
from intraday.domain.session import SessionTable
from intraday.history.importing import ImportOptions
from intraday.jobs.exchange import OVER_THE_WIRE, open_exchange, run_at
from intraday.jobs.gather import Gathered, gather, wanted
from intraday.jobs.historical import fill_synthetic, import_bars, run_historical
from intraday.jobs.live import run_live
from job_cases import bar_files, config_file, market_of, quiet

pytestmark = pytest.mark.integration
SESSIONS = SessionTable.load()
LIMITS = RateLimits()
BROKER_TABLES = ("candle_fetches", "broker_origin", "instrument_dumps", "instrument_listings", "instrument_tokens")


def simulated(settings: Settings, seed: int = 7, **changed: object) -> Settings:
    """``settings`` with the bundled exchange as broker, over a market of that seed."""
    simulator = settings.broker.simulator.model_copy(update=changed)
    broker = settings.broker.model_copy(update={"feed": "simulator", "simulator": simulator})
    market = settings.trading.synthetic.model_copy(update={"seed": seed})
    trading = settings.trading.model_copy(update={"synthetic": market})
    return settings.model_copy(update={"broker": broker, "trading": trading})


def with_universe(settings: Settings, universe: object) -> Settings:
    return settings.model_copy(update={"trading": settings.trading.model_copy(update={"universe": universe})})


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[Endpoint, System]]:
    with open_exchange(settings, LIMITS, SystemClock(), speed=1.0) as endpoint, open_system(settings, endpoint.clock) as system:
        yield endpoint, system


def gathered(settings: Settings) -> Gathered:
    with opened(settings) as (endpoint, system):
        return gather(system, endpoint, LIMITS, quiet)


def import_real(settings: Settings) -> None:
    """A session of RELIANCE as somebody imported it."""
    session = SESSIONS.between(date(2025, 1, 1), date(2025, 1, 20))[2]
    bars = empty(BAR, session.minutes)
    bars["ts_ns"] = session.open_ns + np.arange(session.minutes) * MINUTE_NS
    for name in ("open", "high", "low", "close"):
        bars[name] = 4321.0
    bars["volume"] = 5
    with open_system(settings, SystemClock()) as system:
        reliance = system.stores.instruments.upsert([Instrument("NSE", "RELIANCE", Kind.EQUITY, 10, 1)])[0]
        system.stores.bars.write([reliance.id], bars, Source.IMPORT, 1)


def counts(database: Database, *tables: str) -> dict[str, int]:
    with database.autocommit() as connection:
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}  # type: ignore[index]


# --------------------------------------------------------------------------------------------------------- made-up prices


def test_made_up_prices_do_not_come_before_imported_ones(settings: Settings, database: Database) -> None:
    import_real(settings)
    with pytest.raises(ConfigError, match="imported candles.*bundled exchange.*made up.*database.dsn.*broker.feed: recorded"):
        gathered(simulated(settings))
    assert set(counts(database, *BROKER_TABLES).values()) == {0}


def test_nor_do_they_when_the_import_came_later(settings: Settings, database: Database) -> None:
    chosen = with_universe(simulated(settings), ("INFY",))
    gathered(chosen)
    import_real(settings)
    before = counts(database, "bar_versions")
    with pytest.raises(ConfigError, match="imported candles"):
        gathered(with_universe(chosen, "all"))
    assert counts(database, "bar_versions") == before


def test_a_simulator_in_kites_place_is_made_up_too(settings: Settings, database: Database) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    broker = settings.broker
    with open_exchange(simulated(settings, port=port), LIMITS, SystemClock(), speed=1.0):
        at = {"rest_url": f"http://127.0.0.1:{port}", "ws_url": f"ws://127.0.0.1:{port}", "clock": "simulator"}
        changed = broker.model_copy(update={"feed": "kite", "api_key": _Key("simkey"), "kite": broker.kite.model_copy(update=at)})
        with open_exchange(settings.model_copy(update={"broker": changed}), LIMITS, SystemClock()) as endpoint:
            assert endpoint.made_up
    broker = broker.model_copy(update={"feed": "kite", "api_key": _Key("simkey")})
    with open_exchange(settings.model_copy(update={"broker": broker}), LIMITS, SystemClock()) as endpoint:
        assert not endpoint.made_up


class _Key(str):
    """An API key as the settings hold it."""

    def get_secret_value(self) -> str:
        return str(self)


def test_two_made_up_markets_do_not_share_a_database(settings: Settings) -> None:
    chosen = with_universe(settings, ("INFY",))
    gathered(simulated(chosen, seed=7))
    message = r"\(seed 7, 5 instruments from 2025-01-01, edge 2\), expected those of the bundled exchange \(seed 8, 5 instruments"
    with pytest.raises(ConfigError, match=message):
        gathered(simulated(chosen, seed=8))


# ----------------------------------------------------------------------------------------------------- played-back prices


@pytest.fixture
def filled(settings: Settings) -> Settings:
    """Ten sessions of imported candles, without derivatives, and with an hour missing."""
    with open_system(settings, SystemClock()) as system:
        market = market_of(settings)
        fill_synthetic(system, market, range(10), quiet)
        session = market.sessions[2]
        with system.database.transaction() as connection:
            connection.execute(
                "DELETE FROM ohlcv_1min WHERE instrument_id = 1 AND ts >= to_timestamp(%s) AND ts < to_timestamp(%s)",
                (session.open_ns / 1e9 + 3600, session.open_ns / 1e9 + 7200),
            )
    return settings


@pytest.mark.slow
def test_what_the_database_plays_back_is_not_stored_again(filled: Settings, database: Database) -> None:
    before = counts(database, "bar_versions", "instruments")
    chosen = simulated(filled, source="database", start="15:20", speed=30.0)
    result = run_historical(chosen, SystemClock(), quiet)
    assert (result.summary["instruments"], result.summary["backfill_requests"], result.summary["sessions"]) == (5, 0, 10)
    assert set(counts(database, *BROKER_TABLES).values()) == {0}
    assert counts(database, "bar_versions", "instruments") == before
    lived = run_live(chosen, SystemClock(), quiet, write=quiet_line).summary
    assert lived["candles"] > 0
    assert set(counts(database, *BROKER_TABLES).values()) == {0}
    with database.autocommit() as connection:
        assert connection.execute("SELECT count(*) FROM bar_versions WHERE source IN ('broker', 'tick')").fetchone() == (0,)
        assert connection.execute("SELECT DISTINCT source FROM run_days").fetchall() == [("replay",)]  # no live day
    with open_system(filled, SystemClock()) as system:
        system.stores.origin.claim("api.kite.trade", 1)


def quiet_line(text: str) -> None:
    """No output wanted."""


def test_commands_that_fetch_say_that_there_is_nothing_to_fetch(filled: Settings, dsn: str, tmp_path: Path) -> None:
    path = config_file(simulated(filled, source="database"), tmp_path / "config.yaml")
    for words in ("backfill", "backfill --dry-run", "instruments sync"):
        result = CliRunner().invoke(root, [*words.split(), "--config", str(path)], env={"INTRADAY__DATABASE__DSN": dsn})
        assert result.exit_code == ConfigError.exit_code, result.output
        assert "broker.simulator.source: database plays back what is stored" in " ".join(result.stderr.split())


def test_an_earlier_day_than_that_of_the_list_is_told_what_to_do(settings: Settings) -> None:
    chosen = with_universe(settings, ("INFY",))
    gathered(simulated(chosen, day=date(2025, 1, 17)))
    with pytest.raises(ConfigError, match="stored list of NSE is of 2025-01-17.*2025-01-10.*system.data_dir"):
        gathered(simulated(chosen, day=date(2025, 1, 10)))


# ---------------------------------------------------------------------------------------------------------- who `all` is


def test_all_is_the_same_after_a_kill(settings: Settings) -> None:
    with opened(simulated(settings)) as (endpoint, system):

        async def killed_after_one_request() -> int:
            async with build_rest(endpoint, LIMITS, system.settings) as rest:
                listings = build_listings(system, rest, endpoint.clock)
                await listings.sync()
                everyone = wanted(system, LIMITS)
                tokens = listings.tokens(everyone, endpoint.today)
                one = [(i, tokens[i.id]) for i in everyone][:1]
                await build_backfill(system, rest, endpoint.clock, quiet).run(one, endpoint.today - timedelta(5), endpoint.today)
                return len(everyone)

        assert run_at(endpoint, killed_after_one_request) == 5
        assert [i.id for i in gather(system, endpoint, LIMITS, quiet).instruments] == [i.id for i in wanted(system, LIMITS)]
        assert len(wanted(system, LIMITS)) == 5


def test_all_of_kites_list_is_more_than_can_be_carried(settings: Settings) -> None:
    few = LIMITS.model_copy(
        update={"websocket": LIMITS.websocket.model_copy(update={"connections": 1, "instruments_per_connection": 4})}
    )
    with opened(simulated(settings)) as (endpoint, system):
        with pytest.raises(ConfigError, match="trading.universe: all is 5 instruments, expected at most 4: name some"):
            gather(system, endpoint, few, quiet)
        assert counts(system.database, "candle_fetches", "bar_versions") == {"candle_fetches": 0, "bar_versions": 0}


def test_all_of_an_import_is_what_was_imported(filled: Settings) -> None:
    assert filled.broker.feed not in OVER_THE_WIRE
    with open_system(filled, SystemClock()) as system:
        assert len(system.universe()) == 5


def test_the_commands_on_a_played_back_list(filled: Settings, dsn: str, tmp_path: Path) -> None:
    """`universe show` needs no list of a broker."""
    path = config_file(simulated(filled, source="database"), tmp_path / "config.yaml")
    result = CliRunner().invoke(root, ["universe", "show", "--json", "--config", str(path)], env={"INTRADAY__DATABASE__DSN": dsn})
    assert len(json.loads(result.stdout)["members"]) == 5


def test_real_candles_are_not_imported_into_a_made_up_market(settings: Settings, tmp_path: Path) -> None:
    """The other way round is refused too: working on both afterwards would mix them."""
    with open_system(settings, SystemClock()) as system:
        system.stores.origin.claim("a simulator", 10**18, made_up=True)
    files = bar_files(tmp_path / "bars", market_of(settings), 1)
    with pytest.raises(ConfigError, match="holds the made-up candles of a simulator"):
        import_bars(settings, [files], ImportOptions(), SystemClock(), quiet)
