"""Challenger and champion from the command line and as jobs: declared, waited for, decided, promoted, rolled back, retrained."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from typer.testing import CliRunner

import retrain_child
from intraday.app import System, load_model, open_system
from intraday.cli.root import root as command_line
from intraday.config.settings import Settings
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.domain.clock import SystemClock
from intraday.domain.errors import ArtifactError, RegistryError
from intraday.domain.learning import Role
from intraday.domain.session import EPOCH
from intraday.jobs import comparing, models
from intraday.jobs.historical import fill_synthetic, run_historical
from intraday.jobs.retrain import run_retrain
from intraday.model.drift import DriftSpec
from intraday.model.path import DailyPath
from job_cases import SESSIONS, config_file, quiet, settings_on

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CLOCK = SystemClock()
TRAINED, LATER = 10, 60  # sessions


@pytest.fixture
def settings(trained_dsn: str, jobs_dir: Path) -> Settings:
    """On a database with one model."""
    return settings_on(trained_dsn, jobs_dir)


@pytest.fixture
def pair(settings: Settings) -> Iterator[tuple[str, str]]:
    """Ids of a champion and of a challenger with other leaves, trained on the same sessions."""
    (first,) = [m.id for m in models.list_models(settings, CLOCK).models]
    models.promote(settings, CLOCK, first)
    other = settings.model_copy(update={"model": settings.model.model_copy(update={"num_leaves": 7})})
    yield first, str(run_historical(other, CLOCK, quiet).summary["model_id"])


def add_sessions(system: System, which: range) -> None:
    """Candles of these sessions of the system's own market."""
    s = system.settings.trading.synthetic
    days = SESSIONS.between(s.start_day, SESSIONS.last)[: which.stop]
    market = SyntheticMarket(SyntheticSpec(instruments=s.instruments, seed=s.seed, edge=s.edge), days)
    fill_synthetic(system, market, which, quiet)


def better(challenger: str) -> Any:
    """A market in which the challenger is plainly better."""

    def net(model_id: str, sessions: Sequence[int]) -> DailyPath:
        n = len(sessions)
        gross = np.random.default_rng(model_id == challenger).normal(0.001 * (model_id == challenger), 0.0002, n)
        return DailyPath(np.array(sessions, np.int32), gross, np.zeros(n), np.ones(n, np.int64))

    return net


def nobody(model_id: str, sessions: Sequence[int]) -> DailyPath:
    """Nothing may be computed yet."""
    raise AssertionError("somebody looked")


def nth_day(settings: Settings, number: int) -> date:
    """The day of the market's session ``number``, from 0."""
    return SESSIONS.between(settings.trading.synthetic.start_day, SESSIONS.last)[number].day


def trail(dsn: str | None) -> list[str]:
    with psycopg.connect(dsn or "") as connection:
        rows = connection.execute("SELECT kind FROM events WHERE kind ~ '^(champion|comparison|retrain)' ORDER BY id").fetchall()
    return [row[0] for row in rows]


def test_the_first_champion_needs_no_test_and_every_other_one_does(settings: Settings, tmp_path: Path) -> None:
    before = models.list_models(settings, CLOCK)
    assert (before.champion, before.in_use, before.note) == (None, before.models[0].id, models.NO_CHAMPION)
    with pytest.raises(RegistryError, match="would take over without a test"):
        run_retrain(settings, CLOCK, quiet)
    with pytest.raises(RegistryError, match="nothing to go back to"):
        models.rollback(settings, CLOCK)
    first = models.promote(settings, CLOCK, before.models[0].id[:6])
    assert (first.kind, first.model_id) == ("first", before.models[0].id)
    config = config_file(settings, tmp_path / "config.yaml")
    env = {"INTRADAY__DATABASE__DSN": settings.database.dsn_text or "", "COLUMNS": "200"}

    def said(*args: str) -> tuple[int, str]:
        result = CliRunner().invoke(command_line, ["models", *args, "--config", str(config)], env=env)
        return result.exit_code, result.output

    code, text = said("promote", first.model_id)
    assert (code, "is the champion already" in text) == (2, True)
    assert said("rollback")[0] == 2
    assert said("show", "nothing")[0] == 6
    code, text = said("list")
    assert (code, "champion, in use" in text) == (0, True)
    code, text = said("show", first.model_id[:5], "--json")
    assert code == 0
    page = json.loads(text)
    assert (page["model"]["role"], page["promotions"][0]["kind"]) == ("champion", "first")


def decide_for(settings: Settings, challenger: str) -> None:
    """Declared, waited for in vain, and won."""
    declared = comparing.declare(settings, CLOCK, [challenger], LATER, 0.05)
    last = nth_day(settings, TRAINED + LATER - 1)
    assert declared.comparison is not None
    assert EPOCH + timedelta(days=declared.comparison.declared_session) == nth_day(settings, TRAINED - 1)
    with pytest.raises(RegistryError, match="found: test 1 is open"):
        models.promote(settings, CLOCK, challenger)
    with open_system(settings, CLOCK) as system:
        add_sessions(system, range(TRAINED, TRAINED + LATER - 1))
    waiting = comparing.compare(settings, CLOCK, [challenger], quiet, daily_net=nobody)
    assert waiting.waiting is not None
    assert (waiting.state, waiting.waiting.missing) == ("waiting", (last,))
    with open_system(settings, CLOCK) as system:
        add_sessions(system, range(TRAINED + LATER - 1, TRAINED + LATER))
    done = comparing.compare(settings, CLOCK, [challenger], quiet, daily_net=better(challenger))
    assert done.comparison is not None
    assert (done.state, done.comparison.outcome) == ("decided", "challenger")
    again = comparing.compare(settings, CLOCK, [challenger], quiet, daily_net=nobody)  # for good
    assert (again.comparison, again.test) == (done.comparison, done.test)


def test_a_challenger_waits_is_tested_and_takes_over(settings: Settings, pair: tuple[str, str]) -> None:
    champion, challenger = pair
    found = models.list_models(settings, CLOCK)
    assert {m.id: (m.role, m.in_use) for m in found.models} == {
        champion: (Role.CHAMPION, True), challenger: (Role.CHALLENGER, False)
    }  # fmt: skip
    with open_system(settings, CLOCK) as system:
        assert load_model(system).id == champion  # although the challenger is newer
    with pytest.raises(RegistryError, match=f"{challenger} has not won a test .* found: no test"):
        models.promote(settings, CLOCK, challenger)
    past = comparing.compare(settings, CLOCK, [challenger], quiet, daily_net=nobody)
    assert (past.state, past.champion_id, past.comparison) == ("past", champion, None)

    with pytest.raises(RegistryError, match="at least 60 sessions"):
        comparing.declare(settings, CLOCK, [challenger], 19, 0.05)
    with pytest.raises(RegistryError, match="expected a test against the champion"):
        comparing.declare(settings, CLOCK, [challenger, champion], LATER, 0.05)
    decide_for(settings, challenger)
    assert models.promote(settings, CLOCK, challenger).previous_id == champion
    with pytest.raises(RegistryError, match="is the champion already"):
        models.promote(settings, CLOCK, challenger)
    assert models.rollback(settings, CLOCK).model_id == champion
    with pytest.raises(RegistryError, match="only .* the first"):
        models.rollback(settings, CLOCK)
    with pytest.raises(RegistryError, match="has not won a test"):  # the one it won is used
        models.promote(settings, CLOCK, challenger)
    kinds = ["champion: first", "comparison: declared", "comparison: challenger", "champion: promote", "champion: rollback"]
    assert trail(settings.database.dsn_text) == kinds


def test_both_models_run_on_the_same_stored_candles(settings: Settings, pair: tuple[str, str]) -> None:
    """Through the engine: the outcome is what it is, and the same once more; a damaged challenger is refused."""
    champion, challenger = pair
    comparing.declare(settings, CLOCK, [challenger], LATER, 0.05)
    with open_system(settings, CLOCK) as system:
        add_sessions(system, range(TRAINED, TRAINED + LATER))
    done = comparing.compare(settings, CLOCK, [champion, challenger], quiet)
    assert done.test is not None
    assert done.test.sessions == LATER
    assert done.test.champion_trades > LATER
    assert done.test.challenger_trades > LATER
    with pytest.raises(RegistryError, match="nothing to give up"):
        comparing.compare(settings, CLOCK, [challenger], quiet, void=True)
    assert comparing.declare(settings, CLOCK, [challenger], LATER, 0.05).attempt == 2
    void = comparing.compare(settings, CLOCK, [challenger], quiet, void=True)
    assert void.state == "void"
    with damaged(settings, challenger), pytest.raises(RegistryError, match=f"{challenger} cannot: .*altered or damaged"):
        comparing.declare(settings, CLOCK, [challenger], LATER, 0.05)


@contextmanager
def damaged(settings: Settings, model_id: str) -> Iterator[None]:
    """Its files are altered inside the block."""
    with open_system(settings, CLOCK) as system:
        model = Path(system.stores.models.get(model_id).path) / "model.txt"
    whole = model.read_bytes()
    model.write_bytes(whole.replace(b"leaf", b"laef", 1))
    try:
        yield
    finally:
        model.write_bytes(whole)


def test_a_champion_that_cannot_run_is_no_dead_end(settings: Settings, pair: tuple[str, str]) -> None:
    """No test against it can be declared; the only one there was is replaced without one, for a reason that is kept."""
    champion, challenger = pair
    with damaged(settings, champion):
        with pytest.raises(RegistryError, match=f"{champion} cannot: .*altered or damaged.*takes it out"):
            comparing.declare(settings, CLOCK, [challenger], LATER, 0.05)
        with pytest.raises(RegistryError, match="nothing to go back to. It cannot run here .*altered or damaged.*promote ID"):
            models.rollback(settings, CLOCK)
        with pytest.raises(RegistryError, match="is the champion already"):
            models.promote(settings, CLOCK, champion)
        with damaged(settings, challenger), pytest.raises(ArtifactError, match="altered or damaged"):
            models.promote(settings, CLOCK, challenger)
        done = models.promote(settings, CLOCK, challenger)
        assert (done.kind, done.previous_id, done.comparison_id) == ("rollback", champion, 0)
        assert f"without a test, since the champion {champion} cannot run here: " in done.reason
    with pytest.raises(RegistryError, match=f"only {challenger}, the first"):  # the damaged one is no one to go back to
        models.rollback(settings, CLOCK)
    with pytest.raises(RegistryError, match=f"{champion} has not won a test"):
        models.promote(settings, CLOCK, champion)
    with psycopg.connect(settings.database.dsn_text or "") as connection:
        (found,) = connection.execute("SELECT detail ->> 'reason' FROM events WHERE kind = 'champion: rollback'").fetchall()
    assert found == (done.reason,)


def test_a_champion_that_no_longer_fits_is_given_up_only_for_a_reason(settings: Settings, pair: tuple[str, str]) -> None:
    """Another universe is no way around a test; a change for good is said, and shown."""
    champion, challenger = pair
    with open_system(settings, CLOCK) as system:
        some = tuple(i.key for i in system.universe())[:-1]
    fewer = settings.model_copy(update={"trading": settings.trading.model_copy(update={"universe": some})})
    other = str(run_historical(fewer, CLOCK, quiet).summary["model_id"])
    with pytest.raises(RegistryError, match=f"{champion} cannot run here: .*Set back .*--instead REASON"):
        models.promote(fewer, CLOCK, other)
    with pytest.raises(RegistryError, match=f"{challenger} has not won"):  # where the champion runs no reason is good enough
        models.promote(settings, CLOCK, challenger, "I like it better")
    assert models.list_models(fewer, CLOCK).champion == champion
    done = models.promote(fewer, CLOCK, other, "one stock less for good")
    assert (done.kind, done.previous_id) == ("rollback", champion) and done.reason.endswith("; one stock less for good")
    assert models.list_models(fewer, CLOCK).note.endswith("one stock less for good")


def test_a_test_is_decided_under_the_settings_it_was_declared_under(settings: Settings, pair: tuple[str, str]) -> None:
    _, challenger = pair
    comparing.declare(settings, CLOCK, [challenger], LATER, 0.05)
    with open_system(settings, CLOCK) as system:
        add_sessions(system, range(TRAINED, TRAINED + LATER))
        some = tuple(i.key for i in system.universe())
    for change in ({"notional_inr": 50_000.0}, {"universe": some}):
        other = settings.model_copy(update={"trading": settings.trading.model_copy(update=change)})
        with pytest.raises(RegistryError, match="expected the settings it was declared under .*found .*set them back"):
            comparing.compare(other, CLOCK, [challenger], quiet, daily_net=nobody)
    done = comparing.compare(settings, CLOCK, [challenger], quiet, daily_net=better(challenger)).comparison
    assert done is not None
    detail = json.loads(done.detail)
    assert detail["terms"] == {"trading.universe": "all", "trading.notional_inr": settings.trading.notional_inr}
    assert detail["sessions"] == LATER


def test_a_model_that_saw_the_future_of_the_test_is_refused(settings: Settings, pair: tuple[str, str]) -> None:
    with open_system(settings, CLOCK) as system:
        add_sessions(system, range(TRAINED, TRAINED + 2))
    seer = str(run_historical(settings, CLOCK, quiet).summary["model_id"])
    with open_system(settings, CLOCK) as system, system.database.transaction() as connection:
        connection.execute("DELETE FROM ohlcv_1min WHERE ts >= %s", (str(nth_day(settings, TRAINED)),))
    with pytest.raises(RegistryError, match=f"{seer} was trained on sessions up to {nth_day(settings, TRAINED + 1)}"):
        comparing.declare(settings, CLOCK, [seer], LATER, 0.05)


def killed(settings: Settings, at: str) -> None:
    """A retraining that dies by SIGKILL once something of ``at`` is done: the registry is as it was."""
    before = models.list_models(settings, CLOCK)
    child = multiprocessing.get_context("spawn").Process(target=retrain_child.main, args=(settings, at))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL, at
    assert models.list_models(settings, CLOCK) == before


def test_retraining_leaves_the_champion_and_says_why(settings: Settings, pair: tuple[str, str]) -> None:
    """Too few sessions; killed while it computes and while it fits; through; calm; drifted."""
    champion, _ = pair
    few = run_retrain(settings, CLOCK, quiet, if_drifted=True)
    assert (few.trained, few.challenger) == (False, None)
    assert "0 sessions with features since the model was trained" in few.reason
    with open_system(settings, CLOCK) as system:
        add_sessions(system, range(TRAINED, TRAINED + 5))
    killed(settings, "candles")
    killed(settings, "walk-forward")
    asked = run_retrain(settings, CLOCK, quiet)
    assert asked.fresh
    assert asked.challenger not in (champion, None)
    assert models.list_models(settings, CLOCK).champion == champion
    later = str(nth_day(settings, TRAINED))
    with open_system(settings, CLOCK) as system:  # as a longer history has it: the same features from another anchor
        own = next(r for r in system.stores.features.sets() if r.id == system.stores.models.get(champion).feature_set_id)
        other = replace(own, id="longer", definition=json.dumps({**json.loads(own.definition), "anchor": "previous_quarter"}))
        system.stores.features.register(other)
        with system.database.transaction() as connection:
            connection.execute("UPDATE features SET feature_set_id = 'longer' WHERE ts >= %s", (later,))
    spec = DriftSpec(least_sessions=5, block=1)
    calm = run_retrain(settings, CLOCK, quiet, if_drifted=True, dry=True, spec=spec)  # history has computed those sessions by now
    assert calm.drift is not None
    assert (calm.drift.later_sessions, calm.drift.trained_sessions) == (5, TRAINED)
    assert calm.drift.calibration is not None
    with open_system(settings, CLOCK) as system, system.database.transaction() as connection:
        huge = "decode(repeat('0000204f', octet_length(vector) / 4), 'hex')"
        connection.execute(f"UPDATE features SET vector = {huge} WHERE ts >= %s", (later,))
    gone = run_retrain(settings, CLOCK, quiet, if_drifted=True, dry=True, spec=spec)
    assert gone.trained
    assert gone.challenger is None
    assert "features moved" in gone.reason
    assert trail(settings.database.dsn_text)[1:] == ["retrain: decided"] * 4 + ["retrain: trained"] + ["retrain: decided"] * 2
