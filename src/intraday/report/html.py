"""The report as one HTML file that needs nothing else: styles and charts are inside, no script, no address."""

from __future__ import annotations

import os
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from intraday.report import words
from intraday.report.candles import candle_chart
from intraday.report.charts import confusion_chart, equity_chart, importance_chart, reliability_chart
from intraday.report.inputs import Coverage, ReportInput

SIGNALS_MAX = 400  # rows of the signals table
COVERAGE_MAX = 12  # instruments of the coverage table: the ones with most missing


def render(report: ReportInput, path: Path) -> Path:
    """Write the report to ``path`` (replaced in one step, so a reader never sees half a page) and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(page(report), encoding="utf-8")
    os.replace(draft, path)
    return path


def page(report: ReportInput) -> str:
    """The report as HTML text. Everything that came from outside (symbols, sources, reasons) is escaped."""
    environment = Environment(
        loader=PackageLoader("intraday.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2").render(
        r=report,
        words=words,
        charts=_charts(report),
        signals=report.signals[:SIGNALS_MAX],
        coverage=_worst(report),
        some_observed=any(s.observe for s in report.signals),
        n_bars=sum(c.n_bars for c in report.coverage),
        n_expected=sum(c.n_expected for c in report.coverage),
    )


def _charts(report: ReportInput) -> dict[str, Markup]:
    """SVG by name, "" where there is nothing to draw. The only text marked safe: made by matplotlib, which escapes."""
    drawn = {
        "equity": equity_chart(report.equity) if report.equity else "",
        "reliability": reliability_chart(report.reliability),
        "importance": importance_chart(report.importance),
        "confusion": confusion_chart(report.confusion) if report.confusion else "",
        "candles": candle_chart(report.candles) if report.candles else "",
    }
    return {name: Markup(svg) for name, svg in drawn.items()}  # nosec B704


def _worst(report: ReportInput) -> list[Coverage]:
    missing = [c for c in report.coverage if c.n_bars < c.n_expected]
    return sorted(missing, key=lambda c: (c.n_bars - c.n_expected, c.symbol))[:COVERAGE_MAX]
