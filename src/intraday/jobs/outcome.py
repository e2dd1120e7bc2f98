"""What a job hands to whoever shows it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from loguru import logger

from intraday.app import System
from intraday.domain.errors import StorageError
from intraday.report.inputs import Check, ReportInput


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run: figures for people and scripts, what the page shows, and where the page is."""

    summary: Mapping[str, Any]
    report: ReportInput
    page: Path | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """The parts of verify for every day asked for, and each difference in words."""

    checks: Sequence[Check]
    differences: Sequence[str] = field(default_factory=tuple)


@dataclass(slots=True)
class Run:
    """One run of the program, as the database remembers it."""

    id: str
    summary: dict[str, Any] = field(default_factory=dict)


@contextmanager
def recorded_run(system: System, command: str) -> Iterator[Run]:
    """Record that a run began and how it ended, in the database and in the log; a failure or an interruption is passed on."""
    runs, clock = system.stores.runs, system.clock
    run = Run(f"{command}-{uuid.uuid4().hex[:12]}")
    runs.start(run.id, command, json.dumps(system.settings.public()), clock.now_ns())
    logger.info("run began", run=run.id, command=command)
    try:
        yield run
    except BaseException as error:
        status = "failed" if isinstance(error, Exception) else "interrupted"
        logger.info(f"run {status}", run=run.id, error=type(error).__name__)
        with suppress(StorageError):  # it may be the database that is gone
            runs.finish(run.id, status, json.dumps({"error": type(error).__name__}), clock.now_ns())
        raise
    runs.finish(run.id, "ok", _json(run.summary), clock.now_ns())
    figures = {name: value for name, value in run.summary.items() if isinstance(value, str | int | float)}
    logger.info("run ended", **figures | {"run": run.id})


def _json(summary: Mapping[str, object]) -> str:
    """JSON as a database takes it: what is not a number (no trade, no average) becomes null."""
    return orjson.dumps(summary, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()
