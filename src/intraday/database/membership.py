"""Universes and flags by day (``domain.membership``): whole lists in, dated rows out, only what differs written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from intraday.database.pool import Connection, Database
from intraday.domain.membership import Flag, Span, merged, replaced


@dataclass(frozen=True, slots=True)
class ListReport:
    """What taking over a list did. ``end``: the next list that is known, up to which this one holds (None: for ever)."""

    name: str
    day: date
    members: int
    joined: int  # not on the list the day before
    left: int
    end: date | None = None


@dataclass(frozen=True, slots=True)
class FlagState:
    """A flag of an instrument on a day. ``state``: yes, no, or unknown where no list is known for the day."""

    flag: Flag
    state: str
    value: str | None = None
    since: date | None = None
    source: str | None = None


class MembershipRepository:
    """Lists of members. ``kind`` is ``universe`` or ``flag`` everywhere."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def take(self, kind: str, name: str, day: date, members: Mapping[int, str | None], source: str) -> ListReport:
        """The list is exactly ``members`` (id to value) from ``day`` until the next list that is known. Idempotent."""
        with self._db.transaction() as connection:
            return take_list(connection, kind, name, day, members, source)

    def take_dated(self, kind: str, name: str, spans: Iterable[Span], source: str) -> ListReport:
        """The list's whole history: whatever was known of it is replaced."""
        spans = merged(spans)
        start = min(span.start for span in spans)
        with self._db.transaction() as connection:
            _lock(connection)
            held = _spans(connection, kind, name)
            connection.execute("DELETE FROM member_lists WHERE kind = %s AND name = %s AND day <> %s", (kind, name, start))
            _write(connection, kind, name, held, spans)
            _know(connection, kind, name, start, source)
        now = [s for s in spans if s.end is None]
        return ListReport(name, start, len(now), len(set(spans) - set(held)), len(set(held) - set(spans)))

    def spans(self, kind: str, name: str) -> list[Span]:
        """Ordered by (instrument, start)."""
        with self._db.autocommit() as connection:
            return _spans(connection, kind, name)

    def known_from(self, kind: str, name: str) -> date | None:
        """The day of the first list; None: there is none."""
        with self._db.autocommit() as connection:
            row = connection.execute("SELECT min(day) FROM member_lists WHERE kind = %s AND name = %s", (kind, name)).fetchone()
        return None if row is None else row[0]

    def names(self, kind: str) -> list[str]:
        """Lists that there are, in order."""
        with self._db.autocommit() as connection:
            rows = connection.execute("SELECT DISTINCT name FROM member_lists WHERE kind = %s ORDER BY 1", (kind,)).fetchall()
        return [row[0] for row in rows]

    def flags(self, instrument_id: int, day: date) -> list[FlagState]:
        """Every flag of an instrument on a day. A flag of which no list is known for the day is unknown, not absent."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                """SELECT flag, value, valid_from, source FROM instrument_flags
                   WHERE instrument_id = %(id)s AND valid_from <= %(day)s AND (valid_to IS NULL OR valid_to > %(day)s)""",
                {"id": instrument_id, "day": day},
            ).fetchall()
            lists = connection.execute(
                """SELECT DISTINCT ON (name) name, day, source FROM member_lists
                   WHERE kind = 'flag' AND day <= %s ORDER BY name, day DESC""",
                (day,),
            ).fetchall()
        yes = {flag: FlagState(Flag(flag), "yes", value, since, source) for flag, value, since, source in rows}
        no = {name: FlagState(Flag(name), "no", None, since, source) for name, since, source in lists}
        return [yes.get(flag) or no.get(flag) or FlagState(flag, "unknown") for flag in Flag]


def take_list(
    connection: Connection, kind: str, name: str, day: date, members: Mapping[int, str | None], source: str
) -> ListReport:
    """``MembershipRepository.take`` in the caller's transaction."""
    _lock(connection)
    row = connection.execute(
        "SELECT min(day) FROM member_lists WHERE kind = %s AND name = %s AND day > %s", (kind, name, day)
    ).fetchone()
    end = None if row is None else row[0]
    held = _spans(connection, kind, name)
    if kind == "universe":
        members = dict.fromkeys(members)
    wanted = replaced(held, members, day, end, source if kind == "flag" else "")
    _write(connection, kind, name, held, wanted)
    _know(connection, kind, name, day, source)
    # The day before: what this list changes is what it says other than the list before it.
    before = {s.instrument_id for s in wanted if s.start < day and (s.end is None or s.end >= day)}
    return ListReport(name, day, len(members), len(members.keys() - before), len(before - members.keys()), end)


def _lock(connection: Connection) -> None:
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('membership'), 0)")


def _spans(connection: Connection, kind: str, name: str) -> list[Span]:
    if kind == "universe":
        columns, where = "instrument_id, valid_from, valid_to, NULL, '' FROM universe_members", "universe"
    else:
        columns, where = "instrument_id, valid_from, valid_to, value, source FROM instrument_flags", "flag"
    rows = connection.execute(f"SELECT {columns} WHERE {where} = %s ORDER BY 1, 2", (name,)).fetchall()  # nosec B608: our own names
    return [Span(*row) for row in rows]


def _write(connection: Connection, kind: str, name: str, held: Iterable[Span], wanted: Iterable[Span]) -> None:
    """Make the stored spans the wanted ones, touching only those that differ."""
    old, new = set(held), set(wanted)
    gone = [(name, s.instrument_id, s.start) for s in sorted(old - new, key=_place)]
    come = sorted(new - old, key=_place)
    with connection.cursor() as cursor:
        if kind == "universe":
            cursor.executemany("DELETE FROM universe_members WHERE universe = %s AND instrument_id = %s AND valid_from = %s", gone)
            cursor.executemany(
                "INSERT INTO universe_members (universe, instrument_id, valid_from, valid_to) VALUES (%s, %s, %s, %s)",
                [(name, s.instrument_id, s.start, s.end) for s in come],
            )
        else:
            cursor.executemany("DELETE FROM instrument_flags WHERE flag = %s AND instrument_id = %s AND valid_from = %s", gone)
            cursor.executemany(
                """INSERT INTO instrument_flags (flag, instrument_id, valid_from, valid_to, value, source)
                   VALUES (%s, %s, %s, %s, %s, %s)""",
                [(name, s.instrument_id, s.start, s.end, s.value, s.source) for s in come],
            )


def _place(span: Span) -> tuple[int, date]:
    return span.instrument_id, span.start


def _know(connection: Connection, kind: str, name: str, day: date, source: str) -> None:
    connection.execute(
        """INSERT INTO member_lists AS l (kind, name, day, source) VALUES (%s, %s, %s, %s)
           ON CONFLICT (kind, name, day) DO UPDATE SET source = excluded.source WHERE l.source <> excluded.source""",
        (kind, name, day, source),
    )
