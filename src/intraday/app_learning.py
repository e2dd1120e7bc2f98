"""COMPOSITION ROOT, the part that trains: what training may use of the machine, and what the trials ledger is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from intraday.config.settings import Settings
from intraday.database.pool import Database
from intraday.database.studies import storage_url
from intraday.domain.learning import Trial
from intraday.model.pool import Resources

SCOPE = "best version of each bar"
"""The data that configurations compete on: trying another timeframe, feature, label, universe or range on it is another trial."""


def training_resources(settings: Settings, database: Database) -> Resources:
    """Processes, where finished fits are kept, and where a search keeps its trials (only if there is to be one)."""
    m = settings.model
    storage = storage_url(database) if m.tuning.trials else None
    return Resources(m.workers, settings.system.data_dir / "work" / "fits", storage)


def stamped(trials: Sequence[Trial], run_id: str, now_ns: int) -> list[Trial]:
    """The trials with what the ledger knows of them."""
    return [replace(t, scope=SCOPE, run_id=run_id, created_ns=now_ns) for t in trials]
