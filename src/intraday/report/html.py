"""The report as one HTML file that needs nothing else: styles and charts are inside, no script, no address."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from intraday.report import charts, explained, money, tested, words
from intraday.report.candles import candle_chart
from intraday.report.inputs import Coverage, ReportInput
from intraday.report.parts import TrialRow

P = TypeVar("P")
SIGNALS_MAX = 400  # rows of the signals table
COVERAGE_MAX = 12  # instruments of the coverage table: the ones with most missing
TRIALS_MAX = 40  # rows of the ledger: this model's and the newest
CONTENTS = (
    ("part-luck", "Edge or luck"),
    ("part-money", "Money"),
    ("part-forecasts", "Forecasts"),
    ("part-tested", "How it was tested"),
    ("part-explained", "What the model looks at"),
    ("part-day", "Signals"),
    ("part-run", "Data and run"),
)
KINDS = {"edge": ("edge", "✓"), "no tradable edge": ("none", "✗"), "not enough data": ("unknown", "?")}
"""How a verdict looks."""


def render(report: ReportInput, path: Path) -> Path:
    """Write the report to ``path`` (replaced in one step, so a reader never sees half a page) and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(page(report), encoding="utf-8")
    os.replace(draft, path)
    return path


def page(report: ReportInput, signals_max: int = SIGNALS_MAX) -> str:
    """The report as HTML text. Everything that came from outside (symbols, sources, reasons) is escaped."""
    environment = Environment(
        loader=PackageLoader("intraday.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    kind, mark = KINDS.get(report.header.verdict, ("unknown", "?"))
    return environment.get_template("report.html.j2").render(
        r=report,
        words=words,
        charts=_charts(report),
        nulls=[(_drawn(tested.null_chart, null), null) for null in report.controls.nulls] if report.controls else [],
        contents=CONTENTS,
        kind=kind,
        mark=mark,
        signals=report.signals[:signals_max],
        trial_rows=_trial_rows(report),
        coverage=_worst(report),
        some_observed=any(s.observe for s in report.signals),
        some_valued=any(isfinite(s.expected) for s in report.signals),
        some_sized=any(s.quantity for s in report.signals),
        some_reasoned=any(s.reasons or s.note for s in report.signals),
        n_bars=sum(c.n_bars for c in report.coverage),
        n_expected=sum(c.n_expected for c in report.coverage),
    )


def _charts(r: ReportInput) -> dict[str, Markup]:
    """SVG by name, "" where there is nothing to draw."""
    return {
        "equity": _drawn(money.equity_chart, r.equity),
        "delays": _drawn(partial(money.scenario_chart, label="delay"), r.delays),
        "slippage": _drawn(partial(money.scenario_chart, label="slippage"), r.slippage),
        "heat": _drawn(money.heat_chart, r.heat),
        "charges": _drawn(money.charges_chart, r.charges),
        "reliability": _drawn(charts.reliability_chart, r.reliability),
        "realised": _drawn(charts.realised_chart, r.realised),
        "confusion": _drawn(charts.confusion_chart, r.confusion),
        "importance": _drawn(partial(explained.importance_chart, stability=r.stability), r.importance),
        "stability": _drawn(explained.stability_chart, r.stability),
        "swarm": _drawn(explained.swarm_chart, r.swarm),
        "fold_map": _drawn(tested.fold_map_chart, r.fold_map),
        "baselines": _drawn(tested.baseline_chart, r.baselines),
        "trials": _drawn(tested.trials_chart, r.trials),
        "overfitting": _drawn(tested.overfitting_chart, r.overfitting),
        "paths": _drawn(tested.paths_chart, r.path_spread),
        "power": _drawn(tested.power_chart, r.judgement),
        "planted": _drawn(tested.planted_chart, r.controls.power if r.controls else None),
        "candles": _drawn(candle_chart, r.candles),
    }


def _drawn(draw: Callable[[P], str], part: P | None) -> Markup:
    """The only text marked safe: ``report.svg`` escapes all of it."""
    return Markup("" if part is None else draw(part))  # nosec B704


def _trial_rows(report: ReportInput) -> list[TrialRow]:
    """The newest rows of the ledger first."""
    rows = [] if report.trials is None else sorted(report.trials.rows, key=lambda t: -t.made_ns)
    return rows[:TRIALS_MAX]


def _worst(report: ReportInput) -> list[Coverage]:
    missing = [c for c in report.coverage if c.n_bars < c.n_expected]
    return sorted(missing, key=lambda c: (c.n_bars - c.n_expected, c.symbol))[:COVERAGE_MAX]
