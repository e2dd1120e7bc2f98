"""``intraday report``: a trained model's page, as HTML and as PDF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from intraday.app import System, model_in_use, open_system
from intraday.config.settings import Settings
from intraday.domain.clock import Clock
from intraday.domain.errors import ArtifactError
from intraday.jobs import page
from intraday.jobs.historical import report_of
from intraday.jobs.outcome import Outcome
from intraday.model.artifacts import Artifact, read
from intraday.report.html import render
from intraday.report.pdf import render_pdf


def run_report(settings: Settings, clock: Clock, model_id: str | None, html: Path | None, pdf: Path | None) -> Outcome:
    """Write the page of a model (None: the one in use) to ``html`` (None: the data folder's reports) and, where asked, ``pdf``.

    Nothing is stored. ArtifactError without such a model or with a damaged one; ConfigError for a PDF without Pango.
    """
    with open_system(settings, clock) as system:
        artifact = _artifact(system, model_id)
        days = artifact.manifest["data"]
        report = report_of(system, artifact, f"Model {artifact.id}", "HISTORICAL_MODE", page.facts(artifact))
        where = render(report, html or settings.system.data_dir / "reports" / f"model-{artifact.id}.html")
        found: dict[str, Any] = {"model_id": artifact.id, "rows": days["rows"]}
        if pdf is not None:
            found["pdf"] = str(render_pdf(report, pdf))
        return Outcome(found, report, where)


def _artifact(system: System, model_id: str | None) -> Artifact:
    """By id. Its features need not be those that this program computes: nothing is predicted."""
    record = model_in_use(system) if model_id is None else system.stores.models.get(model_id)
    if record is None:
        raise ArtifactError("no model is stored: expected one that was trained here; run `intraday historical` first")
    return read(Path(record.path))
