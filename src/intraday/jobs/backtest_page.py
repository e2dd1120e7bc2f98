"""A backtest's figures as the parts of a report's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np

from intraday.backtest.summary import BacktestSummary, GroupRow, ScenarioRow
from intraday.model.artifacts import Artifact
from intraday.report.assemble import header_of
from intraday.report.backtest_page import BacktestView
from intraday.report.inputs import Equity, ReportInput
from intraday.report.parts import Estimate, Figure, Group, Scenario
from intraday.report.words import rupees


def backtest_view(artifact: Artifact, summary: BacktestSummary, now_ns: int) -> BacktestView:
    """The page of one backtest, but for what it shares with a model's report (``report_parts.with_backtest``)."""
    first, last = (date.fromisoformat(day) for day in (summary.first, summary.last))
    title = f"Backtest of {first}" if first == last else f"Backtest of {first} to {last}"
    header = header_of(artifact, title, now_ns, "HISTORICAL_MODE", summary.what, summary.sessions)
    header = replace(header, first_day=first, last_day=last, n_instruments=summary.instruments)
    parts = ReportInput(
        header=header,
        figures=_figures(summary),
        equity=_equity(summary),
        by_instrument=group_rows(summary.by_instrument),
        by_hour=group_rows(summary.by_hour),
    )
    warning = summary.notes[0] if summary.in_sample else ""
    return BacktestView(parts, summary.what, warning)


def scenarios(rows: Sequence[ScenarioRow]) -> tuple[Scenario, ...]:
    """For the report's money pages."""
    return tuple(
        Scenario(r.name, r.trades, r.gross, r.cost, r.net, Estimate(r.session.mean, r.session.low, r.session.high), _note(r))
        for r in rows
    )


def group_rows(rows: Sequence[GroupRow]) -> tuple[Group, ...]:
    """Likewise."""
    return tuple(Group(r.name, r.trades, r.hit, r.gross, r.cost, r.net, r.total) for r in rows)


def facts(summary: BacktestSummary) -> tuple[tuple[str, str], ...]:
    """The account in words and rupees."""
    a = summary.account
    charges = f"Rs {a.charges:,.0f} by the rates of each day, {a.charges_today:,.0f} by today's"
    refused = ", ".join(f"{n:,} {reason.replace('_', ' ')}" for reason, n in a.refused) or "none"
    return (
        ("Account", f"Rs {a.capital:,.0f}, entered {summary.delay_s} s after the decision, slippage {summary.slippage_model}"),
        ("Net result", f"Rs {a.net:,.0f} of {a.trades:,} trades; gross {a.gross:,.0f}, slippage {a.slippage:,.0f}"),
        ("Charges", f"{charges}; {a.forced:,} forced exits cost {a.fees:,.0f}"),
        ("Exposure", f"Rs {a.exposure:,.0f} on average, {a.exposure_peak:,.0f} and {a.positions_peak} positions at most"),
        ("Turnover", f"Rs {a.turnover:,.0f}, {a.turnover / a.capital / max(summary.sessions, 1):,.2f} times the capital a session"),
        ("Largest fall", f"Rs {a.drawdown:,.0f} from an earlier evening"),
        ("Not traded", refused),
        ("Shorts", summary.shorts),
    )


def _figures(summary: BacktestSummary) -> tuple[Figure, ...]:
    own = next(r for r in summary.delays if r.name == f"{summary.delay_s} s")
    a = summary.account
    return (
        Figure("Net a session", own.session.mean, "bps", 1, own.session.low, own.session.high),
        Figure("Net a trade", own.net, "bps", note=f"gross {own.gross:+.2f}, cost {own.cost:.2f}"),
        Figure("Trades", float(own.trades), "", 0, note=f"in {summary.sessions:,} sessions"),
        Figure("Account", a.net, "₹", note=f"of {rupees(a.capital)}, after slippage of {rupees(a.slippage)}"),
    )


def _equity(summary: BacktestSummary) -> Equity | None:
    """As the verdict counts it: one notional a trade, without slippage."""
    if not any(d.trades for d in summary.days):
        return None
    gross, net = (np.cumsum([getattr(d, name) for d in summary.days]) for name in ("gross_bps", "net_bps"))
    days, trades = [date.fromisoformat(d.day) for d in summary.days], np.array([d.trades for d in summary.days], np.int64)
    fall = float((np.maximum.accumulate(np.append(0.0, net)) - np.append(0.0, net)).max())
    return Equity(days, gross, net, trades, fall)


def _note(row: ScenarioRow) -> str:
    counts = (row.skipped, row.missed, row.unknown, row.overlapping, row.estimated)
    parts = zip(counts, ("skipped", "no bar", "end unknown", "overlapping", "estimated"), strict=True)
    return ", ".join(f"{n:,} {word}" for n, word in parts if n)
