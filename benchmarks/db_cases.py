"""Databases and rows for the benchmarks of bulk writing and reading."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psycopg

from intraday.database import schema, timescale
from intraday.database.copying import Column, encode
from intraday.database.pool import Database, open_database
from intraday.domain.arrays import BAR, I8, MINUTE_NS, Bars
from intraday.domain.session import SessionTable

KNOWN_NS = 10**18
TABLE = "ohlcv_1min"
OTHER = "INTRADAY_BENCH_DSN"  # of a server that may make databases; in the environment, since it may hold a password


@contextmanager
def databases(folder: str | None) -> Iterator[list[tuple[str, Database]]]:
    """(what it is, a fresh migrated database): on our own server, its data under ``folder``, and on the one OTHER names."""
    with tempfile.TemporaryDirectory(prefix="bench-db-", dir=folder) as temp:
        Path(temp).chmod(0o755)  # the server's account enters it
        with open_database(None, Path(temp) / "var") as own:
            schema.init(own.dsn)
            if OTHER not in os.environ:
                yield [("embedded", own)]
                return
            with _made_on(os.environ[OTHER]) as other:
                yield [("embedded", own), (_title(other.dsn), other)]


def minutes(sessions: int) -> I8:
    """Open times of every minute of so many sessions."""
    days = SessionTable.load().between(date(2019, 1, 1), date(2025, 12, 31))[:sessions]
    return np.concatenate([np.arange(s.open_ns, s.close_ns, MINUTE_NS) for s in days])


def walk(instruments: int, ts_ns: I8, seed: int) -> Bars:
    """A random walk on every minute for each instrument, in the order of the primary key."""
    rng, n = np.random.default_rng(seed), ts_ns.shape[0]
    bars = np.zeros(instruments * n, dtype=BAR)
    bars["ts_ns"], bars["inst"] = np.tile(ts_ns, instruments), np.repeat(np.arange(instruments), n)
    close = np.round(1000.0 * np.exp(np.cumsum(rng.normal(0.0, 1e-5, bars.shape[0]))), 2)
    bars["close"], bars["open"] = close, np.roll(close, 1)
    bars["high"], bars["low"] = np.maximum(bars["open"], close) + 0.05, np.minimum(bars["open"], close) - 0.05
    bars["volume"] = rng.integers(1, 50_000, bars.shape[0])
    return bars


def copy_form(instrument: int, bars: Bars) -> tuple[str, list[bytes]]:
    """(the COPY statement, its bytes) of one instrument's bars, as ``BarRepository.write`` stores them."""
    n = bars.shape[0]
    columns = [
        Column("instrument_id", "integer", np.full(n, instrument)),
        Column("ts", "timestamptz", bars["ts_ns"]),
        *(Column(name, "double", bars[name]) for name in ("open", "high", "low", "close")),
        Column("volume", "bigint", bars["volume"].astype(np.int64)),
        Column("n_ticks", "integer", bars["n_ticks"]),
        Column("version", "integer", np.ones(n, dtype=np.int64)),
        Column("known_at", "timestamptz", np.full(n, KNOWN_NS)),
        Column("source", "text", "import"),
        Column("flags", "smallint", bars["flags"]),
    ]
    names = ", ".join(c.name for c in columns)
    form = [b"PGCOPY\n\xff\r\n\0" + bytes(8), *encode(columns, n), b"\xff\xff"]
    return f"COPY {TABLE} ({names}) FROM STDIN (FORMAT binary)", form


def empty(database: Database) -> None:
    """No bars and no notes of them, and nothing left to write for the server."""
    with database.autocommit() as connection:
        connection.execute(f"TRUNCATE {TABLE}, bar_superseded")
        connection.execute("DELETE FROM rollup_pending")
        connection.execute("CHECKPOINT")


@contextmanager
def _made_on(server: str) -> Iterator[Database]:
    name = f"bench_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        with Database(urlsplit(server)._replace(path=f"/{name}").geturl()) as database:
            schema.init(database.dsn)
            yield database
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _title(dsn: str) -> str:
    with psycopg.connect(dsn) as connection:
        found = timescale.version(connection)
    return "the other PostgreSQL" if found is None else f"TimescaleDB {found}"
