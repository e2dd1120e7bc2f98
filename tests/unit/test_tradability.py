from __future__ import annotations

from datetime import date, timedelta
from typing import Any, cast

import numpy as np
import pytest

from intraday.app_decisions import stored_trade_lists
from intraday.core.tradability import ASSUMED, DIRECTION, Contract, FlagList, TradeLists, eligible_sides, everything
from intraday.domain.broker import Listing
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.listings import Change, ChangeKind, Held
from intraday.domain.membership import Flag, Span
from intraday.domain.session import EPOCH

DAY = date(2026, 1, 6)
NAMES = ("FREE", "T2T", "ASM", "GSM", "NOMIS")
STOCKS = [Instrument("NSE", name, id=k + 10) for k, name in enumerate(NAMES)]
INDEX = Instrument("NSE", "NIFTY 50", Kind.INDEX, id=90)
FUTURE = Instrument("NFO", "NIFTY26JANFUT", Kind.FUTURE, lot_size=65, id=91)
ALL = [*STOCKS, INDEX, FUTURE]


def lists(mis_from: date | None = date(2026, 1, 1), contracts: tuple[Contract, ...] = ()) -> TradeLists:
    """T2T, ASM and GSM of one stock each from 1 to 10 January; MIS of all but the last."""
    start, end = date(2026, 1, 1), date(2026, 1, 10)
    spans = {
        Flag.MIS: [Span(k, start) for k in (10, 11, 12, 13)],
        Flag.T2T: [Span(11, start, end), Span(11, end + timedelta(days=30))],
        Flag.ASM: [Span(12, start, end, "stage II")],
        Flag.GSM: [Span(13, start, end)],
    }
    first = {flag: start for flag in spans} | {Flag.MIS: mis_from}
    found = TradeLists.read(lambda flag: spans[flag] if first[flag] else [], lambda flag: first[flag])
    return TradeLists(found.flags, contracts)


def test_each_list_blocks_its_sides() -> None:
    day = lists().on(DAY, ALL)
    assert day.long.tolist() == [True, False, True, True, True, True, True]
    assert day.short.tolist() == [True, False, False, False, False, True, True]
    assert day.lots.tolist() == [1, 1, 1, 1, 1, 0, 65]
    assert [day.said(-1, k) for k in range(7)] == [
        "",
        "not tradable intraday: trade to trade",
        "no shorts: ASM stage II",
        "no shorts: GSM",
        "no shorts: not on the MIS list",
        DIRECTION,
        "",
    ]
    assert [day.said(1, k) for k in range(7)] == ["", "not tradable intraday: trade to trade", "", "", "", DIRECTION, ""]
    assert day.may(1, np.array([1, 2])).tolist() == [False, True]
    assert day.may(-1, np.array([0, 2])).tolist() == [True, False]


def test_lists_hold_on_their_days_only() -> None:
    after = lists().on(date(2026, 1, 10), ALL)
    assert after.short.tolist() == [True, True, True, True, False, True, True]
    assert not lists().on(date(2026, 2, 9), ALL).long[1]  # it came back


@pytest.mark.parametrize("known", [None, DAY + timedelta(days=1)])
def test_without_a_list_of_that_day_shorts_are_assumed(known: date | None) -> None:
    day = lists(known).on(DAY, ALL)
    assert day.short.tolist() == [True, False, False, False, True, True, True]  # the others are known and still count
    assert (day.said(-1, 0), day.said(1, 0), day.said(-1, 4)) == (ASSUMED, "", ASSUMED)
    assert TradeLists().on(DAY, STOCKS).note == (ASSUMED,) * 5
    assert lists(DAY).on(DAY, ALL).note[0] == ""  # the first day counts


def test_an_index_is_traded_by_the_nearest_future_that_lives() -> None:
    expiries = [date(2026, 2, 24), date(2026, 1, 27), date(2026, 1, 5)]
    made = tuple(Contract(f"NIFTY{e:%y%b}FUT".upper(), "NIFTY", 65, e, e - timedelta(days=90)) for e in expiries)
    other = Contract("BANKNIFTY26JANFUT", "BANKNIFTY", 30, date(2026, 1, 20), date(2025, 10, 1))
    found = lists(contracts=(*made, other))
    day = found.on(DAY, [INDEX])
    assert (day.note, day.lots.tolist(), day.said(1, 0)) == (("by NIFTY26JANFUT, lot 65",), [65], "by NIFTY26JANFUT, lot 65")
    assert found.on(date(2026, 1, 27), [INDEX]).note == ("by NIFTY26JANFUT, lot 65",)  # until it expires
    assert found.on(date(2026, 1, 28), [INDEX]).note == ("by NIFTY26FEBFUT, lot 65",)
    assert found.on(date(2026, 3, 1), [INDEX]).note == (DIRECTION,)


def test_a_future_that_was_not_listed_yet_stands_for_nothing() -> None:
    """Today's contracts and lots say nothing of a past day."""
    listed = date(2025, 12, 1)
    near = Contract("NIFTY26JANFUT", "NIFTY", 65, date(2026, 1, 27), listed)
    far = Contract("NIFTY26FEBFUT", "NIFTY", 65, date(2026, 2, 24), listed - timedelta(days=30))
    found = lists(contracts=(near, far))
    days = [listed - timedelta(days=31), listed - timedelta(days=1), listed]
    assert [found.on(day, [INDEX]).note[0] for day in days] == [DIRECTION, "by NIFTY26FEBFUT, lot 65", "by NIFTY26JANFUT, lot 65"]
    assert found.on(days[0], [INDEX]).lots.tolist() == [0]


class StoredLists:
    """Members and listings of a database, as ``database.stores.Stores`` names them."""

    def __init__(self, held: list[Held], changes: list[Change], newest: date) -> None:
        self.members = self.listings = self
        self._held, self._changes, self._newest = held, changes, newest

    def spans(self, kind: str, name: str) -> list[Span]:
        return []

    def known_from(self, kind: str, name: str) -> None:
        return None

    def listed(self) -> list[Held]:
        return self._held

    def changes(self) -> list[Change]:
        return self._changes

    def newest(self) -> date:
        return self._newest


def test_a_contract_is_known_from_the_list_it_appeared_on() -> None:
    """One that stood on the very first list has no such day: then the newest list vouches for it."""

    def held(symbol: str, expiry: date) -> Held:
        instrument = Instrument("NFO", symbol, Kind.FUTURE, lot_size=65)
        return Held(instrument, Listing(instrument, 1, 1, "NIFTY", "NFO-FUT", expiry), True)

    near, far = held("NIFTY26JANFUT", date(2026, 1, 27)), held("NIFTY26FEBFUT", date(2026, 2, 24))
    rows = [
        Change(date(2025, 11, 3), "NFO:NIFTY26FEBFUT", ChangeKind.LISTED),
        Change(DAY, "NFO:NIFTY26FEBFUT", ChangeKind.LOT_SIZE),
    ]
    found = stored_trade_lists(cast(Any, StoredLists([near, far], rows, DAY)), [INDEX])
    assert [(c.symbol, c.since) for c in found.contracts] == [("NIFTY26JANFUT", DAY), ("NIFTY26FEBFUT", date(2025, 11, 3))]
    assert stored_trade_lists(cast(Any, StoredLists([near, far], rows, DAY)), STOCKS).contracts == ()


def test_rows_are_eligible_by_their_own_session() -> None:
    session = np.array([(date(2026, 1, d) - EPOCH).days for d in (6, 6, 10, 10)], np.int32)
    inst = np.array([1, 2, 1, 4], np.int32)
    long, short = eligible_sides(lambda n: lists().on(EPOCH + timedelta(days=n), ALL), session, inst)
    assert (long.tolist(), short.tolist()) == ([False, True, True, True], [False, False, True, False])


def test_columns_and_everything() -> None:
    day = lists().on(DAY, ALL).columns(np.array([6, 1]))
    assert (day.long.tolist(), day.note[1], day.lots.tolist()) == ([True, False], "not tradable intraday: trade to trade", [65, 1])
    free = everything(ALL)
    assert free.long.all() and free.short.all() and not any(free.note) and free.lots.tolist() == [1] * 6 + [65]
    assert len(lists().on(DAY, []).note) == 0
    assert FlagList().on(10, DAY) is None
