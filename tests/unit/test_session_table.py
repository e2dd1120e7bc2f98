"""SessionTable against a hand-written list of days and against the days real data traded on."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from intraday.domain.arrays import MINUTE_NS
from intraday.domain.errors import CalendarError
from intraday.domain.session import Session, SessionTable

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
    ("2024-11-01", "18:00", "19:00"),
    ("2025-02-01", "09:15", "15:30"),
    ("2025-10-21", "13:45", "14:45"),
    ("2026-02-01", "09:15", "15:30"),
]
CLOSED = (
    "2013-11-15 2014-10-24 2015-09-25 2016-07-06 2017-10-20 2018-11-08 2019-10-28 2020-04-02 2021-05-13 2022-10-26 2023-11-14 "
    "2024-01-22 2024-05-20 2024-11-20 2025-10-22 2026-01-15 2026-03-26 2024-01-21 2024-03-09"
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


def test_pauses_of_the_halt_of_2021(table: SessionTable) -> None:
    s = table.get(date(2021, 2, 24))
    assert [(ist(a)[-5:], ist(b)[-5:]) for a, b in s.pauses] == [("11:40", "15:45")]
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


@pytest.mark.parametrize("day", [date(2009, 12, 31), date(2027, 1, 1)])
def test_outside_the_range_is_loud(table: SessionTable, day: date) -> None:
    for ask in (table.find, table.get, table.previous, table.next, lambda d: table.between(d, d)):
        with pytest.raises(CalendarError, match="covers 2010-01-01 to 2026-12-31"):
            ask(day)


def test_previous_and_next_step_over_closed_days(table: SessionTable) -> None:
    assert table.next(date(2024, 1, 20)).day == date(2024, 1, 23)
    assert table.previous(date(2024, 1, 23)).day == date(2024, 1, 20)
    with pytest.raises(CalendarError, match="no session before"):
        table.previous(date(2010, 1, 1))
    with pytest.raises(CalendarError, match="no session after"):
        table.next(date(2026, 12, 31))


def test_between_counts_known_years(table: SessionTable) -> None:
    # Sessions a year as the exchange counts them (NIFTY closes): 2013..2025.
    counts = {2013: 250, 2014: 244, 2015: 248, 2016: 247, 2017: 248, 2018: 246, 2019: 245, 2020: 252, 2021: 248, 2022: 248}
    counts |= {2023: 246, 2024: 249, 2025: 249}
    assert {y: len(table.between(date(y, 1, 1), date(y, 12, 31))) for y in counts} == counts


def test_arrays_are_the_sessions(table: SessionTable) -> None:
    number, opens, closes = table.arrays()
    assert (number.dtype, opens.dtype, closes.dtype) == (np.int32, np.int64, np.int64)
    sessions = table.between(table.first, table.last)
    assert [s.number for s in sessions] == number.tolist()
    assert np.all(np.diff(number) > 0)
    assert np.all(closes - opens >= 60 * MINUTE_NS)
    assert np.all(closes[:-1] < opens[1:])


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
