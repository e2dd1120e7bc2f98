"""One exchange's new list, compared with what is stored (``domain.listings.compare``), as rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from intraday.database.pool import Connection
from intraday.domain.broker import Listing
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.listings import ChangeKind, Held, Matched


def load_held(connection: Connection, exchange: str) -> list[Held]:
    """Every stored instrument of an exchange, with its last listing and token."""
    rows = connection.execute(
        """SELECT i.symbol, i.kind, i.tick_size, i.lot_size, i.id, t.token, l.exchange_token, l.name, l.segment, l.expiry, l.strike,
                  l.delisted_on
           FROM instruments i LEFT JOIN instrument_listings l ON l.instrument_id = i.id
                LEFT JOIN (SELECT DISTINCT ON (instrument_id) instrument_id, token FROM instrument_tokens
                           ORDER BY instrument_id, valid_from DESC) t ON t.instrument_id = i.id
           WHERE i.exchange = %s ORDER BY i.id""",
        (exchange,),
    ).fetchall()
    found = []
    for symbol, kind, tick, lot, number, token, exchange_token, name, segment, expiry, strike, delisted_on in rows:
        instrument = Instrument(exchange, symbol, Kind(kind), tick, lot, number)
        listing = None if token is None else Listing(instrument, token, exchange_token, name, segment, expiry, strike)
        found.append(Held(instrument, listing, listing is not None and delisted_on is None))
    return found


def load_holders(connection: Connection, exchange: str) -> dict[int, str]:
    """Key of the newest holder of every token of an exchange."""
    rows = connection.execute(
        """SELECT DISTINCT ON (t.token) t.token, i.exchange || ':' || i.symbol
           FROM instrument_tokens t JOIN instruments i ON i.id = t.instrument_id
           WHERE i.exchange = %s ORDER BY t.token, t.valid_from DESC""",
        (exchange,),
    ).fetchall()
    return dict(rows)


def take_over(connection: Connection, day: date, exchange: str, matched: Sequence[Matched], gone: Sequence[Held]) -> None:
    """Write what the list says of each instrument, as of ``day``. Rows that say the same already are not touched."""
    _free_symbols(connection, day, exchange, [m for m in matched if m.renamed])
    _load(connection, matched)
    _store_instruments(connection, day, exchange)
    _store_listings(connection, day, [h.instrument.id for h in gone])
    _store_tokens(connection, day, [h.instrument.id for h in gone])
    _store_changes(connection, day, matched, gone)
    connection.execute("DROP TABLE dumped")


def _free_symbols(connection: Connection, day: date, exchange: str, renamed: Sequence[Matched]) -> None:
    """Remember the old symbols, and take them away first: renamings may go in a ring."""
    olds = [m.held.instrument for m in renamed if m.held is not None]
    with connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO instrument_former_symbols (exchange, symbol, instrument_id, valid_to) VALUES (%s, %s, %s, %s)
               ON CONFLICT DO NOTHING""",
            [(exchange, old.symbol, old.id, day) for old in olds],
        )
    connection.execute("UPDATE instruments SET symbol = '~' || id WHERE id = ANY (%s)", ([old.id for old in olds],))


def _load(connection: Connection, matched: Sequence[Matched]) -> None:
    connection.execute(
        """CREATE TEMP TABLE dumped (id integer, symbol text, kind text, tick_size integer, lot_size integer, token bigint,
             exchange_token bigint, name text, segment text, expiry date, strike double precision) ON COMMIT DROP"""
    )
    with connection.cursor().copy("COPY dumped FROM STDIN") as copy:
        for m in matched:
            x, i = m.listing, m.listing.instrument
            copy.write_row(
                (i.id or None, i.symbol, i.kind.value, i.tick_size, i.lot_size, x.token, x.exchange_token, x.name, x.segment,
                 x.expiry, x.strike)
            )  # fmt: skip


def _store_instruments(connection: Connection, day: date, exchange: str) -> None:
    connection.execute(
        """WITH made AS (INSERT INTO instruments (exchange, symbol, kind, tick_size, lot_size)
             SELECT %s, symbol, kind, tick_size, lot_size FROM dumped WHERE id IS NULL RETURNING id, symbol)
           UPDATE dumped d SET id = made.id FROM made WHERE d.id IS NULL AND d.symbol = made.symbol""",
        (exchange,),
    )
    connection.execute("CREATE UNIQUE INDEX ON dumped (id)")
    connection.execute("ANALYZE dumped")
    connection.execute(
        """UPDATE instruments i SET symbol = d.symbol, kind = d.kind, tick_size = d.tick_size, lot_size = d.lot_size FROM dumped d
           WHERE i.id = d.id AND (i.symbol, i.kind, i.tick_size, i.lot_size) <> (d.symbol, d.kind, d.tick_size, d.lot_size)"""
    )
    connection.execute(
        """INSERT INTO instrument_history (instrument_id, version, kind, tick_size, lot_size, valid_from)
           SELECT d.id, coalesce(h.version, 0) + 1, d.kind, d.tick_size, d.lot_size, %s
           FROM dumped d LEFT JOIN (SELECT DISTINCT ON (instrument_id) * FROM instrument_history
                                    ORDER BY instrument_id, version DESC) h ON h.instrument_id = d.id
           WHERE (d.kind, d.tick_size, d.lot_size) IS DISTINCT FROM (h.kind, h.tick_size, h.lot_size)""",
        (day,),
    )


def _store_listings(connection: Connection, day: date, gone: list[int]) -> None:
    connection.execute(
        """INSERT INTO instrument_listings AS l (instrument_id, name, segment, exchange_token, expiry, strike, listed_from)
           SELECT id, name, segment, exchange_token, expiry, strike, %s FROM dumped
           ON CONFLICT (instrument_id) DO UPDATE SET name = excluded.name, segment = excluded.segment,
             exchange_token = excluded.exchange_token, expiry = excluded.expiry, strike = excluded.strike, delisted_on = NULL
           WHERE (l.name, l.segment, l.exchange_token, l.expiry, l.strike, l.delisted_on) IS DISTINCT FROM
             (excluded.name, excluded.segment, excluded.exchange_token, excluded.expiry, excluded.strike, NULL)""",
        (day,),
    )
    connection.execute("UPDATE instrument_listings SET delisted_on = %s WHERE instrument_id = ANY (%s)", (day, gone))


def _store_tokens(connection: Connection, day: date, gone: list[int]) -> None:
    """End what does not hold any more (what began today never was), then begin what does."""
    changed = connection.execute(
        """SELECT t.instrument_id FROM instrument_tokens t JOIN dumped d ON d.id = t.instrument_id
           WHERE t.valid_to IS NULL AND t.token <> d.token"""
    ).fetchall()
    values = (day, [*gone, *(row[0] for row in changed)])
    over = "valid_to IS NULL AND instrument_id = ANY (%s)"
    connection.execute(f"DELETE FROM instrument_tokens WHERE valid_from >= %s AND {over}", values)  # nosec B608: our own text
    connection.execute(f"UPDATE instrument_tokens SET valid_to = %s WHERE {over}", values)  # nosec B608
    connection.execute(
        """INSERT INTO instrument_tokens (instrument_id, token, valid_from)
           SELECT id, token, %s FROM dumped d
           WHERE NOT EXISTS (SELECT 1 FROM instrument_tokens t WHERE t.instrument_id = d.id AND t.valid_to IS NULL)""",
        (day,),
    )


def _store_changes(connection: Connection, day: date, matched: Sequence[Matched], gone: Sequence[Held]) -> None:
    """Another list of the same day continues what the first one said: old is what it was the day before."""
    ids = dict(connection.execute("SELECT symbol, id FROM dumped").fetchall())
    rows = [(day, ids[m.listing.instrument.symbol], kind.value, old, new) for m in matched for kind, old, new in m.changes]
    rows += [(day, h.instrument.id, ChangeKind.DELISTED.value, None, None) for h in gone]
    with connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO instrument_changes (day, instrument_id, change, old, new) VALUES (%s, %s, %s, %s, %s)
               ON CONFLICT (day, instrument_id, change) DO UPDATE SET new = excluded.new""",
            rows,
        )
    connection.execute("DELETE FROM instrument_changes WHERE day = %s AND old = new", (day,))
