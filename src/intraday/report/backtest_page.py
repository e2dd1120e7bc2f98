"""One backtest as one HTML file that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from intraday.report import words
from intraday.report.audit_page import replaced
from intraday.report.inputs import ReportInput
from intraday.report.money import equity_chart, scenario_chart


@dataclass(frozen=True, slots=True)
class BacktestView:
    """``report``: the parts of it that a backtest has. ``what``: whose signals. ``warning``: what makes its figures worthless,
    shown in red; empty for nothing."""

    report: ReportInput
    what: str
    warning: str = ""


def render_backtest(view: BacktestView, path: Path) -> Path:
    """Write the page to ``path`` (replaced in one step) and return it."""
    return replaced(path, page(view))


def page(view: BacktestView) -> str:
    """The page as HTML text. Everything that came from outside is escaped."""
    environment = Environment(
        loader=PackageLoader("intraday.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    r = view.report
    charts = {  # safe: ``report.svg`` escapes all of it
        "equity": Markup("" if r.equity is None else equity_chart(r.equity)),  # nosec B704
        "delays": Markup(scenario_chart(r.delays, "delay")),  # nosec B704
        "slippage": Markup(scenario_chart(r.slippage, "slippage")),  # nosec B704
    }
    return environment.get_template("backtest.html.j2").render(v=view, r=r, words=words, charts=charts)
