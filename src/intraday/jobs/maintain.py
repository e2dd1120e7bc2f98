"""``intraday db maintain``: what the database needs now and then; also run after a job that wrote much."""

from __future__ import annotations

import logging

from intraday.app import System, open_configured
from intraday.config.settings import DatabaseSettings, Settings
from intraday.database import schema
from intraday.database.maintenance import Policy, Report, maintain
from intraday.database.pool import Database
from intraday.database.runs import RunRepository
from intraday.domain.clock import Clock
from intraday.domain.errors import StorageError
from intraday.domain.ports import Progress

_LOG = logging.getLogger(__name__)


def run_maintain(settings: Settings, clock: Clock, progress: Progress, *, dry_run: bool = False) -> Report:
    """Maintain the configured database. Raises StorageError, also for a schema that is not this program's."""
    with open_configured(settings) as database:
        found, head = schema.current(database.dsn)
        if found != head:
            raise StorageError(f"expected schema revision {head}, found {found or 'no schema'}: run `intraday db migrate`")
        return maintained(database, settings.database, clock, progress, dry_run=dry_run)


def maintained(
    database: Database, settings: DatabaseSettings, clock: Clock, progress: Progress | None = None, *, dry_run: bool = False
) -> Report:
    """The same on an open database. What was done is written down as an event ``maintain``."""
    now_ns = clock.now_ns()
    report = maintain(database, policy_of(settings), now_ns, progress, dry_run=dry_run)
    if report.done and not dry_run:
        RunRepository(database).record(now_ns, "maintain", {"done": [list(work) for work in report.done]})
    return report


def keep_house(system: System) -> None:
    """After a job that wrote much. Its own work is stored: what fails here is logged, and done by the next one."""
    try:
        maintained(system.database, system.settings.database, system.clock)
    except StorageError as error:
        _LOG.warning("maintenance failed: %s", error)


def policy_of(settings: DatabaseSettings) -> Policy:
    """The configured retention and compression."""
    kept = settings.retention
    days = {"bars": kept.bars_days, "features": kept.features_days, "labels": kept.labels_days, "signals": kept.signals_days}
    return Policy(days, settings.compress_after_days)
