"""Daily lists of instruments in the database: dated changes, tokens, symbols, lists of members."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date

import pytest

from intraday.broker.dump import parse
from intraday.broker.instruments import InstrumentManager
from intraday.database.digests import digests
from intraday.database.pool import Database
from intraday.database.stores import Stores
from intraday.domain.clock import SimClock
from intraday.domain.errors import BadAnswer, ConfigError, StorageError
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.listings import Change, ChangeKind, SyncReport
from intraday.domain.membership import FNO, Flag, Span
from intraday.domain.session import midnight_ns
from listing_cases import Lists, dump, future, index, option, stock

pytestmark = pytest.mark.integration
D1, D2, D3, D4 = date(2026, 8, 10), date(2026, 8, 11), date(2026, 8, 12), date(2026, 8, 13)
NSE = [stock("INFY", 408065), stock("ZOMATO", 1304833), stock("SMALL", 5000193), index("NIFTY 50", 256265)]
NFO = [future("INFY26AUGFUT", 15000066, "INFY"), future("NIFTY26AUGFUT", 15000322, "NIFTY"), option("INFY26AUG1500CE", 15000578)]


@pytest.fixture
def stores(database: Database) -> Stores:
    return Stores(database)


def sync(stores: Stores, day: date, nse: list[str] | None = None, nfo: list[str] | None = None) -> SyncReport:
    lists = Lists({"NSE": dump(*(NSE if nse is None else nse)), "NFO": dump(*(NFO if nfo is None else nfo))})
    clock = SimClock(midnight_ns(day) + 8 * 3_600_000_000_000)
    return asyncio.run(InstrumentManager(lists, stores.listings, clock).sync())


def ids(stores: Stores) -> dict[str, int]:
    return {i.key: i.id for i in stores.instruments.all()}


def told(report: SyncReport) -> list[tuple[str, str, str | None, str | None]]:
    return [(c.key, c.kind.value, c.old, c.new) for c in report.changes]


def test_the_first_list_is_the_base_and_no_change(stores: Stores) -> None:
    report = sync(stores, D1)
    assert [(e.exchange, e.rows, e.listed, e.options, e.first) for e in report.exchanges] == [
        ("NSE", 4, 4, 0, True),
        ("NFO", 3, 2, 1, True),
    ]
    assert (report.changes, report.counts(), stores.listings.changes()) == ((), {}, [])
    found = {h.instrument.key: h for h in stores.listings.listed()}
    assert list(found) == ["NFO:INFY26AUGFUT", "NFO:NIFTY26AUGFUT", "NSE:INFY", "NSE:NIFTY 50", "NSE:SMALL", "NSE:ZOMATO"]
    nifty, future_ = found["NSE:NIFTY 50"], found["NFO:INFY26AUGFUT"]
    assert (nifty.instrument.kind, nifty.instrument.tick_size, nifty.instrument.lot_size) == (Kind.INDEX, 5, 1)
    assert future_.listing is not None
    assert (future_.instrument.lot_size, future_.listing.expiry, future_.listing.name) == (500, date(2026, 8, 27), "INFY")


def test_a_second_sync_of_the_day_touches_no_row(stores: Stores, database: Database) -> None:
    sync(stores, D1)
    sync(stores, D2, NSE[:-1] + [stock("NEW", 777217)])
    before = digests(database)
    report = sync(stores, D2, NSE[:-1] + [stock("NEW", 777217)])
    assert report.changes == ()
    assert digests(database) == before


def test_listed_and_delisted_are_dated(stores: Stores) -> None:
    sync(stores, D1)
    report = sync(stores, D2, [*NSE[:2], NSE[3], stock("NEW", 777217)])
    assert told(report) == [("NSE:NEW", "listed", None, None), ("NSE:SMALL", "delisted", None, None)]
    assert stores.listings.changes(D2) == [
        Change(D2, "NSE:NEW", ChangeKind.LISTED),
        Change(D2, "NSE:SMALL", ChangeKind.DELISTED),
    ]
    assert stores.listings.changes(D3) == []
    known = ids(stores)
    tokens = {day: stores.listings.tokens([known["NSE:NEW"], known["NSE:SMALL"]], day) for day in (date(2026, 8, 9), D1, D2, D3)}
    assert tokens == {
        date(2026, 8, 9): {},
        D1: {known["NSE:SMALL"]: 5000193},
        D2: {known["NSE:NEW"]: 777217},
        D3: {known["NSE:NEW"]: 777217},
    }
    assert stores.listings.listed("SMALL") == []
    # And back again: the same instrument, listed anew.
    assert told(sync(stores, D3, [*NSE, stock("NEW", 777217)])) == [("NSE:SMALL", "listed", None, None)]
    assert [h.instrument.id for h in stores.listings.listed("SMALL")] == [known["NSE:SMALL"]]
    assert stores.listings.tokens([known["NSE:SMALL"]], D2) == {}
    assert stores.listings.tokens([known["NSE:SMALL"]], D3) == {known["NSE:SMALL"]: 5000193}


def test_a_renamed_stock_keeps_its_id_and_its_old_symbol_finds_it(stores: Stores) -> None:
    sync(stores, D1)
    before = ids(stores)
    report = sync(stores, D2, [NSE[0], stock("ETERNAL", 1304833), *NSE[2:]])
    assert told(report) == [("NSE:ETERNAL", "renamed", "ZOMATO", "ETERNAL")]
    number = before["NSE:ZOMATO"]
    assert ids(stores)["NSE:ETERNAL"] == number
    assert "NSE:ZOMATO" not in ids(stores)
    symbols = stores.listings.symbols()
    assert {symbols.find("NSE:ZOMATO", day) for day in (D1, D2, D3)} == {number}
    assert symbols.find("NSE:ETERNAL", D1) == symbols.find("NSE:ETERNAL", D2) == number
    assert symbols.find("NSE:NOBODY", D1) is None
    assert [h.instrument.symbol for h in stores.listings.listed("zoma")] == ["ETERNAL"]
    assert stores.listings.tokens([number], D1) == stores.listings.tokens([number], D2) == {number: 1304833}
    # Bars imported under the old name are the same instrument's.
    assert stores.instruments.upsert([Instrument("NSE", "ZOMATO")])[0] == Instrument("NSE", "ETERNAL", id=number)
    # Somebody else may take the old symbol: whoever asks for a day before gets the one that had it then.
    sync(stores, D3, [NSE[0], stock("ETERNAL", 1304833), *NSE[2:], stock("ZOMATO", 999937)])
    symbols = stores.listings.symbols()
    assert symbols.find("NSE:ZOMATO", D1) == number
    assert symbols.find("NSE:ZOMATO", D3) == ids(stores)["NSE:ZOMATO"] != number


def test_symbols_that_change_places_do_not_swap_histories(stores: Stores) -> None:
    sync(stores, D1)
    before = ids(stores)
    report = sync(stores, D2, [stock("SMALL", 408065), stock("INFY", 1304833), stock("ZOMATO", 5000193), NSE[3]])
    assert {(key, kind) for key, kind, *_ in told(report)} == {
        ("NSE:SMALL", "renamed"),
        ("NSE:INFY", "renamed"),
        ("NSE:ZOMATO", "renamed"),
    }
    after = ids(stores)
    assert (after["NSE:SMALL"], after["NSE:INFY"], after["NSE:ZOMATO"]) == (
        before["NSE:INFY"],
        before["NSE:ZOMATO"],
        before["NSE:SMALL"],
    )


def test_a_symbol_that_has_a_history_of_its_own_is_not_joined(stores: Stores) -> None:
    """Bars were imported under the new name before the list knew it: two ids that nobody can make one."""
    sync(stores, D1)
    own = stores.instruments.upsert([Instrument("NSE", "ETERNAL")])[0]
    report = sync(stores, D2, [NSE[0], stock("ETERNAL", 1304833), *NSE[2:]])
    assert told(report) == [
        ("NSE:ETERNAL", "listed", None, None),
        ("NSE:ETERNAL", "token_reused", "NSE:ZOMATO", "1304833"),
        ("NSE:ZOMATO", "delisted", None, None),
    ]
    assert ids(stores)["NSE:ETERNAL"] == own.id


def test_a_changed_token_is_the_same_instrument(stores: Stores) -> None:
    sync(stores, D1)
    report = sync(stores, D2, [stock("INFY", 408321), *NSE[1:]])
    assert told(report) == [("NSE:INFY", "token_changed", "408065", "408321")]
    number = ids(stores)["NSE:INFY"]
    assert [stores.listings.tokens([number], day)[number] for day in (D1, D2, D3)] == [408065, 408321, 408321]


def test_a_token_of_an_expired_contract_is_reused(stores: Stores) -> None:
    sync(stores, D1)
    report = sync(stores, D3, nfo=[future("ACME26SEPFUT", 15000066, "ACME", "2026-09-24"), NFO[1], NFO[2]])
    assert told(report) == [
        ("NFO:ACME26SEPFUT", "listed", None, None),
        ("NFO:ACME26SEPFUT", "token_reused", "NFO:INFY26AUGFUT", "15000066"),
        ("NFO:INFY26AUGFUT", "delisted", None, None),
    ]
    known = ids(stores)
    old, new = known["NFO:INFY26AUGFUT"], known["NFO:ACME26SEPFUT"]
    assert old != new
    assert [stores.listings.tokens([old, new], day) for day in (D1, D2, D3)] == [{old: 15000066}, {old: 15000066}, {new: 15000066}]


def test_tick_and_lot_sizes_are_dated_and_stored(stores: Stores, database: Database) -> None:
    sync(stores, D1)
    report = sync(
        stores, D2, [stock("INFY", 408065, tick="0.1"), *NSE[1:]], [future("INFY26AUGFUT", 15000066, "INFY", lot="400"), *NFO[1:]]
    )
    assert told(report) == [("NSE:INFY", "tick_size", "5", "10"), ("NFO:INFY26AUGFUT", "lot_size", "500", "400")]
    assert {i.key: (i.tick_size, i.lot_size) for i in stores.instruments.all() if i.symbol.startswith("INFY")} == {
        "NSE:INFY": (10, 1),
        "NFO:INFY26AUGFUT": (5, 400),
    }
    with database.autocommit() as connection:
        rows = connection.execute(
            "SELECT version, tick_size, valid_from FROM instrument_history WHERE instrument_id = %s ORDER BY version",
            (ids(stores)["NSE:INFY"],),
        ).fetchall()
    assert rows == [(1, 5, D1), (2, 10, D2)]


def test_what_the_list_says_is_not_undone_by_an_import(stores: Stores) -> None:
    mine = stores.instruments.upsert([Instrument("NSE", "INFY", tick_size=5), Instrument("NSE", "OTHER")])
    sync(stores, D1, [stock("INFY", 408065, tick="0.1"), *NSE[1:]])
    again = stores.instruments.upsert([Instrument("NSE", "INFY", tick_size=5), Instrument("NSE", "OTHER", tick_size=1)])
    assert [i.id for i in again] == [i.id for i in mine]
    assert [i.tick_size for i in again] == [10, 1]


def test_another_list_of_the_same_day_goes_on_from_the_day_before(stores: Stores) -> None:
    sync(stores, D1)
    sync(stores, D2, [stock("INFY", 408321, tick="0.1"), *NSE[1:]])
    sync(stores, D2, [stock("INFY", 408577), *NSE[1:]])
    assert stores.listings.changes() == [Change(D2, "NSE:INFY", ChangeKind.TOKEN_CHANGED, "408065", "408577")]
    number = ids(stores)["NSE:INFY"]
    assert [stores.listings.tokens([number], day)[number] for day in (D1, D2)] == [408065, 408577]


def test_an_older_day_is_refused(stores: Stores, database: Database) -> None:
    sync(stores, D2)
    before = digests(database)
    with pytest.raises(
        ConfigError, match="the stored list of NSE is of 2026-08-11, expected .*: .* set system.data_dir to another"
    ):
        sync(stores, D1)
    assert digests(database) == before


@pytest.mark.parametrize("rows", [[], NSE[:1], [option("X", 1)] * 4])
def test_half_a_list_is_refused_and_nothing_stored(stores: Stores, database: Database, rows: list[str]) -> None:
    sync(stores, D1)
    before = digests(database)
    with pytest.raises(BadAnswer, match="the broker's list of NSE instruments: (found|expected)"):
        sync(stores, D2, rows)
    with pytest.raises(BadAnswer, match="list of NFO instruments"):
        sync(stores, D2, [stock("NEW", 777217), *NSE], [])
    assert digests(database) == before


def test_lists_of_one_day_are_compared_with_the_day_before(stores: Stores) -> None:
    """Or a list could lose half its rows again and again."""
    sync(stores, D1)
    sync(stores, D2, NSE[:2])
    with pytest.raises(BadAnswer, match="found 1 rows, 1 usable, after 4 and 4"):
        sync(stores, D2, NSE[:1])


def test_a_sync_is_all_or_nothing(stores: Stores, database: Database) -> None:
    sync(stores, D1)
    before = digests(database)
    good, bad = parse(dump(stock("NEW", 777217), *NSE), "NSE"), parse(dump(*NFO, future("BAD", 777217, "X")), "NFO")
    with pytest.raises(StorageError):  # a token that another exchange has: it can't be
        stores.listings.sync(D2, [good, bad], [])
    assert digests(database) == before


# --------------------------------------------------------------------------------------------------------- lists of members


def members(stores: Stores, kind: str, name: str) -> Mapping[str, list[tuple[date, date | None]]]:
    keys = {number: key for key, number in ids(stores).items()}
    found: dict[str, list[tuple[date, date | None]]] = {}
    for span in stores.members.spans(kind, name):
        found.setdefault(keys[span.instrument_id], []).append((span.start, span.end))
    return found


def test_stocks_with_futures_are_a_dated_universe(stores: Stores) -> None:
    assert sync(stores, D1).rolls == {"FNO": 1, "closing_auction": 1}
    assert members(stores, "universe", FNO) == {"NSE:INFY": [(D1, None)]}
    assert stores.members.known_from("universe", FNO) == D1
    sync(stores, D2, nfo=[NFO[1], future("ZOMATO26SEPFUT", 15000834, "ZOMATO"), future("ZOMATO26AUGFUT", 15001090, "ZOMATO")])
    assert members(stores, "universe", FNO) == {"NSE:INFY": [(D1, D2)], "NSE:ZOMATO": [(D2, None)]}
    assert members(stores, "flag", Flag.CLOSING_AUCTION) == members(stores, "universe", FNO)
    assert (stores.members.names("universe"), stores.members.names("flag")) == ([FNO], ["closing_auction"])


def test_there_is_no_closing_auction_before_its_day(stores: Stores) -> None:
    assert sync(stores, date(2026, 7, 31)).rolls == {"FNO": 1}
    assert sync(stores, date(2026, 8, 3)).rolls == {"FNO": 1, "closing_auction": 1}
    assert members(stores, "flag", Flag.CLOSING_AUCTION) == {"NSE:INFY": [(date(2026, 8, 3), None)]}


def states(stores: Stores, symbol: str, day: date) -> dict[str, tuple[str, str | None]]:
    return {f.flag.value: (f.state, f.value) for f in stores.members.flags(ids(stores)[symbol], day)}


def test_unknown_is_not_no(stores: Stores) -> None:
    sync(stores, D1)
    infy, small = ids(stores)["NSE:INFY"], ids(stores)["NSE:SMALL"]
    report = stores.members.take("flag", Flag.MIS, D2, {infy: "5", small: None}, "mis.csv")
    assert (report.members, report.joined, report.left, report.end) == (2, 2, 0, None)
    stores.members.take("flag", Flag.MIS, D3, {infy: "4"}, "mis2.csv")
    assert states(stores, "NSE:INFY", D1)["mis"] == ("unknown", None)
    assert states(stores, "NSE:INFY", D2)["mis"] == ("yes", "5")
    assert states(stores, "NSE:INFY", D3)["mis"] == ("yes", "4")
    assert states(stores, "NSE:SMALL", D2)["mis"] == ("yes", None)
    assert states(stores, "NSE:SMALL", D3)["mis"] == ("no", None)
    assert states(stores, "NSE:SMALL", D3) == {
        "mis": ("no", None),
        "t2t": ("unknown", None),
        "asm": ("unknown", None),
        "gsm": ("unknown", None),
        "closing_auction": ("no", None),
    }
    state = stores.members.flags(small, D3)[0]
    assert (state.source, state.since) == ("mis2.csv", D3)


def test_an_older_list_holds_until_the_next_one_that_is_known(stores: Stores, database: Database) -> None:
    sync(stores, D1)
    infy, zomato = ids(stores)["NSE:INFY"], ids(stores)["NSE:ZOMATO"]
    stores.members.take("universe", "N50", D3, {infy: None}, "a.csv")
    report = stores.members.take("universe", "N50", D1, {zomato: None, infy: "no value in a universe"}, "b.csv")
    assert (report.end, report.joined, report.left) == (D3, 2, 0)
    assert stores.members.spans("universe", "N50") == [Span(infy, D1, None), Span(zomato, D1, D3)]
    before = digests(database)
    assert stores.members.take("universe", "N50", D1, {zomato: None, infy: None}, "b.csv").joined == 2
    assert digests(database) == before
    report = stores.members.take("universe", "N50", D4, {zomato: None}, "c.csv")
    assert (report.members, report.joined, report.left) == (1, 1, 1)


def test_a_whole_history_replaces_what_was_known(stores: Stores) -> None:
    sync(stores, D1)
    infy, zomato = ids(stores)["NSE:INFY"], ids(stores)["NSE:ZOMATO"]
    stores.members.take("universe", "N50", D3, {infy: None}, "a.csv")
    spans = [Span(zomato, D1, D2), Span(zomato, D2, D4), Span(infy, D2, None)]
    report = stores.members.take_dated("universe", "N50", spans, "b.csv")
    assert (report.day, report.members) == (D1, 1)
    assert stores.members.spans("universe", "N50") == [Span(infy, D2, None), Span(zomato, D1, D4)]
    assert stores.members.known_from("universe", "N50") == D1
    assert stores.members.take("universe", "N50", D2, {infy: None}, "c.csv").end is None, "the list of D3 is no more"


def test_who_has_bars(stores: Stores, database: Database) -> None:
    sync(stores, D1)
    assert stores.listings.with_bars() == frozenset()
    assert len(stores.listings.listed_ids()) == 6
