"""The search for parameters: seeded, pruned, stored, and blind to what its training window does not hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from intraday.domain.errors import NotEnoughData, StorageError
from intraday.domain.learning import TrialKind
from intraday.model.spec import TUNED
from intraday.model.splits import Fold, SplitSpec
from intraday.model.trainer import LGBMTrainer, Resources, TrainSpec
from intraday.model.tuning import BATCH, Search, TuningSpec, inner_folds, inner_loss, tune
from model_cases import NAMES, dataset

OWN = {name: getattr(TrainSpec(), name) for name in TUNED}
SPEC = TrainSpec(split=SplitSpec(min_train=10, test=2), num_boost_round=6, min_data_in_leaf=50, threads=1)
NOTHING = np.empty(0, dtype=np.int64)
FOLDS = [Fold(NOTHING, NOTHING, NOTHING, (k, k), (k, k), (k, k), 0) for k in range(3)]

Asked = Sequence[tuple[Mapping[str, Any], Fold]]


class Bowl:
    """Losses with their least at a learning rate of 0.05 and 20 leaves; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, int]] = []
        self.most = 0

    def __call__(self, asked: Asked) -> list[float]:
        self.asked += [(p["learning_rate"], fold.fit_sessions[0]) for p, fold in asked]
        self.most = max(self.most, len(asked))
        return [
            abs(np.log(p["learning_rate"] / 0.05)) + abs(np.log(p["num_leaves"] / 20)) + 0.1 * f.fit_sessions[0] for p, f in asked
        ]


def search(trials: int = 24, seed: int = 3, storage: str | None = None, key: str = "k") -> Search:
    return Search(key, trials, seed, OWN, FOLDS, storage)


def silent(done: int, total: int) -> None:
    """Nobody listens."""


def test_the_best_is_better_than_what_was_given_and_everything_tried_is_told() -> None:
    bowl = Bowl()
    found = tune(search(), bowl, silent)
    assert len(found.trials) == 24
    assert {t.kind for t in found.trials} == {TrialKind.TUNING}
    assert len({t.id for t in found.trials}) == 24
    assert json.loads(found.trials[0].parameters) == OWN, "the user's own come first"
    complete = [t for t in found.trials if t.state == "complete"]
    assert min(t.value for t in complete) < found.trials[0].value - 0.3
    assert json.loads(min(complete, key=lambda t: t.value).parameters) == found.best
    pruned = [t for t in found.trials if t.state == "pruned"]
    assert 3 <= len(pruned) <= 18
    assert all("1 of 3 inner folds" in t.note or "2 of 3" in t.note for t in pruned)
    assert len(bowl.asked) == sum(int(t.note.split(", ")[2][0]) for t in found.trials)
    assert bowl.most == BATCH


def test_a_search_is_the_same_every_time_and_another_with_another_seed() -> None:
    first, again, other = (tune(search(seed=seed), Bowl(), silent) for seed in (3, 3, 4))
    assert repr(first) == repr(again)
    assert [t.parameters for t in first.trials[1:]] != [t.parameters for t in other.trials[1:]]


@pytest.mark.parametrize("stop_at", [1, 9, 16])
def test_an_interrupted_search_is_taken_up_from_its_storage(tmp_path: Path, stop_at: int) -> None:
    """Killed at any call, whole batches are not asked for again, and the end is the same."""
    url = f"sqlite:///{tmp_path}/study.db"
    bowl, calls = Bowl(), 0

    def dies(asked: Asked) -> list[float]:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise KeyboardInterrupt
        return bowl(asked)

    with pytest.raises(KeyboardInterrupt):
        tune(search(storage=url), dies, silent)
    kept = len(optuna.load_study(study_name="k", storage=url).trials)
    later = Bowl()
    found = tune(search(storage=url), later, silent)
    whole = Bowl()
    assert repr(found) == repr(tune(search(), whole, silent))
    assert len(later.asked) == sum(int(t.note.split(", ")[2][0]) for t in found.trials[kept:])
    assert len(later.asked) < len(whole.asked) or kept == 0
    stored = optuna.load_study(study_name="k", storage=url)
    assert [t.state.name.lower() for t in stored.trials] == [t.state for t in found.trials]
    again = Bowl()
    assert repr(tune(search(storage=url), again, silent)) == repr(found)
    assert again.asked == []


def test_a_storage_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="tuning study"):
        tune(search(storage=f"sqlite:///{tmp_path}/no/such/folder.db"), Bowl(), silent)


def test_the_inner_loss_is_that_of_knowing_nothing_where_the_scores_are_the_prior() -> None:
    data = dataset(sessions=8)
    session = data.session - data.session.min()
    fold = FOLDS[0].with_rows(np.flatnonzero(session < 4), np.flatnonzero(session == 5), np.flatnonzero(session == 7))
    share = np.bincount(data.label[np.concatenate([fold.fit, fold.stop])].astype(int) + 1, minlength=3) + 1.0
    n = len(fold.score)
    assert inner_loss(data, fold, np.tile(np.log(share / share.sum()), (n, 1))) == pytest.approx(0.0, abs=1e-12)
    sure = np.full((n, 3), -5.0)
    sure[np.arange(n), data.label[fold.score] + 1] = 5.0
    assert inner_loss(data, fold, sure) < -0.9


def test_a_window_too_short_to_tune_in_is_said() -> None:
    data = dataset(sessions=4)
    with pytest.raises(NotEnoughData, match=r"window of 4 sessions is too short to tune in.*model.tuning.trials to 0"):
        inner_folds(data, np.arange(len(data)), SplitSpec(embargo=1))
    assert len(inner_folds(dataset(sessions=15), np.arange(15 * 180), SplitSpec())) == 3


# ------------------------------------------------------------------------------------------------------------- in training


@pytest.mark.parametrize(("every", "searches"), [(0, 1), (2, 2)])
def test_parameters_come_from_the_windows_that_were_searched(every: int, searches: int) -> None:
    spec = replace(SPEC, tuning=TuningSpec(trials=4, refit_every=every))
    found = LGBMTrainer(spec).train(dataset(sessions=17), NAMES)
    assert len(found.folds) == 3
    tried = [t for t in found.trials if t.kind is TrialKind.TUNING]
    assert len(tried) == 4 * searches
    assert len({t.note.split(",")[0] for t in tried}) == searches
    last = min((t for t in tried[-4:] if t.state == "complete"), key=lambda t: t.value)
    best = json.loads(last.parameters)
    assert {k: v for k, v in json.loads(found.parameters).items() if k in TUNED} == best, "the last search's, for the final model"
    (own,) = (t for t in found.trials if t.kind is TrialKind.CONFIGURATION)
    assert own.net.size == own.session.size == 6
    assert found.judged.figures["n_trials"] == 1, "inner trials are not counted"


def test_a_search_knows_nothing_of_what_is_scored_or_comes_later() -> None:
    """All of the sessions after the first fold's training window become noise: nothing the first search says may move."""
    spec = replace(SPEC, tuning=TuningSpec(trials=4, refit_every=1))
    data = dataset(sessions=15)
    late = data.session > data.session.min() + 9
    x, label = data.x.copy(), data.label.copy()
    x[late], label[late] = -3.0 * x[late], -label[late]
    # whole searches are compared, not only their winners
    first, other = (LGBMTrainer(spec).train(d, NAMES).trials[:4] for d in (data, replace(data, x=x, label=label)))
    assert [(t.parameters, t.value, t.state) for t in first] == [(t.parameters, t.value, t.state) for t in other]


def test_studies_are_stored_and_named_by_what_they_depend_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    spec = replace(SPEC, tuning=TuningSpec(trials=2))
    data = dataset(sessions=14)
    first = LGBMTrainer(spec, Resources(storage=url)).train(data, NAMES)
    assert LGBMTrainer(spec, Resources(storage=url)).train(data, NAMES).trials[0].id == first.trials[0].id
    assert len(optuna.get_all_study_names(url)) == 1
    LGBMTrainer(replace(spec, seed=9), Resources(storage=url)).train(data, NAMES)
    LGBMTrainer(spec, Resources(storage=url)).train(replace(data, x=data.x + 1), NAMES)
    assert len(optuna.get_all_study_names(url)) == 3
