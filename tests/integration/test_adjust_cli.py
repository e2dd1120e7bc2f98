"""`intraday adjust` through the command line: add, import, list, remove, detect."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from intraday.cli.root import root
from intraday.config.settings import Settings
from intraday.database.pool import Database
from intraday.database.stores import Stores
from intraday.domain.arrays import BAR, MINUTE_NS, empty
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.ports import Source
from intraday.domain.session import SessionTable
from job_cases import config_file

pytestmark = pytest.mark.integration
DAYS = SessionTable.load().between(date(2024, 5, 20), date(2024, 6, 7))
EX = DAYS[8].day
Run = Callable[..., Result]


@pytest.fixture
def run(dsn: str, settings: Settings, tmp_path: Path) -> Run:
    """The command line on a database in which INFY halves on EX with twice the shares, and TCS and the index do not."""
    with Database(dsn) as database:
        stores = Stores(database)
        wanted = [Instrument("NSE", "INFY"), Instrument("NSE", "TCS"), Instrument("NSE", "NIFTY 50", Kind.INDEX)]
        ids = [i.id for i in stores.instruments.upsert(wanted)]
        minutes = np.concatenate([s.open_ns + MINUTE_NS * np.arange(5) for s in DAYS])
        for row in range(3):
            bars = empty(BAR, minutes.size)
            bars["ts_ns"], bars["inst"] = minutes, row
            after = (minutes >= DAYS[8].open_ns) & (row == 0)
            for name in ("open", "high", "low", "close"):
                bars[name] = np.where(after, 500.0, 1000.0)
            bars["volume"] = np.nan if row == 2 else np.where(after, 200.0, 100.0)
            stores.bars.write(ids, bars, Source.IMPORT, 10**18)
    path = config_file(settings, tmp_path / "config.yaml")

    def command(*words: str) -> Result:
        return CliRunner().invoke(root, ["adjust", *words, "--config", str(path)], env={"INTRADAY__DATABASE__DSN": dsn})

    return command


def found(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(result: Result, code: int) -> str:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return " ".join(result.stderr.split())


def test_who_sits_out_and_what_the_bars_doubt_is_said(run: Run) -> None:
    """Fourteen sessions of bars, so the anchor is the first of them: before every ex-date."""
    first = run("add", "INFY", "--ex", str(EX), "--split", "1:2").stdout
    assert f"no features from {EX} on (split 1:2): state starts before that day ({DAYS[0].day})" in first
    assert "warning" not in first
    assert f"NSE:INFY: no features from {EX} on" in run("list").stdout
    second = run("add", "TCS", "--ex", str(EX), "--split", "1:5").stdout
    assert "warning: stored bars open +0.0% from the close before, where split 1:5 makes -80.0%: check date and terms" in second
    assert "warning" not in run("add", "INFY", "--ex", str(EX), "--factor", "1").stdout
    assert "no features" not in run("add", "TCS", "--ex", str(DAYS[9].day), "--dividend", "7.5").stdout


def test_what_is_found_is_added_and_seen_in_the_views(run: Run, dsn: str) -> None:
    (one,) = found(run("detect", "--json"))
    assert (one["key"], one["ex_date"], one["terms"], one["move"], one["turnover"], one["stated"]) == (
        "NSE:INFY", str(EX), "1:2", 0.5, 1.0, False,
    )  # fmt: skip
    assert "1:2" in run("detect", "INFY", "--since", "2024-05-01").stdout
    assert "nothing looks like an ex-date" in run("detect", "TCS").stdout
    assert "nothing looks like an ex-date" in run("detect", "NIFTY 50").stdout
    shown = run("add", "infy", "--ex", str(EX), "--split", "1:2")
    assert f"NSE:INFY: split 1:2 ex {EX}: earlier prices × 0.5, volumes × 2" in shown.stdout
    assert "1 new, 0 corrected, 0 known before" in shown.stdout
    assert found(run("detect", "--json"))[0]["stated"] is True
    with psycopg.connect(dsn) as connection:
        prices = (
            "SELECT DISTINCT i.symbol, close, volume FROM ohlcv_1min_adjusted JOIN instruments i ON i.id = instrument_id ORDER BY 1"
        )
        assert connection.execute(prices).fetchall() == [("INFY", 500, 200), ("NIFTY 50", 1000, None), ("TCS", 1000, 100)]


def test_list_remove_and_what_was_known(run: Run) -> None:
    assert "no corporate actions" in run("list").stdout
    found(run("add", "INFY", "--ex", str(EX), "--bonus", "1:1", "--known", "2024-05-02", "--source", "circular", "--json"))
    found(run("add", "TCS", "--ex", str(EX), "--dividend", "50", "--json"))
    listed = found(run("list", "--json"))
    assert [(s["key"], s["action"]["kind"], s["action"]["price_factor"], s["action"]["volume_factor"]) for s in listed] == [
        ("NSE:INFY", "bonus", 0.5, 2.0),
        ("NSE:TCS", "dividend", 0.95, 1.0),  # by the stored close of 1000
    ]
    assert "circular" in run("list", "INFY").stdout
    assert found(run("list", "INFY", "--known", "2024-05-01", "--json")) == []
    assert len(found(run("list", "--known", "2024-05-02", "--json"))) == 1
    assert "1 removed" in run("remove", "INFY", "--ex", str(EX)).stdout
    assert [s["key"] for s in found(run("list", "--json"))] == ["NSE:TCS"]
    assert len(found(run("list", "--known", "2024-05-02", "--json"))) == 1  # it was believed then
    assert "NSE:INFY has no bonus on" in refused(run("remove", "INFY", "--ex", str(EX), "--kind", "bonus"), 3)


def test_a_file_is_taken_over_once(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "actions.csv"
    path.write_text(f"symbol,ex_date,kind,terms\nINFY,{EX},split,1:2\nTCS,{EX},rights,1:4@600\nNOBODY,{EX},split,1:2\n")
    first = found(run("import", str(path), "--json"))
    assert (first["report"], first["unknown"]) == ({"inserted": 2, "unchanged": 0, "revised": 0}, ["NOBODY"])
    assert first["stated"][1]["action"]["price_factor"] == 0.92
    again = run("import", str(path))
    assert "0 new, 0 corrected, 2 known before" in again.stdout
    assert "1 left out, since no stored instrument has the symbol: NOBODY" in " ".join(again.stdout.split())
    path.write_text(f"symbol,ex_date,kind,terms\nINFY,{EX},split,1:2\nTCS,{EX},split,oops\n")
    assert "found 'oops'" in refused(run("import", str(path)), 3)
    path.write_text(f"symbol,ex_date,kind,terms\nNOBODY,{EX},split,1:2\n")
    assert "none of its 1 symbols is a stored instrument" in refused(run("import", str(path)), 3)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["INFY", "--ex", str(EX)], 2, "expected one of --split, --bonus, --dividend, --rights and --factor, found 0"),
        (["INFY", "--ex", str(EX), "--split", "1:2", "--bonus", "1:1"], 2, "found 2"),
        (["INFY", "--ex", "soon", "--split", "1:2"], 2, "expected a day as YYYY-MM-DD"),
        (["INFY", "--ex", "2024-06-02", "--split", "1:2"], 3, "found 2024-06-02, on which the exchange was closed"),
        (["INFY", "--ex", str(EX), "--split", "half"], 3, "expected shares before and after"),
        (["INFY", "--ex", "2024-05-02", "--dividend", "5"], 3, "give it with --close"),
        (["INFY", "--ex", str(EX), "--split", "1:2", "--known", "2099-01-01"], 3, "which is to come"),
        (["WIPRO", "--ex", str(EX), "--split", "1:2"], 2, "NSE:WIPRO is not a stored instrument"),
    ],
)
def test_what_can_not_be_added(run: Run, words: list[str], code: int, message: str) -> None:
    assert message in refused(run("add", *words), code)
