"""The leakage certificate as one HTML file that needs nothing else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from intraday.core.audit.certificate import Certificate
from intraday.core.audit.result import Difference, Finding, Law, Outcome
from intraday.report import words

MEANING = {
    Law.PREFIX: "computed again without any later bar: the same bits",
    Law.FUTURE: "computed again with other later bars: the same bits",
    Law.CHUNKS: "computed in pieces of any length: the same bits",
    Law.STEPS: "computed bar by bar, as live does: the same bits",
    Law.WARMUP: "no value before the declared warm-up, and some after it",
    Law.LATE: "bars that missed the cut-off take part in nothing, then or later",
    Law.ADJUSTED: "a corporate action after the decision changes nothing before its ex-date",
    Law.WHOLE: "a user's function on all bars at once gives what the trailing window gives (1e-5)",
    Law.UNUSUAL: "the same on made-up bars of a halt, a Muhurat evening, a short Saturday, the closing auction, with an index",
    Law.ORDER: "a user's function gives an instrument the same value wherever it stands among the others (1e-5)",
    Law.MEMBERS: "features are the same without the instruments that are no members of the universe (user functions: 1e-5)",
    Law.ALONE: "a user's function uses no clock, file, network or chance, holds no table and keeps no state between calls",
    Law.LABEL_PREFIX: "labels known at a moment are the same with no future, and with another",
    Law.LABEL_TAIL: "what is still open at a moment has no label",
    Law.LABEL_TIMES: "entry after a person's delay, known by the time when every trade of the session must be over",
    Law.SIGMA: "the volatility of the barriers, from the bars up to the decision alone",
    Law.WEIGHTS: "weights of what is learned from, computed without the rows scored later: the same bits",
    Law.FOLDS: "no label learned from lives, on any instrument, while one that is scored does",
    Law.TRAINED: "training again with other outcomes of scored rows, or other later ones, says the same of them: the same bits",
    Law.PIPELINE: "your own preparation, fitted on the training rows alone and asked again, gives the same rows and columns",
    Law.LIVE: "verify of a recorded day: the journal again gives the stored rows",
}
"""Every law in words."""


@dataclass(frozen=True, slots=True)
class FailureRow:
    """What failed, ready to be shown."""

    subject: str
    law: str
    n: int
    n_different: int
    instrument: str
    time: str
    found: str
    expected: str
    detail: str


def failure_rows(certificate: Certificate) -> list[FailureRow]:
    """Failures in order, each with the first row that differs."""
    return [_failure(certificate, f) for f in certificate.failed]


def _failure(certificate: Certificate, f: Finding) -> FailureRow:
    first = f.first or Difference(-1, 0, "", "")
    time = f"{words.ist(first.ts_ns):%Y-%m-%d %H:%M}" if first.ts_ns > 0 else ""
    found, expected = _values(first.found, first.expected)
    return FailureRow(f.subject, str(f.law), f.n, f.n_different, certificate.symbol(first.inst), time, found, expected, f.detail)


def _values(found: float | str, expected: float | str) -> tuple[str, str]:
    """Nine digits each; all of them where nine are the same."""
    short = tuple(value if isinstance(value, str) else f"{value:.9g}" for value in (found, expected))
    return (short[0], short[1]) if short[0] != short[1] else (str(found), str(expected))


def subjects(certificate: Certificate) -> tuple[list[Law], list[tuple[str, list[str]]]]:
    """The table of everything: the laws met, and for each subject its outcome under each of them ("" where it does not apply)."""
    laws = [count.law for count in certificate.by_law()]
    worst: dict[str, dict[Law, Outcome]] = {}
    for f in certificate.findings:
        row = worst.setdefault(f.subject, {})
        row[f.law] = max((row.get(f.law, f.outcome), f.outcome), key=_gravity)
    return laws, [(name, [str(row[law]) if law in row else "" for law in laws]) for name, row in worst.items()]


def _gravity(outcome: Outcome) -> int:
    return (Outcome.PASSED, Outcome.NOT_CHECKED, Outcome.FAILED).index(outcome)


def render(certificate: Certificate, path: Path) -> Path:
    """Write the page to ``path`` (replaced in one step) and return it."""
    return replaced(path, page(certificate))


def replaced(path: Path, text: str) -> Path:
    """Write ``text`` to ``path`` in one step: never half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
    return path


def page(certificate: Certificate) -> str:
    """The certificate as HTML text. Everything that came from outside is escaped."""
    environment = Environment(
        loader=PackageLoader("intraday.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    laws, rows = subjects(certificate)
    return environment.get_template("audit.html.j2").render(
        c=certificate, words=words, meaning=MEANING, failures=failure_rows(certificate), laws=laws, rows=rows,
        marks={"passed": "✓", "failed": "✗", "not checked": "–", "": ""},
    )  # fmt: skip
