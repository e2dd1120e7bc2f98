"""Which pg_dump fits which server, and what its command line shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from intraday.database.dump_tools import Tools, choose, connection_of, installed, reason
from intraday.domain.errors import StorageError


def tools(*versions: str) -> list[Tools]:
    return [Tools(Path(f"/{i}"), version) for i, version in enumerate(versions)]


@pytest.mark.parametrize(
    ("server", "written_by", "chosen"),
    [(15, 0, "15.20"), (16, 0, "17.2"), (18, 0, "18.4"), (15, 15, "15.20"), (15, 17, "17.2"), (15, 18, "18.4")],
)
def test_the_nearest_that_is_not_older(server: int, written_by: int, chosen: str) -> None:
    assert choose(server, tools("18.4", "15.20", "17.2", "14.1"), written_by=written_by).version == chosen


def test_the_first_of_the_same_version_is_taken() -> None:
    assert choose(15, tools("15.1", "15.20")).bindir == Path("/0")


def test_none_that_is_new_enough_says_what_to_install() -> None:
    with pytest.raises(StorageError, match=r"PostgreSQL 19 or newer on this machine, found 15\.20, 18\.4: .*postgresql-client-19"):
        choose(19, tools("18.4", "15.20"))
    with pytest.raises(StorageError, match="found none"):
        choose(15, [])


def test_our_own_are_found() -> None:
    assert max(found.major for found in installed()) >= 18


@pytest.mark.parametrize(
    "dsn",
    ["postgresql://me:hunter2@db:5432/x?sslmode=require", "host=db port=5432 user=me password=hunter2 dbname=x sslmode=require"],
)
def test_the_command_line_has_no_password(dsn: str) -> None:
    shown, env = connection_of(dsn, {"INTRADAY__DATABASE__DSN": dsn, "PGSSLROOTCERT": "/ca", "PATH": "/bin"})
    assert conninfo_to_dict(shown) == {"host": "db", "port": "5432", "user": "me", "dbname": "x", "sslmode": "require"}
    assert env == {"PGSSLROOTCERT": "/ca", "PATH": "/bin", "LC_ALL": "C", "LANGUAGE": "C", "PGPASSWORD": "hunter2"}


def test_a_dsn_without_password_leaves_libpqs_own_ways() -> None:
    _, env = connection_of("postgresql://me@db/x", {"PGPASSFILE": "/etc/pgpass"})
    assert env["PGPASSFILE"] == "/etc/pgpass"
    assert "PGPASSWORD" not in env


def test_the_reason_is_one_line_without_a_dsn() -> None:
    said = b"pg_dump: warning: circular keys\npg_dump: error: in postgresql://me:hunter2@db\npg_dump: error: no room\n"
    assert reason("pg_dump", 1, said) == "pg_dump ended with code 1: pg_dump: error: no room"
    assert reason("pg_dump", -9, b"") == "pg_dump was killed by signal 9"
