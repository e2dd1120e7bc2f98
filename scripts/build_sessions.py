"""Rebuild ``src/intraday/domain/nse_sessions.csv``: holidays from exchange_calendars' XBOM, corrected by the rows below.

No calendar library is right for the NSE: XBOM has no Muhurat session, no weekend session, and some wrong holidays. Every
correction says where it comes from. Run by a developer (``python scripts/build_sessions.py``), once a year and after each
circular; the program reads the csv only. XBOM ends with 2026; the days of 2027 are provisional (`CONFIRMED_LAST` in
domain/session.py), from the computed festivals of ``holidays`` 0.109 (financial market XNSE), until the exchange's list is out.
Where each special day is told: docs/sessions.md.
"""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import exchange_calendars

OUT = Path(__file__).parents[1] / "src" / "intraday" / "domain" / "nse_sessions.csv"
FIRST, LAST = date(2010, 1, 1), date(2026, 12, 31)  # of XBOM

# date|kind|open|close|pauses|evidence; kind `regular` removes a wrong holiday of XBOM, `unannounced`: trades, hours not known.
CORRECTIONS = """
2010-02-06|special|11:00|12:30||Saturday, system upgrade; business-standard.com 2010-02-05
2010-11-05|muhurat|18:15|19:15||pandas_market_calendars 5.5.0 NSE; binil.org says 18:00-19:00
2011-10-26|muhurat|16:45|18:00||profit.ndtv.com 2012-11 ("last year between 4.45 p.m. and 6 p.m."); pandas_market_calendars 5.5.0
2012-01-07|special|11:15|12:45||Saturday test session: NIFTY has a close (4746.90); hours as on 2012-04-28, not checked
2012-03-03|special|11:15|12:45||Saturday test session: NIFTY has a close (5359.40); hours as on 2012-04-28, not checked
2012-04-28|special|11:15|12:45||Saturday, F&O system upgrade; NSE circular 032/2012 quoted by dhanvarsha.in 2012-04-27
2012-09-08|special|11:15|12:45||Saturday test session: NIFTY has a close (5358.70); hours as on 2012-04-28, not checked
2012-10-05|halt|09:15|15:30|09:52-10:05|cash only, circuit filter 09:50:58 to 10:05 (NSE, businessinsider.com); see docs/sessions.md
2012-11-13|muhurat|15:45|17:00||profit.ndtv.com 2012-11; pandas_market_calendars 5.5.0
2013-05-11|special|11:15|12:45||Saturday test session; bars of nse_index_2013_2016
2013-11-03|muhurat|18:15|19:30||Sunday: NIFTY has a close; hours as remembered, not checked; no bars
2013-11-14|regular||||XBOM says closed; 375 bars in nse_index_2013_2016
2013-11-15|closed||||Muharram moved from 14 Nov; no bars in nse_index_2013_2016
2014-03-22|special|11:15|12:45||Saturday, disaster recovery site; bars of nse_index_2013_2016; teluguinvestor.com
2014-10-23|muhurat|18:30|19:30||bars of nse_index_2013_2016
2015-02-28|special|09:15|15:30||Union Budget on a Saturday; bars of nse_index_2013_2016; tipsonshare.blogspot.com 2015-02-27
2015-11-11|muhurat|17:45|18:45||planetarypositions.com 2015-11-09 quoting NSE; pandas_market_calendars 5.5.0
2016-10-30|muhurat|18:30|19:30||Sunday; zerodha.com bulletin 53008 of 2016-10-27; hindupad.com
2017-07-10|halt|09:15|15:30|09:25-11:15 11:18-12:30|outage, SEBI: by 09:30 to 12:30 (indianexpress.com); see docs/sessions.md
2017-10-19|muhurat|18:30|19:30||pandas_market_calendars 5.5.0 NSE
2018-11-07|muhurat|17:30|18:30||livemint.com 2018-11-06; moneycontrol.com 2018-11-03
2019-10-27|muhurat|18:15|19:15||Sunday; zeenews.india.com 2019-10-27
2020-02-01|special|09:15|15:30||Union Budget on a Saturday
2020-03-13|halt|09:15|15:30|09:22-10:21|an hour's market-wide circuit breaker (businesstoday.in, ndtv.com); see docs/sessions.md
2020-03-23|halt|09:15|15:30|09:59-10:57|an hour's market-wide circuit breaker (businesstoday.in, bdnews24.com); see docs/sessions.md
2020-11-14|muhurat|18:15|19:15||Saturday; latestly.com 2020-11-14
2021-02-24|halt|09:15|17:00|11:40-15:45|NSE outage; livemint.com, money9.com of the day; bars of nse_index_2021_2023
2021-11-04|muhurat|18:15|19:15||bars of nse_index_2021_2023; freepressjournal.in
2022-10-24|muhurat|18:15|19:15||hindustantimes.com 2022-10-24; bars of nse_index_2021_2023
2023-11-12|muhurat|18:15|19:15||Sunday; angelone.in announcement
2024-01-20|special|09:15|15:30||Saturday, made a full session for the holiday of 22 Jan; bars of nse_fut_samples; dsij.in 2024-03
2024-01-22|closed||||Ayodhya; announced 19 Jan 2024; no bars in nse_fut_samples
2024-03-02|special|09:15|12:30|10:00-11:30|Saturday, disaster recovery site; hindustantimes.com 2024-02-15; thehindubusinessline.com
2024-05-18|special|09:15|12:40|10:00-11:45|Saturday, disaster recovery site; livemint.com 2024-05-07 (first 11:30-12:30)
2024-05-20|closed||||Mumbai election; announced 2024-04
2024-11-01|muhurat|18:00|19:00||theindianawaaz.com quoting NSE
2024-11-20|closed||||Maharashtra election
2025-02-01|special|09:15|15:30||Union Budget on a Saturday
2025-10-21|muhurat|13:45|14:45||newsbytesapp.com 2025-09-22 quoting NSE; localnewswave.com
2026-01-15|closed||||municipal election: NSE/CMTR/72260 of 2026-01-12
2026-01-26|closed||||NSE/CMTR/71775 of 2025-12-12
2026-02-01|special|09:15|15:30||Union Budget on a Sunday: NSE/CMTR/72349 of 2026-01-16
2026-03-03|closed||||NSE/CMTR/71775 of 2025-12-12
2026-03-26|closed||||NSE/CMTR/71775 of 2025-12-12
2026-03-31|closed||||NSE/CMTR/71775 of 2025-12-12
2026-04-03|closed||||NSE/CMTR/71775 of 2025-12-12
2026-04-14|closed||||NSE/CMTR/71775 of 2025-12-12
2026-05-01|closed||||NSE/CMTR/71775 of 2025-12-12
2026-05-28|closed||||NSE/CMTR/71775 of 2025-12-12
2026-06-26|closed||||NSE/CMTR/71775 of 2025-12-12
2026-09-14|closed||||NSE/CMTR/71775 of 2025-12-12
2026-10-02|closed||||NSE/CMTR/71775 of 2025-12-12
2026-10-20|closed||||NSE/CMTR/71775 of 2025-12-12
2026-11-08|unannounced||||Sunday, Muhurat evening: NSE/CMTR/71775 names the day; the notice of its hours is not among our sources
2026-11-10|closed||||NSE/CMTR/71775 of 2025-12-12
2026-11-24|closed||||NSE/CMTR/71775 of 2025-12-12
2026-12-25|closed||||NSE/CMTR/71775 of 2025-12-12
2027-01-26|closed||||PROVISIONAL: national holiday
2027-03-10|closed||||PROVISIONAL: Id-ul-Fitr by holidays 0.109 XNSE; depends on the moon
2027-03-22|closed||||PROVISIONAL: Holi by holidays 0.109 XNSE
2027-03-26|closed||||PROVISIONAL: Good Friday
2027-04-14|closed||||PROVISIONAL: Ambedkar Jayanti, fixed date
2027-04-15|closed||||PROVISIONAL: Ram Navami by holidays 0.109 XNSE
2027-05-17|closed||||PROVISIONAL: Bakri Id by holidays 0.109 XNSE; depends on the moon
2027-06-16|closed||||PROVISIONAL: Muharram by holidays 0.109 XNSE; depends on the moon
2027-10-29|unannounced||||PROVISIONAL: Diwali Laxmi Pujan by holidays 0.109 XNSE; closed but for the Muhurat evening
"""


def holidays() -> dict[date, list[str]]:
    """Weekdays on which XBOM is closed, as csv rows by date."""
    calendar = exchange_calendars.get_calendar("XBOM", start=str(FIRST))
    sessions = {stamp.date() for stamp in calendar.sessions}
    if max(sessions) < LAST:
        raise SystemExit(f"XBOM ends {max(sessions)}, expected {LAST}: install a newer exchange_calendars")
    days = (FIRST + timedelta(days=i) for i in range((LAST - FIRST).days + 1))
    evidence = f"exchange_calendars {exchange_calendars.__version__} XBOM"
    return {day: [str(day), "closed", "", "", "", evidence] for day in days if day.weekday() < 5 and day not in sessions}


def main() -> None:
    """Write the csv."""
    rows = holidays()
    for line in CORRECTIONS.strip().splitlines():
        row = line.split("|")
        day = date.fromisoformat(row[0])
        rows.pop(day, None)
        if row[1] != "regular":
            rows[day] = row
    with OUT.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["date", "kind", "open", "close", "pauses", "evidence"])
        writer.writerows(rows[day] for day in sorted(rows))


if __name__ == "__main__":
    main()
