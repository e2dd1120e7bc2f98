from __future__ import annotations

import json
import struct
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from database_cases import make_known
from intraday.database import schema
from intraday.database.bars import BarRepository
from intraday.database.digests import digest, digests
from intraday.database.features import FeatureRepository
from intraday.database.instruments import InstrumentRepository
from intraday.database.labels import LabelRepository
from intraday.database.models import ModelRepository
from intraday.database.pool import Database
from intraday.database.runs import RunRepository
from intraday.domain.arrays import BAR, DAY_NS, GRID_ORIGIN_NS, LABEL, MINUTE_NS, Labels, empty
from intraday.domain.errors import ArtifactError, StorageError
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.ports import FeatureSetRecord, ModelRecord, RunDay, Source, WriteReport
from intraday.domain.session import Session

pytestmark = pytest.mark.integration
DAY = GRID_ORIGIN_NS + 7305 * DAY_NS
IDS = [41, 7]
NAMES = ("rsi_14", 'odd "name"', "sigma")
SET = FeatureSetRecord("abc123", 5, NAMES, '{"b": 1, "a": {"warmup": 3}}')


@pytest.fixture
def features(database: Database) -> FeatureRepository:
    store = FeatureRepository(database)
    store.register(SET)
    return store


def matrix(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n decision bars of both instruments in order of (ts, inst); some values missing."""
    x = np.random.default_rng(seed).normal(size=(2 * n, 3)).astype(np.float32)
    x[::5, 1] = np.nan
    return np.repeat(DAY + 5 * MINUTE_NS * np.arange(n), 2), np.tile(np.array([0, 1], np.int32), n), x


def assert_read(store: FeatureRepository, source: Source, wanted: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    found = store.read(SET.id, source, IDS, 0, 2**63 - 1)
    assert [a.dtype for a in found] == [np.dtype("i8"), np.dtype("i4"), np.dtype("f4")]
    assert [a.tobytes() for a in found] == [np.ascontiguousarray(a).tobytes() for a in wanted]


def test_vectors_come_back_bit_for_bit(features: FeatureRepository) -> None:
    ts, inst, x = matrix(200)
    x.view(np.uint32)[3] = (0x7FC00001, 0x80000000, 1)  # a NaN with a payload, minus zero, the smallest denormal
    order = np.random.default_rng(2).permutation(ts.shape[0])
    assert features.write(SET.id, Source.HISTORY, IDS, ts[order], inst[order], x[order]) == WriteReport(inserted=400)
    assert_read(features, Source.HISTORY, (ts, inst, x))
    assert features.read(SET.id, Source.REPLAY, IDS, 0, 2**63 - 1)[2].shape == (0, 3)


def test_vectors_are_written_only_where_they_differ(features: FeatureRepository, database: Database) -> None:
    ts, inst, x = matrix(50)
    features.write(SET.id, Source.HISTORY, IDS, ts, inst, x)
    features.write(SET.id, Source.REPLAY, IDS, ts, inst, x + 1)
    before = digests(database)
    assert features.write(SET.id, Source.HISTORY, IDS, ts, inst, x) == WriteReport(unchanged=100)
    assert digests(database) == before
    x[7, 2] += 1
    keep = np.arange(100) != 30  # one bar is no longer there
    assert features.write(SET.id, Source.HISTORY, IDS, ts[keep], inst[keep], x[keep]) == WriteReport(unchanged=98, revised=2)
    assert_read(features, Source.HISTORY, (ts[keep], inst[keep], x[keep]))
    assert_read(features, Source.REPLAY, (ts, inst, matrix(50)[2] + 1))


def test_a_long_write_of_vectors_holds_up_no_bar(features: FeatureRepository, dsn: str) -> None:
    """In the middle of it the same instruments' minute is stored: a live run must not wait for what can be made again."""
    ts, inst, x = matrix(5)
    features.write(SET.id, Source.HISTORY, IDS, ts, inst, x)
    bars = empty(BAR, 1)
    bars["ts_ns"], bars["open"], bars["high"], bars["low"], bars["close"] = ts[0], 2.0, 2.0, 2.0, 2.0
    reports = []
    with Database(dsn) as long, Database(dsn, statement_timeout_s=2) as other:
        plain = long.arrow

        def arrow(query: str) -> pa.Table:
            reports.append(BarRepository(other).write(IDS, bars, Source.IMPORT, 5))
            return plain(query)

        long.arrow = arrow  # type: ignore[method-assign]
        FeatureRepository(long).write(SET.id, Source.HISTORY, IDS, ts, inst, x + 1)
    assert reports == [WriteReport(inserted=1)]


def test_a_feature_set_is_registered_once(features: FeatureRepository, database: Database) -> None:
    before = digest(database, "feature_sets")
    features.register(SET)
    assert digest(database, "feature_sets") == before
    with pytest.raises(StorageError, match="other columns"):
        features.register(FeatureSetRecord(SET.id, 15, NAMES, "{}"))
    with pytest.raises(StorageError, match="letters, digits"):
        features.register(FeatureSetRecord("a;b", 5, NAMES, "{}"))
    with pytest.raises(StorageError, match="expected a registered feature set, found no 'unknown'"):
        features.read("unknown", Source.HISTORY, IDS, 0, 1)


def test_the_view_shows_vectors_by_name(features: FeatureRepository, database: Database) -> None:
    ts, inst, x = matrix(3)
    features.write(SET.id, Source.HISTORY, IDS, ts, inst, x)
    with database.autocommit() as connection:
        rows = connection.execute(
            'SELECT rsi_14, "odd ""name""", sigma FROM features_abc123 ORDER BY ts, instrument_id DESC'
        ).fetchall()
    np.testing.assert_array_equal(np.array(rows, dtype=np.float32), x)


def test_sql_decodes_every_kind_of_float32(database: Database) -> None:
    rng = np.random.default_rng(5)
    bits = np.concatenate([rng.integers(0, 2**32, 3000, dtype=np.uint32), np.arange(0, 2**32, 2**23, dtype=np.uint32)])
    special = np.array([0, 1, 0x80000000, 0x80000001, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000], np.uint32)
    bits = np.concatenate([special, bits])
    with database.autocommit() as connection:
        rows = connection.execute(
            "SELECT float4send(feature_at(%s, i)) FROM generate_series(0, %s) i ORDER BY i", (bits.tobytes(), len(bits) - 1)
        ).fetchall()
    found = np.array([struct.unpack(">I", row[0])[0] for row in rows], dtype=np.uint32)
    nan = np.isnan(bits.view(np.float32))
    np.testing.assert_array_equal(found[~nan], bits[~nan])
    assert np.isnan(found[nan].view(np.float32)).all()


def labels_of(n: int) -> Labels:
    labels = empty(LABEL, 2 * n)
    rng = np.random.default_rng(3)
    labels["ts_ns"], labels["inst"], _ = matrix(n)
    labels["entry_ns"] = labels["ts_ns"] + 6 * MINUTE_NS
    labels["t1_ns"] = labels["entry_ns"] + MINUTE_NS * rng.integers(1, 60, 2 * n)
    labels["label"] = rng.integers(-1, 2, 2 * n)
    labels["barrier"] = rng.integers(0, 256, 2 * n)
    for name in ("ret_long", "ret_short", "sigma"):
        labels[name] = rng.normal(size=2 * n)
    return labels


def test_labels(database: Database) -> None:
    store = LabelRepository(database)
    store.register("tb1", '{"horizon": 60}')
    store.register("tb1", '{"horizon": 60}')
    with pytest.raises(StorageError, match="another definition"):
        store.register("tb1", '{"horizon": 30}')
    labels, end = labels_of(40), DAY + DAY_NS
    shuffled = np.random.default_rng(1).permutation(labels)
    assert store.write("tb1", IDS, shuffled, DAY, end) == WriteReport(inserted=80)
    assert store.read("tb1", IDS, 0, 2**63 - 1).tobytes() == labels.tobytes()
    before = digests(database)
    assert store.write("tb1", IDS, labels, DAY, end) == WriteReport(unchanged=80)
    assert digests(database) == before
    changed = labels[:-2].copy()
    changed["label"][0] = 1 - abs(changed["label"][0])
    assert store.write("tb1", IDS, changed, DAY, end) == WriteReport(unchanged=77, revised=3)
    assert store.read("tb1", IDS, DAY, end).tobytes() == changed.tobytes()
    assert store.write("tb1", IDS, labels[:0], DAY, end) == WriteReport(revised=78)  # an empty range is a statement too
    assert store.read("tb1", IDS, DAY, end).shape == (0,)


def test_instruments_keep_their_ids_and_their_history(database: Database) -> None:
    store = InstrumentRepository(database)
    wanted = [Instrument("NSE", "INFY"), Instrument("NSE", "NIFTY 50", Kind.INDEX), Instrument("NSE", "TCS", tick_size=10)]
    first = store.upsert(wanted)
    assert [(i.key, i.kind, i.tick_size) for i in first] == [(i.key, i.kind, i.tick_size) for i in wanted]
    assert len({i.id for i in first}) == 3
    before = digests(database)
    assert store.upsert(wanted[::-1]) == first[::-1]
    assert digests(database) == before
    assert store.all() == first
    (changed,) = store.upsert([Instrument("NSE", "TCS", tick_size=5)])
    assert (changed.id, changed.tick_size) == (first[2].id, 5)
    with database.autocommit() as connection:
        rows = connection.execute(
            "SELECT version, tick_size FROM instrument_history WHERE instrument_id = %s ORDER BY version", (changed.id,)
        ).fetchall()
    assert rows == [(1, 10), (2, 5)]


def test_sessions(database: Database) -> None:
    store = InstrumentRepository(database)
    session = Session(date(2021, 2, 24), 18682, DAY, DAY + 465 * MINUTE_NS, DAY + 400 * MINUTE_NS, "halt", ((DAY, DAY + 5),))
    other = Session(date(2021, 2, 25), 18683, DAY + DAY_NS, DAY + DAY_NS + 375 * MINUTE_NS, DAY + DAY_NS + 360 * MINUTE_NS)
    assert store.save_sessions([session, other]) == 2
    before = digests(database)
    assert store.save_sessions([other, session]) == 0
    assert digests(database) == before
    with database.autocommit() as connection:
        row = connection.execute("SELECT kind, pauses, close_ts - open_ts FROM sessions ORDER BY day LIMIT 1").fetchone()
    assert row is not None
    assert (row[0], row[1], row[2].total_seconds()) == ("halt", [[DAY, DAY + 5]], 465 * 60)


def test_models(database: Database) -> None:
    make_known(database, sets=["abc", "def", "tb1"])
    store = ModelRepository(database)
    one = ModelRecord("m1", "abc", "tb1", "var/models/m1", "edge", date(2021, 1, 1), date(2021, 2, 1), '{"z": 1,  "a": 0.1}')
    two = ModelRecord("m2", "def", "tb1", "var/models/m2", "no tradable edge", date(2021, 1, 1), date(2021, 2, 1), "{}")
    assert store.latest() is None
    store.save(one)
    store.save(two)
    before = digests(database)
    store.save(two)
    assert digests(database) == before, "the latest again changes nothing"
    assert (store.latest(), store.latest("abc"), store.latest("none")) == (two, one, None)
    store.save(one)
    assert store.latest() == one, "trained again, it is the latest again"
    store.save(ModelRecord(*(*[getattr(one, k) for k in ModelRecord.__slots__[:-1]], '{"a": 2}')))
    assert json.loads(store.get("m1").manifest) == {"a": 2}
    with pytest.raises(ArtifactError, match="found no 'm3'"):
        store.get("m3")


def test_runs(database: Database) -> None:
    store = RunRepository(database)
    store.start("r1", "replay", '{"a": 1}', DAY)
    store.finish("r1", "ok", '{"rows": 3}', DAY + 5_000_000_000)
    store.record(DAY, "import", {"files": 3})
    day = RunDay("r1", Source.REPLAY, date(2021, 6, 10), "var/journal/r1", "abc", "m1", (41, 7), 5)
    older = RunDay("r1", Source.REPLAY, date(2021, 6, 9), "var/journal/r1", "abc", "m1", (41, 7), 5)
    store.save_day(older)
    store.save_day(day)
    before = digest(database, "run_days")
    store.save_day(day)
    assert digest(database, "run_days") == before
    assert store.days() == [day, older]
    assert store.days(day.day) == [day]
    assert store.days(source=Source.TICK) == []
    make_known(database, runs=["r2"])
    again = RunDay("r2", Source.REPLAY, day.day, "var/journal/r2", "abc", "m2", (7,), 15)
    store.save_day(again)
    assert store.days(day.day, Source.REPLAY) == [again]
    with database.autocommit() as connection:
        row = connection.execute("SELECT status, summary, finished_at - started_at FROM runs").fetchone()
        event = connection.execute("SELECT kind, detail FROM events").fetchone()
    assert row is not None
    assert (row[0], row[1], row[2].total_seconds()) == ("ok", {"rows": 3}, 5.0)
    assert event == ("import", {"files": 3})


def test_every_table_and_view_says_what_it_is(database: Database) -> None:
    with database.autocommit() as connection:
        silent = connection.execute(
            """SELECT relname FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')
                 AND NOT relispartition AND obj_description(oid) IS NULL AND relname <> 'alembic_version'
                 AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')"""
        ).fetchall()
    assert silent == []


def test_migrations_run_once_and_refuse_a_newer_schema(empty_dsn: str) -> None:
    found, head = schema.current(empty_dsn)
    assert found is None
    assert schema.init(empty_dsn) == head
    assert schema.current(empty_dsn) == (head, head)
    with Database(empty_dsn) as database:
        before = digests(database)
        assert (schema.init(empty_dsn), schema.migrate(empty_dsn)) == (head, head)
        assert digests(database) == before
        with database.transaction() as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for call in (schema.migrate, schema.init, schema.plan, schema.history):
        with pytest.raises(StorageError, match="revision 9999, this program knows up to"):
            call(empty_dsn)
