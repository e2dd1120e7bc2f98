"""The broker's lists of instruments, dated: who is listed, under which symbol and token, and what changed when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from intraday.database.listing_rows import load_held, load_holders, take_over
from intraday.database.membership import take_list
from intraday.database.pool import Connection, Database
from intraday.domain.broker import Listing
from intraday.domain.errors import ConfigError
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.listings import Change, ChangeKind, Dump, ExchangeReport, Held, Roll, Symbols, SyncReport, compare


class ListingRepository:
    """``domain.listings.ListingStore``, and what people ask of it."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def sizes(self, day: date) -> dict[str, tuple[int, int]]:
        """By exchange, of its last list before ``day``: (all its rows, rows that became instruments)."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                """SELECT DISTINCT ON (exchange) exchange, n_rows, n_listed FROM instrument_dumps
                   WHERE day < %s ORDER BY exchange, day DESC""",
                (day,),
            ).fetchall()
        return {exchange: (n_rows, n_listed) for exchange, n_rows, n_listed in rows}

    def sync(self, day: date, dumps: Sequence[Dump], rolls: Sequence[Roll]) -> SyncReport:
        """Take the lists over in one transaction; a second time changes no row. ConfigError when a later day was synced already."""
        with self._db.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('instruments'), 0)")
            reports, changes = [], []
            for dump in dumps:
                report, made = _take_over(connection, day, dump)
                reports.append(report)
                changes += made
            counts = {roll.name: _take_roll(connection, day, roll) for roll in rolls}
        return SyncReport(day, tuple(reports), tuple(changes), counts)

    def tokens(self, ids: Sequence[int], day: date) -> dict[int, int]:
        """Token by instrument id as of ``day``; an instrument that was not listed then, as far as known, is not in it."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                """SELECT instrument_id, token FROM instrument_tokens
                   WHERE instrument_id = ANY (%(ids)s) AND valid_from <= %(day)s AND (valid_to IS NULL OR valid_to > %(day)s)""",
                {"ids": list(ids), "day": day},
            ).fetchall()
        return dict(rows)

    def symbols(self) -> Symbols:
        """Everybody's present and former symbols."""
        with self._db.autocommit() as connection:
            current = connection.execute("SELECT exchange || ':' || symbol, id FROM instruments").fetchall()
            former = load_former(connection)
        return Symbols(dict(current), former)

    def listed(self, search: str | None = None, limit: int | None = None) -> list[Held]:
        """What is listed now, by exchange and symbol; ``search``: part of a symbol (a former one, too) or of a name."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                """SELECT i.exchange, i.symbol, i.kind, i.tick_size, i.lot_size, i.id, t.token, l.exchange_token, l.name, l.segment,
                          l.expiry, l.strike
                   FROM instruments i JOIN instrument_listings l ON l.instrument_id = i.id
                        JOIN instrument_tokens t ON t.instrument_id = i.id AND t.valid_to IS NULL
                   WHERE l.delisted_on IS NULL AND
                         (%(like)s::text IS NULL OR i.symbol ILIKE %(like)s OR l.name ILIKE %(like)s OR
                          i.id IN (SELECT instrument_id FROM instrument_former_symbols WHERE symbol ILIKE %(like)s))
                   ORDER BY i.exchange, i.symbol LIMIT %(limit)s""",
                {"like": None if search is None else f"%{_escaped(search)}%", "limit": limit},
            ).fetchall()
        return [_held(row) for row in rows]

    def changes(self, since: date | None = None) -> list[Change]:
        """In order of day, symbol and kind."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                """SELECT c.day, i.exchange || ':' || i.symbol, c.change, c.old, c.new
                   FROM instrument_changes c JOIN instruments i ON i.id = c.instrument_id
                   WHERE %(since)s::date IS NULL OR c.day >= %(since)s ORDER BY 1, 2, 3""",
                {"since": since},
            ).fetchall()
        return [Change(day, key, ChangeKind(kind), old, new) for day, key, kind, old, new in rows]

    def newest(self) -> date | None:
        """The day of the newest list; None: there is none."""
        with self._db.autocommit() as connection:
            row = connection.execute("SELECT max(day) FROM instrument_dumps").fetchone()
        return None if row is None else row[0]

    def with_bars(self) -> frozenset[int]:
        """Ids that have a bar: one look into the index for each, not a count."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                "SELECT id FROM instruments i WHERE EXISTS (SELECT 1 FROM ohlcv_1min b WHERE b.instrument_id = i.id)"
            ).fetchall()
        return frozenset(row[0] for row in rows)

    def listed_ids(self, exchange: str | None = None) -> frozenset[int]:
        """Ids that are on the last list, of one exchange or of all."""
        with self._db.autocommit() as connection:
            return load_listed_ids(connection, exchange)


def load_listed_ids(connection: Connection, exchange: str | None = None) -> frozenset[int]:
    """Ids that are on the last list, of one exchange or of all."""
    rows = connection.execute(
        """SELECT l.instrument_id FROM instrument_listings l JOIN instruments i ON i.id = l.instrument_id
           WHERE l.delisted_on IS NULL AND (%(exchange)s::text IS NULL OR i.exchange = %(exchange)s)""",
        {"exchange": exchange},
    ).fetchall()
    return frozenset(row[0] for row in rows)


def load_former(connection: Connection) -> dict[str, list[tuple[date, int]]]:
    """By former key: (first day of the next symbol, instrument id)."""
    former: dict[str, list[tuple[date, int]]] = {}
    query = "SELECT exchange || ':' || symbol, valid_to, instrument_id FROM instrument_former_symbols ORDER BY 1, 2"
    for key, end, number in connection.execute(query).fetchall():
        former.setdefault(key, []).append((end, number))
    return former


def _take_over(connection: Connection, day: date, dump: Dump) -> tuple[ExchangeReport, list[Change]]:
    first = _is_first(connection, day, dump.exchange)
    matched, gone = compare(
        load_held(connection, dump.exchange), dump.listings, load_holders(connection, dump.exchange), first=first
    )
    take_over(connection, day, dump.exchange, matched, gone)
    if first:  # thousands of rows the planner has not heard of
        connection.execute("ANALYZE instruments, instrument_history, instrument_listings, instrument_tokens")
    connection.execute(
        """INSERT INTO instrument_dumps AS d (exchange, day, n_rows, n_listed) VALUES (%s, %s, %s, %s)
           ON CONFLICT (exchange, day) DO UPDATE SET n_rows = excluded.n_rows, n_listed = excluded.n_listed
           WHERE (d.n_rows, d.n_listed) <> (excluded.n_rows, excluded.n_listed)""",
        (dump.exchange, day, dump.n_rows, len(dump.listings)),
    )
    changes = [Change(day, m.listing.instrument.key, kind, old, new) for m in matched for kind, old, new in m.changes]
    changes += [Change(day, h.instrument.key, ChangeKind.DELISTED) for h in gone]
    report = ExchangeReport(dump.exchange, dump.n_rows, len(dump.listings), dump.n_options, dump.rejected, first)
    return report, changes


def _is_first(connection: Connection, day: date, exchange: str) -> bool:
    row: Any = connection.execute("SELECT min(day), max(day) FROM instrument_dumps WHERE exchange = %s", (exchange,)).fetchone()
    if row[1] is not None and row[1] > day:
        raise ConfigError(
            f"the stored list of {exchange} is of {row[1]}, expected that day or a later one, found {day}: an older list would "
            "undo it. To go back in time (broker.simulator.day) set system.data_dir to another folder, or database.dsn to another "
            "database"
        )
    return row[0] is None or row[0] == day


def _take_roll(connection: Connection, day: date, roll: Roll) -> int:
    rows = connection.execute(
        "SELECT id FROM instruments WHERE exchange || ':' || symbol = ANY (%s)", (sorted(roll.keys),)
    ).fetchall()
    return take_list(connection, roll.kind, roll.name, day, {row[0]: None for row in rows}, roll.source).members


def _held(row: Sequence[Any]) -> Held:
    exchange, symbol, kind, tick, lot, number, token, exchange_token, name, segment, expiry, strike = row
    instrument = Instrument(exchange, symbol, Kind(kind), tick, lot, number)
    return Held(instrument, Listing(instrument, token, exchange_token, name, segment, expiry, strike), True)


def _escaped(text: str) -> str:
    """For LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
