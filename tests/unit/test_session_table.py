"""SessionTable against a hand-written list of days and against the days real data traded on."""

from __future__ import annotations

import csv
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from intraday.domain.arrays import MINUTE_NS
from intraday.domain.errors import CalendarError
from intraday.domain.session import CallAuction, Segment, Session, SessionTable, with_auction

GOLDEN = Path(__file__).parents[1] / "golden"
IST = timezone(timedelta(hours=5, minutes=30))


@pytest.fixture(scope="module")
def table() -> SessionTable:
    return SessionTable.load()


def ist(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).astimezone(IST).strftime("%Y-%m-%d %H:%M")


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=IST).timestamp()) * 10**9


# Written by hand from FACTS.md, exchange circulars and newspapers, not from the csv.
SPECIAL = [
    ("2010-02-06", "11:00", "12:30"),
    ("2010-11-05", "18:15", "19:15"),
    ("2011-10-26", "16:45", "18:00"),
    ("2012-04-28", "11:15", "12:45"),
    ("2012-11-13", "15:45", "17:00"),
    ("2013-05-11", "11:15", "12:45"),
    ("2014-03-22", "11:15", "12:45"),
    ("2014-10-23", "18:30", "19:30"),
    ("2015-02-28", "09:15", "15:30"),
    ("2015-11-11", "17:45", "18:45"),
    ("2016-10-30", "18:30", "19:30"),
    ("2017-10-19", "18:30", "19:30"),
    ("2018-11-07", "17:30", "18:30"),
    ("2019-10-27", "18:15", "19:15"),
    ("2020-02-01", "09:15", "15:30"),
    ("2020-11-14", "18:15", "19:15"),
    ("2021-02-24", "09:15", "17:00"),
    ("2021-11-04", "18:15", "19:15"),
    ("2022-10-24", "18:15", "19:15"),
    ("2023-11-12", "18:15", "19:15"),
    ("2024-01-20", "09:15", "15:30"),
    ("2024-03-02", "09:15", "12:30"),
    ("2024-05-18", "09:15", "12:40"),
    ("2024-11-01", "18:00", "19:00"),
    ("2025-02-01", "09:15", "15:30"),
    ("2025-10-21", "13:45", "14:45"),
    ("2026-02-01", "09:15", "15:30"),
]
CLOSED = (
    "2013-11-15 2014-10-24 2015-09-25 2016-07-06 2017-10-20 2018-11-08 2019-10-28 2020-04-02 2021-05-13 2022-10-26 2023-11-14 "
    "2024-01-22 2024-05-20 2024-11-20 2025-10-22 2026-01-15 2026-03-26 2024-01-21 2024-03-09 "
    "2026-11-10 2027-01-26 2027-03-26"
).split()


@pytest.mark.parametrize(("day", "start", "end"), SPECIAL)
def test_special_session_has_its_hours(table: SessionTable, day: str, start: str, end: str) -> None:
    s = table.get(date.fromisoformat(day))
    assert (ist(s.open_ns), ist(s.close_ns)) == (f"{day} {start}", f"{day} {end}")
    assert s.open_ns < s.square_off_ns < s.close_ns
    assert s.kind != "regular"


@pytest.mark.parametrize("day", CLOSED)
def test_closed_day_is_none_and_get_names_the_next_session(table: SessionTable, day: str) -> None:
    assert table.find(date.fromisoformat(day)) is None
    with pytest.raises(CalendarError, match="closed; next session is 20"):
        table.get(date.fromisoformat(day))


@pytest.mark.parametrize(
    ("day", "opens"), [("2010-10-15", "09:00"), ("2010-10-18", "09:15"), ("2013-11-14", "09:15"), ("2025-04-02", "09:15")]
)
def test_regular_day(table: SessionTable, day: str, opens: str) -> None:
    s = table.get(date.fromisoformat(day))
    assert (ist(s.open_ns)[-5:], ist(s.close_ns)[-5:], ist(s.square_off_ns)[-5:]) == (opens, "15:30", "15:20")
    assert s.kind == "regular"
    assert s.number == s.day.toordinal() - date(1970, 1, 1).toordinal()


@pytest.mark.parametrize(
    ("day", "pauses"),
    [
        ("2012-10-05", ["09:52-10:05"]),  # closed at 09:50:58, what was in the system traded for some seconds more
        ("2017-07-10", ["09:25-11:15", "11:18-12:30"]),  # one attempt to open again failed
        ("2020-03-13", ["09:22-10:21"]),
        ("2020-03-23", ["09:59-10:57"]),
        ("2021-02-24", ["11:40-15:45"]),
    ],
)
def test_halts_are_minutes_in_which_nothing_traded(table: SessionTable, day: str, pauses: list[str]) -> None:
    """From the first minute without a trade of two large stocks (2012: of the index) to the first of trading again."""
    s = table.get(date.fromisoformat(day))
    assert (s.kind, [f"{ist(a)[-5:]}-{ist(b)[-5:]}" for a, b in s.pauses]) == ("halt", pauses)


def test_pauses_of_the_halt_of_2021(table: SessionTable) -> None:
    s = table.get(date(2021, 2, 24))
    assert [(ist(a)[-5:], ist(b)[-5:]) for a, b in s.pauses] == [("11:40", "15:45")]
    assert s.end_ns == s.close_ns == s.last_minute_ns + MINUTE_NS == ns("2021-02-24 17:00")
    assert list(map(tuple, table.pauses().tolist())).count(s.pauses[0]) == 1


@pytest.mark.parametrize(
    ("day", "auction", "close", "square_off"),
    [("2026-07-31", True, "15:30", "15:20"), ("2026-08-03", True, "15:15", "15:05"), ("2026-08-03", False, "15:30", "15:20")],
)
def test_closing_auction_starts_on_its_day(table: SessionTable, day: str, auction: bool, close: str, square_off: str) -> None:
    s = table.get(date.fromisoformat(day), auction=auction)
    assert (ist(s.close_ns)[-5:], ist(s.square_off_ns)[-5:]) == (close, square_off)


def test_the_auction_touches_arrays_between_previous_and_next_alike(table: SessionTable) -> None:
    day = date(2026, 8, 4)
    close = table.get(day, auction=True).close_ns
    assert table.between(day, day, auction=True)[0].close_ns == close
    assert table.next(date(2026, 8, 3), auction=True).close_ns == close
    assert table.previous(date(2026, 8, 5), auction=True).close_ns == close
    assert close in table.arrays(auction=True)[2]
    assert table.at(close, auction=True) is None
    assert table.at(close) is not None


def test_the_auction_leaves_short_and_evening_sessions_alone() -> None:
    day = date(2026, 8, 10)
    at = {hm: ns(f"{day} {hm}") for hm in ("09:15", "12:30", "18:00", "19:00")}
    short = Session(day, 20675, at["09:15"], at["12:30"], at["12:30"] - 10 * MINUTE_NS, "special")
    evening = Session(day, 20675, at["18:00"], at["19:00"], at["19:00"] - 10 * MINUTE_NS, "muhurat")
    for session in (short, evening):
        assert SessionTable([session], day, day).get(day, auction=True) == session


def test_at_is_half_open(table: SessionTable) -> None:
    s = table.get(date(2025, 4, 2))
    assert table.at(s.open_ns) == s
    assert table.at(s.open_ns - 1) is None
    assert table.at(s.close_ns - 1) == s
    assert table.at(s.close_ns) is None
    assert table.at(ns("2025-04-05 10:00")) is None  # a Saturday


def times(auction: CallAuction | None) -> list[str]:
    return [] if auction is None else [ist(getattr(auction, name))[-5:] for name in auction.__slots__]


@pytest.mark.parametrize(
    ("day", "segment", "expected"),
    [
        ("2010-10-15", Segment.EQUITY, ""),
        ("2010-10-18", Segment.EQUITY, "09:00 09:00 09:07 09:07 09:08 09:12"),
        ("2012-04-28", Segment.EQUITY, "11:00 11:00 11:07 11:07 11:08 11:12"),
        ("2023-11-12", Segment.EQUITY, "18:00 18:00 18:07 18:07 18:08 18:12"),
        ("2026-09-04", Segment.EQUITY, "09:00 09:00 09:07 09:07 09:08 09:12"),
        ("2026-09-07", Segment.EQUITY, "09:00 09:00 09:05 09:08 09:10 09:12"),
        ("2025-12-05", Segment.DERIVATIVES, ""),
        ("2025-12-08", Segment.DERIVATIVES, "09:00 09:00 09:07 09:07 09:08 09:12"),
        ("2026-09-07", Segment.DERIVATIVES, "09:00 09:00 09:05 09:08 09:10 09:12"),
    ],
)
def test_pre_open(table: SessionTable, day: str, segment: Segment, expected: str) -> None:
    session = table.get(date.fromisoformat(day), segment=segment)
    assert times(session.pre_open) == expected.split()
    assert session.pre_open is None or session.pre_open.end_ns < session.open_ns


def test_the_closing_auction_of_a_day(table: SessionTable) -> None:
    day = date(2026, 8, 3)
    own = table.get(day, auction=True)
    assert times(own.closing_auction) == "15:15 15:20 15:25 15:28 15:30 15:35".split()
    assert own.closing_auction is not None and own.closing_auction.start_ns == own.close_ns
    assert (ist(own.last_minute_ns)[-5:], ist(own.end_ns)[-5:], own.minutes) == ("15:14", "15:35", 360)
    assert with_auction(table.get(day)) == own == with_auction(own)
    for other in (table.get(day), table.get(day, segment=Segment.DERIVATIVES), table.get(date(2026, 7, 31), auction=True)):
        assert other.closing_auction is None and other.end_ns == other.close_ns


@pytest.mark.parametrize(("day", "close"), [("2026-07-31", "15:30"), ("2026-08-03", "15:40"), ("2025-10-21", "14:45")])
def test_derivatives_trade_on_while_the_auction_lasts(table: SessionTable, day: str, close: str) -> None:
    of_day = date.fromisoformat(day)
    session = table.get(of_day, segment=Segment.DERIVATIVES)
    assert ist(session.close_ns)[-5:] == close
    assert session.segment is Segment.DERIVATIVES and table.get(of_day).segment is Segment.EQUITY
    assert session.square_off_ns < session.close_ns
    assert table.between(of_day, of_day, segment=Segment.DERIVATIVES) == [session]


def test_days_the_exchange_has_not_published_say_so(table: SessionTable) -> None:
    for day, provisional in ((date(2026, 12, 31), False), (date(2027, 1, 4), True)):
        session = table.get(day)
        assert session.provisional is provisional
        assert bool(table.caveat(day)) is provisional
    assert table.get(date(2027, 1, 4), auction=True).provisional
    assert "up to 2026-12-31" in table.caveat(date(2027, 6, 16))
    assert table.confirmed == date(2026, 12, 31)


@pytest.mark.parametrize("day", ["2026-11-08", "2027-10-29"])
def test_a_day_whose_hours_are_not_known_is_no_session_and_says_why(table: SessionTable, day: str) -> None:
    assert table.find(date.fromisoformat(day)) is None
    with pytest.raises(CalendarError, match=f"{day}: expected a trading day, the exchange trades at hours the session table does"):
        table.get(date.fromisoformat(day))
    assert date.fromisoformat(day) in table.unannounced


@pytest.mark.parametrize("day", [date(2009, 12, 31), date(2028, 1, 1)])
def test_outside_the_range_is_loud(table: SessionTable, day: date) -> None:
    for ask in (table.find, table.get, table.previous, table.next, lambda d: table.between(d, d)):
        with pytest.raises(CalendarError, match="covers 2010-01-01 to 2027-12-31"):
            ask(day)


def test_previous_and_next_step_over_closed_days(table: SessionTable) -> None:
    assert table.next(date(2024, 1, 20)).day == date(2024, 1, 23)
    assert table.previous(date(2024, 1, 23)).day == date(2024, 1, 20)
    with pytest.raises(CalendarError, match="no session before"):
        table.previous(date(2010, 1, 1))
    with pytest.raises(CalendarError, match="no session after"):
        table.next(date(2027, 12, 31))


def test_between_counts_known_years(table: SessionTable) -> None:
    # Sessions a year as the exchange counts them (NIFTY closes): 2013..2025.
    counts = {2013: 250, 2014: 244, 2015: 248, 2016: 247, 2017: 248, 2018: 246, 2019: 245, 2020: 252, 2021: 248, 2022: 248}
    counts |= {2023: 246, 2024: 249, 2025: 249}
    assert {y: len(table.between(date(y, 1, 1), date(y, 12, 31))) for y in counts} == counts


def expected(source: str) -> dict[date, str]:
    with (GOLDEN / "sessions_expected.csv").open(encoding="utf-8") as handle:
        return {date.fromisoformat(row["date"]): row["says"] for row in csv.DictReader(handle) if row["source"] == source}


@pytest.mark.parametrize(
    ("source", "last"),
    [
        ("exchange_calendars XBOM", date(2026, 12, 31)),
        ("pandas_market_calendars NSE", date(2027, 12, 31)),
        ("holidays XNSE", date(2027, 12, 31)),
    ],
)
def test_every_disagreement_with_a_calendar_library_is_judged(table: SessionTable, source: str, last: date) -> None:
    """Day by day, hours too: what is not in the list of disagreements is equal, and the list has nothing else in it."""
    said = expected(source)
    found = Counter()
    with (GOLDEN / "sessions_disagreements.csv").open(encoding="utf-8") as handle:
        judged = [row for row in csv.DictReader(handle) if row["source"] == source]
    for i in range((last - table.first).days + 1):
        day = table.first + timedelta(days=i)
        usual = "closed" if day.weekday() >= 5 else "09:15-15:30" if day >= date(2010, 10, 18) else "09:00-15:30"
        session = table.find(day)
        ours = "closed" if session is None else f"{ist(session.open_ns)[-5:]}-{ist(session.close_ns)[-5:]}"
        theirs = said.get(day, usual)
        told = [k for k, row in enumerate(judged) if row["first"] <= str(day) <= row["last"] and row["says"] == theirs]
        if theirs == ours:
            continue
        assert len(told) == 1 and judged[told[0]]["table"] == ours, f"{day}: {source} says {theirs}, the table {ours}"
        found[told[0]] += 1
    assert sorted(found) == list(range(len(judged)))
    assert {row["right"] for row in judged} <= {"table", "unknown"} and all(row["why"] for row in judged)
    assert all(row["right"] == "table" for row in judged if row["first"] <= str(table.confirmed))


def test_every_row_of_the_table_has_its_evidence(table: SessionTable) -> None:
    path = Path(__file__).parents[2] / "src" / "intraday" / "domain" / "nse_sessions.csv"
    with path.open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert all(len(row["evidence"]) > 10 for row in rows)
    assert [row["date"] for row in rows] == sorted({row["date"] for row in rows})
    late = [row for row in rows if row["date"] > str(table.confirmed)]
    assert len(late) == 9 and all(row["evidence"].startswith("PROVISIONAL") for row in late)
    assert not [row for row in rows if row not in late and "PROVISIONAL" in row["evidence"]]


def test_arrays_are_the_sessions(table: SessionTable) -> None:
    number, opens, closes = table.arrays()
    assert (number.dtype, opens.dtype, closes.dtype) == (np.int32, np.int64, np.int64)
    sessions = table.between(table.first, table.last)
    assert [s.number for s in sessions] == number.tolist()
    assert np.all(np.diff(number) > 0)
    assert np.all(closes - opens >= 60 * MINUTE_NS)
    assert np.all(closes[:-1] < opens[1:])


@pytest.mark.parametrize(
    ("auction", "segment"), [(True, Segment.EQUITY), (False, Segment.DERIVATIVES), (True, Segment.DERIVATIVES)]
)
def test_arrays_of_others_hours_are_their_sessions(table: SessionTable, auction: bool, segment: Segment) -> None:
    sessions = table.between(table.first, table.last, auction, segment)
    assert [a.tolist() for a in table.arrays(auction, segment)] == [
        [s.number for s in sessions], [s.open_ns for s in sessions], [s.close_ns for s in sessions]
    ]  # fmt: skip
    assert table.arrays(auction, segment)[2].tolist() != table.arrays()[2].tolist()


def test_what_was_asked_before_changes_no_answer(table: SessionTable) -> None:
    """Sessions are made when somebody asks; halts are there before anybody did."""
    fresh = SessionTable.load()
    assert fresh.pauses().tolist() == table.pauses().tolist() != []
    assert fresh.get(date(2026, 8, 3), auction=True) == table.between(date(2026, 8, 3), date(2026, 8, 3), auction=True)[0]
    assert fresh.previous(date(2021, 2, 25)) == table.get(date(2021, 2, 24))


def test_loading_is_quick() -> None:
    """Every command loads the table. The best of five, in processor time: 3 ms where it was written."""
    took = []
    for _ in range(5):
        begun = time.process_time()
        SessionTable.load()
        took.append(time.process_time() - begun)
    assert min(took) < 0.020


def test_every_day_that_traded_is_a_session_and_its_hours_hold(table: SessionTable, shared: Path) -> None:
    """Observed prints may stand a little before the open (pre-open match) and after the close, never elsewhere."""
    rows = list(csv.DictReader((shared / "data" / "sessions.csv").open(encoding="utf-8")))
    nse = [r for r in rows if r["dataset"] != "us_spy"]
    assert len(nse) > 3000
    for row in nse:
        session = table.find(date.fromisoformat(row["date"]))
        assert session is not None, row
        first, last = ns(f"{row['date']} {row['first']}"), ns(f"{row['date']} {row['last']}")
        assert session.open_ns - 15 * MINUTE_NS <= first < session.close_ns, row
        assert session.open_ns <= last <= session.close_ns + 10 * MINUTE_NS, row


def test_no_session_is_missing_from_the_index_sets(table: SessionTable, shared: Path) -> None:
    """The index sets are unbroken: a session of the table without bars would be an invented one (2013-11-03 is the known hole)."""
    traded: dict[str, set[date]] = {}
    for row in csv.DictReader((shared / "data" / "sessions.csv").open(encoding="utf-8")):
        if row["dataset"].startswith("nse_index"):
            traded.setdefault(row["dataset"], set()).add(date.fromisoformat(row["date"]))
    missing = {s.day for days in traded.values() for s in table.between(min(days), max(days)) if s.day not in days}
    assert missing <= {date(2013, 11, 3), date(2015, 11, 11)}
