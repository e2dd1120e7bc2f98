"""`intraday instruments` and `intraday universe`: the bundled exchange's list, and lists from files, through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from intraday.app import open_system
from intraday.cli.root import root
from intraday.config.settings import Settings
from intraday.database.stores import Stores
from intraday.domain.arrays import BAR, empty
from intraday.domain.clock import SimClock
from intraday.domain.errors import ConfigError
from intraday.domain.instruments import Instrument
from intraday.domain.membership import FNO, Span
from intraday.domain.ports import Source
from intraday.domain.session import SessionTable, midnight_ns
from job_cases import config_file

pytestmark = pytest.mark.integration
TODAY = date(2025, 1, 15)  # the simulated one: ten sessions after the market's first day
Run = Callable[..., Result]


def with_feed(settings: Settings, feed: str, universe: object = "all") -> Settings:
    broker = settings.broker.model_copy(update={"feed": feed, "speed": 60.0})
    synthetic = settings.trading.synthetic.model_copy(update={"instruments": 8})
    trading = settings.trading.model_copy(update={"universe": universe, "synthetic": synthetic})
    return settings.model_copy(update={"broker": broker, "trading": trading})


@pytest.fixture
def run(dsn: str, settings: Settings, tmp_path: Path) -> Run:
    """The command line on an empty database, with the bundled exchange as broker; ``universe`` and ``feed`` can be set."""

    def command(*words: str, universe: object = "all", feed: str = "simulator") -> Result:
        path = config_file(with_feed(settings, feed, universe), tmp_path / "config.yaml")
        return CliRunner().invoke(root, [*words, "--config", str(path)], env={"INTRADAY__DATABASE__DSN": dsn, "COLUMNS": "160"})

    return command


def found(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(result: Result, code: int) -> str:
    assert result.exit_code == code, result.output
    return " ".join(result.stderr.split())


@pytest.fixture
def synced(run: Run) -> dict[str, Any]:
    report: dict[str, Any] = found(run("instruments", "sync", "--json"))
    return report


def test_the_list_of_the_bundled_exchange(run: Run, synced: dict[str, Any]) -> None:
    assert (synced["day"], synced["changes"], [e["first"] for e in synced["exchanges"]]) == (str(TODAY), [], [True, True])
    assert all(e["listed"] == e["rows"] > 0 and e["rejected"] == {} for e in synced["exchanges"])
    again = run("instruments", "sync")
    assert "Instruments of 2025-01-15" in again.stdout
    assert f"FNO: {synced['rolls']['FNO']} members from 2025-01-15" in again.stdout
    rows = found(run("instruments", "list", "--search", "infy", "--json"))
    assert {r["key"] for r in rows} == {"NSE:INFY", *(r["key"] for r in rows if r["kind"] == "future" and r["name"] == "INFY")}
    infy = next(r for r in rows if r["key"] == "NSE:INFY")
    assert (infy["token"], infy["tick_size"], infy["lot_size"], infy["expiry"]) == (408065, 10, 1, None)
    shown = run("instruments", "list", "--limit", "2").stdout
    assert "the first 2; --limit shows more" in shown
    assert run("instruments", "changes").stdout.strip() == "no changes"
    assert found(run("instruments", "changes", "--since", "2025-01-01", "--json")) == []


def test_changes_are_shown(run: Run, synced: dict[str, Any], dsn: str) -> None:
    from intraday.database.pool import Database

    with Database(dsn) as database, database.transaction() as connection:  # as a list of another day would have it
        connection.execute(
            """INSERT INTO instrument_changes SELECT date '2025-01-16' + n, id, 'tick_size', '5', '10'
               FROM instruments, generate_series(0, 60) n WHERE symbol = 'INFY'"""
        )
    shown = run("instruments", "changes").stdout
    assert "2025-01-16   NSE:INFY     tick size   5     10" in shown
    assert "… and 11 more: --json lists all" in shown
    assert len(found(run("instruments", "changes", "--since", "2025-03-01", "--json"))) == 17


def test_a_feed_without_a_list_has_none_to_sync(run: Run) -> None:
    message = refused(run("instruments", "sync", feed="synthetic"), 2)
    assert "broker.feed: found synthetic, which has no list of instruments; expected simulator or kite" in message


def test_flags_are_dated_and_unknown_is_said(run: Run, synced: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "mis.csv"
    path.write_text("INFY,5\nRELIANCE\nNOPE\n")
    done = run("instruments", "import", str(path), "--flag", "mis", "--from", "2025-02-03", "--source", "broker's page")
    assert "mis: 2 members from 2025-02-03 until another one comes; 2 joined, 0 left" in done.stdout
    assert "warning: 1 left out, since no stored instrument has the symbol: NOPE" in done.stdout

    def mis(symbol: str, day: str) -> tuple[str, str | None, str | None]:
        flag = found(run("instruments", "flags", symbol, "--on", day, "--json"))["flags"][0]
        return flag["state"], flag["value"], flag["source"]

    assert mis("infy", "2025-02-02") == ("unknown", None, None)
    assert mis("NSE:INFY", "2025-02-03") == ("yes", "5", "broker's page")
    assert mis("TCS", "2025-02-03") == ("no", None, "broker's page")
    table = run("instruments", "flags", "INFY", "--on", "2025-02-03").stdout
    assert "NSE:INFY on 2025-02-03" in table and "t2t               unknown" in table
    path.write_text("TCS\n")
    assert found(run("instruments", "import", str(path), "--flag", "mis", "--json"))["report"]["day"] == str(TODAY)
    assert mis("TCS", "2025-01-20")[0] == "yes"
    assert mis("TCS", "2025-02-03")[0] == "no"
    assert "NSE:NOPE is not a stored instrument" in refused(run("instruments", "flags", "NOPE"), 2)
    path.write_text("NOPE\n")
    assert "none of its 1 symbols is a stored instrument (NOPE …)" in refused(
        run("instruments", "import", str(path), "--flag", "asm"), 3
    )
    assert "expected a readable text file" in refused(run("instruments", "import", "nowhere.csv", "--flag", "asm"), 3)


def members(result: Result) -> dict[str, tuple[str | None, str | None]]:
    return {m["key"]: (m["since"], m["until"]) for m in found(result)["members"]}


def test_universes_by_day(run: Run, synced: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('Company Name,Industry,Symbol,Series,ISIN Code\n"Infosys, Ltd",IT,INFY,EQ,X\nTCS,IT,TCS,EQ,X\n')
    assert run("universe", "import", "Small 2", str(path), "--from", "2025-01-02").exit_code == 0
    path.write_text("TCS\nSBIN\n")
    assert run("universe", "import", "small 2", str(path), "--from", "2025-01-10").exit_code == 0
    name = "index:Small 2"
    assert members(run("universe", "show", "--on", "2025-01-09", "--json", universe=name)) == {
        "NSE:INFY": ("2025-01-02", "2025-01-09"),
        "NSE:TCS": ("2025-01-02", None),
    }
    assert set(members(run("universe", "show", "--json", universe=name))) == {"NSE:TCS", "NSE:SBIN"}
    shown = run("universe", "show", universe=name).stdout
    assert "index:SMALL 2 on 2025-01-15" in shown and "2 members; lists there are: FNO, SMALL 2" in shown
    before = run("universe", "show", "--on", "2025-01-01", universe=name).stdout
    assert "unknown: nothing is known of index:SMALL 2 before 2025-01-02" in before
    assert len(members(run("universe", "show", "--json", universe="fno"))) == synced["rolls"]["FNO"]
    assert "there is no list NIFTY50 yet" in refused(run("universe", "show", universe="index:NIFTY50"), 2)
    assert "as the name of a universe" in refused(run("universe", "import", "all", str(path)), 3)


def test_a_whole_history_in_one_file(run: Run, synced: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("symbol,from,to\nINFY,2025-01-01,2025-01-09\nTCS,2025-01-06,\n")
    done = run("universe", "import", "FNO", str(path))
    assert "FNO: 2 periods from 2025-01-01 on, 1 members now" in done.stdout
    assert members(run("universe", "show", "--on", "2025-01-09", "--json", universe="fno")) == {
        "NSE:INFY": ("2025-01-01", "2025-01-09"),
        "NSE:TCS": ("2025-01-06", None),
    }
    assert "expected none together with --from" in refused(run("universe", "import", "X", str(path), "--from", "2025-01-01"), 3)
    path.write_text("symbol,from,to\nINFY,2025-01-01,\nINFY,2025-02-01,\n")
    assert "INFY is a member twice on 2025-02-01" in refused(run("universe", "import", "X", str(path)), 3)


def test_files_and_symbols_as_universe(run: Run, synced: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("INFY\nNSE:TCS\nNOPE\n")
    result = run("universe", "show", universe=f"csv:{path}")
    assert "2 members" in result.stdout and "1 left out" in result.stdout
    path.write_text("symbol,from,to\nINFY,2025-01-01,2025-01-14\nTCS,2025-01-10,\n")
    assert members(run("universe", "show", "--json", universe=f"csv:{path}")) == {"NSE:TCS": ("2025-01-10", None)}
    assert set(members(run("universe", "show", "--json", universe=("INFY", "NSE:NIFTY 50")))) == {"NSE:INFY", "NSE:NIFTY 50"}
    message = refused(run("universe", "show", universe=("NOPE",)), 2)
    assert "NSE:NOPE has no stored bars and is in no list of the broker; expected some of" in message
    path.write_text("NOPE\n")
    assert "none of the 1 symbols of" in refused(run("universe", "show", universe=f"csv:{path}"), 2)


def test_all_is_whatever_is_listed_or_has_candles(run: Run, synced: dict[str, Any], settings: Settings) -> None:
    clock = SimClock(midnight_ns(TODAY))
    with open_system(with_feed(settings, "synthetic"), clock) as system:
        listed = system.universe()
        assert {i.exchange for i in listed} == {"NSE"}
        assert len(listed) == next(e["listed"] for e in synced["exchanges"] if e["exchange"] == "NSE")
        infy = next(i for i in listed if i.key == "NSE:INFY")
        gone = system.stores.instruments.upsert([Instrument("NSE", "GONE")])[0]
        assert system.universe() == listed
        bars = empty(BAR, 2)
        bars["ts_ns"], bars["close"] = SessionTable.load().get(date(2025, 1, 14)).open_ns, 1500.0
        bars["inst"] = [0, 1]
        system.stores.bars.write([infy.id, gone.id], bars, Source.BROKER, 0)
        assert system.universe() == [*listed, gone]


def test_the_universe_of_a_day_and_of_any_day(run: Run, synced: dict[str, Any], settings: Settings) -> None:
    with open_system(with_feed(settings, "synthetic", "index:X"), SimClock(midnight_ns(TODAY))) as system:
        ids = ids_of(system.stores)
        spans = [Span(ids["NSE:INFY"], TODAY, date(2025, 1, 20)), Span(ids["NSE:TCS"], date(2025, 1, 17))]
        system.stores.members.take_dated("universe", "X", spans, "x.csv")
        index = "NIFTY 50"  # beside whoever is a member
        assert {i.symbol for i in system.universe()} == {"INFY", "TCS", index}
        assert {i.symbol for i in system.universe(date(2025, 1, 16))} == {"INFY", index}
        assert {i.symbol for i in system.universe(date(2025, 1, 20))} == {"TCS", index}
        with pytest.raises(ConfigError, match="index:X has no members on 2025-01-14; it is known from 2025-01-15 on"):
            system.universe(date(2025, 1, 14))
        assert FNO in system.stores.members.names("universe")


def ids_of(stores: Stores) -> dict[str, int]:
    return {i.key: i.id for i in stores.instruments.all()}
