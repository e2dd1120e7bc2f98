"""COMPOSITION ROOT, the part that trains: what training may use of the machine, and what the trials ledger is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from intraday.config.settings import Settings
from intraday.database.pool import Database
from intraday.database.studies import storage_url
from intraday.domain.learning import Trial
from intraday.domain.universe import Universe
from intraday.model.pool import Resources

ALL = "all instruments with candles"  # as before the first list of the exchange: what was counted then stays counted


def training_resources(settings: Settings, database: Database) -> Resources:
    """Processes, where finished fits are kept, and where a search keeps its trials (only if there is to be one)."""
    m = settings.model
    storage = storage_url(database) if m.tuning.trials else None
    return Resources(m.workers, settings.system.data_dir / "work" / "fits", storage)


def learning_scope(universe: Universe) -> str:
    """The data that configurations compete on, in words: trying another timeframe, feature or label on it is another trial, and one
    more instrument or session no new beginning: ``all`` has one name, whatever of it is listed by now."""
    among = ALL if universe.definition.startswith("all ") else universe.definition
    return f"best version of each bar; {among}"


def stamped(trials: Sequence[Trial], scope: str, run_id: str, now_ns: int) -> list[Trial]:
    """The trials with what the ledger knows of them."""
    return [replace(t, scope=scope, run_id=run_id, created_ns=now_ns) for t in trials]
