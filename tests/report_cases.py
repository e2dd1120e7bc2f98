"""A small report with every part filled, for tests to vary."""

from datetime import UTC, date, datetime

import numpy as np

from intraday.report.inputs import (
    Candles,
    Check,
    Confusion,
    Coverage,
    Equity,
    Figure,
    Fold,
    Header,
    Reliability,
    ReportInput,
    SignalRow,
)

OPEN_NS = int(datetime(2021, 6, 11, 3, 45, tzinfo=UTC).timestamp()) * 10**9  # 09:15 IST
DAY = date(2021, 6, 11)
STEP_NS = 5 * 60 * 10**9


def header(verdict: str = "no tradable edge", title: str = "A report") -> Header:
    return Header(title, OPEN_NS, "HISTORICAL_MODE", "bars", date(2021, 5, 3), DAY, 20, 3, 5, "m-1", verdict, "Because.")


def signal(symbol: str = "M&M", action: str = "BUY", i_bar: int = 2) -> SignalRow:
    bar_ns = OPEN_NS + i_bar * STEP_NS
    return SignalRow(bar_ns + STEP_NS + 1_500_000_000, bar_ns, symbol, action, 0.4567, 812.35, 808.1, 816.6, True)


def candles(n: int = 6, signals: tuple[SignalRow, ...] = (), index: bool = False) -> Candles:
    close = 812.0 + np.sin(np.arange(n))
    volume = np.where(index, np.nan, 1000.0 * np.arange(1, n + 1))
    ts = OPEN_NS + STEP_NS * np.arange(n)
    return Candles("M&M", DAY, 5, ts, close - 0.5, close + 1.0, close - 1.0, close, volume, signals)


def full_report(symbol: str = "M&M") -> ReportInput:
    days = [date(2021, 6, d) for d in (9, 10, 11)]
    third = np.array([0.2, 0.4, 0.6])
    return ReportInput(
        header(),
        (Figure("Log-loss", 1.0573, "nats", 4, note="prior 1.0710"), Figure("Net a trade", -2.314, "bps", 2, -5.2, 0.6)),
        Equity(days, np.array([3.0, 9.0, 7.5]), np.array([-2.0, 1.0, -6.5]), np.array([2, 1, 3]), 7.5),
        (Reliability("up", third, third + 0.02, np.array([5, 50, 10])),),
        Confusion(np.array([[5, 10, 2], [1, 40, 3], [2, 12, 6]])),
        (("rsi_14", 0.6), ("sigma", 0.4)),
        (Fold(1, days[0], days[0], days[1], days[2], 400, 200, 57, 1.05, 1.07, 12, -3.3),),
        (signal(symbol), signal(symbol, "SELL", 4)),
        1387,
        candles(signals=(signal(symbol), signal(symbol, "SELL", 4))),
        (Check("as known", DAY, 375, 0, True), Check("as corrected", DAY, 375, 2, False, "late 2")),
        (Coverage("FULL", 2, 750, 750), Coverage("THIN", 2, 375, 750)),
        (("outside the session", 412),),
        (("Program", "intraday 0.1.0"),),
    )
