"""The list of instruments and the dump of it."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import date

from kiteconnect import KiteConnect

from intraday.sim.listing import instruments_csv, monthly_expiries, stock, synthetic_listing
from sim_cases import DAY

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,"
    "tick_size,lot_size,instrument_type,segment,exchange"
)


def test_the_dump_has_kites_header_and_numbers_in_every_numeric_column() -> None:
    text = instruments_csv(synthetic_listing(30, day=DAY), None, {408065: 150050}).decode()
    assert text.splitlines()[0] == HEADER
    for row in csv.DictReader(io.StringIO(text)):
        assert int(row["instrument_token"]) >> 8 == int(row["exchange_token"])
        assert float(row["strike"]) == 0.0 and float(row["last_price"]) >= 0 and int(row["lot_size"]) >= 0
    assert "408065,1594,INFY,INFY LIMITED,1500.5,,0,0.1,1,EQ,NSE,NSE" in text
    assert "256265,1001,NIFTY 50,NIFTY 50,0.0,,0,0,0,EQ,INDICES,NSE" in text


def test_the_official_client_parses_it() -> None:
    listing = synthetic_listing(30, day=DAY)
    rows = KiteConnect("k")._parse_instruments(instruments_csv(listing, None, {}))
    assert [row["instrument_token"] for row in rows] == [row.token for row in listing]
    assert {row["expiry"] for row in rows if row["instrument_type"] == "FUT"} == set(monthly_expiries(DAY, 3))


def test_an_exchange_has_its_own_rows() -> None:
    listing = synthetic_listing(30, day=DAY)
    for exchange in ("NSE", "NFO", "BSE"):
        rows = list(csv.DictReader(io.StringIO(instruments_csv(listing, exchange, {}).decode())))
        assert len(rows) == sum(row.exchange == exchange for row in listing)


def test_names_are_quoted_when_they_need_it() -> None:
    row = replace(stock("AB&C", 5, 10_000), name='A, B "and" C')
    assert '"A, B ""and"" C"' in instruments_csv([row], None, {}).decode()


def test_every_second_stock_has_futures_and_the_closing_auction() -> None:
    listing = synthetic_listing(100, day=DAY)
    stocks = [row for row in listing if row.segment == "NSE"]
    named = {row.name for row in listing if row.is_future} - {"NIFTY"}
    assert {row.symbol for row in stocks if row.auction} == named
    assert 45 <= len(named) <= 60
    assert len({row.token for row in listing}) == len(listing) == len({row.key for row in listing})


def test_lists_of_other_lengths_agree() -> None:
    short, long = synthetic_listing(10, with_index=False, day=DAY), synthetic_listing(3_000, with_index=False, day=DAY)
    assert [r for r in short if not r.is_future] == [r for r in long if not r.is_future][:10]
    assert len({row.token for row in long}) == len(long)
    assert max(row.token for row in long) < 2**32


def test_expiries_are_the_last_tuesdays() -> None:
    assert monthly_expiries(date(2026, 9, 29), 3) == [date(2026, 9, 29), date(2026, 10, 27), date(2026, 11, 24)]
    assert monthly_expiries(date(2026, 11, 25), 2) == [date(2026, 12, 29), date(2027, 1, 26)]
