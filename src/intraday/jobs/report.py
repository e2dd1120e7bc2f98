"""``intraday report``: a trained model's page, as HTML and as PDF."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from intraday.app import System, model_in_use, open_system
from intraday.config.settings import Settings
from intraday.domain.clock import Clock
from intraday.domain.errors import ArtifactError, InputError, NotEnoughData
from intraday.domain.ports import Progress
from intraday.jobs import page
from intraday.jobs.backtest import out_of_sample
from intraday.jobs.historical import report_of
from intraday.jobs.outcome import Outcome
from intraday.jobs.report_parts import with_backtest
from intraday.model.artifacts import Artifact, read
from intraday.report.html import render
from intraday.report.inputs import ReportInput
from intraday.report.pdf import render_pdf


def run_report(
    settings: Settings,
    clock: Clock,
    progress: Progress,
    model_id: str | None = None,
    html: Path | None = None,
    pdf: Path | None = None,
) -> Outcome:
    """Write the page of a model (None: the one in use) to ``html`` (None: the data folder's reports) and, where asked, ``pdf``.

    Nothing is stored. ArtifactError without such a model or with a damaged one; ConfigError for a PDF without Pango.
    """
    with open_system(settings, clock) as system:
        artifact = _artifact(system, model_id)
        days = artifact.manifest["data"]
        report = report_of(system, artifact, _title(artifact), "HISTORICAL_MODE", page.facts(artifact))
        report = _backtested(system, artifact, report, progress)
        where = render(report, html or settings.system.data_dir / "reports" / f"model-{artifact.id}.html")
        found: dict[str, Any] = {"model_id": artifact.id, "rows": days["rows"]}
        if pdf is not None:
            found["pdf"] = str(render_pdf(report, pdf))
        return Outcome(found, report, where)


def _title(artifact: Artifact) -> str:
    """``36 instruments, 5-minute decisions``; a single one by name."""
    symbols = [key.partition(":")[2] for key in artifact.manifest["data"]["symbols"]]
    among = symbols[0] if len(symbols) == 1 else f"{len(symbols)} instruments"
    return f"{among}, {artifact.features.timeframe}-minute decisions"


def _backtested(system: System, artifact: Artifact, report: ReportInput, progress: Progress) -> ReportInput:
    """With its signals through the account, or with the reason why that cannot be had."""
    try:
        return with_backtest(report, out_of_sample(system, artifact, progress))
    except (ArtifactError, InputError, NotEnoughData) as error:
        return replace(report, facts=(*report.facts, ("No backtest", str(error))))


def _artifact(system: System, model_id: str | None) -> Artifact:
    """By id. Its features need not be those that this program computes: nothing is predicted."""
    record = model_in_use(system) if model_id is None else system.stores.models.get(model_id)
    if record is None:
        raise ArtifactError("no model is stored: expected one that was trained here; run `intraday historical` first")
    return read(Path(record.path))
