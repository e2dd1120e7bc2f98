"""COMPOSITION ROOT, the part that judges again: what a model's verdict is today, by every configuration tried by now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from intraday.app_learning import SCOPE
from intraday.database.trials import TrialRepository
from intraday.domain.learning import Trial, TrialKind
from intraday.model.verdict import EDGE, VerdictSpec, edge_today, trials_of


@dataclass(frozen=True, slots=True)
class Today:
    """The ``word`` of today and, where it differs from the one of the training, ``note``: both words and why; else empty."""

    word: str
    note: str = ""


def tried_by_now(trials: TrialRepository) -> list[Trial]:
    """The configurations tried on the bars of this database."""
    return trials.of(SCOPE, TrialKind.CONFIGURATION)


def verdict_today(manifest: Mapping[str, Any], tried: Sequence[Trial]) -> Today:
    """The verdict of a model by ``tried``. Only an edge can be lost: any other word stays, whatever was tried since.

    A model whose own trial is not among ``tried`` was chosen on another database's bars: its word stays.
    """
    word, figures = str(manifest["verdict"]), (manifest.get("judged") or {}).get("figures")
    own = {row["id"] for row in manifest.get("trials") or () if row["kind"] == TrialKind.CONFIGURATION}
    paths = [t.net for t in tried if t.id in own and t.net.size]
    if word != EDGE or not figures or not paths:
        return Today(word)
    then = {name: float("nan") if value is None else float(value) for name, value in figures.items()}
    spec = VerdictSpec(**((manifest.get("training") or {}).get("verdict") or {}))
    now, reason = edge_today(then, paths[-1], tried, spec)
    if now == EDGE:
        return Today(word)
    since = trials_of(tried)[0] - int(then["n_trials"])
    ago = f", {since} configuration{'s' * (since != 1)} ago" if since > 0 else ""
    return Today(now, f"{word} when trained{ago}; {now} today: {reason}")
