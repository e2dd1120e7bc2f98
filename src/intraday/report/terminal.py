"""The same figures as tables for the terminal. Symbols and reasons are shown as text, never read as markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from intraday.report import words
from intraday.report.inputs import Check, Fold, Header, SignalRow
from intraday.report.parts import Figure

_COLORS = {"BUY": "bold blue", "SELL": "bold dark_orange3", "HOLD": "dim"}
_WRAPS = ("Symbol", "Part", "Note")


def verdict_panel(header: Header) -> Panel:
    """The verdict in plain words, framed."""
    color = "green" if header.verdict == "edge" else "yellow"
    text = Text("\n".join(t for t in (words.verdict_text(header), header.note, words.DISCLAIMER) if t))
    return Panel(text, title=Text(header.verdict, style=f"bold {color}"), border_style=color, title_align="left", expand=False)


def figures_table(figures: Sequence[Figure]) -> Table:
    """Headline figures with their intervals."""
    table = _table("Out of sample", "Figure", "Value>", "95 % interval>", "Note")
    for f in figures:
        table.add_row(Text(f.name), words.figure_value(f), words.figure_interval(f), Text(f.note, style="dim"))
    return table


def folds_table(folds: Sequence[Fold]) -> Table:
    """Walk-forward folds."""
    table = _table("Walk-forward folds", "#>", "Scored on", "Rows>", "Rounds>", "Log-loss>", "Prior's>", "Trades>", "Net bps>")
    for f in folds:
        last = f"{f.test_to:%m-%d}" if f.test_from.year == f.test_to.year else str(f.test_to)
        table.add_row(
            str(f.number), f"{f.test_from} to {last}", f"{f.n_test:,}", str(f.n_rounds), words.number(f.log_loss, 4),
            words.number(f.prior_log_loss, 4), f"{f.n_trades:,}", words.number(f.net_bps, 1, True),
        )  # fmt: skip
    return table


def signals_table(signals: Sequence[SignalRow], limit: int = 40, n_hold: int = 0) -> Table | Text:
    """Signals, times in IST; the last ``limit`` of them, with what is left out in the caption. A sentence when there are none."""
    if not signals:
        return Text(f"Signals: no BUY or SELL, {n_hold:,} HOLD." if n_hold else "Signals: none.", style="bold")
    days = sorted({words.ist(s.time_ns).date() for s in signals})
    several, some_observed = len(days) > 1, len({s.observe for s in signals}) > 1
    title = f"Signals of {words.day(days[0])}" + (f" to {words.day(days[-1])}" if several else "")
    title += ", observe only" if signals[0].observe and not some_observed else ""
    roomy = not several and not some_observed and any(s.chase == s.chase for s in signals)
    head = ("Time", "Symbol", "Action", "Conf.>", "Price>", "Stop>", "Target>", *(("Limit>", "Shares>") if roomy else ()))
    table = _table(title, *(("Day",) if several else ()), *head, *(("Mode",) if some_observed else ()))
    for s in signals[-limit:]:
        at = words.ist(s.time_ns)
        row: list[str | Text] = [
            f"{at:%H:%M}",
            Text(s.symbol),
            Text(s.action, style=_COLORS.get(s.action, "")),
            f"{100 * s.confidence:.0f} %",
        ]
        row += [words.number(s.price), words.number(s.stop), words.number(s.target)]
        row += [words.number(s.chase), f"{s.quantity:,}"] if roomy else []
        mode = ["observe" if s.observe else ""] if some_observed else []
        table.add_row(*([f"{at:%d %b}"] if several else []), *row, *mode)
    hidden = len(signals) - limit
    counted = f"{len(signals):,} signals" if len(signals) > 1 else "1 signal"
    table.caption = counted + (f", {hidden:,} earlier ones not shown" if hidden > 0 else "") + f"; {n_hold:,} HOLD"
    return table


def checks_table(checks: Sequence[Check]) -> Table:
    """What ``verify`` compared and found: a block for each day, the attributed causes under the part they belong to."""
    table = _table("Verify", "Part", "Compared>", "Different>", "Result")
    day = None
    for c in checks:
        if c.day != day:
            day = c.day
            table.add_section()
            table.add_row(Text(words.day(c.day), style="bold"))
        result = Text("passed", style="green") if c.passed else Text("failed", style="bold red")
        part = Text(c.name).append(f"\n  {c.detail}" if c.detail else "", style="dim")
        table.add_row(part, f"{c.n_compared:,}", f"{c.n_differences:,}", result)
    return table


def _table(title: str, *columns: str) -> Table:
    """An empty table that fits 80 columns; a column whose name ends in > is right-aligned. Text may wrap, numbers never are cut."""
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", caption_justify="left",
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    for name in columns:
        right, wraps = name.endswith(">"), name in _WRAPS
        table.add_column(
            name.rstrip(">"), justify="right" if right else "left", no_wrap=not wraps, overflow="fold" if wraps else "ellipsis"
        )
    return table
