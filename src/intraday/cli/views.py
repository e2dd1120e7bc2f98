"""What people see of a result: tables of figures, signals and checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from intraday.jobs.outcome import Outcome, Verification
    from intraday.report.inputs import SignalRow

DIFFERENCES_SHOWN = 20
DEMO_SIGNALS_SHOWN = 20
HIDDEN = ("verdict", "reason")  # of the summary: the verdict has a panel of its own


def as_document(result: Outcome) -> dict[str, Any]:
    """What ``--json`` prints of a run: its figures, verdict and signals, without the arrays behind the charts."""
    report = result.report
    return {
        "summary": result.summary,
        "verdict": report.header.verdict,
        "model_id": report.header.model_id,
        "figures": report.figures,
        "folds": report.folds,
        "checks": report.checks,
        "signals": report.signals,
        "page": result.page,
    }


def show_historical(out: Console, result: Outcome) -> None:
    """Counts of each step, the honest figures, the verdict."""
    from intraday.report import terminal

    show_facts(out, result)
    if result.report.figures:
        out.print(terminal.figures_table(result.report.figures))
    if result.report.folds:
        out.print(terminal.folds_table(result.report.folds))
    out.print(terminal.verdict_panel(result.report.header))
    _page(out, result)


def show_replay(out: Console, result: Outcome) -> None:
    """What went through the engine and what it said."""
    from intraday.report import terminal

    show_facts(out, result)
    out.print(terminal.signals_table(result.report.signals, n_hold=result.report.n_hold))
    _page(out, result)


def show_demo(out: Console, result: Outcome) -> None:
    """Everything: training, signals, verify."""
    from intraday.report import terminal

    out.print()
    show_facts(out, result)
    if result.report.figures:
        out.print(terminal.figures_table(result.report.figures))
    out.print(terminal.signals_table(result.report.signals, limit=DEMO_SIGNALS_SHOWN, n_hold=result.report.n_hold))
    if result.report.checks:
        out.print(terminal.checks_table(result.report.checks))
    out.print(terminal.verdict_panel(result.report.header))
    _page(out, result)


def show_signals(out: Console, signals: Sequence[SignalRow], limit: int) -> None:
    """A table, newest last."""
    from intraday.report import terminal

    shown = [s for s in signals if s.action != "HOLD"]
    out.print(terminal.signals_table(shown, limit=limit, n_hold=len(signals) - len(shown)))


def show_verification(out: Console, result: Verification) -> None:
    """The checks of each day and the first differences."""
    from intraday.report import terminal

    out.print(terminal.checks_table(result.checks))
    for text in result.differences[:DIFFERENCES_SHOWN]:
        out.print(Text(text), soft_wrap=True)
    hidden = len(result.differences) - DIFFERENCES_SHOWN
    if hidden > 0:
        out.print(f"… and {hidden:,} more: --json lists all", markup=False)


def show_facts(out: Console, result: Outcome) -> None:
    """One row a figure of the summary, then what a person should know before reading them."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in result.summary.items():
        if not isinstance(value, dict | list | tuple) and name not in HIDDEN:
            table.add_row(Text(name.replace("_", " "), style="dim"), Text(_number(value)))
    out.print(table)
    for warning in result.summary.get("warnings", ()):
        out.print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)


def _number(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "-" if value is None else ("yes" if value else "no")
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def _page(out: Console, result: Outcome) -> None:
    if result.page is not None:
        out.print(f"report: {result.page}", markup=False, soft_wrap=True)
