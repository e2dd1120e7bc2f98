"""The benchmark of feature vectors on a few rows: every bit comes back, compressed too, and it says what it measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chunk_cases import has_timescale
from intraday.database.pool import Database

pytestmark = [pytest.mark.integration, pytest.mark.slow]
BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_db_features.py"
PLAIN = ["features stored", "features read", "features, plain", "bars, plain", "peak memory"]
PACKED = ["features, compressed", "bars, compressed", "compressed features read"]


def test_every_bit_comes_back(database: Database) -> None:
    n = os.environ.get("INTRADAY_FEATURE_ROWS", "20000")
    done = subprocess.run(
        [sys.executable, str(BENCH), "--rows", n],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"INTRADAY_BENCH_DSN": database.dsn},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = {line["name"]: line for line in json.loads(done.stdout.splitlines()[-1])}
    assert sorted(found) == sorted(PLAIN + (PACKED if has_timescale(database) else []))
    assert 400 < found["features, plain"]["value"] < 700
    if has_timescale(database):
        assert found["features, compressed"]["ratio"] > 1.2
