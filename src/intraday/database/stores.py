"""All stores of one database, for ``app`` to hand out."""

from __future__ import annotations

from intraday.database.bars import BarRepository
from intraday.database.corporate import CorporateRepository
from intraday.database.days import DayRepository
from intraday.database.features import FeatureRepository
from intraday.database.fetches import FetchRepository
from intraday.database.instruments import InstrumentRepository
from intraday.database.labels import LabelRepository
from intraday.database.limits import LimitRepository
from intraday.database.listings import ListingRepository
from intraday.database.live_writer import LiveWriter
from intraday.database.membership import MembershipRepository
from intraday.database.models import ModelRepository
from intraday.database.origin import OriginRepository
from intraday.database.pool import Database
from intraday.database.registry import RegistryRepository
from intraday.database.rollups import RollupRepository
from intraday.database.runs import RunRepository
from intraday.database.signals import SignalRepository
from intraday.database.trials import TrialRepository
from intraday.database.universe import UniverseRepository
from intraday.domain.ports import RunDay


class Stores:
    """One repository a port."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.instruments = InstrumentRepository(database)
        self.listings = ListingRepository(database)
        self.members = MembershipRepository(database)
        self.universes = UniverseRepository(database)
        self.bars = BarRepository(database)
        self.corporate = CorporateRepository(database)
        self.limits = LimitRepository(database)
        self.rollups = RollupRepository(database)
        self.fetches = FetchRepository(database, self.bars)
        self.features = FeatureRepository(database)
        self.labels = LabelRepository(database)
        self.models = ModelRepository(database)
        self.trials = TrialRepository(database)
        self.registry = RegistryRepository(database)
        self.signals = SignalRepository(database)
        self.days = DayRepository(database)
        self.runs = RunRepository(database)
        self.origin = OriginRepository(database)

    def writer(self, run: RunDay) -> LiveWriter:
        """Where the effects of a day go."""
        return LiveWriter(self._database, run.instrument_ids, run.source, run.feature_set_id, run.run_id)
