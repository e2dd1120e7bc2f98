"""The parts of a report that need the database or another part of the program: charges, the ledger of trials, a backtest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from intraday.app import System
from intraday.app_learning import SCOPE
from intraday.app_verdict import verdict_today
from intraday.backtest.summary import AccountRow, BacktestSummary
from intraday.domain.errors import InputError
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.learning import Trial
from intraday.domain.session import day_of
from intraday.jobs.backtest_page import scenarios
from intraday.jobs.controls import FILE, controls_section
from intraday.model.artifacts import Artifact
from intraday.model.metrics import OutOfSample
from intraday.model.path import path_of
from intraday.report.from_costs import charges_of
from intraday.report.from_ledger import overfitting_of, trials_of
from intraday.report.from_manifest import day_of as session_day
from intraday.report.from_manifest import sentence
from intraday.report.inputs import ReportInput
from intraday.report.parts import Account, Charges, Controls, CostLine, Figure
from intraday.report.words import rupees

NAMES = {"exchange": "exchange charges", "stamp": "stamp duty"} | {name: name.upper() for name in ("stt", "ipft", "sebi", "gst")}


def with_evidence(system: System, artifact: Artifact, oos: OutOfSample, report: ReportInput) -> ReportInput:
    """``report`` with the charges of its days, the newest controls, and what the ledger says of the scope it was chosen on."""
    manifest = artifact.manifest
    figures: Mapping[str, Any] = (manifest.get("judged") or {}).get("figures") or {}
    own = {str(row["id"]) for row in manifest.get("trials") or ()}
    ledger = _ledger(system, own)
    controls, problem = _controls(system)
    today = verdict_today(manifest, ledger).note
    header = replace(report.header, note=f"{report.header.note} {sentence(today)}".strip()) if today else report.header
    return replace(
        report,
        header=header,
        facts=(*report.facts, *problem),
        controls=controls,
        charges=_charges(system, artifact),
        trials=trials_of(ledger, own, figures),
        overfitting=overfitting_of(ledger, path_of(oos), manifest.get("baselines")),
    )


def _ledger(system: System, own: Collection[str]) -> list[Trial]:
    """The trials of this database; none when the model's own are not among them: it was chosen on other data."""
    found = system.stores.trials.of(SCOPE)
    return found if any(t.id in own for t in found) else []


def _controls(system: System) -> tuple[Controls | None, list[tuple[str, str]]]:
    """The newest ``intraday controls``, or what is wrong with its file: a page is worth having without it."""
    try:
        return controls_section(system.settings.system.data_dir / "reports" / FILE), []
    except InputError as error:
        return None, [("Controls", str(error))]


def _charges(system: System, artifact: Artifact) -> Charges:
    data = artifact.manifest["data"]
    keys = set(data["symbols"])
    kind = kind_of([i for i in system.stores.instruments.all() if i.key in keys])
    first, last = session_day(data["first_session"]), session_day(data["last_session"])
    today = day_of(system.clock.now_ns())
    return charges_of(system.costs, first, last, max(today, first), system.settings.trading.notional_inr, kind)


def kind_of(instruments: list[Instrument]) -> Kind:
    """What most of them are: equity unless said otherwise."""
    found = Counter(i.kind for i in instruments)
    return max(found, key=lambda kind: (found[kind], kind is Kind.EQUITY)) if found else Kind.EQUITY


def with_backtest(report: ReportInput, summary: BacktestSummary) -> ReportInput:
    """``report`` with the same signals later, at worse prices, and in one account."""
    return replace(
        report,
        delays=scenarios(summary.delays),
        slippage=scenarios(summary.slippage),
        account=_account(summary),
    )


def _account(summary: BacktestSummary) -> Account:
    a = summary.account
    costs = tuple(CostLine(NAMES.get(row.name, row.name), row.dated, row.today) for row in summary.costs)
    return Account(
        _figures(a, summary.slippage_model),
        costs,
        tuple((why, n) for why, n in a.refused if n),
        tuple(sentence(n) for n in summary.notes),
    )


def _figures(a: AccountRow, slippage: str) -> tuple[Figure, ...]:
    return (
        Figure("Net result", a.net, "₹", note=f"of {rupees(a.capital)}; at today's charges {rupees(a.net_today)}"),
        Figure("Trades", float(a.trades), "", 0, note=f"{a.forced:,} squared off by the broker, {a.reduced:,} smaller than wanted"),
        Figure("Gross result", a.gross, "₹"),
        Figure("Charges and fees", a.charges + a.fees, "₹", note=f"at today's rates {rupees(a.charges_today + a.fees)}"),
        Figure("Slippage", a.slippage, "₹", note=slippage),
        Figure("Largest fall", a.drawdown, "₹", note="from one day's end to another's"),
        Figure("Turnover", a.turnover, "₹", note="bought and sold together"),
        Figure("Mean exposure", a.exposure, "₹", note=f"most {rupees(a.exposure_peak)}, {a.positions_peak} positions at once"),
    )
