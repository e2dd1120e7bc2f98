"""Corporate actions (``domain.corporate``): every version kept, so that what was known on a day can be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from intraday.database.copying import nanoseconds, stamp
from intraday.database.pool import Connection, Database
from intraday.domain.corporate import Action, ActionKind
from intraday.domain.ports import WriteReport


class CorporateRepository:
    """``domain.corporate.ActionStore``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, actions: Sequence[Action], now_ns: int) -> WriteReport:
        """Store what is new, in one transaction.

        One that counts with other factors or terms is gone from now on, and the new one is known from now on; otherwise it is
        known since its ``known_ns``, but not before an earlier version of it was gone.
        """
        with self._db.transaction() as connection:
            _lock(connection)
            report = WriteReport()
            for action in actions:
                report += _add(connection, action, now_ns)
            return report

    def remove(self, instrument_id: int, ex_date: date, kind: ActionKind | None, now_ns: int) -> int:
        """It is not so, as known from now on; ``kind`` None: all of that day. Returns how many."""
        with self._db.transaction() as connection:
            _lock(connection)
            done = connection.execute(
                """UPDATE corporate_actions SET gone_at = greatest(%s::timestamptz, known_at)
                   WHERE instrument_id = %s AND ex_date = %s AND kind = coalesce(%s, kind) AND gone_at IS NULL""",
                (stamp(now_ns), instrument_id, ex_date, kind),
            )
            return done.rowcount

    def actions(self, ids: Sequence[int] | None = None, known_ns: int | None = None) -> list[Action]:
        """What counts now, or counted at ``known_ns``, ordered by (instrument, ex-date, kind); ``ids`` None: of all."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                """SELECT instrument_id, ex_date, kind, price_factor, volume_factor, terms, source, known_at, gone_at
                   FROM corporate_actions
                   WHERE (%(ids)s::integer[] IS NULL OR instrument_id = ANY (%(ids)s))
                     AND CASE WHEN %(at)s::timestamptz IS NULL THEN gone_at IS NULL
                              ELSE known_at <= %(at)s AND (gone_at IS NULL OR gone_at > %(at)s) END
                   ORDER BY instrument_id, ex_date, kind COLLATE "C" """,
                {"ids": None if ids is None else list(ids), "at": None if known_ns is None else stamp(known_ns)},
            ).fetchall()
        return [_action(row) for row in rows]


def _lock(connection: Connection) -> None:
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('corporate_actions'), 0)")


def _add(connection: Connection, action: Action, now_ns: int) -> WriteReport:
    key = (action.instrument_id, action.ex_date, action.kind)
    held = connection.execute(
        """SELECT version, price_factor, volume_factor, terms, gone_at FROM corporate_actions
           WHERE (instrument_id, ex_date, kind) = (%s, %s, %s) ORDER BY version DESC LIMIT 1""",
        key,
    ).fetchone()
    version, known = 1, stamp(min(action.known_ns, now_ns))
    counts = held is not None and held[4] is None
    if held is not None:
        if counts and held[1:4] == (action.price_factor, action.volume_factor, action.terms):
            return WriteReport(unchanged=1)
        now = stamp(now_ns)
        version, known = held[0] + 1, now if counts else max(known, held[4])
        connection.execute(
            """UPDATE corporate_actions SET gone_at = greatest(%s::timestamptz, known_at)
               WHERE (instrument_id, ex_date, kind, version) = (%s, %s, %s, %s) AND gone_at IS NULL""",
            (now, *key, held[0]),
        )
    connection.execute(
        """INSERT INTO corporate_actions
             (instrument_id, ex_date, kind, version, price_factor, volume_factor, terms, source, known_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (*key, version, action.price_factor, action.volume_factor, action.terms, action.source, known),
    )
    return WriteReport(revised=1) if counts else WriteReport(inserted=1)


def _action(row: tuple[Any, ...]) -> Action:
    number, ex_date, kind, price, volume, terms, source, known, gone = row
    gone_ns = None if gone is None else nanoseconds(gone)
    return Action(number, ex_date, ActionKind(kind), price, volume, terms, source, nanoseconds(known), gone_ns)
