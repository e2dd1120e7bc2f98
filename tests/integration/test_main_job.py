"""The main job on a real database: train, replay, verify, and every way in which verify must fail."""

import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from intraday.cli.root import root
from intraday.core.synthetic_ticks import CLEAN
from intraday.database.digests import digests
from intraday.database.pool import Database
from intraday.domain.clock import SystemClock
from intraday.domain.errors import InputError, NotEnoughData, SkewError, VerifyError
from intraday.domain.ports import Source
from intraday.history.importing import ImportOptions
from intraday.jobs.historical import import_bars, run_historical
from intraday.jobs.live import run_live
from intraday.jobs.replay import list_signals, run_replay
from intraday.jobs.verify import run_verify
from intraday.live.warmup import decision_panels, warm
from job_cases import SESSIONS, bar_files, market_of, quiet, tick_file

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


def verify_exit(config, dsn, *more):
    """Exit code and output of ``intraday verify`` in this process."""
    result = CliRunner().invoke(root, ["verify", "--config", str(config), *more], env={"INTRADAY__DATABASE__DSN": dsn})
    return result.exit_code, result.output


def digests_of(settings):
    """Digests of every table of the settings' database."""
    with Database(settings.database.dsn_text) as database:
        return digests(database)


def execute(dsn, statement):
    """Rows touched by one statement behind the program's back."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(statement).rowcount


def test_training_twice_changes_no_row(trained):
    before = digests_of(trained)
    first = run_historical(trained, SystemClock(), quiet)
    assert digests_of(trained) == before
    assert sum(d.rows for d in before.values()) > 10_000
    assert first.page is not None and first.page.exists()


def test_live_stores_signals_and_verify_proves_them(lived, lived_once, config, lived_dsn):
    summary = lived_once[1]
    assert summary["ticks"] > 20_000 and summary["ticks_rejected"] > 0 and summary["candles"] > 1_000
    rows = list_signals(lived, None, None, Source.TICK, SystemClock())
    assert len(rows) == sum(summary["signals"].values()) > 100
    assert all(0 < r.confidence <= 1 for r in rows)
    said = [r for r in rows if r.action != "HOLD"]
    assert said and all(r.chase > 0 and 1 <= len(r.reasons) <= 5 for r in said) and any(r.quantity > 0 for r in said)
    assert all(not r.reasons and r.quantity == 0 for r in rows if r.action == "HOLD")
    assert any(r.note.startswith("open signal since") for r in rows)

    counted = "SELECT reason, sum(n)::int FROM tick_rejects WHERE run_id = %s GROUP BY reason"
    with psycopg.connect(lived_dsn) as connection:
        assert dict(connection.execute(counted, (summary["run_id"],)).fetchall()) == summary["rejects"]

    result = run_verify(lived, None, None, SystemClock(), quiet)
    assert all(c.passed for c in result.checks), result.differences[:5]
    known = {c.name.removeprefix("as known: "): c for c in result.checks if c.name.startswith("as known")}
    assert all(c.n_differences == 0 for c in known.values())
    assert {name: c.n_compared > 100 for name, c in known.items()} == {
        "the journal is whole": False,
        "the journal again": True,
        "frames cut elsewhere": True,
        "other numbers of instruments": True,
        "candles in plain Python": True,
        "features in one batch": True,
        "the state it started from": False,
    }
    assert verify_exit(config, lived_dsn)[0] == 0

    again = run_live(lived, SystemClock(), quiet).summary  # the same feed again tells the same story
    assert {k: v for k, v in again.items() if k != "run_id"} == {k: v for k, v in summary.items() if k != "run_id"}
    assert all(c.passed for c in run_verify(lived, None, None, SystemClock(), quiet).checks)


ONE = "source = 'tick' AND (instrument_id, ts) = (SELECT instrument_id, ts FROM {0} WHERE source = 'tick' ORDER BY ts {1} LIMIT 1)"
FIRST_BAR, LAST_BAR = ONE.format("ohlcv_1min", ""), ONE.format("ohlcv_1min", "DESC")
LAST_VECTOR, FIRST_SIGNAL = ONE.format("features", "DESC"), ONE.format("signals", "")


@pytest.mark.parametrize(
    ("what", "statement"),
    [
        ("candle", f"UPDATE ohlcv_1min SET close = close + 0.05 WHERE {FIRST_BAR}"),
        ("candle", f"DELETE FROM ohlcv_1min WHERE {LAST_BAR}"),
        ("feature", f"UPDATE features SET vector = set_byte(vector, 1, get_byte(vector, 1) # 1) WHERE {LAST_VECTOR}"),
        ("signal", f"UPDATE signals SET confidence = confidence + 1e-12 WHERE {FIRST_SIGNAL}"),
        ("signal", f"UPDATE signals SET action = CASE action WHEN 'HOLD' THEN 'BUY' ELSE 'HOLD' END WHERE {FIRST_SIGNAL}"),
    ],
)
def test_one_changed_stored_row_makes_verify_fail(config, lived_dsn, what, statement):
    assert execute(lived_dsn, statement) == 1
    code, output = verify_exit(config, lived_dsn)
    assert code == 1, output
    assert f"the journal again: {what}" in output


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("candle.py", 'if price > state[s]["high"]:', 'if price >= state[s]["high"] + 5:'),
        ("recursive.py", "import numba as nb", "import numba as nb  # nothing but a comment"),
    ],
)
def test_a_changed_kernel_makes_verify_fail(config, lived_dsn, tmp_path, file, old, new):
    copy = tmp_path / "src"
    shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
    kernel = copy / "intraday" / "core" / "kernels" / file
    text = kernel.read_text()
    assert old in text
    kernel.write_text(text.replace(old, new))
    env = os.environ | {
        "PYTHONPATH": str(copy),
        "INTRADAY__DATABASE__DSN": lived_dsn,
        "INTRADAY_CACHE_DIR": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "intraday", "verify", "--config", str(config)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the same program" in done.stdout


def test_replay_and_import_keep_to_themselves(trained, trained_dsn, tmp_path):
    market = market_of(trained)
    days = [s.day for s in market.sessions[-3:-1]]
    for i, day in enumerate(days, start=len(market.sessions) - 3):
        tick_file(tmp_path / f"{day}.parquet", market, i)
    before = digests_of(trained)
    imported = "SELECT count(*), sum(hashtext(t::text)) FROM bar_versions t WHERE source = 'import'"
    with psycopg.connect(trained_dsn) as connection:
        bars = connection.execute(imported).fetchone()
    outcome = run_replay(trained, sorted(tmp_path.glob("*.parquet")), days[0], days[1], SystemClock(), quiet)
    assert outcome.summary["days"] == [str(d) for d in days]
    with psycopg.connect(trained_dsn) as connection:
        assert connection.execute(imported).fetchone() == bars, "the replay changed imported bars"
        versions = connection.execute("SELECT DISTINCT source::text FROM bar_versions ORDER BY 1").fetchall()
    assert versions == [("import",), ("replay",)]
    assert {k: v for k, v in digests_of(trained).items() if "ohlcv" in k} == {k: v for k, v in before.items() if "ohlcv" in k}
    result = run_verify(trained, None, Source.REPLAY, SystemClock(), quiet)
    assert {c.day for c in result.checks} == set(days)
    assert all(c.passed for c in result.checks), result.differences[:5]


def test_clean_ticks_leave_nothing_to_correct(trained, tmp_path):
    market = market_of(trained)
    i_day = len(market.sessions) - 2
    tick_file(tmp_path / "clean.parquet", market, i_day, CLEAN)
    run_replay(trained, [tmp_path / "clean.parquet"], None, None, SystemClock(), quiet)
    result = run_verify(trained, market.sessions[i_day].day, None, SystemClock(), quiet)
    assert all(c.n_differences == 0 for c in result.checks if "corrected" in c.name), result.differences[:5]


def test_decision_timeframes(settings):
    for timeframe in (1, 15, 60):
        trading = settings.trading.model_copy(update={"timeframe": timeframe})
        chosen = settings.model_copy(update={"trading": trading})
        run_historical(chosen, SystemClock(), quiet)
        outcome = run_live(chosen, SystemClock(), quiet)
        assert sum(outcome.summary["signals"].values()) > 0, timeframe
        assert all(c.passed for c in run_verify(chosen, None, None, SystemClock(), quiet).checks), timeframe


def test_what_cannot_be_done_says_why(trained, tmp_path):
    with pytest.raises(VerifyError, match="nothing was replayed"):
        run_verify(trained, SESSIONS.first + timedelta(days=3650), None, SystemClock(), quiet)
    with pytest.raises(InputError, match="tick files, found none"):
        run_replay(trained, [tmp_path], None, None, SystemClock(), quiet)
    strict = trained.model.walk_forward.model_copy(update={"min_train_sessions": 500})
    with pytest.raises(NotEnoughData, match="walk-forward needs"):
        run_historical(
            trained.model_copy(update={"model": trained.model.model_copy(update={"walk_forward": strict})}), SystemClock(), quiet
        )


def test_importing_twice_changes_no_row(settings, tmp_path):
    market = market_of(settings)
    bar_files(tmp_path, market, 3)
    first = import_bars(settings, [tmp_path], ImportOptions(), SystemClock(), quiet)
    n_bars = sum(len(market.bars(i)) for i in range(3))
    assert sum(r.stored for r in first) == n_bars and not any(r.error for r in first)
    before = digests_of(settings)
    second = import_bars(settings, [tmp_path], ImportOptions(), SystemClock(), quiet)
    assert digests_of(settings) == before
    assert sum(r.unchanged for r in second) == n_bars and sum(r.stored for r in second) == 0


def test_every_change_of_state_is_an_audit_row(lived_dsn):
    with psycopg.connect(lived_dsn) as connection:
        rows = connection.execute("SELECT detail->>'from', detail->>'to' FROM events WHERE kind = 'state' ORDER BY id").fetchall()
    assert rows == [("starting", "warming"), ("warming", "live"), ("live", "closed")]


def test_a_journal_without_its_end_makes_verify_fail(lived, lived_dsn):
    with psycopg.connect(lived_dsn) as connection:
        (folder,) = connection.execute("SELECT journal FROM run_days").fetchone()
    path = sorted(Path(folder).glob("*.seg"))[-1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    try:
        failed = [c.name for c in run_verify(lived, None, None, SystemClock(), quiet).checks if not c.passed]
    finally:
        path.write_bytes(whole)  # other tests of the module read it
    assert failed == ["as known: the journal is whole"]


def test_a_day_whose_second_run_fails_is_no_day_to_verify(lived, lived_dsn, monkeypatch):
    def broken(self, event):
        raise RuntimeError("the engine fails")

    monkeypatch.setattr("intraday.live.engine.Engine.process", broken)
    with pytest.raises(RuntimeError, match="the engine fails"):
        run_live(lived, SystemClock(), quiet)
    monkeypatch.undo()
    with pytest.raises(VerifyError, match="nothing was replayed"):
        run_verify(lived, None, None, SystemClock(), quiet)


def test_a_wrong_start_makes_verify_fail(trained, monkeypatch):
    """The features start from a state that the stored bars do not give: no corrected history may be blamed for it."""

    def drifting(calculator, bars, ids, session, sessions, lists):
        start = warm(calculator, bars, ids, session, sessions, lists)
        before = [sessions.previous(session.day)]
        for panel in decision_panels(bars, ids, before, calculator.feature_set.timeframe, sessions, lists):
            calculator.batch(panel)  # the last session a second time
        return start

    monkeypatch.setattr("intraday.live.day.warm", drifting)
    run_live(trained, SystemClock(), quiet)
    failed = [c.name for c in run_verify(trained, None, None, SystemClock(), quiet).checks if not c.passed]
    assert "as known: the state it started from" in failed


def test_another_notional_today_changes_no_day_of_the_past(lived):
    trading = lived.trading.model_copy(update={"notional_inr": lived.trading.notional_inr / 4})
    later = lived.model_copy(update={"trading": trading})
    assert all(c.passed for c in run_verify(later, None, None, SystemClock(), quiet).checks)


def test_a_day_belongs_to_its_newest_run_alone(trained, trained_dsn, tmp_path):
    """Replaying a day with one instrument forgets the others: no row may stay that no verify looks at."""
    market = market_of(trained)
    tick_file(tmp_path / "day.parquet", market, len(market.sessions) - 2)
    counted = "SELECT count(DISTINCT instrument_id) FROM signals WHERE source = 'replay'"

    def replay(features, universe):
        trading = trained.trading.model_copy(update={"universe": universe})
        model = trained.model.model_copy(update={"features": features})
        chosen = trained.model_copy(update={"trading": trading, "model": model})
        if universe == "all":
            run_historical(chosen, SystemClock(), quiet)
        run_replay(chosen, [tmp_path / "day.parquet"], None, None, SystemClock(), quiet)

    replay("all", "all")
    with pytest.raises(SkewError, match="expected the universe it was trained on .*5 of them.*found symbols, 1"):
        replay("all", ("SYN01",))
    for universe, n, n_with_index in (("all", 5, 5), (("SYN01",), 1, 2)):
        replay(("sigma", "rsi_14", "ret_1", "tod_sin"), universe)
        with psycopg.connect(trained_dsn) as connection:
            assert connection.execute(counted).fetchone() == (n,)
            assert connection.execute("SELECT cardinality(instrument_ids) FROM run_days").fetchall() == [(n_with_index,)]
