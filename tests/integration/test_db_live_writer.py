from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote, urlencode

import numpy as np
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from database_cases import make_known
from intraday.database.bars import BarRepository
from intraday.database.copying import stamp
from intraday.database.digests import digests
from intraday.database.features import FeatureRepository
from intraday.database.live_writer import LiveWriter
from intraday.database.pool import Database
from intraday.database.rollups import RollupRepository
from intraday.database.signals import SignalRepository
from intraday.domain.arrays import BAR, DAY_NS, GRID_ORIGIN_NS, MINUTE_NS, Bars, empty
from intraday.domain.errors import StorageError
from intraday.domain.events import Action, Alert, Effect, RequestBackfill, SaveBars, SaveFeatures, SaveSignals, Signal
from intraday.domain.ports import FeatureSetRecord, Source

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
DAY = GRID_ORIGIN_NS + 7305 * DAY_NS
IDS = (41, 7, 300)
SET = FeatureSetRecord("abc123", 5, ("rsi", "sigma"), "{}")


@pytest.fixture(autouse=True)
def runs(database: Database) -> None:
    make_known(database, runs=["r1", "r2"])


def minute_of(k: int) -> Bars:
    bars = empty(BAR, 3)
    bars["ts_ns"], bars["inst"] = DAY + k * MINUTE_NS, np.arange(3)
    bars["open"], bars["high"], bars["low"], bars["close"] = 100 + k, 102 + k, 99 + k, 101.05 + k
    bars["volume"] = [10, np.nan, 2**40]
    bars["n_ticks"], bars["flags"] = 5, 1
    return bars


def signal_of(inst: int, k: int, action: Action = Action.BUY) -> Signal:
    said = action is not Action.HOLD
    level = 100.05 if said else float("nan")
    note = "shorts assumed; Rs ü" if said else ("", "open signal since 09:20")[k % 2]
    reasons = (("rsi_14", 0.1 + 0.2), ('odd "name" ü', 1e-300)) if said else ()
    return Signal(
        inst, DAY + k * MINUTE_NS, DAY + (k + 1) * MINUTE_NS + 123_456_789, action, 0.51, 0.2, 0.29, 0.51, 101.5, level, level,
        DAY + (k + 9) * MINUTE_NS + 1, True, "m1", expected=-1 / 3 if said else float("nan"), chase=level,
        quantity=120 if said else 0, reasons=reasons, note=note,
    )  # fmt: skip


def effects_of(k: int) -> list[Effect]:
    """One minute's effects: bars, a late correction of the minute before, vectors, signals, an alert and one that is not stored."""
    now = DAY + (k + 1) * MINUTE_NS + 1_500_000_000
    effects: list[Effect] = [SaveBars(minute_of(k), now)]
    if k:
        late = minute_of(k - 1)[:1]
        late["close"] += 0.5
        late["flags"] = 3
        effects.append(SaveBars(late, now + 1000))
    x = np.array([[k, np.nan], [k + 0.5, 1e-40]], dtype=np.float32)
    effects.append(SaveFeatures(DAY + k * MINUTE_NS, np.array([2, 0], np.int32), x, now))
    effects.append(SaveSignals(DAY + k * MINUTE_NS, [signal_of(0, k), signal_of(2, k, Action.HOLD)]))
    effects.append(Alert(now, "info", "signal", f"minute {k}", signal_of(0, k)))
    effects.append(RequestBackfill(DAY, DAY + 1, "test"))
    return effects


def writer_on(database: Database, run_id: str = "r1") -> LiveWriter:
    return LiveWriter(database, IDS, Source.REPLAY, SET.id, run_id)


async def test_a_minute_is_stored_and_read_back(database: Database) -> None:
    FeatureRepository(database).register(SET)
    async with writer_on(database) as writer:
        for k in range(3):
            await writer.write(effects_of(k))
    bars = BarRepository(database).read(IDS, DAY, DAY + DAY_NS, Source.REPLAY)
    wanted = np.concatenate([minute_of(k) for k in range(3)])
    for k in range(2):
        wanted["close"][3 * k] += 0.5
        wanted["flags"][3 * k] = 3
    assert bars.tobytes() == wanted.tobytes()
    ts, inst, x = FeatureRepository(database).read(SET.id, Source.REPLAY, IDS, DAY, DAY + DAY_NS)
    assert (ts - DAY).tolist() == [k * MINUTE_NS for k in (0, 0, 1, 1, 2, 2)]
    assert inst.tolist() == [0, 2] * 3
    assert x[0].tobytes() == np.array([0.5, 1e-40], np.float32).tobytes()
    assert np.isnan(x[1, 1])
    signals = SignalRepository(database).read(Source.REPLAY, IDS, DAY, DAY + DAY_NS, "m1")
    wanted_signals = [signal_of(i, k, a) for k in range(3) for i, a in ((0, Action.BUY), (2, Action.HOLD))]
    assert repr(signals) == repr(wanted_signals)  # NaN is not equal to itself, its text is
    assert SignalRepository(database).read(Source.TICK, IDS, DAY, DAY + DAY_NS) == []
    RollupRepository(database).refresh()
    with database.autocommit() as connection:
        assert connection.execute("SELECT level, topic, content FROM alerts ORDER BY at_ns LIMIT 1").fetchone() == (
            "info",
            "signal",
            "minute 0",
        )
        assert connection.execute("SELECT n_minutes, close FROM ohlcv_5min WHERE instrument_id = 41").fetchone() == (3, 103.05)


async def test_running_the_day_again_changes_no_row(database: Database) -> None:
    FeatureRepository(database).register(SET)
    async with writer_on(database) as writer:
        for k in range(4):
            await writer.write(effects_of(k))
    before = digests(database)
    async with writer_on(database, "r2") as writer:
        for k in range(4):
            await writer.write(effects_of(k))
    assert digests(database) == before


async def test_a_changed_decision_replaces_the_stored_one(database: Database) -> None:
    async with writer_on(database) as writer:
        await writer.write([SaveSignals(DAY, [signal_of(0, 0)])])
        await writer.write([SaveSignals(DAY, [signal_of(0, 0, Action.SELL)])])
        changed = replace(signal_of(0, 0, Action.SELL), reasons=(("vwap_dist", 0.7),), note="other", quantity=7, chase=1.0)
        await writer.write([SaveSignals(DAY, [changed])])
    (found,) = SignalRepository(database).read(Source.REPLAY, IDS, DAY, DAY + 1)
    assert found.action is Action.SELL
    assert repr(found) == repr(changed)


async def test_one_bad_effect_stores_none(database: Database) -> None:
    bad = minute_of(0)
    bad["n_ticks"] = 2**40  # does not fit the column
    async with writer_on(database) as writer:
        before = digests(database)
        with pytest.raises(StorageError):
            await writer.write([*effects_of(1), SaveBars(bad, DAY)])
        assert digests(database) == before
        await writer.write(effects_of(1))  # and the writer goes on
    assert len(BarRepository(database).read(IDS, DAY, DAY + DAY_NS)) == 4


@pytest.mark.parametrize(
    "more",
    [
        "connect_timeout=10 channel_binding=prefer",
        "keepalives=1 gssencmode=disable application_name=mine",
        "host=first,second",
    ],
)
async def test_it_goes_where_everything_else_goes(dsn: str, more: str) -> None:
    """Whatever libpq understands of a DSN, in either form."""
    parts = conninfo_to_dict(make_conninfo(dsn, options="-c search_path=elsewhere,public"))
    given = conninfo_to_dict(more)
    if "," in str(given.get("host", "")):
        given |= {"host": f"/nowhere,{parts['host']}", "port": f"1,{parts['port']}"}  # the second one answers
    for at in (make_conninfo("", **{**parts, **given}), f"postgresql:///?{urlencode({**parts, **given}, quote_via=quote)}"):
        with Database(at, live_timeout_s=7.0) as database:
            async with writer_on(database) as writer:
                connection = await writer._connected()
                assert await connection.fetchval("SHOW search_path") == "elsewhere,public"
                assert await connection.fetchval("SHOW statement_timeout") == "7s"
                assert await connection.fetchval("SHOW application_name") == given.get("application_name", "intraday")


async def test_what_retention_dropped_does_not_come_back(database: Database) -> None:
    with database.autocommit() as connection:
        connection.execute("INSERT INTO kept_from VALUES ('bars', %s), ('signals', %s)", (stamp(DAY + DAY_NS), stamp(DAY + DAY_NS)))
    async with writer_on(database) as writer:
        before = digests(database)
        for effect in (SaveBars(minute_of(0), DAY), SaveSignals(DAY, [signal_of(0, 0)])):
            with pytest.raises(StorageError, match="retention dropped"):
                await writer.write([effect])
        assert digests(database) == before
        later = minute_of(0)
        later["ts_ns"] += DAY_NS
        await writer.write([SaveBars(later, DAY + DAY_NS)])
