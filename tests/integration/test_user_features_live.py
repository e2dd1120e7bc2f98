"""A user's features all the way: trained on, issued live, proved by verify; and a file that was edited since is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from intraday.app import load_model, open_system
from intraday.config.settings import Settings
from intraday.domain.clock import SystemClock
from intraday.domain.errors import SkewError
from intraday.jobs.historical import run_historical
from intraday.jobs.live import run_live
from intraday.jobs.verify import run_verify
from job_cases import quiet, settings_on

pytestmark = [pytest.mark.integration, pytest.mark.slow]
EXAMPLE = Path(__file__).parents[2] / "examples" / "user_features.py"
NAMES = ("my_squeeze", "sigma", "my_stretch", "ret_3", "my_leader_gap", "session_pos")


def with_file(settings: Settings, path: Path) -> Settings:
    return settings.model_copy(update={"model": settings.model.model_copy(update={"user_features": path, "features": NAMES})})


def test_a_users_features_are_stored_trained_on_issued_and_verified(dsn: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(EXAMPLE.read_text())
    settings = with_file(settings_on(dsn, tmp_path / "var"), mine)
    trained = run_historical(settings, SystemClock(), quiet)
    assert {name for name, _ in trained.report.importance} == set(NAMES)
    summary = run_live(settings, SystemClock(), quiet).summary
    assert sum(summary["signals"].values()) > 100
    result = run_verify(settings, None, None, SystemClock(), quiet)
    assert all(check.passed for check in result.checks), result.differences[:5]
    assert sum(check.n_compared for check in result.checks) > 1000
    mine.write_text(EXAMPLE.read_text() + "# an afterthought\n")
    with open_system(settings, SystemClock()) as system:
        assert any("the file of user features changed since" in text for text in load_model(system).predictor.warnings)
    mine.write_text(EXAMPLE.read_text().replace("spread(bars, 6)", "spread(bars, 7)"))
    with open_system(settings, SystemClock()) as system, pytest.raises(SkewError, match="my_squeeze"):
        load_model(system)
