"""The verdict judged again: an edge of the training is lost when enough was tried since, and both words are said."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from intraday.app_verdict import Today, verdict_today
from intraday.domain.learning import Trial, TrialKind
from intraday.model.path import DailyPath
from intraday.model.verdict import EDGE, NO_EDGE, TOO_LITTLE, VerdictSpec, edge_today, judge

COST = 8e-4


def path_with(multiple: float, sessions: int = 130, seed: int = 1) -> DailyPath:
    rng = np.random.default_rng(seed)
    n = rng.poisson(10.0, sessions)
    gross = n * multiple * COST + 0.004 * np.sqrt(n) * rng.standard_normal(sessions)
    return DailyPath(np.arange(sessions, dtype=np.int32), gross, np.asarray(n * COST, np.float64), n.astype(np.int64))


def trial(name: str, path: DailyPath, kind: TrialKind = TrialKind.CONFIGURATION) -> Trial:
    return Trial(name, "scope", kind, 1, "run", "", "{}", float("nan"), "complete", path.session, path.net)


PATH = path_with(1.4)
OWN = trial("own", PATH)
SINCE = [trial(f"since {k}", path_with(m, seed=10 + k)) for k, m in enumerate(np.linspace(-1.0, 1.3, 40))]


def manifest(**changed: Any) -> dict[str, Any]:
    judged = judge(PATH, [OWN])
    spec = {"verdict": asdict(VerdictSpec())}
    return {
        "verdict": judged.word,
        "judged": asdict(judged),
        "trials": [{"id": "own", "kind": "configuration"}],
        "training": spec,
    } | changed


def test_more_trials_take_an_edge_away_and_both_words_are_said() -> None:
    assert manifest()["verdict"] == EDGE
    assert verdict_today(manifest(), [OWN]) == Today(EDGE)
    found = verdict_today(manifest(), [OWN, *SINCE])
    assert found.word in (NO_EDGE, TOO_LITTLE)
    assert found.note.startswith(f"edge when trained, 40 configurations ago; {found.word} today: ")
    assert "after 41 configurations tried" in found.note


def test_it_is_what_judging_the_whole_path_again_says() -> None:
    for ledger in ([OWN], [OWN, *SINCE[:1]], [OWN, *SINCE[:5]], [OWN, *SINCE]):
        whole = judge(PATH, ledger)
        assert edge_today(judge(PATH, [OWN]).figures, PATH.net, ledger) == (whole.word, whole.reason)


def test_searches_inside_the_training_and_the_same_again_count_for_nothing() -> None:
    tuning = [replace(t, kind=TrialKind.TUNING) for t in SINCE]
    assert verdict_today(manifest(), [OWN, replace(OWN, scope="scope; nifty 50"), *tuning]) == Today(EDGE)


def test_no_other_word_changes_nor_that_of_a_model_of_another_database() -> None:
    for word in (NO_EDGE, TOO_LITTLE):
        assert verdict_today(manifest(verdict=word), [OWN]) == Today(word)
    assert verdict_today(manifest(), SINCE) == Today(EDGE)
    assert verdict_today(manifest(judged=None), [OWN, *SINCE]) == Today(EDGE)
