"""Real ticks through the live path: candles, features and signals proven against the journal and the supplied bars."""

from datetime import date

import pytest

from backtest_cases import check_day
from intraday.app import open_system
from intraday.domain.clock import SystemClock
from intraday.domain.ports import Source
from intraday.history.importing import ImportOptions
from intraday.jobs.historical import import_bars, run_historical
from intraday.jobs.replay import list_signals, run_replay
from intraday.jobs.verify import run_verify
from job_cases import quiet, settings_on

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SYMBOLS = ("RELIANCE", "HDFCBANK", "NIFTY50")
LAST = date(2021, 4, 15)


@pytest.fixture(scope="module")
def replayed(backend, shared, tmp_path_factory):
    """Three instruments of 2021: a model of the sessions up to 15 April, the recorded ticks of 16 and 19 April replayed."""
    dsn = backend.create()
    settings = settings_on(dsn, tmp_path_factory.mktemp("real") / "var")
    settings = settings.model_copy(update={"broker": settings.broker.model_copy(update={"feed": "recorded"})})
    bars = shared / "data" / "bars" / "nse_2021_from_ticks"
    reports = import_bars(settings, [bars / f"{s}.parquet" for s in SYMBOLS], ImportOptions(), SystemClock(), quiet)
    assert not any(r.error for r in reports)
    run_historical(settings, SystemClock(), quiet, last=LAST)
    outcome = run_replay(
        settings, [shared / "data" / "ticks" / "nse_2021"], date(2021, 4, 16), date(2021, 4, 19), SystemClock(), quiet
    )
    yield settings, outcome.summary
    backend.drop(dsn)


def test_every_refused_tick_has_a_reason(replayed):
    """16 April's files hold 19 April from 09:00 and rows without a time; the sums add up."""
    summary = replayed[1]
    assert summary["ticks_rejected"] == sum(summary["rejects"].values())
    for reason in ("zero_time", "other_day", "out_of_session", "out_of_order", "volume_regressed", "duplicate"):
        assert summary["rejects"].get(reason, 0) > 0, reason
    assert summary["candles"] + summary["late_candles"] > 2_000


def test_signals_come_from_real_ticks(replayed):
    rows = list_signals(replayed[0], None, None, Source.REPLAY, SystemClock())
    assert {r.symbol for r in rows} == set(SYMBOLS)
    assert len(rows) > 300 and all(0 < r.confidence < 1 for r in rows)


def test_verify_has_no_difference_as_known_and_explains_each_as_corrected(replayed):
    result = run_verify(replayed[0], None, Source.REPLAY, SystemClock(), quiet)
    assert all(c.passed for c in result.checks), result.differences[:5]
    known = [c for c in result.checks if c.name.startswith("as known")]
    assert len(known) == 14 and sum(c.n_differences for c in known) == 0 and sum(c.n_compared for c in known) > 10_000
    candles = {c.day: c for c in result.checks if c.name == "as corrected: candles"}
    assert all(0 < c.n_differences < 100 for c in candles.values())
    # The ticks of 19 April 09:15 that stand in the files of 16 April were found there.
    assert "other recording" in candles[date(2021, 4, 19)].detail


def test_the_real_days_backtested_are_the_same_days(replayed):
    """From the candles as they closed, late and partial minutes and all."""
    with open_system(replayed[0], SystemClock()) as system:
        assert sum(check_day(system, run) for run in system.stores.runs.days(source=Source.REPLAY)) > 10
