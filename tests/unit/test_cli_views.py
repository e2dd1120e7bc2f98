from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import date

from rich.console import Console

from intraday.cli import views
from intraday.cli.common import to_json
from intraday.cli.history import _show_import
from intraday.history.importing import FileReport
from intraday.jobs.outcome import Outcome, Verification
from intraday.report.inputs import Check, Figure, Header, ReportInput, SignalRow

NS = 1_623_216_600_000_000_000  # 2021-06-09 11:00 IST
HEADER = Header("t", NS, "m", "s", date(2021, 6, 8), date(2021, 6, 9), 2, 1, 5, "abc", "no tradable edge")
SIGNAL = SignalRow(NS, NS, "M&M", "BUY", 0.61, 100.0, 99.0, 101.0, True)
HOLD = SignalRow(NS, NS, "[b]X[/]", "HOLD", 0.5, 100.0, float("nan"), float("nan"), True)
CHECK = Check("as known", date(2021, 6, 9), 10, 1, False)
REPORT = ReportInput(HEADER, figures=[Figure("Net a trade", -2.5, "bps")], signals=[SIGNAL], n_hold=1, checks=[CHECK])
OUTCOME = Outcome({"ticks": 12345, "rejects": {"late": 1}, "page_made": True, "loss": 0.25, "nothing": None}, REPORT, None)


def shown(show, *args: object) -> str:
    out = Console(width=160, record=True, file=io.StringIO())
    show(out, *args)
    return out.export_text()


def test_a_run_shows_figures_signals_and_verdict() -> None:
    for show in (views.show_historical, views.show_replay, views.show_demo):
        text = shown(show, OUTCOME)
        assert "12,345" in text
        assert "rejects" not in text
        warned = replace(OUTCOME, summary={"warnings": ["[x] has no bars"]})
        assert "warning: [x] has no bars" in shown(show, warned)
    text = shown(views.show_demo, OUTCOME)
    for part in ("M&M", "BUY", "−2.5", "as known", "no tradable edge", "no investment advice"):
        assert part in text


def test_a_run_as_json_has_what_scripts_need_and_no_arrays() -> None:
    document = json.loads(to_json(views.as_document(OUTCOME)))
    assert document["summary"]["ticks"] == 12345
    assert document["verdict"] == "no tradable edge"
    assert document["signals"][0]["symbol"] == "M&M"
    assert document["figures"][0]["low"] is None
    assert set(document) == {"summary", "verdict", "model_id", "figures", "folds", "checks", "signals", "page"}


def test_signals_are_text_never_markup() -> None:
    text = shown(views.show_signals, [HOLD, SIGNAL], 10)
    assert "M&M" in text
    assert "1 HOLD" in text


def test_differences_are_cut_and_said_so() -> None:
    text = shown(views.show_verification, Verification([CHECK], [f"difference {i}" for i in range(25)]))
    assert "difference 19" in text
    assert "difference 20" not in text
    assert "5 more" in text


def test_import_table_names_failures_and_reasons() -> None:
    good = FileReport(
        "a/INFY.csv", "INFY", rows=1234, stored=1200, rejected={"duplicate": 34, "bad_ohlc": 0}, first_ns=NS, last_ns=NS
    )
    text = shown(_show_import, [good, FileReport("a/[x].csv", error="a/[x].csv: expected bars, found nothing")])
    for part in (
        "1,234",
        "34 duplicate",
        "2021-06-09",
        "not used",
        "a/[x].csv: expected bars, found nothing",
        "2 files, 1,234 rows",
    ):
        assert part in text
    assert "bad_ohlc" not in text
