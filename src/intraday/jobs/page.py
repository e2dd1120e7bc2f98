"""The parts of a report that only the jobs know: what verify found, and what made the figures."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping

from intraday.backtest.verify import VerifyReport
from intraday.model.artifacts import Artifact
from intraday.report.inputs import Check

LIBRARIES = ("lightgbm", "numpy", "numba", "polars")


def checks(report: VerifyReport) -> list[Check]:
    """The parts of verify as rows."""
    rows = [Check(f"as known: {c.name}", report.run.day, c.n_rows, len(c.differences), not c.differences) for c in report.checks]
    causes = {str(cause).replace("_", " "): n for cause, n in sorted(report.causes.items())}
    if report.n_best and not report.n_other:
        causes = {"no better bars are stored: nothing to compare with": 0}
    rows.append(_corrected("candles", report, causes, report.n_other))
    for name, part in (("features", report.features), ("signals", report.signals)):
        causes = {**part.causes, **({"unexplained": len(part.unexplained)} if part.unexplained else {})}
        rows.append(_corrected(name, report, causes, part.n_rows))
    return rows


def facts(artifact: Artifact) -> list[tuple[str, str]]:
    """What made the figures."""
    manifest = artifact.manifest
    spec, data, names = manifest["training"], manifest["data"], artifact.features.names
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    return [
        ("intraday", importlib.metadata.version("intraday")),
        ("Python", platform.python_version()),
        ("Libraries", versions),
        ("Feature set", f"{artifact.features.id}, {len(names)} features of {artifact.features.timeframe}-minute bars"),
        *(() if artifact.primary is None else [("On top of", f"{artifact.primary}: only its sides are said")]),
        ("Rows trained on", f"{data['rows']:,}, about {data['effective_rows']:,.0f} of them without overlap"),
        ("Rounds", f"{spec['rounds']} of at most {spec['num_boost_round']}, seed {spec['seed']}"),
    ]


def labels(counts: Mapping[str, int]) -> str:
    """What became of the trades that labels are of (``core.labels.tally``)."""
    words = {
        "both_in_bar": "with stop and target in one minute: the stop was assumed",
        "skipped": "not entered: the move was over, or a circuit limit near",
        "locked": "locked at a circuit limit",
    }
    shares = [f"{counts[name]:,} {said}" for name, said in words.items() if counts[name]]
    return "; ".join([f"{counts['labels']:,}", *shares])


def _corrected(name: str, report: VerifyReport, causes: Mapping[str, int], compared: int) -> Check:
    detail = ", ".join(f"{k} {v:,}" if v else k for k, v in causes.items())
    return Check(f"as corrected: {name}", report.run.day, compared, sum(causes.values()), not causes.get("unexplained"), detail)
