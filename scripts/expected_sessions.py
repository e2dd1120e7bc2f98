"""Rebuild ``tests/golden/sessions_expected.csv``: what calendar libraries say of the NSE, to hold the session table against.

Sources: exchange_calendars (XBOM), pandas_market_calendars (NSE), holidays (financial market XNSE). Of each only the days that are
not a plain Monday to Friday from 09:15 to 15:30 (09:00 before 2010-10-18), one row a day and source. Run in an environment of
its own, because the program needs none of the three:

    pip install exchange_calendars==4.13.2 pandas_market_calendars==5.5.0 holidays==0.109
    python scripts/expected_sessions.py

Where a library and the table disagree, ``tests/golden/sessions_disagreements.csv`` says who is right; that file is written by hand.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import exchange_calendars
import holidays
import pandas_market_calendars

OUT = Path(__file__).parents[1] / "tests" / "golden" / "sessions_expected.csv"
FIRST, LAST = date(2010, 1, 1), date(2027, 12, 31)
PRE_OPEN_SINCE = date(2010, 10, 18)
Hours = dict[date, str]  # "09:15-15:30" of every session


def of_schedule(opens: Any, closes: Any) -> Hours:
    """Two pandas columns of moments, indexed by day."""
    start, end = (column.dt.tz_convert("Asia/Kolkata").dt.strftime("%H:%M") for column in (opens, closes))
    return {day.date(): f"{a}-{b}" for day, a, b in zip(start.index, start, end, strict=True)}


def usual(day: date) -> str:
    """A plain day; empty on a weekend."""
    if day.weekday() >= 5:
        return ""
    return "09:15-15:30" if day >= PRE_OPEN_SINCE else "09:00-15:30"


def rows(source: str, hours: Hours, last: date) -> Iterator[list[str]]:
    """The days on which a source says something else than `usual`."""
    for i in range((last - FIRST).days + 1):
        day = FIRST + timedelta(days=i)
        said = hours.get(day, "")
        if said != usual(day):
            yield [str(day), source, said or "closed"]


def main() -> None:
    """Write the csv."""
    xbom = exchange_calendars.get_calendar("XBOM", start=str(FIRST)).schedule
    nse = pandas_market_calendars.get_calendar("NSE").schedule(str(FIRST), str(LAST))
    closed = {day for day in holidays.financial_holidays("XNSE", years=range(FIRST.year, LAST.year + 1))}
    days = (FIRST + timedelta(days=i) for i in range((LAST - FIRST).days + 1))
    found = [
        *rows("exchange_calendars XBOM", of_schedule(xbom["open"], xbom["close"]), xbom.index[-1].date()),
        *rows("pandas_market_calendars NSE", of_schedule(nse["market_open"], nse["market_close"]), LAST),
        *rows("holidays XNSE", {day: usual(day) for day in days if usual(day) and day not in closed}, LAST),
    ]
    with OUT.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["date", "source", "says"])
        writer.writerows(sorted(found))


if __name__ == "__main__":
    main()
