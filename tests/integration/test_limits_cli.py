"""Circuit limits: from the bundled exchange every morning, from a file for the past, and what labels make of them."""

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
from intraday.core.labels import Barrier, tally
from intraday.domain.arrays import Labels
from intraday.domain.clock import SystemClock
from intraday.domain.session import midnight_ns
from intraday.jobs.audit import AuditRequest, run_audit
from intraday.jobs.historical import run_historical
from intraday.jobs.limits import import_limits
from job_cases import config_file, market_of, quiet

pytestmark = pytest.mark.integration
TODAY = date(2025, 1, 15)  # the simulated one
Run = Callable[..., Result]


@pytest.fixture
def run(dsn: str, settings: Settings, tmp_path: Path) -> Run:
    """The command line on an empty database, with the bundled exchange as broker, before the open."""
    broker = settings.broker.model_copy(update={"feed": "simulator", "speed": 60.0})
    config = config_file(settings.model_copy(update={"broker": broker}), tmp_path / "config.yaml")

    def command(*words: str) -> Result:
        return CliRunner().invoke(root, [*words, "--config", str(config)], env={"INTRADAY__DATABASE__DSN": dsn, "COLUMNS": "160"})

    return command


def found(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(result: Result, code: int) -> str:
    assert result.exit_code == code, result.output
    return " ".join(result.stderr.split())


def test_the_broker_s_limits_come_with_its_list_and_older_ones_from_a_file(run: Run, tmp_path: Path) -> None:
    found(run("instruments", "sync", "--json"))
    (infy,) = found(run("limits", "list", "INFY", "--json"))
    assert (infy["session"], infy["in_time"]) == (str(TODAY), True)
    assert 0.8 < infy["lower"] / infy["upper"] < 0.83  # ten percent either side of the last close, on the grid
    assert midnight_ns(TODAY) + 9 * 3600 * 10**9 <= infy["known_ns"]
    path = tmp_path / "limits.csv"
    path.write_text(
        "session,symbol,lower,upper,known\n2025-01-14,INFY,1000,1200.05,\n2025-01-13,NSE:INFY,1010,1210,2025-01-13 09:16\n"
        "2025-01-14,NOBODY,1,2,\n"
    )
    done = found(run("limits", "import", str(path), "--json"))
    assert (done["rows"], done["report"]["inserted"], done["late"], done["unknown"]) == (3, 2, 1, ["NOBODY"])
    again = run("limits", "import", str(path))
    assert "3 lines: 0 new, 2 known, 0 corrected" in again.stdout and "1 were known only after" in again.stdout
    text = run("limits", "list", "INFY", "--to", "2025-01-13").stdout
    assert "1,210.00" in text and "2025-01-13 09:16" in text and "too late" in text and "1,200.05" not in text
    assert [x["upper"] for x in found(run("limits", "list", "INFY", "--from", "2025-01-14", "--json"))] == [1200.05, infy["upper"]]
    assert run("limits", "list", "NIFTY 50").stdout.strip() == "no limits"
    assert "NSE:NOBODY is not a stored instrument" in refused(run("limits", "list", "NOBODY"), 2)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("2025-01-12,INFY,1,2\n", "found 2025-01-12, on which the exchange was closed"),
        ("2025-01-14,NOBODY,1,2\n", "none of its symbols is a stored instrument (NOBODY)"),
        ("2025-01-14,INFY,2,1\n", "limits.csv:2: expected a symbol and 0 < lower < upper"),
    ],
)
def test_a_file_that_is_no_list_of_limits(run: Run, tmp_path: Path, lines: str, said: str) -> None:
    path = tmp_path / "limits.csv"
    path.write_text("session,symbol,lower,upper\n" + lines)
    assert said in refused(run("limits", "import", str(path)), 3)


@pytest.mark.slow
def test_labels_and_audit_use_what_was_known_by_the_open(settings: Settings, tmp_path: Path) -> None:
    model = settings.model.model_copy(update={"features": ("sigma", "rsi_14", "ret_1")})
    labels_of = settings.trading.labels.model_copy(update={"limit_ticks": 40})
    trading = settings.trading.model_copy(update={"labels": labels_of})
    settings = settings.model_copy(update={"model": model, "trading": trading})
    clock, market = SystemClock(), market_of(settings)
    run_historical(settings, clock, quiet)
    assert tally(stored(settings))["skipped"] == 0
    lines = ["session,symbol,lower,upper,known"]
    for k in (3, 4):  # a limit at the highest price of one stock on two days; of the second it was known at noon
        bars = market.bars(k)
        mine, day = bars[bars["inst"] == 0], market.sessions[k].day
        upper = mine["high"].max()
        lines.append(f"{day},{market.instruments[0].symbol},{upper * 0.5:.2f},{upper:.2f},{'' if k == 3 else f'{day} 12:00'}")
    path = tmp_path / "limits.csv"
    path.write_text("\n".join(lines))
    assert import_limits(settings, clock, path, None).late == 1
    again = run_historical(settings, clock, quiet)
    assert "1 circuit limits were known only after the open" in " ".join(again.summary["warnings"])
    labels = stored(settings)
    skipped, session = labels[labels["barrier"] & Barrier.SKIPPED != 0], market.sessions[3]
    assert len(skipped) > 0 and set(skipped["inst"]) == {0}
    assert ((skipped["ts_ns"] >= session.open_ns) & (skipped["ts_ns"] < session.close_ns)).all()
    certificate, _ = run_audit(settings, AuditRequest("a tester", instruments=3), clock, quiet)
    assert certificate.passed
    assert dict(certificate.facts)["Circuit limits"] == "of 1 sessions of an instrument, 1 known too late to be used"


def stored(settings: Settings) -> Labels:
    """The newest model's labels."""
    with open_system(settings, SystemClock()) as system:
        model = system.stores.models.latest()
        assert model is not None
        ids = [i.id for i in system.stores.instruments.all()]
        return system.stores.labels.read(model.label_set_id, ids, 0, 2**62)
