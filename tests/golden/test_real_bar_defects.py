"""Every defect the real sets are known for is seen and counted: against instruments.csv and sessions.csv, made by other code."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from import_stores import MemoryBars, MemoryInstruments
from intraday.core.validate import CandleValidator, RejectReason, Validation
from intraday.domain.clock import SimClock
from intraday.domain.session import SessionTable
from intraday.history.importing import Importer, ImportOptions
from intraday.history.readers import RawBars, ReadOptions, read_bars

TABLE = SessionTable.load()
Checked = dict[str, tuple[dict[str, str], RawBars, Validation]]


@pytest.fixture(scope="module")
def checked(shared: Path) -> Checked:
    """Every NSE file of the manifest: its line, its rows, what the validator found."""
    validator = CandleValidator(TABLE)
    out: Checked = {}
    with (shared / "data" / "instruments.csv").open(encoding="utf-8") as handle:
        for line in csv.DictReader(handle):
            if line["dataset"] != "us_spy":
                raw = read_bars(shared / "data" / line["file"], ReadOptions())
                out[line["file"]] = (line, raw, validator.check(raw.bars, line["kind"] != "index"))
    return out


@pytest.fixture(scope="module")
def days(shared: Path) -> dict[tuple[str, str], dict[date, dict[str, str]]]:
    """sessions.csv by (dataset, symbol) and day."""
    out: dict[tuple[str, str], dict[date, dict[str, str]]] = {}
    with (shared / "data" / "sessions.csv").open(encoding="utf-8") as handle:
        for line in csv.DictReader(handle):
            out.setdefault((line["dataset"], line["symbol"]), {})[date.fromisoformat(line["date"])] = line
    return out


def test_every_row_is_accounted_for(checked: Checked) -> None:
    for name, (line, raw, found) in checked.items():
        assert raw.bars.shape[0] == int(line["rows"]), name
        assert found.accepted.size + sum(found.counts().values()) == raw.bars.shape[0], name


def test_repeats_are_those_of_the_manifest(checked: Checked) -> None:
    for name, (line, _, found) in checked.items():
        repeats = found.counts().get(RejectReason.DUPLICATE, 0) + found.counts().get(RejectReason.CONFLICT, 0)
        assert repeats == int(line["duplicate_ts"]), name


def test_rows_out_of_hours_are_those_of_the_manifest_but_for_special_sessions(checked: Checked, shared: Path) -> None:
    """The manifest's rule is 09:15-15:29 every day; ours follows the session of the day. They differ by special days only."""
    for name, (line, _, found) in checked.items():
        ts = pl.read_parquet(shared / "data" / line["file"])["ts"]
        minute = ts.dt.hour().cast(pl.Int32) * 60 + ts.dt.minute()
        odd = (minute < 9 * 60 + 15) | (minute > 15 * 60 + 29)
        assert odd.sum() == int(line["rows_outside_session"]), name
        special = ts.dt.date().is_in([s.day for s in TABLE.between(TABLE.first, TABLE.last) if s.kind != "regular"])
        ours = pl.Series([found.reason(k) is RejectReason.OUT_OF_SESSION for k in range(ts.len())])
        assert (ours & ~special).sum() == (odd & ~special).sum(), name


def test_gaps_are_what_the_day_list_leaves_open(checked: Checked, days: dict[tuple[str, str], dict[date, dict[str, str]]]) -> None:
    """Minutes of all sessions from first to last, less the distinct minutes sessions.csv counted: only files without odd rows."""
    n = 0
    for name, (line, _, found) in checked.items():
        if int(line["rows_outside_session"]):
            continue
        seen = days[line["dataset"], line["symbol"]]
        expected = sum(s.minutes for s in TABLE.between(min(seen), max(seen)))
        assert found.gap_minutes == expected - sum(int(day["distinct_minutes"]) for day in seen.values()), name
        n += 1
    assert n > 100


def test_padding_of_2016_holes_of_2021_and_prints_out_of_hours(checked: Checked) -> None:
    total: dict[str, Counter[str]] = {}
    for line, raw, found in checked.values():
        count = total.setdefault(line["dataset"], Counter())
        count.update({reason.value: n for reason, n in found.counts().items()})
        count["gap_minutes"] += found.gap_minutes
        if line["kind"] != "index":
            count["zero_volume"] += int((raw.bars["volume"] == 0).sum())
    padding, zeros = total["nse_2016"]["no_trade_padding"], total["nse_2016"]["zero_volume"]
    assert zeros > 5_000
    assert 0.999 * zeros <= padding <= zeros
    assert total["nse_2021_from_ticks"]["gap_minutes"] > 30_000
    assert total["nse_index_2021_2023"]["out_of_session"] > 1_000
    assert not any(
        count[reason] for count in total.values() for reason in ("bad_ohlc", "negative_volume", "unit_jump", "stale_zero_time")
    )


def test_the_importer_takes_the_folder_as_it_is(shared: Path) -> None:
    """One call over sets with every kind of file: symbols and kinds from the manifest, New York hours refused, twice is once."""
    bars = MemoryBars()
    importer = Importer(MemoryInstruments(), bars, TABLE, SimClock().now_ns, lambda *_: None)
    paths = [shared / "data" / "bars" / name for name in ("nse_lean_samples", "nse_fut_samples", "us_spy")]
    first = importer.import_paths(paths, ImportOptions())
    spy = next(report for report in first if "us_spy" in report.path)
    assert spy.error is not None
    assert "rows outside" in spy.error
    assert "America/New_York" in spy.error
    lean = {report.symbol: report for report in first if "lean" in report.path}
    assert lean["NIFTY50"].kind == "index"
    assert lean["NIFTY50"].rejected["out_of_session"] >= 9
    assert lean["JUNIORBEES"].gap_minutes > 100
    written = len(bars.versions)
    assert written == sum(report.stored for report in first) > 15_000
    assert sum(report.stored for report in importer.import_paths(paths, ImportOptions())) == 0
    assert len(bars.versions) == written


def test_real_prices_are_refused_by_no_statistical_rule_and_rarely_flagged(checked: Checked) -> None:
    """None of what is flagged is a bad print by its neighbours: central-bank decisions, an IDBI that ran; see docs/importing.md."""
    rejected: Counter[str] = Counter()
    flagged: dict[str, set[tuple[str, int]]] = {}
    n = 0
    for line, raw, found in checked.values():
        n += raw.bars.shape[0]
        rejected.update({reason.value: k for reason, k in found.counts().items()})
        for flag in found.flags:
            flagged.setdefault(flag.reason.value, set()).add((line["symbol"], int(raw.bars["ts_ns"][flag.row])))
    assert (rejected["stale"], rejected["outlier"]) == (0, 0)
    assert len(flagged["jump"]) < 3e-5 * n
    assert len(flagged["repeated"]) < 1e-4 * n
    rate_cut = TABLE.get(date(2015, 9, 29)).open_ns + 105 * 60_000_000_000  # the RBI's 50 basis points at 11:00
    assert ("NIFTY50", rate_cut) in flagged["jump"]
    # Bonus issues of September 2016, where the set has the day behind them; nothing else is taken for one.
    behind = TABLE.get(date(2016, 9, 30)).open_ns
    assert {ts for _, ts in flagged.get("corporate_action", set())} <= {behind}
