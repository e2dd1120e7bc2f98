"""Reference data: instruments with their history, and the session table for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from psycopg.types.json import Jsonb

from intraday.database.copying import stamp
from intraday.database.listings import load_former, load_listed_ids
from intraday.database.pool import Connection, Database
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.limits import TickSize
from intraday.domain.session import Session


class InstrumentRepository:
    """``domain.ports.InstrumentStore``, and the session table for people and dashboards."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def upsert(self, instruments: Sequence[Instrument]) -> list[Instrument]:
        """Store what is new or changed, each state with its place in the history; return all with their ids, in the order given.

        The broker's list knows better: what is listed stays as listed, and a former symbol finds the instrument that had it.
        """
        with self._db.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('instruments'), 0)")
            stored = {i.key: i for i in _all(connection)}
            listed, former = load_listed_ids(connection), load_former(connection)
            by_id = {i.id: i for i in stored.values()}
            for wanted in instruments:
                found = stored.get(wanted.key)
                if found is None and wanted.key in former:
                    found = stored[wanted.key] = by_id[former[wanted.key][-1][1]]
                if found is None or (_state(found) != _state(wanted) and found.id not in listed):
                    stored[wanted.key] = _store(connection, wanted if found is None else replace(wanted, symbol=found.symbol))
        return [stored[i.key] for i in instruments]

    def all(self) -> list[Instrument]:
        """Every instrument, ordered by id."""
        with self._db.autocommit() as connection:
            return _all(connection)

    def tick_sizes(self, ids: Sequence[int]) -> list[TickSize]:
        """What was in force from when on, ordered by instrument and time; the first holds for all time before.

        A later state holds from the day of the broker's list that said so, or else from the day it was stored.
        """
        with self._db.autocommit() as connection:
            rows = connection.execute(
                """SELECT instrument_id, version, coalesce(valid_from, (recorded_at AT TIME ZONE 'Asia/Kolkata')::date), tick_size
                   FROM instrument_history WHERE instrument_id = ANY (%s) ORDER BY instrument_id, version""",
                (list(ids),),
            ).fetchall()
        return [TickSize(i, None if version == 1 else since, paise) for i, version, since, paise in rows]

    def save_sessions(self, sessions: Sequence[Session]) -> int:
        """Store what is new or changed; returns how many rows that was."""
        rows = [
            (s.day, s.number, stamp(s.open_ns), stamp(s.close_ns), stamp(s.square_off_ns), s.kind, Jsonb(list(s.pauses)))
            for s in sessions
        ]
        with self._db.transaction() as connection, connection.cursor() as cursor:
            connection.execute("CREATE TEMP TABLE wanted (LIKE sessions) ON COMMIT DROP")
            cursor.executemany("INSERT INTO wanted VALUES (%s, %s, %s, %s, %s, %s, %s)", rows)
            done = connection.execute(
                """INSERT INTO sessions AS s SELECT * FROM wanted ON CONFLICT (day) DO UPDATE SET number = excluded.number,
                     open_ts = excluded.open_ts, close_ts = excluded.close_ts, square_off_ts = excluded.square_off_ts,
                     kind = excluded.kind, pauses = excluded.pauses
                   WHERE (s.number, s.open_ts, s.close_ts, s.square_off_ts, s.kind, s.pauses) IS DISTINCT FROM
                     (excluded.number, excluded.open_ts, excluded.close_ts, excluded.square_off_ts, excluded.kind,
                      excluded.pauses)"""
            )
            return done.rowcount


def _all(connection: Connection) -> list[Instrument]:
    rows = connection.execute("SELECT exchange, symbol, kind, tick_size, lot_size, id FROM instruments ORDER BY id").fetchall()
    return [Instrument(exchange, symbol, Kind(kind), tick, lot, number) for exchange, symbol, kind, tick, lot, number in rows]


def _state(i: Instrument) -> tuple[Any, ...]:
    return i.kind, i.tick_size, i.lot_size


def _store(connection: Connection, i: Instrument) -> Instrument:
    row = connection.execute(
        """INSERT INTO instruments (exchange, symbol, kind, tick_size, lot_size) VALUES (%s, %s, %s, %s, %s)
           ON CONFLICT (exchange, symbol) DO UPDATE
             SET kind = excluded.kind, tick_size = excluded.tick_size, lot_size = excluded.lot_size
           RETURNING id""",
        (i.exchange, i.symbol, i.kind.value, i.tick_size, i.lot_size),
    ).fetchone()
    assert row is not None
    connection.execute(
        """INSERT INTO instrument_history (instrument_id, version, kind, tick_size, lot_size)
           SELECT %(id)s, coalesce(max(version), 0) + 1, %(kind)s, %(tick)s, %(lot)s
           FROM instrument_history WHERE instrument_id = %(id)s""",
        {"id": row[0], "kind": i.kind.value, "tick": i.tick_size, "lot": i.lot_size},
    )
    return Instrument(i.exchange, i.symbol, i.kind, i.tick_size, i.lot_size, int(row[0]))
