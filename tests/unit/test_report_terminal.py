"""Tables for the terminal."""

import io
from typing import Any

from rich.console import Console

from intraday.report import terminal
from report_cases import full_report, header, signal

REPORT = full_report("[red]M&M[/red]")


def shown(what: Any) -> str:
    console = Console(file=io.StringIO(), width=160, no_color=True)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_signals_are_text_not_markup() -> None:
    text = shown(terminal.signals_table(REPORT.signals, n_hold=1387))
    assert "[red]M&M[/red]" in text
    assert "09:30:01" in text
    assert "2 signals, 1,387 HOLD" in text


def test_the_newest_signals_stay() -> None:
    text = shown(terminal.signals_table([signal("PAST"), signal("NEW")], limit=1))
    assert "NEW" in text
    assert "PAST" not in text
    assert "1 earlier ones not shown" in text


def test_no_signals() -> None:
    assert "0 signals" in shown(terminal.signals_table([]))


def test_figures_folds_and_checks() -> None:
    assert "−5.20 to +0.60" in shown(terminal.figures_table(REPORT.figures))
    assert "1.0500" in shown(terminal.folds_table(REPORT.folds))
    assert "failed" in shown(terminal.checks_table(REPORT.checks))


def test_verdict_says_what_it_is_not() -> None:
    assert "no investment advice" in shown(terminal.verdict_panel(header()))
