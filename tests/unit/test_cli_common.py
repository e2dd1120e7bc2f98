from __future__ import annotations

import asyncio
import io
import json
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest
import typer
from loguru import logger
from rich.console import Console

from intraday.cli import common, logs
from intraday.domain.errors import (
    ArtifactError,
    AuthError,
    BrokerError,
    ConfigError,
    InputError,
    IntradayError,
    StorageFull,
    VerifyError,
)
from intraday.domain.events import Alert
from intraday.signal.alerts import LogChannel


class Color(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Row:
    name: str
    value: float
    when: date


def every_error(base: type[IntradayError] = IntradayError) -> list[type[IntradayError]]:
    return [base, *(e for child in base.__subclasses__() for e in every_error(child))]


# --------------------------------------------------------------------------------------------------------------- JSON


def test_json_of_everything_a_command_returns() -> None:
    value = {
        "rows": [Row("a", float("nan"), date(2021, 6, 9))],
        "array": np.array([1.5, np.inf]),
        "scalar": np.int64(3),
        "flag": np.bool_(True),
        "at": datetime(2021, 6, 9, tzinfo=UTC),
        "path": Path("var"),
        "color": Color.RED,
        Color.RED: (1, None),
    }
    assert json.loads(common.to_json(value)) == {
        "rows": [{"name": "a", "value": None, "when": "2021-06-09"}],
        "array": [1.5, None],
        "scalar": 3,
        "flag": True,
        "at": "2021-06-09T00:00:00+00:00",
        "path": "var",
        "color": "red",
        "red": [1, None],
    }


def test_json_leaves_markup_and_long_lines_alone(capsys: pytest.CaptureFixture[str]) -> None:
    text = "[bold]M&M[/] " + "x" * 500
    with common.session(Path("none.yaml"), as_json=True) as run:
        run.emit({"symbol": text}, lambda out: out.print("for people"))
    assert json.loads(capsys.readouterr().out) == {"symbol": text}


# -------------------------------------------------------------------------------------------------------------- errors


def made(kind: type[IntradayError], text: str) -> IntradayError:
    more = {"SpanTooLong": (60,), "CircuitOpen": (1,)}.get(kind.__name__, ())  # what they carry beside the text
    return kind(text, *more)


@pytest.mark.parametrize("kind", every_error())
def test_an_error_is_one_red_line_and_its_exit_code(kind: type[IntradayError], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, common.session(Path("none.yaml")):
        raise made(kind, "expected [x] " + "y" * 300)
    assert caught.value.exit_code == kind.exit_code
    assert capsys.readouterr().err.splitlines() == ["error: expected [x] " + "y" * 300]


def test_exit_codes_mean_one_thing_each() -> None:
    codes = {ConfigError: 2, InputError: 3, StorageFull: 4, ArtifactError: 6, BrokerError: 7, AuthError: 8, VerifyError: 1}
    assert {kind: kind.exit_code for kind in codes} == codes
    assert all(1 <= kind.exit_code <= 8 for kind in every_error())


def test_verbose_shows_the_trace_without_values(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "hunter" + "2"
    with pytest.raises(typer.Exit), common.session(Path("none.yaml"), verbose=True):
        assert secret
        raise InputError("nothing to read")
    err = capsys.readouterr().err
    assert "test_cli_common.py" in err
    assert err.splitlines()[-1] == "error: nothing to read"
    assert secret not in err


def test_an_error_of_ours_is_not_swallowed() -> None:
    with pytest.raises(AssertionError, match="promise"), common.session(Path("none.yaml")):
        raise AssertionError("promise")


def test_interrupt_exits_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, common.session(Path("none.yaml")):
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_days() -> None:
    assert common.parse_day(None) is None
    assert common.parse_day("2021-06-09") == date(2021, 6, 9)
    with pytest.raises(ConfigError, match="found '9 June', expected a day as YYYY-MM-DD"):
        common.parse_day("9 June")


# ------------------------------------------------------------------------------------------------------------ progress


def test_progress_without_a_terminal_is_one_line_when_it_begins(capsys: pytest.CaptureFixture[str]) -> None:
    with common.session(Path("none.yaml")) as run, run.progress() as progress:
        for done in (0, 1, 2, 2):
            progress("features", done, 2)
        progress("endless", 5, 0)
    assert capsys.readouterr().err == "features …\nendless …\n"


def test_progress_on_a_terminal_draws_a_bar_for_each_thing() -> None:
    with common.session(Path("none.yaml")) as run:
        run.err = Console(file=io.StringIO(), force_terminal=True, width=100)
        with run.progress() as progress:
            progress("features", 1, 2)
            progress("labels", 0, 0)
            progress("features", 2, 2)
        drawn = run.err.file.getvalue()  # type: ignore[attr-defined]
    assert "features" in drawn
    assert "2/2" in drawn
    assert "labels" in drawn


def test_progress_is_silent_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    with common.session(Path("none.yaml"), as_json=True) as run, run.progress() as progress:
        progress("features", 2, 2)
        run.say("hello")
    assert capsys.readouterr() == ("", "")


# ----------------------------------------------------------------------------------------------------------------- log


@pytest.fixture
def clean_logger():
    yield
    logger.remove()
    logger.add(sys.stderr)


def log_of(tmp_path: Path) -> str:
    logger.complete()
    return (tmp_path / "logs" / "intraday.log").read_text()


def test_a_log_line_is_key_value(tmp_path: Path, clean_logger: None) -> None:
    logs.configure(tmp_path, "INFO", verbose=False)
    logger.debug("too quiet")
    logger.warning("gap found", inst=7, n_bars=3, symbol="M&M", note='a "b" <red> {c} \n d', empty="")
    line = log_of(tmp_path)
    assert line.count("\n") == 1
    assert line.startswith("ts=20")
    assert ' level=warning event="gap found" at=tests.unit.test_cli_common:' in line
    assert line.endswith(r' inst=7 n_bars=3 symbol=M&M note="a \"b\" <red> {c} \n d" empty=""' + "\n")


def test_alerts_go_to_the_log_file_and_not_to_the_terminal_again(
    tmp_path: Path, clean_logger: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(tmp_path, "INFO", verbose=False)
    asyncio.run(LogChannel().send(Alert(5, "warning", "feed", "feed lost")))
    logger.warning("something else")
    assert " level=warning event=alert " in log_of(tmp_path)
    assert ' channel=alerts topic=feed now_ns=5 text="feed lost"' in log_of(tmp_path)
    err = capsys.readouterr().err
    assert "feed lost" not in err
    assert "something else" in err


def test_log_lines_leave_a_progress_bar_whole(clean_logger: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=io.StringIO(), force_terminal=True, width=100, stderr=True)
    logs.quiet(verbose=False)
    with common.session(Path("none.yaml")) as run:
        run.err = console
        with run.progress() as progress:
            progress("features", 1, 2)
            logger.warning("torn?")
    assert "torn?" in console.file.getvalue()  # type: ignore[attr-defined]


def test_secrets_are_masked(tmp_path: Path, clean_logger: None) -> None:
    logs.configure(tmp_path, "DEBUG", verbose=False)
    secret = "hunter" + "2"
    logger.info("login", access_token=secret, api_key=secret, dsn=secret, API_SECRET=secret)
    logger.info("connect {}", f"postgresql://me:{secret}@db/x?password={secret}")
    logger.info("answer", body=f"access_token={secret}&x=1")
    text = log_of(tmp_path)
    assert secret not in text
    assert "postgresql://me:***@db/x?password=***" in text
    assert "access_token=***&x=1" in text


def test_a_logged_exception_shows_no_values(tmp_path: Path, clean_logger: None) -> None:
    logs.configure(tmp_path, "INFO", verbose=False)
    secret = "hunter" + "2"
    try:
        assert secret
        raise ValueError("broken")
    except ValueError:
        logger.exception("task died")
    text = log_of(tmp_path)
    assert "ValueError: broken" in text
    assert secret not in text


def test_a_folder_that_cannot_be_written_is_a_configuration_error(tmp_path: Path, clean_logger: None) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"system\.data_dir: cannot write .*expected a folder that can be written"):
        logs.configure(tmp_path / "file", "INFO", verbose=False)
