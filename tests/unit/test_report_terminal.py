"""Tables for the terminal."""

import io
from dataclasses import replace
from typing import Any

from rich.console import Console

from intraday.report import terminal
from intraday.report.inputs import Check, Figure
from report_cases import DAY, full_report, header, signal

REPORT = full_report("[red]M&M[/red]")


def shown(what: Any, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_signals_are_text_not_markup() -> None:
    text = shown(terminal.signals_table(REPORT.signals, n_hold=1387))
    assert "[red]M&M[/red]" in text
    assert "09:30 " in text
    assert "Signals of Fri 11 Jun 2021, observe only" in text
    assert "2 signals; 1,387 HOLD" in text


def test_the_newest_signals_stay() -> None:
    text = shown(terminal.signals_table([signal("PAST"), signal("NEW")], limit=1))
    assert "NEW" in text
    assert "PAST" not in text
    assert "1 earlier ones not shown" in text


def test_no_signals() -> None:
    assert shown(terminal.signals_table([], n_hold=1872)) == "Signals: no BUY or SELL, 1,872 HOLD.\n"
    assert shown(terminal.signals_table([])) == "Signals: none.\n"


def test_nothing_is_cut_at_80_columns() -> None:
    dear = replace(signal("BAJAJFINSV"), price=112_345.65, stop=112_000.05, target=112_700.95)
    later = replace(dear, time_ns=dear.time_ns + 86_400 * 10**9, symbol="NIFTYMIDCAP150MOMENTUM50", observe=False)
    fold = replace(REPORT.folds[0], n_test=123_456, n_trades=12_345, net_bps=-123.4)
    name = "as known: other numbers of instruments"
    check = Check(name, DAY, 1_234_567, 12_345, False, "arrival order 80, not received 3 " * 3)
    figures = [Figure("Net a session", -1234.5, "bps", 1, -2345.6, 1234.5, "rank correlation by session " * 2)]
    tables = {
        terminal.signals_table([dear, later]): ("112,345.65", "112,000.05", "112,700.95", "46 %", "observe"),
        terminal.signals_table([replace(dear, chase=112_400.5, quantity=10_000)]): ("112,700.95", "112,400.50", "10,000"),
        terminal.folds_table([fold]): ("2021-06-10 to 06-11", "123,456", "12,345", "−123.4", "1.0500"),
        terminal.checks_table([check]): (
            "1,234,567",
            "12,345",
            "failed",
            "as known: other numbers of instruments",
            "not received 3",
        ),
        terminal.figures_table(figures): ("−1,234.5 bps", "−2,345.6 to +1,234.5"),
    }
    for table, parts in tables.items():
        text = shown(table, 80)
        assert "…" not in text
        assert [part for part in parts if part not in text] == []


def test_several_days_and_mixed_modes_are_told_apart() -> None:
    first = signal("AAA")
    second = replace(first, time_ns=first.time_ns + 86_400 * 10**9, observe=False)
    text = shown(terminal.signals_table([first, second]))
    assert "Signals of Fri 11 Jun 2021 to Sat 12 Jun 2021  " in text
    assert "12 Jun" in text
    assert text.count("observe") == 1


def test_figures_folds_and_checks() -> None:
    assert "−5.20 to +0.60" in shown(terminal.figures_table(REPORT.figures))
    assert "1.0500" in shown(terminal.folds_table(REPORT.folds))
    assert "failed" in shown(terminal.checks_table(REPORT.checks))


def test_verdict_says_what_it_is_not() -> None:
    assert "no investment advice" in shown(terminal.verdict_panel(header()))
    assert "made up" in shown(terminal.verdict_panel(replace(header(), note="The market is made up.")))
