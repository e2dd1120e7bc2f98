"""``intraday audit`` on a database: stored bars, and the recorded day through verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from intraday.cli.root import root

pytestmark = [pytest.mark.integration, pytest.mark.slow]
LIVE = "live = history"


def audit(config: Path, dsn: str, *more: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, document and output of ``intraday audit`` of three features."""
    env = {"INTRADAY__DATABASE__DSN": dsn, "INTRADAY__MODEL__FEATURES": "[ret_3, rsi_14, sigma]"}
    result = CliRunner().invoke(root, ["audit", "--json", "--config", str(config), *more], env=env)
    return result.exit_code, json.loads(result.stdout) if result.stdout.startswith("{") else {}, result.output


def test_stored_bars_and_the_recorded_day_are_certified_and_a_changed_row_is_named(config: Path, lived_dsn: str) -> None:
    code, document, output = audit(config, lived_dsn)
    assert code == 0, output
    assert document["facts"]["Source"] == "the database, best version of each bar"
    assert document["facts"]["Features"] == "3 expressions, 0 functions"
    by_law = {law["law"]: law for law in document["laws"]}
    assert by_law[LIVE]["passed"] > 5
    assert {name for name, law in by_law.items() if law["failed"]} == set()
    (itself,) = document["not_checked"]  # nobody else has a bar of the recorded day
    assert (itself["law"], document["verdict"]) == (LIVE, f"passed, 1 of {len(by_law)} laws not checked in part")
    assert "it would be compared with itself" in itself["detail"]
    with psycopg.connect(lived_dsn, autocommit=True) as connection:
        statement = (
            "UPDATE features SET vector = set_byte(vector, 1, get_byte(vector, 1) # 1) "
            "WHERE source = 'tick' AND (instrument_id, ts) = "
            "(SELECT instrument_id, ts FROM features WHERE source = 'tick' ORDER BY ts DESC, instrument_id LIMIT 1)"
        )
        assert connection.execute(statement).rowcount == 1
    code, document, output = audit(config, lived_dsn)
    assert code == 1, output
    assert {row["law"] for row in document["failures"]} == {LIVE}
    row = document["failures"][0]
    assert row["subject"].endswith(" tick")
    assert row["instrument"].startswith("NSE:SYN")
    assert "the journal again: feature" in row["detail"]


def test_days_and_instruments_can_be_chosen(config: Path, lived_dsn: str) -> None:
    code, document, output = audit(config, lived_dsn, "--sessions", "3", "--instruments", "2", "--to", "2025-01-10")
    assert code == 0, output
    assert document["facts"]["Bars"].endswith("of 2 instruments, 2025-01-08 to 2025-01-10")
    assert {f["outcome"] for f in document["findings"] if f["subject"] == "folds"} == {"not checked"}
    code, standing, output = audit(config, lived_dsn, "--check", document["certificate"])
    assert code == 0, output
    assert (standing["stands"], standing["changed"]) == (True, [])
    assert standing["newer_sessions"] > 0
    with psycopg.connect(lived_dsn, autocommit=True) as connection:
        statement = (
            "UPDATE ohlcv_1min SET close = close + 1, high = high + 1 WHERE ts >= '2025-01-10' AND ts < '2025-01-10 04:00+00'"
        )
        assert connection.execute(statement).rowcount > 0
    code, standing, output = audit(config, lived_dsn, "--check", document["certificate"])
    assert code == 1, output
    assert [change["name"] for change in standing["changed"]] == ["Digest of the bars"]
    assert "does not stand: Digest of the bars" in output
    assert audit(config, lived_dsn, "--from", "2025-01-10", "--to", "2025-01-09")[0] == 2
    code, _, output = audit(config, lived_dsn, "--to", "2024-01-10")
    assert code == 3
    assert "no stored bars of 5 instruments in that range" in output
