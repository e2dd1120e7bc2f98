"""Dated membership: lists taken over day by day, files of members, and who was a member when."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intraday.domain.errors import InputError
from intraday.domain.listings import Symbols
from intraday.domain.membership import EPOCH, FNO, Membership, Row, Span, list_name, located, merged, normal, read_list, replaced
from intraday.domain.universe import Universe

BASE = date(2026, 8, 1)
N_DAYS = 12


def day(k: int) -> date:
    return BASE + timedelta(days=k)


LISTS = st.lists(
    st.tuples(st.integers(0, N_DAYS - 1), st.dictionaries(st.integers(1, 4), st.sampled_from([None, "a", "b"]))), max_size=8
)


@given(LISTS)
def test_lists_in_any_order_give_each_day_the_list_before_it(lists: list[tuple[int, dict[int, str | None]]]) -> None:
    """Against the plain rule: on each day the newest list of that day or before holds, whatever the order they came in."""
    spans: list[Span] = []
    known: dict[int, dict[int, str | None]] = {}
    for start, members in lists:
        later = [d for d in known if d > start]
        spans = replaced(spans, members, day(start), day(min(later)) if later else None, "file")
        known[start] = members
    for k in range(N_DAYS + 3):
        before = [d for d in known if d <= k]
        wanted = known[max(before)] if before else {}
        assert {s.instrument_id: s.value for s in spans if s.on(day(k))} == wanted
    for a, b in zip(spans, spans[1:], strict=False):
        assert a.instrument_id < b.instrument_id or (a.end is not None and a.end <= b.start), "spans overlap or are out of order"
        assert (a.instrument_id, a.end, a.value) != (b.instrument_id, b.start, b.value), "spans that meet and say the same"
    assert merged(spans) == spans
    assert all(s.end is None or s.start < s.end for s in spans), "a span without a day"


def test_the_same_list_again_changes_nothing_even_from_another_file() -> None:
    spans = replaced([], {1: "5", 2: None}, day(0), None, "first.csv")
    assert replaced(spans, {1: "5", 2: None}, day(4), None, "second.csv") == spans
    assert replaced(spans, {1: "4", 2: None}, day(4), None, "second.csv") == [
        Span(1, day(0), day(4), "5", "first.csv"),
        Span(1, day(4), None, "4", "second.csv"),
        Span(2, day(0), None, None, "first.csv"),
    ]


# -------------------------------------------------------------------------------------------------------------- membership


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9), st.integers(1, 5) | st.none()), max_size=6),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_the_mask_is_membership_day_by_day(rows: list[tuple[int, int, int | None]], a: int, b: int) -> None:
    first, last = day(min(a, b)), day(max(a, b))
    spans = [Span(i, day(start), None if n is None else day(start + n)) for i, start, n in rows]
    found = Membership.of("x", spans, first, last)
    ids = [3, 1]
    inst = np.repeat(np.array([0, 1], np.int32), N_DAYS)
    session = np.tile(np.array([(day(k) - EPOCH).days for k in range(N_DAYS)], np.int32), 2)
    wanted = [
        any(s.instrument_id == i and first <= day(k) <= last and s.on(day(k)) for s in spans) for i in ids for k in range(N_DAYS)
    ]
    assert found.mask(ids, inst, session).tolist() == wanted
    assert found.ids == {s.instrument_id for s in spans for k in range(N_DAYS) if first <= day(k) <= last and s.on(day(k))}


def test_the_definition_names_the_members_it_stands_for() -> None:
    spans = [Span(1, day(0), day(3)), Span(2, day(1))]
    one, other = (Membership.of("fno", some, day(0), day(5)) for some in (spans, spans[:1]))
    assert one.definition.startswith("fno, dated members ") and one.definition != other.definition
    assert Membership.of("fno", list(reversed(spans)), day(0), day(5)) == one


# ------------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("universe", "name"),
    [
        ("fno", FNO),
        ("index:NIFTY 50", "NIFTY 50"),
        ("index: nifty  50", "NIFTY 50"),
        ("all", None),
        (("INFY",), None),
        ("csv:a", None),
    ],
)
def test_names_of_stored_lists(universe: str | tuple[str, ...], name: str | None) -> None:
    assert list_name(universe) == name


@pytest.mark.parametrize("name", ["", "  ", "all"])
def test_some_names_are_none(name: str) -> None:
    with pytest.raises(InputError, match="as the name of a universe"):
        normal(name)


# ------------------------------------------------------------------------------------------------------------------- files

NSE_CSV = """\ufeffCompany Name,Industry,Symbol,Series,ISIN Code
"Mahindra & Mahindra Ltd.",Automobile,M&M,EQ,INE101A01026
Infosys Ltd.,IT,INFY,EQ,INE009A01021

"""


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (NSE_CSV, [Row("M&M"), Row("INFY")]),
        ("infy\n\n tcs \n", [Row("INFY"), Row("TCS")]),
        ("INFY,5\nTCS,\n", [Row("INFY", "5"), Row("TCS")]),
        ("symbol,value\nINFY,stage 2\n", [Row("INFY", "stage 2")]),
        ("NSE:INFY\n", [Row("NSE:INFY")]),
        (
            "symbol,from,to\nINFY,2025-01-01,2025-06-30\nTCS,2025-02-01,\n",
            [Row("INFY", None, date(2025, 1, 1), date(2025, 7, 1)), Row("TCS", None, date(2025, 2, 1), None)],
        ),
    ],
)
def test_lists_as_files(text: str, rows: list[Row]) -> None:
    assert read_list(text, "list.csv") == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list.csv: expected at least one symbol, found none"),
        ("Symbol\n", "list.csv: expected at least one symbol, found none"),
        (
            "Company,Sector,Ticker\nInfosys,IT,INFY\n",
            "list.csv: expected a column Symbol, or one symbol .* a line; found Company, Sector",
        ),
        ("symbol,name\n,Infosys\n", "list.csv:2: expected a symbol, found an empty cell"),
        ("symbol,from\nINFY,1/1/2025\n", "list.csv:2: expected a day as YYYY-MM-DD, found '1/1/2025'"),
        ("symbol,from,to\nINFY,2025-02-01,2025-01-01\n", "list.csv:2: expected from <= to, found 2025-02-01 and 2025-01-01"),
        ("symbol,from,to\nINFY,,2025-01-01\n", "list.csv:2: expected from <= to, found None and 2025-01-01"),
        ("symbol,from\nINFY,2025-02-01\nTCS,\n", "list.csv: expected a day in column from in every row or in none"),
    ],
)
def test_files_that_are_no_lists(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_list(text, "list.csv")


def test_each_row_is_looked_up_on_its_own_day() -> None:
    symbols = Symbols({"NEW": 1, "OLD": 2}, {"OLD": [(day(5), 1)], "GONE": [(day(3), 3), (day(8), 4)]})
    rows = [Row("OLD"), Row("OLD", None, day(9)), Row("GONE", None, day(4)), Row("GONE", None, day(9)), Row("NOBODY")]
    found, unknown = located(rows, symbols.find, day(0))
    assert [number for number, _ in found] == [1, 2, 4, 4]
    assert unknown == ["NOBODY"]
    # On the first day of the next symbol, the old one is somebody else's, or nobody's but in memory.
    assert [symbols.find("OLD", day(k)) for k in (4, 5)] == [1, 2]
    assert [symbols.find("GONE", day(k)) for k in (2, 3, 7, 8)] == [3, 4, 4, 4]


def test_an_index_beside_the_members_is_loaded_and_no_member() -> None:
    named = Universe("symbols", frozenset((1, 2)))
    assert named.with_beside(2) == named and named.with_beside(None) == named
    assert named.between(day(0), day(3)) is None
    beside = named.with_beside(7)
    assert (beside.ids, beside.beside) == ({1, 2}, {7}) and beside.on(day(0)) == {1, 2}
    membership = beside.between(day(0), day(3))
    assert membership is not None and membership.ids == {1, 2}
    inst, session = np.array([0, 1, 2], np.int32), np.full(3, (day(1) - EPOCH).days)
    assert membership.mask([1, 2, 7], inst, session).tolist() == [True, True, False]
