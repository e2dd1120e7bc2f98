"""The ledger and the registry on a real server: exact bytes, one champion, and a kill at any moment."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace

import numpy as np
import psycopg
import pytest

import promotion_child
from intraday.app_learning import SCOPE, stamped
from intraday.database.pool import Database
from intraday.database.stores import Stores
from intraday.domain.errors import RegistryError, StorageError
from intraday.domain.learning import Comparison, Trial, TrialKind

pytestmark = pytest.mark.integration
PATH = np.array([18_000, 18_001, 18_003], np.int32), np.array([0.001, -0.0, float("nan")])
TRIAL = Trial("a", "best version", TrialKind.CONFIGURATION, 5, "run-1", "m1", '{"b":  1}', float("nan"), "complete", *PATH, "größe")
NONE = np.empty(0, np.int32), np.empty(0)
TEST = Comparison(0, "m1", "m2", 2, 18_100, 20, 0.05, "net")


def same(a: Trial, b: Trial) -> bool:
    arrays = (a.session.tobytes(), a.net.tobytes()) == (b.session.tobytes(), b.net.tobytes())
    return arrays and repr(replace(a, session=NONE[0], net=NONE[1])) == repr(replace(b, session=NONE[0], net=NONE[1]))


def test_a_trial_comes_back_bit_for_bit_and_replaces_itself(database: Database) -> None:
    ledger = Stores(database).trials
    ledger.add([TRIAL, replace(TRIAL, scope="other")])
    (found,) = ledger.of("best version")
    assert same(found, TRIAL)
    assert (found.session.dtype, found.net.dtype) == (np.int32, np.float64)
    again = replace(TRIAL, created_ns=9, net=PATH[1] * 2, value=0.5)
    ledger.add([again])
    assert [same(t, again) for t in ledger.of("best version")] == [True]


def test_a_path_that_was_seen_stays_counted(database: Database) -> None:
    """A run of the same configuration that failed, or a tuning trial of that name, takes nothing out of the ledger."""
    ledger = Stores(database).trials
    ledger.add([TRIAL])
    ledger.add([replace(TRIAL, state="failed", session=NONE[0], net=NONE[1], kind=TrialKind.TUNING)])
    assert same(ledger.of("best version", TrialKind.CONFIGURATION)[0], TRIAL)
    inner = replace(TRIAL, id="b", kind=TrialKind.TUNING, session=NONE[0], net=NONE[1], created_ns=1, state="pruned")
    ledger.add([inner])
    assert [t.id for t in ledger.of("best version")] == ["b", "a"]  # oldest first
    assert [t.id for t in ledger.of("best version", TrialKind.TUNING)] == ["b"]


def test_what_was_counted_by_universe_stays_counted(database: Database) -> None:
    """A scope is read with its parts, as they were written before, and with nothing that only begins alike."""
    ledger = Stores(database).trials
    scopes = {"a": SCOPE, "b": f"{SCOPE}; csv:mine.csv", "c": f"{SCOPE}s"}
    ledger.add([replace(TRIAL, id=name, scope=scope) for name, scope in scopes.items()])
    assert {t.id for t in ledger.of(SCOPE)} == {"a", "b"}
    assert [t.scope for t in stamped([TRIAL], "run", 5)] == [SCOPE]


def test_trials_are_stored_all_or_none(database: Database) -> None:
    ledger = Stores(database).trials
    with pytest.raises(StorageError, match="trials_state"):
        ledger.add([TRIAL, replace(TRIAL, id="b", state="odd")])
    assert ledger.of("best version") == []


def test_only_the_champion_that_was_seen_can_be_replaced(database: Database) -> None:
    registry = Stores(database).registry
    assert registry.champion() is None
    first = registry.promote("m1", "", 1, "first", 0, "the first")
    assert (first.model_id, first.previous_id, first.comparison_id) == ("m1", "", 0)
    with pytest.raises(RegistryError, match=r"expected the champion none, found m1 \(number 1\)"):
        registry.promote("m2", "", 2, "first", 0, "late")
    won = registry.declare(TEST)
    registry.decide(won.id, "challenger", 3, 0.01, "{}")
    second = registry.promote("m2", "m1", 4, "promote", won.id, "won")
    assert registry.champion() == second
    registry.promote("m1", "m2", 5, "rollback", 0, "back")
    with pytest.raises(RegistryError, match=f"comparison {won.id} promoted a model before"):
        registry.promote("m2", "m1", 6, "promote", won.id, "once more")
    with pytest.raises(StorageError, match="promotions_tested"):
        registry.promote("m2", "m1", 6, "promote", 0, "without a test")
    assert [p.model_id for p in registry.promotions()] == ["m1", "m2", "m1"]


def test_a_test_is_declared_once_and_decided_once(database: Database) -> None:
    registry = Stores(database).registry
    made = registry.declare(TEST)
    assert made == replace(TEST, id=made.id, p_value=made.p_value)
    with pytest.raises(RegistryError, match="declared already"):
        registry.declare(TEST)
    done = registry.decide(made.id, "champion", 7, 0.4, '{"mean":  1}')
    assert (done.outcome, done.decided_ns, done.p_value, done.detail) == ("champion", 7, 0.4, '{"mean":  1}')
    with pytest.raises(RegistryError, match="decided before"):
        registry.decide(made.id, "challenger", 8, 0.01, "{}")
    assert registry.comparisons() == [done]
    assert registry.declare(TEST).id > made.id


def test_every_step_is_in_the_audit_trail(database: Database, dsn: str) -> None:
    registry = Stores(database).registry
    made = registry.declare(TEST)
    registry.decide(made.id, "void", 3, float("nan"), "{}")
    registry.promote("m1", "", 4, "first", 0, "the first")
    with psycopg.connect(dsn) as connection:
        kinds = [row[0] for row in connection.execute("SELECT kind FROM events ORDER BY id").fetchall()]
    assert kinds == ["comparison: declared", "comparison: void", "champion: first"]


def test_a_kill_at_any_moment_leaves_one_champion_and_its_trail(dsn: str) -> None:
    """SIGKILL between asking and the answer, each time a little later: the rows are a chain, each with its line of the trail."""
    context, rng = multiprocessing.get_context("spawn"), np.random.default_rng(5)
    last = ""
    for _ in range(4):
        mine, theirs = context.Pipe()
        child = context.Process(target=promotion_child.main, args=(dsn, theirs), daemon=True)
        child.start()
        theirs.close()
        for _ in range(int(rng.integers(3, 40))):
            last = said if (said := mine.recv()) != "ask" else last
        child.kill()
        child.join()
        while mine.poll():  # what it said before it died
            try:
                last = said if (said := mine.recv()) != "ask" else last
            except EOFError:
                break
        with Database(dsn) as database, database.autocommit() as connection:
            rows = Stores(database).registry.promotions()[::-1]
            trail = connection.execute("SELECT detail ->> 'model' FROM events WHERE kind LIKE 'champion: %' ORDER BY id").fetchall()
        assert [row.previous_id for row in rows] == ["", *(row.model_id for row in rows[:-1])]
        assert [row.model_id for row in rows] == [said[0] for said in trail]
        assert last in {row.model_id for row in rows[-2:]}  # what it heard of is there, and at most one more
