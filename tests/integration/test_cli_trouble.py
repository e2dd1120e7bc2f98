"""The real command line on its bad days: Ctrl-C, a server that dies, a disk that fills up, files that are wrong.

Each time: one clear line, the right exit code, nothing half-written, and the same command again completes; the rows are then those
of a run that nothing disturbed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import psycopg
import pytest
from typer.testing import CliRunner

from database_cases import Backend, remove_server
from intraday.cli.root import root as command_line
from intraday.database.digests import DATA_TABLES
from intraday.database.embedded import EmbeddedServer
from job_cases import bar_files, config_file, fill, market_of, settings_on, tick_file

pytestmark = [pytest.mark.integration, pytest.mark.slow]
N_SESSIONS = 10
# When and by which run something was stored is not what was stored; ids are given in order of storing, but a crash may skip some.
OF_THE_RUN = ["known_at", "created_at", "recorded_at", "run_id", "instrument_id", "id"]
COMPARED = [table for table in DATA_TABLES if table not in ("alerts", "models")]
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def content(dsn: str) -> dict[str, tuple[int, str]]:
    """Rows and checksum of every table, whoever wrote them and when."""
    found = {}
    with psycopg.connect(dsn) as connection:
        for table in COMPARED:
            row = connection.execute(
                f"""SELECT count(*), coalesce(sum(hashtextextended((symbol || row)::text, 0)::numeric), 0)::text
                    FROM (SELECT to_jsonb(t) - %s::text[] AS row, coalesce(to_jsonb(i.symbol), 'null') AS symbol FROM {table} t
                          LEFT JOIN instruments i ON (to_jsonb(t) ->> 'instrument_id')::int = i.id) u""",
                (OF_THE_RUN,),
            ).fetchone()
            assert row is not None
            found[table] = (int(row[0]), row[1])
    return found


@dataclass
class Bench:
    """A server of this module's own, which tests may kill, and the small market as files."""

    server: EmbeddedServer
    backend: Backend
    folder: Path
    config: Path
    bars: Path
    ticks: Path

    def command(self, name: str) -> list[str]:
        more = {"import": [str(self.bars)], "historical": [], "replay": ["--ticks", str(self.ticks)], "verify": []}
        return [sys.executable, "-m", "intraday", name, *more[name], "--config", str(self.config)]

    def start(self, dsn: str, name: str, *more: str) -> subprocess.Popen[str]:
        env = os.environ | {"INTRADAY__DATABASE__DSN": dsn}
        return subprocess.Popen(
            [*self.command(name), *more],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, dsn: str, name: str) -> None:
        """The command in this process, undisturbed."""
        result = CliRunner().invoke(command_line, self.command(name)[3:], env={"INTRADAY__DATABASE__DSN": dsn})
        assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="intraday-test-"))
    folder.chmod(0o755)
    settings = settings_on(None, folder / "var")
    market = market_of(settings)
    with EmbeddedServer(folder / "server") as server:
        yield Bench(
            server,
            Backend("postgresql", server.dsn),
            folder,
            config_file(settings, folder / "config.yaml"),
            bar_files(folder / "bars", market, N_SESSIONS),
            tick_file(folder / "ticks.parquet", market, N_SESSIONS),
        )
    remove_server(folder)


@pytest.fixture(scope="module")
def stages(bench: Bench) -> dict[str, str]:
    """Databases of an undisturbed run, before each command and after the last: name of the next command to DSN."""
    found = {"import": bench.backend.create()}
    for name, following in (("import", "historical"), ("historical", "replay"), ("replay", "verify")):
        found[following] = bench.backend.copy(found[name])
        bench.run(found[following], name)
    return found


def wait_for(dsn: str, condition: str, process: subprocess.Popen[str]) -> None:
    """Until the query gives a true value."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(5000):
            row = connection.execute(f"SELECT ({condition}), pg_sleep(0.02)").fetchone()
            if row is not None and row[0]:
                return
            assert process.poll() is None, process.communicate()[1]
    raise AssertionError(condition)


# Where each command is stopped: a lock it meets half-way, and what it must have stored before it asks for that lock.
HALF_WAY = {
    "import": ("SELECT pg_advisory_lock(hashtext('lock_instruments'), 3)", "SELECT count(*) > 0 FROM ohlcv_1min"),
    "historical": ("LOCK TABLE labels IN SHARE MODE", "SELECT count(*) > 0 FROM features"),
    "replay": ("LOCK TABLE signals IN SHARE MODE", "SELECT count(*) > 50 FROM signals"),
}
NEXT = {"import": "historical", "historical": "replay", "replay": "verify"}


def disturb(bench: Bench, dsn: str, name: str, how: Callable[[subprocess.Popen[str]], None]) -> tuple[int, str, str]:
    """Stop the command half-way; (exit code, standard output, standard error)."""
    lock, stored = HALF_WAY[name]
    late = name == "replay"  # it begins by clearing what it is about to lock, so the lock comes when it is on its way
    process = bench.start(dsn, name, *(["--speed", "2000"] if late else []))
    try:
        if late:
            wait_for(dsn, stored, process)
        with psycopg.connect(dsn) as holder:
            holder.execute(lock)
            wait_for(dsn, f"({WAITING}) > 0", process)
            wait_for(dsn, stored, process)
            how(process)
            if how is interrupt:
                out, err = process.communicate(timeout=60)
            holder.close()
        if how is not interrupt:
            out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return process.returncode, out, err


def interrupt(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("name", ["import", "historical", "replay"])
def test_ctrl_c_leaves_a_database_that_the_next_run_completes(bench: Bench, stages: dict[str, str], name: str) -> None:
    dsn = bench.backend.copy(stages[name])
    code, out, err = disturb(bench, dsn, name, interrupt)
    assert code == 130, err
    assert err.rstrip().endswith("interrupted")
    assert "Traceback" not in out + err
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT status FROM runs ORDER BY started_at DESC LIMIT 1").fetchone() == ("interrupted",)
        assert connection.execute("SELECT count(*) FROM run_days").fetchone() == (0,)
    assert content(dsn) != content(stages[NEXT[name]])
    bench.run(dsn, name)
    assert content(dsn) == content(stages[NEXT[name]])
    if name == "replay":
        bench.run(dsn, "verify")


@pytest.mark.parametrize("name", ["import", "historical", "replay"])
def test_a_server_that_dies_is_one_line_and_the_next_run_completes(bench: Bench, stages: dict[str, str], name: str) -> None:
    dsn = bench.backend.copy(stages[name])

    def kill_server(process: subprocess.Popen[str]) -> None:
        os.kill(int((bench.server.data / "postmaster.pid").read_text().split("\n")[0]), signal.SIGKILL)

    try:
        code, out, err = disturb(bench, dsn, name, kill_server)
    finally:
        bench.server.stop()
        bench.server.start()
    assert code == 4, err
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, err
    assert "no connection to the database" in errors[0]
    assert "Traceback" not in out + err
    assert bench.server.dsn.split(":")[2].split("@")[0] not in out + err, "the password"
    bench.run(dsn, name)
    assert content(dsn) == content(stages[NEXT[name]])


def test_the_second_run_of_each_command_changes_nothing(bench: Bench, stages: dict[str, str]) -> None:
    dsn = bench.backend.copy(stages["verify"])
    before = content(dsn)
    bench.run(dsn, "import")
    assert content(dsn) == before
    bench.run(dsn, "replay")
    assert content(dsn) == before


def by_symbol(dsn: str) -> dict[str, int]:
    """Stored best bars by symbol."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT symbol, count(b) FROM instruments i LEFT JOIN ohlcv_1min b ON b.instrument_id = i.id GROUP BY 1"
        )
        return dict(rows.fetchall())


def test_a_disk_that_fills_up_during_an_import(bench: Bench, stages: dict[str, str], small_disk: Path) -> None:
    """With the program's own server: whole files are stored or nothing of them, and with room again the rest follows."""
    env = os.environ | {"INTRADAY__SYSTEM__DATA_DIR": str(small_disk)}
    with EmbeddedServer(small_disk) as server:
        subprocess.run(
            [sys.executable, "-m", "intraday", "db", "init", "--config", str(bench.config)],
            env=env,
            check=True,
            capture_output=True,
        )
        process = subprocess.Popen(bench.command("import"), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with psycopg.connect(server.dsn) as holder:
            holder.execute(HALF_WAY["import"][0])
            wait_for(server.dsn, f"({WAITING}) > 0", process)
            filler = fill(small_disk, 60 * 2**20)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 4, err
        assert [line for line in err.splitlines() if line.startswith("error: ")] == [err.splitlines()[-1]], err
        assert "no room left on the database's disk" in err
        assert "Traceback" not in out + err
        whole = by_symbol(stages["historical"])
        stored = by_symbol(server.dsn)
        assert 0 < sum(n > 0 for n in stored.values()) < len(whole)
        assert all(n in (0, whole[symbol]) for symbol, n in stored.items())
        filler.unlink()
        again = subprocess.run(bench.command("import"), env=env, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        assert content(server.dsn) == content(stages["historical"])


@pytest.fixture
def bad_files(bench: Bench, tmp_path: Path) -> dict[str, tuple[Path, str]]:
    """A wrong file and what is said of it."""
    good = bench.bars / "01.parquet"
    frame = pl.read_parquet(good)
    paths = {name: tmp_path / f"{name}.parquet" for name in ("truncated", "headless", "column", "empty")}
    paths["truncated"].write_bytes(good.read_bytes()[:-100])
    paths["headless"].write_bytes(good.read_bytes()[100:])
    frame.drop("close").write_parquet(paths["column"])
    paths["empty"].write_bytes(b"")
    paths["zone"] = tmp_path / "zone.csv"
    frame.with_columns(pl.col("ts").dt.convert_time_zone("UTC").dt.replace_time_zone(None)).write_csv(paths["zone"])
    said = {
        "truncated": "expected a whole Parquet file",
        "headless": "expected a whole Parquet file",
        "column": "missing: close",
        "empty": "expected",
        "zone": "use --tz UTC",
    }
    return {name: (path, said[name]) for name, path in paths.items()}


@pytest.mark.parametrize("name", ["truncated", "headless", "column", "empty", "zone"])
def test_a_wrong_file_is_said_and_stores_nothing(bench: Bench, stages: dict[str, str], bad_files, name: str) -> None:
    dsn = bench.backend.copy(stages["historical"])
    before = content(dsn)
    path, said = bad_files[name]
    args = ["import", "--config", str(bench.config), "--json", str(path)]
    done = CliRunner().invoke(command_line, args, env={"INTRADAY__DATABASE__DSN": dsn})
    assert done.exit_code == 3, done.output
    assert done.stderr == "error: 1 of 1 files could not be used; nothing of them was stored\n"
    (report,) = json.loads(done.stdout)
    assert said in report["error"], report
    assert report["error"].startswith(str(path)) and "\n" not in report["error"]
    assert content(dsn) == before
