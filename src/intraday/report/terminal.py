"""The same figures as tables for the terminal. Symbols and reasons are shown as text, never read as markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from intraday.report import words
from intraday.report.inputs import Check, Figure, Fold, Header, SignalRow

_COLORS = {"BUY": "bold blue", "SELL": "bold dark_orange3", "HOLD": "dim"}


def verdict_panel(header: Header) -> Panel:
    """The verdict in plain words, framed."""
    color = "green" if header.verdict == "edge" else "yellow"
    text = Text(f"{words.verdict_text(header)}\n{words.DISCLAIMER}")
    return Panel(text, title=Text(header.verdict, style=f"bold {color}"), border_style=color, title_align="left", expand=False)


def figures_table(figures: Sequence[Figure]) -> Table:
    """Headline figures with their intervals."""
    table = _table("Out of sample", "Figure", "Value>", "95 % interval>", "Note")
    for f in figures:
        table.add_row(Text(f.name), words.figure_value(f), words.figure_interval(f), Text(f.note, style="dim"))
    return table


def folds_table(folds: Sequence[Fold]) -> Table:
    """Walk-forward folds."""
    table = _table("Walk-forward folds", "#>", "Scored on", "Rows>", "Rounds>", "Log-loss>", "Prior's>", "Trades>", "Net [bps]>")
    for f in folds:
        table.add_row(
            str(f.number), f"{f.test_from} to {f.test_to}", f"{f.n_test:,}", str(f.n_rounds), words.number(f.log_loss, 4),
            words.number(f.prior_log_loss, 4), f"{f.n_trades:,}", words.number(f.net_bps, 1, True),
        )  # fmt: skip
    return table


def signals_table(signals: Sequence[SignalRow], limit: int = 40, n_hold: int = 0) -> Table:
    """Signals, times in IST; the last ``limit`` of them, with what is left out in the caption."""
    table = _table("Signals", "Day", "Time", "Symbol", "Action", "Confidence>", "Price>", "Stop>", "Target>", "")
    for s in signals[-limit:]:
        table.add_row(
            f"{words.ist(s.time_ns):%d %b %Y}", words.clock(s.time_ns), Text(s.symbol),
            Text(s.action, style=_COLORS.get(s.action, "")),
            f"{words.number(100 * s.confidence, 1)} %", words.number(s.price), words.number(s.stop), words.number(s.target),
            Text("observe" if s.observe else "", style="dim"),
        )  # fmt: skip
    hidden = len(signals) - len(signals[-limit:])
    table.caption = f"{len(signals)} signals" + (f", {hidden} earlier ones not shown" if hidden else "") + f", {n_hold:,} HOLD"
    return table


def checks_table(checks: Sequence[Check]) -> Table:
    """What ``verify`` compared and found."""
    table = _table("Verify", "Part", "Day", "Compared>", "Differences>", "Result", "Detail")
    for c in checks:
        result = Text("passed", style="green") if c.passed else Text("failed", style="bold red")
        table.add_row(c.name, words.day(c.day), f"{c.n_compared:,}", f"{c.n_differences:,}", result, Text(c.detail))
    return table


def _table(title: str, *columns: str) -> Table:
    """An empty table; a column whose name ends in > is right-aligned."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", caption_justify="left")
    for name in columns:
        right, wraps = name.endswith(">"), name in ("Note", "Detail")
        table.add_column(name.rstrip(">"), justify="right" if right else "left", no_wrap=not wraps)
    return table
