"""What every command shares: options, the console, errors as one red line, JSON, progress bars."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from intraday.cli.logs import configure, quiet
from intraday.config.loading import load_rate_limits, load_settings
from intraday.config.settings import RateLimits, Settings
from intraday.domain import ports
from intraday.domain.errors import ConfigError, IntradayError

PIPE_WIDTH = 160
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="INTRADAY_CONFIG", show_envvar=True, help="The configuration file.", metavar="PATH")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on standard output.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Log to the terminal; show where an error came from.")]

DEFAULT_CONFIG = Path("config/config.yaml")


class Session:
    """One command's run: where it prints, and its settings, read when first asked for."""

    def __init__(self, config: Path, as_json: bool, verbose: bool) -> None:
        self.config = config
        self.as_json = as_json
        self.verbose = verbose
        # A pipe or a file has no width: wide enough that no table is cut, unless COLUMNS says otherwise.
        self.out = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH)
        self.err = Console(stderr=True, highlight=False)
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        """The settings; the first use reads them and opens the log. Raises ConfigError."""
        if self._settings is None:
            self._settings = load_settings(self.config, os.environ)
            configure(self._settings.system.data_dir, self._settings.system.log_level, verbose=self.verbose)
        return self._settings

    @property
    def limits(self) -> RateLimits:
        """How fast the broker may be asked. Raises ConfigError."""
        return load_rate_limits(self.config)

    def emit(self, value: Any, show: Callable[[Console], None]) -> None:
        """``value`` as JSON, or what ``show`` prints for people."""
        if self.as_json:
            self.out.print(to_json(value), markup=False, soft_wrap=True)
        else:
            show(self.out)

    def say(self, text: str) -> None:
        """A line for people, on standard error so that standard output stays clean."""
        if not self.as_json:
            self.err.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def progress(self) -> Iterator[ports.Progress]:
        """A ``ports.Progress`` drawn as one bar for each thing under way, on standard error.

        Without a terminal each thing prints one line when it begins; with ``--json`` nothing is drawn.
        """
        if self.as_json:
            yield lambda what, done, total: None
        elif self.err.is_terminal:
            with _bars(self.err) as bars:
                yield _Bars(bars)
        else:
            yield _Lines(self.err)


@contextmanager
def session(config: Path, as_json: bool = False, verbose: bool = False) -> Iterator[Session]:
    """Run a command: an IntradayError is one red line and its exit code, Ctrl-C is 130; ``verbose`` adds the trace, no values."""
    current = Session(config, as_json, verbose)
    quiet(verbose=verbose)
    try:
        yield current
    except IntradayError as error:
        _show_error(current, error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        current.err.print("interrupted", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader went away (`| head`): nothing is wrong. Point stdout elsewhere, or the interpreter's last flush would fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


def _show_error(current: Session, error: IntradayError) -> None:
    if current.verbose:
        trace = traceback.TracebackException.from_exception(error, capture_locals=False, limit=-12)
        current.err.print(escape("".join(trace.format()).rstrip()), style="dim")
    for line in str(error).splitlines() or [type(error).__name__]:
        current.err.print(f"[bold red]error:[/] {escape(line)}", soft_wrap=True)


def parse_day(text: str | None) -> date | None:
    """``YYYY-MM-DD``. Raises ConfigError."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"found {text!r}, expected a day as YYYY-MM-DD") from None


# ------------------------------------------------------------------------------------------------------------------ JSON


def to_json(value: Any) -> str:
    """One JSON document; NaN becomes null, times ISO 8601, dataclasses objects."""
    return json.dumps(_plain(value), ensure_ascii=False, indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value if isinstance(value, str | int | bool | None) else str(value)


# -------------------------------------------------------------------------------------------------------------- progress


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=False,
    )


class _Bars:
    """One bar for each ``what``; a total of 0 means unknown."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total or None)
        self._bars.update(self._tasks[what], completed=done, total=total or None)


class _Lines:
    """One line for each ``what`` when it begins: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun: set[str] = set()

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._begun:
            self._begun.add(what)
            self._console.print(f"{what} …", markup=False)
