"""An ex-date that nobody entered, all the way: trained around, not traded on, told, verified, and settled by a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from intraday.config.settings import Settings
from intraday.domain.clock import SystemClock
from intraday.domain.corporate import ActionKind, ActionRow
from intraday.jobs import adjust
from intraday.jobs.historical import run_historical
from intraday.jobs.live import run_live
from intraday.jobs.verify import run_verify
from job_cases import market_of, quiet, settings_on

pytestmark = [pytest.mark.integration, pytest.mark.slow]
DAY_SQL = "(ts AT TIME ZONE 'Asia/Kolkata')::date"


def rescale(dsn: str, symbol: str, where: str) -> None:
    """The instrument's stored bars at half of their price."""
    half = ", ".join(f"{name} = {name} / 2" for name in ("open", "high", "low", "close"))
    with psycopg.connect(dsn, autocommit=True) as connection:
        statement = f"UPDATE ohlcv_1min SET {half} WHERE instrument_id = (SELECT id FROM instruments WHERE symbol = %s) AND {where}"
        assert connection.execute(statement, (symbol,)).rowcount > 300


def features_by_source(dsn: str, symbol: str) -> dict[str, list[Any]]:
    """Days with features of the instrument, by source."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            f"SELECT source, array_agg(DISTINCT {DAY_SQL} ORDER BY {DAY_SQL}) FROM features f "
            "JOIN instruments i ON i.id = f.instrument_id WHERE symbol = %s GROUP BY source",
            (symbol,),
        ).fetchall()
    return {str(source): days for source, days in rows}


def lived(settings: Settings) -> list[str]:
    """What a live day tells; it verifies."""
    said: list[str] = []
    shown = settings.model_copy(update={"alerts": settings.alerts.model_copy(update={"console": True})})
    assert sum(run_live(shown, SystemClock(), quiet, write=said.append).summary["signals"].values()) > 100
    result = run_verify(settings, None, None, SystemClock(), quiet)
    assert all(check.passed for check in result.checks), result.differences[:5]
    return [text for text in said if "as on an ex-date" in text]


def test_an_ex_date_that_nobody_entered(dsn: str, tmp_path: Path) -> None:
    settings = settings_on(dsn, tmp_path / "var")
    run_historical(settings, SystemClock(), quiet)
    days = [s.day for s in market_of(settings).sessions]
    live_day, symbol = days[-1], "SYN02"
    rescale(dsn, symbol, f"{DAY_SQL} >= '{days[6]}'")  # and the day that is lived opens at twice the last close
    (told,) = lived(settings)
    assert f"{symbol} opened on {days[6]} at 0." in told, "a live day begins with who sits out since an earlier one"
    adjust.add(settings, SystemClock(), ActionRow(symbol, days[6], ActionKind.OTHER, "1"))
    (told,) = lived(settings)
    assert f"{symbol} opened on {live_day} at " in told and "ERROR" in told
    assert [len(d) for d in features_by_source(dsn, symbol).values()] == [len(days) - 1], "of history alone, none of the live day"
