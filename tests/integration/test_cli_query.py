"""``intraday db query`` and ``shell``: people's own SQL, which may only read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intraday.cli.root import root as command_line
from intraday.config.settings import Settings
from intraday.database.asking import ask
from intraday.database.pool import Database
from intraday.domain.errors import InputError
from job_cases import config_file

pytestmark = pytest.mark.integration
runner = CliRunner()
ADD = "INSERT INTO instruments (exchange, symbol, kind, tick_size, lot_size) VALUES ('NSE', 'X', 'equity', 5, 1)"


def test_rows_times_and_the_limit(database: Database) -> None:
    found = ask(database, "SELECT g, '2024-01-01 03:45+00'::timestamptz AS ts FROM generate_series(1, 100000000) AS g", 2)
    assert (found.columns, found.more) == (("g", "ts"), True)
    assert [(g, ts.isoformat()) for g, ts in found.rows] == [(1, "2024-01-01T09:15:00+05:30"), (2, "2024-01-01T09:15:00+05:30")]
    assert not ask(database, "SELECT 1", 1).more
    assert ask(database, "SELECT 1 AS a WHERE false", 1).columns == ("a",)
    assert ask(database, "SHOW timezone", 1).rows == [("Asia/Kolkata",)]
    with database.autocommit() as connection:  # the connection is used again
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (ADD, "cannot execute INSERT in a read-only transaction"),
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM nothing", 'relation "nothing" does not exist'),
        ("SELECT 1 / 0", "division by zero"),
        ("SELECT 1; SELECT 2", "multiple commands"),
        ("COMMIT", "expected a statement that gives rows"),
    ],
)
def test_what_is_no_reading_query_is_refused(database: Database, query: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ask(database, query, 10)
    assert ask(database, "SELECT count(*) FROM instruments", 1).rows == [(0,)]


@pytest.fixture
def config(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database, as the command line finds it."""
    monkeypatch.setenv("INTRADAY__DATABASE__DSN", settings.database.dsn_text or "")
    return str(config_file(settings, tmp_path / "config.yaml"))


def test_the_command_in_every_form(config: str) -> None:
    query = "SELECT 7 AS n, NULL AS nothing, '2024-01-01 03:45+00'::timestamptz AS ts"
    shown = runner.invoke(command_line, ["db", "query", query, "-c", config])
    assert shown.exit_code == 0, shown.output
    assert "2024-01-01 09:15:00+05:30" in shown.stdout and "1 row\n" in shown.stdout
    told = json.loads(runner.invoke(command_line, ["db", "query", query, "--json", "-c", config]).stdout)
    assert told == {"rows": [{"n": 7, "nothing": None, "ts": "2024-01-01T09:15:00+05:30"}], "more": False}
    listed = runner.invoke(
        command_line, ["db", "query", "-", "--csv", "-n", "1", "-c", config], input="SELECT 1 AS a UNION SELECT 2"
    )
    assert listed.stdout.splitlines() == ["a", "1"]
    assert "there are more than 1 rows" in listed.stderr
    wrong = runner.invoke(command_line, ["db", "query", ADD, "-c", config])
    assert wrong.exit_code != 0 and "read-only transaction" in wrong.stderr


def test_a_reading_statement_starts_no_program_and_reads_no_file(database: Database) -> None:
    """Our own server's user is a superuser; on a server that is named the user may be one."""
    for query in ("COPY (SELECT 1) TO PROGRAM 'true'", "SELECT pg_read_file('PG_VERSION')"):
        with pytest.raises(InputError, match="permission denied|must be superuser"):
            ask(database, query, 1)


def test_columns_of_one_name_are_numbered_in_json(config: str) -> None:
    told = runner.invoke(command_line, ["db", "query", "SELECT 1 AS a, 2 AS b, 3 AS a", "--json", "-c", config])
    assert json.loads(told.stdout)["rows"] == [{"a": 1, "b": 2, "a_2": 3}]


def test_a_database_without_tables_says_what_to_do(empty_dsn: str) -> None:
    with Database(empty_dsn) as database, pytest.raises(InputError, match="run `intraday db init`"):
        ask(database, "SELECT * FROM latest_bars", 1)


@pytest.mark.parametrize("more", ["", "&options=-csearch_path%3Dpublic"])
@pytest.mark.parametrize("write", [False, True])
def test_the_shell_reads_unless_told_otherwise(
    settings: Settings, config: str, monkeypatch: pytest.MonkeyPatch, write: bool, more: str
) -> None:
    dsn = settings.database.dsn_text or ""
    monkeypatch.setenv("INTRADAY__DATABASE__DSN", dsn + (more if "?" in dsn else more.replace("&", "?")))
    command = [sys.executable, "-m", "intraday", "db", "shell", "-c", config, *(["--write"] if write else [])]
    script = f"SHOW timezone;\n{ADD};\nSELECT count(*) FROM instruments;\n"
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False, env=os.environ)
    assert "Asia/Kolkata" in done.stdout, done.stderr
    assert ("read-only transaction" in done.stderr) is not write
    assert f"     {int(write)}\n" in done.stdout
