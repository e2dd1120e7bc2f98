"""What `intraday backtest` refuses, and where its page goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intraday.cli.root import root
from intraday.domain.ports import Source
from intraday.jobs.backtest import BacktestPlan, report_name

SPAN = ("m-1", "2025-01-23", "2025-02-24")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--in-sample"], "--in-sample: found it with --signals out-of-sample"),
        (
            ["--in-sample", "--signals", "out-of-sample", "--from", "2024-01-10"],
            "--in-sample: found it with --signals out-of-sample",
        ),
        (["--known", "broker"], "'broker' is not one of 'tick', 'replay'"),
        (["--known", "history"], "'history' is not one of"),
        (["--known", "tick", "--signals", "out-of-sample"], "--known: found tick"),
    ],
)
def test_what_would_be_ignored_is_an_error(options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTRADAY__SYSTEM__DATA_DIR", str(tmp_path / "var"))
    result = CliRunner().invoke(root, ["backtest", *options], env={"COLUMNS": "250", "TERMINAL_WIDTH": "250"})
    assert result.exit_code == 2 and said in " ".join(result.output.split()), result.output


def test_another_backtest_is_another_file(tmp_path: Path) -> None:
    plan = BacktestPlan(signals="engine")
    several = (
        plan, replace(plan, signals="moving_average_cross"), replace(plan, known=Source.TICK), replace(plan, known=Source.REPLAY),
        replace(plan, ticks=(tmp_path / "a",)), replace(plan, ticks=(tmp_path / "b",)),
        replace(plan, ticks=(tmp_path / "a",), known=Source.TICK),
    )  # fmt: skip
    assert len({report_name(each, *SPAN) for each in several}) == len(several)
    assert report_name(plan, *SPAN) == "backtest-m-1-engine-2025-01-23-2025-02-24"
