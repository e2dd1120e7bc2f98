"""``intraday doctor``: is this machine fit to run the program? One row a question, with what to do where the answer is no."""

from __future__ import annotations

import locale
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import psutil
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, session
from intraday.config.loading import load_metrics
from intraday.config.settings import MetricSettings, Settings, Threshold
from intraday.domain.clock import SystemClock
from intraday.domain.errors import IntradayError
from intraday.domain.session import SessionTable

GIB = 2**30


class Verdict(StrEnum):
    """Answer to one question."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Check:
    """One question with what was found and, unless OK, what to do."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("doctor")(doctor)


def doctor(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Check that this machine is fit to run the program.

    Python, libraries, disk, memory, clock, database, session table, kernel cache, broker. Exits with 1 if anything FAILs.

    \b
    Examples:
      intraday doctor
      intraday doctor --json | jq '.checks[] | select(.verdict != "OK")'
    """
    with session(config, as_json, verbose) as run:
        checks = examine(run.settings, load_metrics(config), SystemClock().now_ns())
        failed = any(check.verdict is Verdict.FAIL for check in checks)
        run.emit({"healthy": not failed, "checks": checks}, lambda out: _show(out, checks))
    if failed:
        raise typer.Exit(1)


def examine(settings: Settings, limits: MetricSettings, now_ns: int) -> list[Check]:
    """Every check, in the order shown. A check that breaks is a FAIL, never an exception."""
    data_dir = settings.system.data_dir
    today = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_ns // 1000, hours=5, minutes=30)).date()
    questions: list[tuple[str, Callable[[], Check]]] = [
        ("python", python_version),
        ("libraries", libraries),
        ("disk", lambda: disk(data_dir, limits.disk_free_gib)),
        ("memory", lambda: memory(psutil.virtual_memory().available, limits.memory_available_gib)),
        ("text encoding", lambda: encoding(locale.getpreferredencoding(False), sys.getfilesystemencoding())),
        ("clock", lambda: clock(now_ns)),
        ("session table", lambda: session_table(SessionTable.load(), today, limits.session_table_days)),
        ("kernel cache", kernel_cache),
        ("database", lambda: database(settings)),
        ("broker", lambda: broker(settings)),
    ]
    return [_asked(name, question) for name, question in questions]


def _asked(name: str, question: Callable[[], Check]) -> Check:
    try:
        return question()
    except (IntradayError, OSError, RuntimeError, ValueError, ImportError) as error:
        text = str(error).splitlines()
        return Check(name, Verdict.FAIL, text[0] if text else type(error).__name__)


def python_version() -> Check:
    """The interpreter's version."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Check("python", Verdict.OK if supported else Verdict.FAIL, found, "" if supported else "use Python 3.11, 3.12 or 3.13")


def libraries() -> Check:
    """Everything the installed package names is installed too."""
    try:
        wanted = [spec for spec in metadata.requires("intraday") or [] if "extra ==" not in spec]
    except metadata.PackageNotFoundError:
        return Check("libraries", Verdict.FAIL, "intraday itself is not installed", "run `make install-dev`")
    names = ["".join(c if c.isalnum() or c in "-_." else " " for c in spec).split()[0] for spec in wanted]
    versions = {name: _version(name) for name in names}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        return Check("libraries", Verdict.FAIL, f"missing: {', '.join(missing)}", "run `make install-dev`")
    key = ("numpy", "numba", "lightgbm", "polars", "psycopg")
    return Check("libraries", Verdict.OK, f"{len(versions)} installed; " + ", ".join(f"{name} {versions[name]}" for name in key))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def disk(data_dir: Path, limit: Threshold) -> Check:
    """Free room where the program writes, and whether it may write there."""
    folder = data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        return Check("disk", Verdict.FAIL, f"{folder} cannot be written", "set system.data_dir to a folder of yours")
    free = shutil.disk_usage(folder).free / GIB
    return _judged("disk", free, limit, f"{free:.1f} GiB free at {folder}", "make room, or set system.data_dir to another disk")


def memory(available_bytes: int, limit: Threshold) -> Check:
    """Memory that may be used without swapping."""
    available = available_bytes / GIB
    return _judged("memory", available, limit, f"{available:.1f} GiB available", "close other programs, or use fewer instruments")


def encoding(text: str, files: str) -> Check:
    """Symbols and messages are UTF-8."""
    fine = text.replace("-", "").lower() == "utf8" == files.replace("-", "").lower()
    return Check(
        "text encoding", Verdict.OK if fine else Verdict.WARN, f"{text}, file names {files}", "" if fine else "set LANG=C.UTF-8"
    )


def clock(now_ns: int) -> Check:
    """The machine's time beside Indian time; the machine's zone does not matter, its time does."""
    utc = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_ns // 1000)
    ist = utc + timedelta(hours=5, minutes=30)
    offset = utc.astimezone().strftime("%Z %z")
    sane = 2024 <= utc.year <= 2100
    found = f"{utc:%Y-%m-%d %H:%M:%S} UTC, {ist:%H:%M:%S} IST, machine's zone {offset}"
    return Check("clock", Verdict.OK if sane else Verdict.FAIL, found, "" if sane else "set the machine's clock (NTP)")


def session_table(table: SessionTable, today: date, limit: Threshold) -> Check:
    """Days until the table of NSE sessions ends: outside it the program refuses to guess, and its last part may be provisional."""
    left, announced = (table.last - today).days, (table.confirmed - today).days
    found = f"{table.first} to {table.last}, {left} days left, {max(announced, 0)} of them as the exchange announced them"
    remedy = "update intraday, or extend domain/nse_sessions.csv by scripts/build_sessions.py"
    check = _judged("session table", left, limit, found, remedy)
    if check.verdict is Verdict.OK and announced < limit.warn:
        return Check("session table", Verdict.WARN, found, remedy)
    return check


def kernel_cache() -> Check:
    """Where compiled kernels are kept; without it every start compiles them."""
    from intraday.core import kernels

    folder = kernels.CACHE_DIR
    if not os.access(folder, os.W_OK):
        return Check("kernel cache", Verdict.WARN, f"{folder} cannot be written", "set INTRADAY_CACHE_DIR to a folder of yours")
    compiled = sum(1 for _ in folder.rglob("*.nbi"))
    return Check("kernel cache", Verdict.OK, f"{compiled} kernels compiled in {folder}")


def database(settings: Settings) -> Check:
    """The server answers and its schema is this program's."""
    from intraday.jobs.database import status

    found = status(settings)
    whose = "our own" if settings.database.dsn is None else "configured"
    text = (
        f"{whose} PostgreSQL {found.server}, TimescaleDB {found.timescaledb or 'not installed'}, schema {found.revision or 'none'}"
    )
    if found.revision is None:
        return Check("database", Verdict.WARN, text, "run `intraday db init`")
    if not found.current:
        return Check("database", Verdict.FAIL, text, f"run `intraday db migrate` (this program's schema is {found.expected})")
    return Check("database", Verdict.OK, text)


def broker(settings: Settings) -> Check:
    """Where prices come from and, with Kite, whether somebody is logged in; nobody is asked."""
    feed = settings.broker.feed
    if feed != "kite":
        return Check("broker", Verdict.OK, f"feed {feed}: no login needed")
    if settings.broker.api_key is None:
        return Check(
            "broker", Verdict.FAIL, "feed kite, no API key", "set INTRADAY__BROKER__API_KEY and INTRADAY__BROKER__API_SECRET"
        )
    if settings.broker.kite.clock == "simulator":
        return Check("broker", Verdict.OK, f"feed kite, a simulator at {settings.broker.kite.rest_url}: `intraday auth status`")
    from intraday.app_broker import build_tokens

    token = build_tokens(settings, SystemClock()).status()
    found = f"feed kite at {settings.broker.kite.rest_url}, login {token.state.value}"
    return Check("broker", Verdict.OK if token.usable else Verdict.WARN, found, "" if token.usable else "run `intraday auth login`")


def _judged(name: str, value: float, limit: Threshold, found: str, advice: str) -> Check:
    verdict = Verdict.FAIL if value < limit.fail else Verdict.WARN if value < limit.warn else Verdict.OK
    return Check(name, verdict, found, "" if verdict is Verdict.OK else advice)


def _show(out: Console, checks: list[Check]) -> None:
    colors = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        text = Text(check.found)
        if check.advice:
            text.append(f"\n→ {check.advice}", style="bold")
        table.add_row(Text(check.verdict, style=colors[check.verdict]), check.name, text)
    out.print(table)
