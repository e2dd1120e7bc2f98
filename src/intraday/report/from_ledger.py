"""From the trials ledger to what it says of luck: every try with its Sharpe ratio, overfitting, and tests against benchmarks."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from intraday.domain.arrays import F8, I4
from intraday.domain.errors import InputError
from intraday.domain.learning import Trial, TrialKind
from intraday.model.path import DailyPath
from intraday.model.significance.pbo import overfitting
from intraday.model.significance.sharpe import sharpe_ratio
from intraday.model.significance.spa import Superiority, superior_ability
from intraday.report.from_manifest import value_of
from intraday.report.parts import NAN, Overfitting, TrialRow, Trials

SEED = 7  # of the bootstrap
SESSIONS_MIN = 32  # that all configurations have in common, below which nothing is compared


def trials_of(ledger: Sequence[Trial], own: Collection[str], figures: Mapping[str, Any]) -> Trials | None:
    """Every trial of the scope. None without a ledger.

    ``own`` are the ids of the model's; ``figures`` are the verdict's, which counted them.
    """
    if not ledger:
        return None
    words = differences([t.parameters for t in ledger])
    rows = tuple(_row(t, w, t.kind is TrialKind.CONFIGURATION and t.id in own) for t, w in zip(ledger, words, strict=True))
    n_tuning = sum(t.kind is TrialKind.TUNING for t in ledger)
    counted, variance, best, effective = (
        value_of(figures.get(k)) for k in ("n_trials", "variance_of_sharpes", "expected_maximum_sharpe", "effective_trials")
    )
    return Trials(rows, int(counted) if np.isfinite(counted) else len(rows) - n_tuning, n_tuning, variance, best, effective)


def _row(t: Trial, words: str, own: bool) -> TrialRow:
    ratio = sharpe_ratio(t.net).value if t.net.size > 1 else NAN
    return TrialRow(t.created_ns, t.kind.value, t.state, words, t.value, ratio, int(t.session.size), own)


def differences(parameters: Sequence[str]) -> list[str]:
    """What each of them (JSON objects) has that not all have, as ``num_leaves 31, seed 7``; text that is no object as it is."""
    read = [_flat(text) for text in parameters]
    known = [r for r in read if r is not None]
    keys = sorted({k for r in known for k in r})
    telling = [k for k in keys if len({r.get(k, "") for r in known}) > 1]
    return [
        text if row is None else ", ".join(f"{k} {row[k]}" for k in telling if k in row)
        for text, row in zip(parameters, read, strict=True)
    ]


def _flat(text: str) -> dict[str, str] | None:
    """Values as text by their path; None where ``text`` is no JSON object."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return dict(_leaves(found)) if isinstance(found, dict) else None


def _leaves(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in found.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{k}", v) for k, v in _leaves(value))
        else:
            yield name, value if isinstance(value, str) else json.dumps(value)


def overfitting_of(ledger: Sequence[Trial], path: DailyPath, baselines: Sequence[Mapping[str, Any]] | None) -> Overfitting | None:
    """PBO and SPA of the configurations on the sessions they have in common, and whether a baseline beats ``path``, the model's.

    A configuration that shares less than half of the model's sessions with it is left out, and counted: one run on other years
    would leave no session that all have. None where there is nothing to compare, or too few sessions.
    """
    paths = [(t.session, t.net) for t in ledger if t.kind is TrialKind.CONFIGURATION and t.net.size]
    least = max(SESSIONS_MIN, len(path) / 2)
    near = [one for one in paths if np.intersect1d(one[0], path.session).size >= least]
    tried, left_out = aligned(near), len(paths) - len(near)
    simpler = aligned([(path.session, path.net), *(_path(row["path"]) for row in baselines or () if row.get("path"))])
    rng = np.random.default_rng(SEED)
    beaten = _superior(simpler[:, 1:] - simpler[:, :1], rng).consistent if _enough(simpler, 2) else NAN
    if not _enough(tried, 1):
        return Overfitting(beaten=beaten, left_out=left_out) if np.isfinite(beaten) else None
    better = _superior(tried, rng)
    tests = Overfitting(
        spa=better.consistent, spa_low=better.lower, spa_high=better.upper, reality_check=better.reality_check, beaten=beaten,
        n=len(near), left_out=left_out,
    )  # fmt: skip
    try:
        found = overfitting(tried)
    except InputError:  # one configuration, or too few sessions for the blocks: the other tests still stand
        return tests
    return replace(tests, pbo=found.pbo, logits=found.logits, slope=found.slope, loss=found.probability_of_loss)


def _superior(better: F8, rng: np.random.Generator) -> Superiority:
    """Hansen's test; where nothing is better at all there is nothing to explain by luck, and p is 1."""
    found = superior_ability(better, rng)
    return found if found.statistic > 0 else replace(found, lower=1.0, consistent=1.0, upper=1.0)


def aligned(paths: Sequence[tuple[I4, F8]]) -> F8:
    """Daily net results float64 [T, N] of ``paths`` (sessions, values) on the sessions that all of them have."""
    if not paths:
        return np.zeros((0, 0))
    common = paths[0][0]
    for session, _ in paths[1:]:
        common = np.intersect1d(common, session)
    return np.stack([net[np.isin(session, common)] for session, net in paths], axis=1)


def _enough(paths: F8, n: int) -> bool:
    return bool(paths.shape[0] >= SESSIONS_MIN and paths.shape[1] >= n)


def _path(section: Mapping[str, Any]) -> tuple[I4, F8]:
    session = np.array(section["session"], dtype=np.int32)
    return session, np.array(section["gross"], dtype=np.float64) - np.array(section["cost"], dtype=np.float64)
