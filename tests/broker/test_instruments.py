"""The list of instruments as bytes, the manager over it, and the comparison of two lists."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intraday.broker.dump import COLUMNS, parse, refuse_partial
from intraday.broker.instruments import InstrumentManager, rolls
from intraday.domain.broker import Listing
from intraday.domain.clock import SimClock
from intraday.domain.errors import BadAnswer
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.listings import ChangeKind, Dump, Held, Roll, SyncReport, compare
from intraday.domain.membership import FNO
from intraday.domain.session import midnight_ns
from listing_cases import HEADER, Lists, dump, future, index, option, stock

DAY = date(2026, 8, 10)
INFY = stock("INFY", 408065)


def one(row: str, exchange: str = "NSE") -> Listing:
    found = parse(dump(row), exchange)
    assert not found.rejected, found
    return found.listings[0]


# ------------------------------------------------------------------------------------------------------------- rows


def test_a_stock() -> None:
    wanted = Instrument("NSE", "INFY", Kind.EQUITY, 5, 1)
    assert one(INFY) == Listing(wanted, 408065, 1594, "INFY LTD, INDIA", "NSE", None, 0.0)


def test_an_index_has_no_tick_and_no_lot_in_the_list() -> None:
    assert one(index("NIFTY 50", 256265)).instrument == Instrument("NSE", "NIFTY 50", Kind.INDEX, 5, 1)


def test_a_future() -> None:
    found = one(future("INFY26AUGFUT", 15000066, "INFY"), "NFO")
    assert found.instrument == Instrument("NFO", "INFY26AUGFUT", Kind.FUTURE, 5, 500)
    assert (found.expiry, found.segment, found.name) == (date(2026, 8, 27), "NFO-FUT", "INFY")


@pytest.mark.parametrize(
    ("rupees", "paise"), [("0.05", 5), ("0.01", 1), ("0.1", 10), ("1.15", 115), ("5.0", 500), ("0.29", 29), ("1e-2", 1)]
)
def test_tick_sizes_are_exact(rupees: str, paise: int) -> None:
    assert one(stock("X", 257, tick=rupees)).instrument.tick_size == paise


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (stock("X", 257, tick="0.0025"), "tick size is no whole number of paise"),
        (stock("X", 257, tick="0"), "tick size is no whole number of paise"),
        (stock("X", 257, tick="-0.05"), "tick size is no whole number of paise"),
        (stock("X", 257, tick="NaN"), "tick size is no whole number of paise"),
        (stock("X", 257, tick=""), "tick size is no number"),
        (stock("X", 257, lot="x"), "lot size is no number"),
        (stock("X", 257, lot="0"), "lot size is no whole number"),
        (stock("X", 257, lot="1.5"), "lot size is no whole number"),
        (stock(" ", 257), "no symbol"),
        (stock("X", 0), "token is no number"),
        (stock("X", 2**32), "token is no number"),
        (stock("X", 257).replace("257", "²", 1), "token is no number"),
        (stock("X", 257).replace(",1,X", ",,X", 1), "exchange token is no number"),
        (stock("X", 257, exchange="BSE"), "another exchange"),
        (stock("X", 257).replace(",EQ,", ",XX,"), "unknown instrument type"),
        (stock("X", 257).replace(",,0,0.05", ",,,0.05"), "strike is no number"),
        (stock("X", 257).replace(",,0,0.05", ",,inf,0.05"), "strike is no number"),
        (stock("X", 257).replace(",,0,", ",soon,0,"), "expiry is no day"),
        (stock("X", 257) + ",more", "wrong number of columns"),
        ("257,1,X", "wrong number of columns"),
        (future("X26AUGFUT", 257, "X", expiry="").replace("NFO,", "NSE,").removesuffix("NFO") + "NSE", "a future without expiry"),
        (stock("OTHER", 408065), "symbol or token twice"),
        (stock("INFY", 257), "symbol or token twice"),
    ],
)
def test_a_row_that_cannot_be_used_is_counted_and_the_others_stay(row: str, reason: str) -> None:
    found = parse(dump(INFY, row, stock("LAST", 513)), "NSE")
    assert [x.instrument.symbol for x in found.listings] == ["INFY", "LAST"]
    assert (dict(found.rejected), found.n_rows, found.n_options) == ({reason: 1}, 3, 0)


def test_options_are_counted_and_left_out() -> None:
    found = parse(dump(option("A", 1), future("B", 257, "B"), option("C", 2)), "NFO")
    assert ([x.instrument.symbol for x in found.listings], found.n_rows, found.n_options) == (["B"], 3, 2)


def test_columns_may_come_in_any_order_with_others_between() -> None:
    names = [*reversed(HEADER.split(",")), "isin"]
    cells = dict(
        zip(HEADER.split(","), ["408065", "1594", "INFY", '"A, B"', "0", "", "0", "0.05", "1", "EQ", "NSE", "NSE"], strict=True)
    )
    content = dump(",".join(cells.get(n, "IN0001") for n in names), header=",".join(names))
    assert parse(content, "NSE").listings[0] == one(INFY.replace("INFY LTD, INDIA", "A, B"))


@pytest.mark.parametrize("name", COLUMNS)
def test_a_missing_column_is_not_that_list(name: str) -> None:
    header = HEADER.replace(name + ",", "x" + name + ",") if name != "exchange" else HEADER.removesuffix(name) + "where"
    with pytest.raises(BadAnswer, match=f"the broker's list of NSE instruments: expected columns .* missing {name};"):
        parse(dump(INFY, header=header), "NSE")


@pytest.mark.parametrize("content", [b"", b"<html>Bad gateway</html>", b"\x1f\x8b\x08\x00", b"\xff\xfe\x00"])
def test_something_else_is_not_that_list(content: bytes) -> None:
    with pytest.raises(BadAnswer, match="expected columns"):
        parse(content, "NSE")


def test_broken_quotes_and_bytes() -> None:
    with pytest.raises(BadAnswer, match="expected CSV"):
        parse(dump(INFY, '1,2,"' + "x" * 200_000), "NSE")
    found = parse(dump(INFY) + stock("OK", 513).encode().replace(b"LTD", b"\xff\xfe"), "NSE")
    assert [x.instrument.symbol for x in found.listings] == ["INFY", "OK"]
    assert parse(dump(INFY).replace(b"\n", b"\r\n") + b"\r\n\r\n", "NSE").n_rows == 1


@given(st.binary(max_size=300), st.integers(0, 300))
def test_no_bytes_break_it(noise: bytes, at: int) -> None:
    whole = dump(INFY, stock("LAST", 513))
    try:
        found = parse(whole[:at] + noise + whole[at:], "NSE")
    except BadAnswer:
        return
    assert found.n_rows == len(found.listings) + found.n_options + sum(found.rejected.values())


def test_real_lists(shared: Path) -> None:
    folder = shared / "data" / "kite_fixtures" / "kiteconnect-mocks"
    nse = parse((folder / "instruments_nse.csv").read_bytes(), "NSE")
    assert (len(nse.listings), nse.n_rows, dict(nse.rejected)) == (99, 99, {})
    by_symbol = {x.instrument.symbol: x for x in nse.listings}
    assert (by_symbol["CENTRALBK-BE"].token, by_symbol["CENTRALBK-BE"].name) == (3813889, "CENTRAL BANK OF INDIA")
    assert by_symbol["MIDCAPIWIN-BL"].instrument.tick_size == 1
    everything = (folder / "instruments_all.csv").read_bytes()
    nfo = parse(everything, "NFO")
    assert (nfo.n_options, nfo.listings, dict(nfo.rejected)) == (25, (), {"another exchange": 74})


@pytest.mark.parametrize(
    ("now", "before", "fine"),
    [((4, 4), None, True), ((4, 4), (8, 8), True), ((4, 4), (9, 4), False), ((9, 4), (9, 9), False), ((7, 0), None, False)],
)
def test_half_a_list_is_suspicious(now: tuple[int, int], before: tuple[int, int] | None, fine: bool) -> None:
    found = Dump("NSE", tuple(one(stock(f"S{k}", 257 + k)) for k in range(now[1])), now[0])
    if fine:
        refuse_partial(found, before)
    else:
        with pytest.raises(BadAnswer, match="try again later"):
            refuse_partial(found, before)


# ----------------------------------------------------------------------------------------------------------- manager


@dataclass
class Kept:
    """``ListingStore`` that only remembers what it was given."""

    before: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    given: list[tuple[date, Sequence[Dump], Sequence[Roll]]] = field(default_factory=list)

    def sizes(self, day: date) -> Mapping[str, tuple[int, int]]:
        return self.before

    def sync(self, day: date, dumps: Sequence[Dump], rolls: Sequence[Roll]) -> SyncReport:
        self.given.append((day, dumps, rolls))
        return SyncReport(day, (), (), {})

    def tokens(self, ids: Sequence[int], day: date) -> dict[int, int]:
        return {i: 1000 * i + day.day for i in ids}


def test_today_is_the_clocks_day_in_india() -> None:
    store = Kept()
    api = Lists({"NSE": dump(INFY), "NFO": dump(future("INFY26AUGFUT", 15000066, "INFY"))})
    manager = InstrumentManager(api, store, SimClock(midnight_ns(DAY)))
    assert asyncio.run(manager.sync()).day == DAY  # 18:30 UTC of the day before
    assert asyncio.run(manager.sync(date(2026, 8, 20))).day == date(2026, 8, 20)
    assert api.asked == ["NSE", "NFO"] * 2
    assert [d.exchange for d in store.given[0][1]] == ["NSE", "NFO"]


def test_nothing_is_stored_when_one_list_is_bad() -> None:
    store = Kept({"NFO": (100, 50)})
    api = Lists({"NSE": dump(INFY), "NFO": dump(future("INFY26AUGFUT", 15000066, "INFY"))})
    with pytest.raises(BadAnswer, match="found 1 rows, 1 usable, after 100 and 50"):
        asyncio.run(InstrumentManager(api, store, SimClock(midnight_ns(DAY))).sync())
    assert store.given == []


def test_tokens_by_instrument() -> None:
    manager = InstrumentManager(Lists({}), Kept(), SimClock())
    assert manager.tokens([Instrument("NSE", "A", id=3), Instrument("NSE", "B", id=7)], DAY) == {3: 3010, 7: 7010}


def test_only_stocks_with_futures_are_fno() -> None:
    nse = parse(dump(INFY, stock("NIFTY", 513), stock("SMALL", 769), index("BANKEX", 1025)), "NSE")
    nfo = parse(
        dump(*(future(f"{n}26AUGFUT", 257 + k, n) for k, n in enumerate(["INFY", "NIFTYX", "BANKEX"])), option("SMALL", 3)), "NFO"
    )
    assert [(r.kind, r.name, r.keys) for r in rolls(DAY, [nse, nfo])] == [
        ("universe", FNO, frozenset({"NSE:INFY"})),
        ("flag", "closing_auction", frozenset({"NSE:INFY"})),
    ]
    assert [r.name for r in rolls(date(2026, 8, 2), [nfo, nse])] == [FNO]
    assert rolls(DAY, [nse]) == rolls(DAY, [nfo]) == []


# -------------------------------------------------------------------------------------------------------- comparison

SYMBOLS, TOKENS = "ABCDE", [257, 513, 769, 1025, 1281]
LISTS = st.lists(st.tuples(st.sampled_from(SYMBOLS), st.sampled_from(TOKENS)), unique_by=(lambda p: p[0], lambda p: p[1]))


class Register:
    """What a store would hold after each list, with nothing but ``compare`` to tell it who is who."""

    def __init__(self) -> None:
        self.held: dict[int, Held] = {}
        self.holders: dict[int, int] = {}
        self.n_lists = 0

    def take(self, rows: Sequence[tuple[str, int]]) -> list[tuple[str, str]]:
        listings = [one(stock(symbol, token)) for symbol, token in rows]
        holders = {token: self.held[number].instrument.key for token, number in self.holders.items()}
        matched, gone = compare(self.held.values(), listings, holders, first=self.n_lists == 0)
        self.n_lists += 1
        for h in gone:
            self.held[h.instrument.id] = Held(h.instrument, h.listing, False)
        changes = [(h.instrument.symbol, "delisted") for h in gone]
        for m in matched:
            number = m.listing.instrument.id or len(self.held) + 1
            instrument = Instrument("NSE", m.listing.instrument.symbol, id=number)
            self.held[number] = Held(instrument, m.listing, True)
            self.holders[m.listing.token] = number
            changes += [(instrument.symbol, kind.value) for kind, *_ in m.changes]
        return changes


@given(st.lists(LISTS, min_size=1, max_size=6))
def test_after_any_lists_the_register_is_the_last_one(lists: list[list[tuple[str, int]]]) -> None:
    register = Register()
    for rows in lists:
        register.take(rows)
        listed = [(h.instrument.symbol, h.listing.token) for h in register.held.values() if h.listed and h.listing]
        assert sorted(listed) == sorted(rows)
        keys = [h.instrument.key for h in register.held.values()]
        assert len(keys) == len(set(keys)), "two instruments under one symbol"
        assert register.take(rows) == [], "the same list again is no news"


@given(LISTS, st.permutations(SYMBOLS))
def test_symbols_may_be_permuted_and_every_token_keeps_its_instrument(rows: list[tuple[str, int]], names: list[str]) -> None:
    register = Register()
    assert register.take(rows) == [], "the first list is no news"
    before = {h.listing.token: i for i, h in register.held.items() if h.listing}
    renamed = dict(zip(SYMBOLS, names, strict=True))
    changes = register.take([(renamed[symbol], token) for symbol, token in rows])
    assert {h.listing.token: i for i, h in register.held.items() if h.listing} == before
    assert {kind for _, kind in changes} <= {"renamed"}
    assert len(changes) == sum(renamed[symbol] != symbol for symbol, _ in rows)


def test_a_merger_into_a_listed_symbol_is_no_renaming() -> None:
    """The new list has B under A's number; B was listed under its own: two histories, and B goes on."""
    register = Register()
    register.take([("A", 257), ("B", 513)])
    assert sorted(register.take([("B", 257)])) == [("A", "delisted"), ("B", "token_changed"), ("B", "token_reused")]
    assert {i: (h.instrument.symbol, h.listed) for i, h in register.held.items()} == {1: ("A", False), 2: ("B", True)}


def test_a_future_is_never_renamed() -> None:
    old = one(future("INFY26AUGFUT", 15000066, "INFY"), "NFO")
    held = Held(Instrument("NFO", "INFY26AUGFUT", Kind.FUTURE, 5, 500, id=1), old, True)
    new = one(future("ACME26AUGFUT", 15000066, "ACME"), "NFO")
    matched, gone = compare([held], [new], {15000066: "NFO:INFY26AUGFUT"}, first=False)
    assert gone == [held]
    assert [kind for kind, *_ in matched[0].changes] == [ChangeKind.LISTED, ChangeKind.TOKEN_REUSED]
    moved = one(future("INFY26AUGFUT", 15000066, "INFY", expiry="2026-08-25"), "NFO")
    matched, gone = compare([held], [moved], {15000066: "NFO:INFY26AUGFUT"}, first=False)
    assert matched[0].changes == ((ChangeKind.EXPIRY, "2026-08-27", "2026-08-25"),)
    assert gone == []


@pytest.mark.parametrize(("old", "new"), [(None, date(2026, 8, 27)), (date(2026, 8, 27), None)])
def test_an_expiry_on_either_side_makes_it_no_renaming(old: date | None, new: date | None) -> None:
    rows = {True: one(stock("A", 257)), False: one(stock("B", 257))}
    before = replace(rows[True], expiry=old)
    held = Held(replace(before.instrument, id=1), before, True)
    matched, gone = compare([held], [replace(rows[False], expiry=new)], {257: "NSE:A"}, first=False)
    assert (gone, [kind for kind, *_ in matched[0].changes]) == ([held], [ChangeKind.LISTED, ChangeKind.TOKEN_REUSED])
