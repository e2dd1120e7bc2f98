"""kill -9 of the whole server while bars are loaded, timeframes refreshed, the schema migrated, a database moved.

What was acknowledged is there, nothing is there twice or in halves, the next start is clean, and doing the work again ends where
an undisturbed run ends. ``INTRADAY_TORTURE_KILLS`` is the number of kills of each kind; ``make torture-db`` has 20.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

import torture_child
from database_cases import Backend, remove_server
from embedded_cases import kill_all, postmaster
from intraday.database import schema
from intraday.database.bars import BarRepository
from intraday.database.digests import DATA_TABLES, digests
from intraday.database.embedded import EmbeddedServer
from intraday.database.instruments import InstrumentRepository
from intraday.database.moving import Mover
from intraday.database.pool import Database
from intraday.database.rollups import TIMEFRAMES, RollupRepository
from intraday.domain.errors import ConfigError
from intraday.domain.instruments import Instrument
from job_cases import quiet
from other_servers import QUICK, installations
from torture_child import DAYS, SOURCES, UNITS, WORK, bars_of, lower

pytestmark = [pytest.mark.integration, pytest.mark.slow]
KILLS = int(os.environ.get("INTRADAY_TORTURE_KILLS", "2"))
FOREVER = 2**62
PRELOADED = {"shared_preload_libraries": "'timescaledb'", "timescaledb.telemetry_level": "off"}

Contents = dict[str, tuple[int, str]]


class Server:
    """A server of ours to be killed, and how to get databases on it."""

    def __init__(self, embedded: EmbeddedServer, kind: str) -> None:
        self.embedded = embedded
        self.backend = Backend(kind, embedded.start())

    def kill(self) -> None:
        """All its processes at once; then the next start."""
        kill_all(self.embedded.data)
        assert self.embedded.stop() is True
        self.embedded.start()

    @property
    def log(self) -> str:
        """Its own words."""
        return (self.embedded.data.parent / "server.log").read_text("utf-8")


@pytest.fixture(scope="module", params=["postgresql", "timescaledb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """TimescaleDB takes part where it is installed, in the long version. Without fsync: a kill, unlike a power cut, leaves the
    operating system with everything that was written, so that fsync could hide nothing and prove nothing."""
    bindir, settings = None, QUICK
    if request.param == "timescaledb":
        found = [i for i in installations() if i.has_timescale]
        if not found or "INTRADAY_TORTURE_KILLS" not in os.environ:
            pytest.skip("TimescaleDB is not installed here" if not found else "the short version is for our own server")
        bindir, settings = found[-1].bindir, QUICK | PRELOADED
    with tempfile.TemporaryDirectory(prefix="intraday-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        embedded = EmbeddedServer(Path(folder), bindir=bindir, settings=settings)
        made = Server(embedded, request.param)
        yield made
        made.backend.close()
        embedded.stop()
        remove_server(Path(folder))


@pytest.fixture(scope="module")
def loaded(server: Server) -> Iterator[str]:
    """A database with minutes of two sources, their timeframes and some instruments; tests get copies."""
    dsn = server.backend.create()
    with Database(dsn) as database:
        InstrumentRepository(database).upsert([Instrument("NSE", f"S{n}") for n in range(UNITS)])
        torture_child.load(lambda text: None, database)
        RollupRepository(database).refresh()
    yield dsn
    server.backend.drop(dsn)


def contents(database: Database) -> Contents:
    return {name: (found.rows, found.content) for name, found in digests(database, (*DATA_TABLES, *TIMEFRAMES)).items()}


@dataclass(frozen=True, slots=True)
class Run:
    """A child's work: what it acknowledged, whether it came to its end, how long that took."""

    said: list[str]
    done: bool
    seconds: float


def work(kind: str, dsns: Sequence[str], disturb: Callable[[subprocess.Popen[str]], None]) -> Run:
    """Let a child work; ``disturb`` is called when it begins."""
    process = subprocess.Popen(
        [sys.executable, torture_child.__file__, kind, *dsns], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None
    first = process.stdout.readline()
    begin = perf_counter()
    disturb(process)
    out, trouble = process.communicate(timeout=120)
    assert first == "begin\n", trouble
    said = out.split("\n")[:-1]  # a line without its end was not said
    done = said[-1:] == ["end"]
    assert done or "StorageUnavailable" in trouble, trouble
    return Run(said[:-1] if done else said, done, perf_counter() - begin)


def again(kind: str, dsns: Sequence[str]) -> list[str]:
    """The same work once more, undisturbed; what it acknowledged."""
    said: list[str] = []
    with ExitStack() as stack:
        databases = [stack.enter_context(Database(dsn)) for dsn in dsns]
        WORK[kind](lambda text: said.append(str(text)), *databases)
    return said


# ------------------------------------------------------------------------------------------------- what holds after a kill


def after_load(dsns: Sequence[str], said: Sequence[str]) -> None:
    """Every acknowledged unit, bit for bit; of the others all or nothing."""
    with Database(dsns[0]) as database:
        store = BarRepository(database)
        for unit in range(UNITS):
            for source in SOURCES:
                found = store.read([unit + 1], 0, FOREVER, source)
                if found.shape[0] or f"{unit} {source}" in said:
                    assert found.tobytes() == bars_of(unit, source).tobytes(), (unit, source)
            assert store.read([unit + 1], 0, FOREVER).shape[0] in {0, DAYS * 375}


def after_refresh(dsns: Sequence[str], said: Sequence[str]) -> None:
    """Timeframes that were acknowledged say what their minutes say; of others, notes know that they do not yet."""
    with Database(dsns[0]) as database, database.autocommit() as connection:
        for unit in range(UNITS):
            rows = [
                connection.execute(
                    f"SELECT sum(volume)::bigint, max(high), min(low) FROM {table} WHERE instrument_id = {unit + 1}"
                ).fetchone()
                for table in ("ohlcv_1min", *TIMEFRAMES)
            ]
            pending = connection.execute("SELECT count(*) FROM rollup_pending").fetchone() != (0,)
            assert rows == [rows[0]] * 4 or (pending and str(unit) not in said), (unit, rows)
            assert rows[0] != (None, None, None) or str(unit) not in said


def after_migrate(dsns: Sequence[str], said: Sequence[str]) -> None:
    """The revision that was acknowledged last, or the one that was under way; all the minutes."""
    revision, head = schema.current(dsns[0])
    assert revision in {lower(dsns[0]), head}
    with Database(dsns[0]) as database, database.autocommit() as connection:
        row = connection.execute("SELECT count(*), count(DISTINCT (instrument_id, ts)) FROM ohlcv_1min").fetchone()
    assert row == (UNITS * DAYS * 375,) * 2


def after_move(dsns: Sequence[str], said: Sequence[str]) -> None:
    """A second run goes on with the parts that are there. One that was over but for its answer has nothing to go on with."""
    copied = max((int(line.split()[1]) for line in said if line.startswith("copy ")), default=0)
    with Database(dsns[0]) as source, Database(dsns[1]) as target:
        with suppress(ConfigError):
            moved = Mover(source, target, quiet).run()
            assert moved.resumed >= copied
            assert "moved" not in said
        assert contents(source) == contents(target)


AFTER = {"load": after_load, "refresh": after_refresh, "migrate": after_migrate, "move": after_move}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", AFTER)
def test_killed_at_work(kind: str, server: Server, request: pytest.FixtureRequest) -> None:
    backend = server.backend

    def databases() -> list[str]:
        begin = backend.copy(request.getfixturevalue("loaded")) if kind in {"migrate", "move"} else backend.create()
        return [begin, backend.create()] if kind == "move" else [begin]

    def end(dsns: Sequence[str]) -> Contents:
        schema.migrate(dsns[0])
        with Database(dsns[-1]) as database:
            RollupRepository(database).refresh()
            found = contents(database)
        for dsn in dsns:
            backend.drop(dsn)
        return found

    dsns = databases()
    whole = work(kind, dsns, lambda process: None)
    assert whole.done
    expected = end(dsns)
    assert expected["ohlcv_1min"][0] == UNITS * DAYS * 375
    assert expected["ohlcv_60min"][0] == UNITS * DAYS * 7
    rng = np.random.default_rng(20 + KILLS)
    moments = (np.arange(KILLS) + rng.uniform(0, 1, KILLS)) / KILLS * whole.seconds
    hits = 0
    for moment in moments:
        dsns = databases()

        def kill(process: subprocess.Popen[str], moment: float = moment) -> None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(moment)
            server.kill()

        run = work(kind, dsns, kill)
        assert set(run.said) <= set(whole.said)
        hits += not run.done
        assert "PANIC" not in server.log
        AFTER[kind](dsns, run.said)
        if kind != "move":
            assert again(kind, dsns) == whole.said
        assert end(dsns) == expected, f"killed after {moment:.3f} s"
    assert hits, "every kill came too late"
    assert postmaster(server.embedded.data) is not None
