"""The program's log: one ``key=value`` line an event, in a file that rotates and on the terminal when asked for. No secrets."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from intraday.domain.errors import ConfigError

if TYPE_CHECKING:
    from loguru import Record

FILE_BYTES_MAX = "10 MB"
FILES_KEPT = 5

_SECRET_KEY = re.compile(r"secret|token|password|passwd|api_?key|dsn", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"(://[^\s:/@]*:)[^\s@]+(@)|\b((?:password|api_secret|access_token|request_token|enctoken)=)[^\s&'\"]+")


def quiet(*, verbose: bool) -> None:
    """Before the settings are known: warnings to the terminal, everything with ``verbose``; alerts have their own channel there."""
    logger.remove()
    logger.add(
        _terminal, level="DEBUG" if verbose else "WARNING", format=line, filter=_not_an_alert, diagnose=False, backtrace=False
    )


def _terminal(message: str) -> None:
    # Looked up at each call: while a progress bar is drawn, rich puts its own file here and prints above the bar.
    sys.stderr.write(message)


def _not_an_alert(record: Record) -> bool:
    """False for what ``signal.alerts.LogChannel`` wrote: the console channel has already told it."""
    return record["extra"].get("channel") != "alerts"


def configure(data_dir: Path, level: str, *, verbose: bool) -> None:
    """Log ``level`` and above to ``data_dir/logs/intraday.log``. Raises ConfigError where that cannot be written."""
    quiet(verbose=verbose)
    path = data_dir / "logs" / "intraday.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        logger.add(path, level=level, format=line, rotation=FILE_BYTES_MAX, retention=FILES_KEPT, diagnose=False, backtrace=False)
    except OSError as error:
        raise ConfigError(
            f"system.data_dir: cannot write {path} ({error.strerror or error}); expected a folder that can be written"
        ) from None


def line(record: Record) -> str:
    """loguru's format hook: ``ts=… level=… event="…" key=value …`` with secrets masked."""
    pairs = [
        ("ts", record["time"].isoformat(timespec="milliseconds")),
        ("level", record["level"].name.lower()),
        ("event", record["message"]),
        ("at", f"{record['name']}:{record['line']}"),
        *record["extra"].items(),
    ]
    text = " ".join(f"{key}={_value(str(key), value)}" for key, value in pairs)
    # loguru formats what the hook returns once more, and reads <...> as colours: both are escaped.
    escaped = text.replace("{", "{{").replace("}", "}}").replace("<", r"\<")
    return escaped + "\n{exception}"


def _value(key: str, value: object) -> str:
    if _SECRET_KEY.search(key):
        return "***"
    text = _SECRET_TEXT.sub(lambda m: f"{m[1]}***{m[2]}" if m[1] else f"{m[3]}***", str(value))
    text = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return '"' + text.replace('"', '\\"') + '"' if re.search(r'[\s"=]', text) or not text else text
