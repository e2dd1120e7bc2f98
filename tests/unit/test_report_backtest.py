"""From a backtest's summary to the page: delays, slippage and the account, in rupees that read as in India."""

from __future__ import annotations

from dataclasses import replace

import pytest

from intraday.backtest.summary import AccountRow, BacktestSummary, CostRow, ScenarioRow
from intraday.domain.instruments import Instrument, Kind
from intraday.jobs.report_parts import kind_of, with_backtest
from intraday.model.metrics import Interval
from intraday.report.html import page
from report_cases import full_report

ROW = ScenarioRow("30 s", 860, 2, 1, 0, 3, 5.5, 5.9, -0.4, 0.52, Interval(-3.3, -21.9, 15.3), 844)
ACCOUNT = AccountRow(
    capital=500_000.0,
    trades=846,
    gross=264_000.0,
    slippage=14_141.0,
    charges=69_000.0,
    charges_today=68_100.0,
    fees=746.0,
    net=180_113.0,
    net_today=181_013.0,
    drawdown=1_536.0,
    turnover=168_100_000.0,
    exposure=369_000.0,
    exposure_peak=997_000.0,
    positions_peak=10,
    forced=4,
    reduced=7,
    refused=(("positions", 13), ("tradability", 0)),
)
SUMMARY = BacktestSummary(
    what="the model's signals",
    model_id="m-1",
    first="2025-01-23",
    last="2025-02-24",
    sessions=24,
    instruments=20,
    in_sample=0,
    shorts="assumed",
    signals=870,
    delay_s=30,
    slippage_model="spread",
    exact=0,
    delays=(replace(ROW, name="0 s"), ROW),
    slippage=(replace(ROW, name="none"),),
    account=ACCOUNT,
    costs=(CostRow("stt", 21_041.0, 21_041.0), CostRow("exchange", 4_992.0, 5_160.0)),
    by_instrument=(),
    by_hour=(),
    days=(),
    notes=("shorts assumed: nobody knew",),
)


def test_delays_slippage_and_account_come_onto_the_page() -> None:
    report = with_backtest(full_report(), SUMMARY)
    assert [(d.name, d.trades, d.net, d.session.low) for d in report.delays] == [
        ("0 s", 860, -0.4, -21.9),
        ("30 s", 860, -0.4, -21.9),
    ]
    assert [s.name for s in report.slippage] == ["none"]
    account = report.account
    assert account is not None
    figures = {f.name: f for f in account.figures}
    assert figures["Charges and fees"].value == 69_746.0
    assert figures["Net result"].note == "of ₹5 lakh; at today's charges ₹1.81 lakh"
    assert [(c.name, c.dated, c.today) for c in account.costs] == [
        ("STT", 21_041.0, 21_041.0),
        ("exchange charges", 4_992.0, 5_160.0),
    ]
    assert account.refused == (("positions", 13),)
    assert account.notes == ("Shorts assumed: nobody knew.",)
    text = page(report)
    assert "₹16.81 crore" in text
    assert "₹1.8 lakh" in text


@pytest.mark.parametrize(
    ("kinds", "most"),
    [
        ([], Kind.EQUITY),
        ([Kind.INDEX], Kind.INDEX),
        ([Kind.INDEX, Kind.EQUITY], Kind.EQUITY),
        ([Kind.INDEX, Kind.INDEX, Kind.EQUITY], Kind.INDEX),
    ],
)
def test_charges_are_those_of_what_most_instruments_are(kinds: list[Kind], most: Kind) -> None:
    assert kind_of([Instrument("NSE", f"S{k}", kind) for k, kind in enumerate(kinds)]) is most
