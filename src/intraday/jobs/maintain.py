"""``intraday db maintain``: what the database needs now and then; also run after a job that wrote much."""

from __future__ import annotations

from intraday.app import System, open_system
from intraday.config.settings import DatabaseSettings, Settings
from intraday.database.maintenance import Policy, Report, maintain
from intraday.domain.clock import Clock
from intraday.domain.ports import Progress


def run_maintain(settings: Settings, clock: Clock, progress: Progress, *, dry_run: bool = False) -> Report:
    """Maintain the configured database, and write down what was done. Raises StorageError."""
    with open_system(settings, clock) as system:
        return maintain_system(system, progress, dry_run=dry_run)


def maintain_system(system: System, progress: Progress | None = None, *, dry_run: bool = False) -> Report:
    """The same on an open system; nothing is written down when nothing was due."""
    now_ns = system.clock.now_ns()
    report = maintain(system.database, policy_of(system.settings.database), now_ns, progress, dry_run=dry_run)
    if report.done and not dry_run:
        system.stores.runs.record(now_ns, "maintain", {"done": [list(work) for work in report.done]})
    return report


def policy_of(settings: DatabaseSettings) -> Policy:
    """The configured retention and compression."""
    kept = settings.retention
    days = {"bars": kept.bars_days, "features": kept.features_days, "labels": kept.labels_days, "signals": kept.signals_days}
    return Policy(days, settings.compress_after_days)
