"""COMPOSITION ROOT: what is wired to what. It makes every object once, hands each the plain values it needs, and decides nothing.

A tick becomes a signal in eight hops; follow them from `build_feed` (app_feed.py) and `build_day_runner`:

    1 ConnectionManager.receive()        broker/connection.py  bytes of the WebSockets (recorded: RecordedSource, live/sources.py)
    2 wire.decode_frame, to_ticks        broker/wire.py      PACKET, then TICK rows (recorded: RecordedTicks, live/recorded.py)
    3 TickQueue.put / drain              live/queue.py       bounded; live/journal.py has every event before the engine does
    4 TickValidator.check(ticks)         live/validate.py    which ticks may make candles   ┐
    5 LiveAggregator.fold / close        core/candles.py     candles of one session         │ Engine.process(event) -> effects
    6 FeatureCalculator.update(bars)     core/features.py    X[b, F] float32                │ live/engine.py: synchronous, no clock,
    7 ModelPredictor.predict(X)          model/predictor.py  P[b, 3]                        │ no IO; live, replay and verify call
    8 SignalGenerator.decide(bars, P)    signal/generator.py BUY, SELL, HOLD                ┘ exactly this
      StreamConsumer writes the effects  live/consumer.py    one transaction a minute (database/live_writer.py), alerts beside it
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from loguru import logger

from intraday.app_decisions import sizing_of, stored_trade_lists
from intraday.app_learning import SCOPE, stamped, training_resources
from intraday.app_models import feature_set, known_features, label_spec, stored_price_rules, train_spec, user_features
from intraday.backtest.verify import Verifier
from intraday.config.settings import Settings
from intraday.config.trading import TradingSettings
from intraday.core.actions import excluded
from intraday.core.anchor import AnchorRule, resolve_anchor, session_of
from intraday.core.costs import Costs
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.labels import LabelSpec
from intraday.core.lists import index_row, lists_of, stand_in
from intraday.core.panel import Lists
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.database.kept import kept_from
from intraday.database.moving_tables import unfinished
from intraday.database.pool import Database, open_database
from intraday.database.schema import init
from intraday.database.stores import Stores
from intraday.domain.arrays import F4, Mask, Panel
from intraday.domain.clock import Clock
from intraday.domain.corporate import ActionKind
from intraday.domain.errors import ArtifactError, ConfigError, SkewError, StorageError
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.membership import Auction, Flag, Membership, auction_rule
from intraday.domain.ports import AlertChannel, FeatureSetRecord, ModelRecord, Progress, Source
from intraday.domain.session import SessionTable, day_of
from intraday.domain.universe import Universe
from intraday.history.importing import Importer
from intraday.history.pipeline import HistoricalPipeline
from intraday.history.plan import HistoricalPlan
from intraday.history.plan import Stores as HistoryStores
from intraday.live.assembly import LoadedModel
from intraday.live.day import DayPlan, DayRunner
from intraday.model.predictor import ModelPredictor
from intraday.signal.alerts import AlertSystem, ConsoleChannel, LogChannel
from intraday.signal.policy import AlertPolicy


@dataclass(frozen=True, slots=True)
class System:
    """What every job works with: settings, clock, the session table, dated charges and the database."""

    settings: Settings
    clock: Clock
    sessions: SessionTable
    costs: Costs
    database: Database
    stores: Stores

    def universe(self, day: date | None = None) -> list[Instrument]:
        """The stored instruments that ``trading.universe`` names and the market index, by id: members on ``day``, None: any.

        ConfigError for a symbol or a list that is not stored, and when a list has no members then.
        """
        found = self.membership()
        ids = found.ids if day is None else found.on(day)
        if not ids and found.spans is not None:
            raise ConfigError(
                f"trading.universe: {found.definition} has no members {f'on {day}' if day else 'at all'}; it is known from "
                f"{found.known_from} on, import others (`intraday universe import`)"
            )
        return [i for i in self.stores.instruments.all() if i.id in ids | found.beside]

    def membership(self) -> Universe:
        """Who ``trading.universe`` is, by day, and beside them the market index that ``model.index`` names.

        ConfigError for an index that is not stored.
        """
        trading, name = self.settings.trading, self.settings.model.index
        found = self.stores.universes.resolve(trading.universe, trading.exchange, day_of(self.clock.now_ns()))
        stored = self.stores.instruments.all()
        row = index_row(stored, name)
        if name is not None and row is None:
            indices = ", ".join(i.key for i in stored if i.kind is Kind.INDEX) or "no index at all"
            raise ConfigError(
                f"model.index: {name} is not stored, found {indices}; import its bars, or run `intraday instruments sync` and "
                "`intraday backfill`"
            )
        return found.with_beside(None if row is None else stored[row].id)


@contextmanager
def open_configured(settings: Settings) -> Iterator[Database]:
    """The configured database, our own server running while the block does. Raises StorageError."""
    server = settings.database
    with open_database(
        server.dsn_text,
        settings.system.data_dir,
        statement_timeout_s=server.statement_timeout_s,
        live_timeout_s=server.live_timeout_s,
        start_timeout_s=server.embedded_start_timeout_s,
        connections=server.connections,
        commit_bars=server.commit.bars,
        commit_derived=server.commit.derived,
    ) as database:
        yield database


@contextmanager
def open_system(settings: Settings, clock: Clock) -> Iterator[System]:
    """The database of the settings with a current schema, and what every job needs beside it.

    A job that ends well leaves the timeframes up to date; one that fails leaves a note of what they lack to the next.
    """
    with open_configured(settings) as database:
        init(database.dsn)
        if unfinished(database):
            raise StorageError(
                "a move into this database is not finished, part of the rows are missing: run the same `intraday db move` again"
            )
        stores = Stores(database)
        yield System(settings, clock, SessionTable.load(), Costs.load(), database, stores)
        try:
            stores.rollups.refresh()
        except StorageError as error:  # the job's own work is stored, and so is the note of what the timeframes lack
            logger.warning("timeframes are put off", error=str(error))


def closing_auction(system: System) -> Auction:
    """Whose continuous trading ends at 15:15, by the dated list."""
    members = system.stores.members
    return auction_rule(members.spans("flag", Flag.CLOSING_AUCTION), members.known_from("flag", Flag.CLOSING_AUCTION))


def build_importer(system: System, progress: Progress) -> Importer:
    """`intraday import`."""
    stores = system.stores
    rule = closing_auction(system)
    return Importer(stores.instruments, stores.bars, system.sessions, system.clock.now_ns, progress, stores.bars, rule)


def build_market(settings: TradingSettings, sessions: SessionTable) -> SyntheticMarket:
    """The seeded market of the demo and of ``broker.feed: synthetic``; one session more than it stores, for the live path."""
    s = settings.synthetic
    days = sessions.between(s.start_day, sessions.last)[: s.sessions + 1]
    return SyntheticMarket(SyntheticSpec(instruments=s.instruments, seed=s.seed, edge=s.edge), days)


def build_historical(
    system: System, progress: Progress, first: date | None = None, last: date | None = None, run_id: str = ""
) -> HistoricalPipeline:
    """HISTORICAL_MODE from stored bars to a model artifact; ``first`` and ``last`` bound the days (None: all that is stored).
    ``run_id`` signs what it writes to the trials ledger.

    Days whose features or labels retention dropped are left out: they can't be stored again.
    """
    settings, stores = system.settings, system.stores
    universe = system.membership()
    coverage = stores.bars.coverage()
    days = [day for i, day, _ in coverage if i in universe.ids and (last is None or day <= last)]
    anchor = resolve_anchor(str(settings.model.anchor), days)
    plan = HistoricalPlan(
        features=feature_set(settings, anchor, system.sessions, compared(system)),
        labels=label_spec(settings.trading),
        training=replace(train_spec(settings.model), primary=settings.model.primary),
        directory=settings.model_dir,
        notional=settings.trading.notional_inr,
        first=max((day for day in (first, _kept_from(system)) if day is not None), default=None),
        last=last,
        coverage=coverage,
        piece_mib=settings.database.read_chunk_mib,
        resources=training_resources(settings, system.database),
        work=settings.system.data_dir / "work",
        tried=lambda: stores.trials.of(SCOPE),
        remember=lambda trials: stores.trials.add(stamped(trials, run_id, system.clock.now_ns())),
        tradable=lambda chosen: stored_trade_lists(stores, chosen),
        known_ns=_known_ns(system, days),
        membership=universe.between,
        lists=lambda chosen, first, last: lists(system, chosen, universe.between(first, last), anchor),
        index=lambda instruments: index_row(instruments, settings.model.index),
        prices=lambda chosen, first, last: stored_price_rules(stores, system.sessions, chosen, first, last),
    )
    kept = HistoryStores(stores.bars, stores.features, stores.labels, stores.models)
    return HistoricalPipeline(plan, kept, system.sessions, system.costs, system.clock.monotonic_ns, progress)


ALL = "all instruments with candles"


def compared(system: System) -> str:
    """Whom features compare, in words that are equal as long as it is the same list: part of a feature set's identity."""
    universe, instruments = system.membership(), system.universe()
    row = index_row(instruments, system.settings.model.index)
    index = "none" if row is None else instruments[row].key
    if universe.spans is not None:
        return f"{universe.definition}; index {index}"
    keys = sorted(i.key for i in instruments if i.id in universe.ids)
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:12]
    name = ALL if universe.definition.startswith("all ") else universe.definition  # one name before and after the first list
    return f"{name}, {len(keys)} of them {digest}; index {index}"


def lists(
    system: System, instruments: Sequence[Instrument], membership: Membership | None, anchor: AnchorRule | None = None
) -> Lists:
    """What is stored of ``instruments`` by day: the closing auction's stocks, the members that are compared, and those that sit out
    because the state they carry (from ``anchor`` on) is from before a corporate action."""
    members, flag, sessions = system.stores.members, Flag.CLOSING_AUCTION, system.sessions
    ids = [i.id for i in instruments]
    actions = system.stores.corporate.actions(ids)
    # An anchor lies up to two quarters before its day, and has to be in the session table.
    since = max(min((a.ex_date for a in actions), default=sessions.last), sessions.first + timedelta(days=200))
    out = excluded(actions, ids, anchor or AnchorRule(), sessions, since, sessions.last)
    known = lists_of(instruments, members.spans("flag", flag), members.known_from("flag", flag), membership, out)
    row = {number: k for k, number in enumerate(ids)}
    told = {(row[a.instrument_id], session_of(a.ex_date)) for a in actions if a.kind is ActionKind.OTHER}  # a dividend says nothing
    return replace(known, settled=tuple(sorted(told)))


def _kept_from(system: System) -> date | None:
    """The first day whose features and labels are kept, None: every day's are."""
    with system.database.autocommit() as connection:
        kept = kept_from(connection)
    return max((day_of(kept[series]) for series in ("features", "labels") if series in kept), default=None)


def _known_ns(system: System, days: Sequence[date]) -> int | None:
    """Now, while the last stored session is still running: a trade open then has no label yet. None when every session is over."""
    session = system.sessions.find(max(days)) if days else None
    now_ns = system.clock.now_ns()
    return now_ns if session is not None and now_ns < session.close_ns else None


def model_in_use(system: System) -> ModelRecord | None:
    """The champion; while there is none the newest model; None: there is no model. ArtifactError for a champion that is gone."""
    models, champion = system.stores.models, system.stores.registry.champion()
    return models.latest() if champion is None else models.get(champion.model_id)


def load_model(system: System, model_id: str | None = None) -> LoadedModel:
    """A trained model by id (None: the one in use), checked against the features this program computes.

    Raises ArtifactError when there is none or its files are damaged, SkewError when the program computes other features.
    """
    record = system.stores.models.get(model_id) if model_id is not None else model_in_use(system)
    if record is None:
        raise ArtifactError("no model is stored: expected one that was trained here; run `intraday historical` first")
    definition = json.loads(record.manifest)
    features, labels = definition["features"], json.loads(definition["labels"]["definition"])
    user = user_features(system.settings, system.sessions)
    known, anchor = known_features(user, features["timeframe"]), AnchorRule(features["anchor"])
    among = json.loads(features["definition"]).get("universe", "")
    chosen = FeatureSet.of(features["timeframe"], features["names"], known, anchor, user.functions, among)

    def recompute(panel: Panel, has_volume: Mask) -> F4:
        return FeatureCalculator(chosen, has_volume, stand_in(has_volume)).batch(panel)

    ours = FeatureSetRecord(chosen.id, chosen.timeframe, chosen.names, chosen.definition())
    predictor = ModelPredictor.load(Path(record.path), recompute, ours)
    label = LabelSpec(**{k: v for k, v in labels.items() if k not in ("kernels", "rules")})
    return LoadedModel(chosen, predictor, label, system.costs, system.settings.trading.notional_inr, system.settings.live.threads)


def build_alerts(settings: Settings, instruments: Sequence[Instrument], write: Callable[[str], object]) -> AlertSystem:
    """The configured channels behind one policy; ``write`` prints a line for a person."""
    channels: Mapping[str, AlertChannel] = {
        **({"console": ConsoleChannel(write)} if settings.alerts.console else {}),
        **({"log": LogChannel()} if settings.alerts.log else {}),
    }
    return AlertSystem(channels, AlertPolicy([i.symbol for i in instruments]))


def build_day_runner(
    system: System, model: LoadedModel, instruments: Sequence[Instrument], source: Source, run_id: str, watch: bool = False
) -> DayRunner:
    """Sessions through the live path: what replay and live share. ``watch``: the signals are for watching, whatever the artifact
    says; a backtest, hence a test for promotion, goes by the artifact alone."""
    live, stores, among = system.settings.live, system.stores, model.feature_set.universe
    if among and among != (now := compared(system)):
        raise SkewError(
            f"model {model.id} compares instruments: expected the universe it was trained on ({among}), found {now}: "
            "set trading.universe back, or train again (`intraday historical`)"
        )
    if among:
        _same_members(system, model.id)
    prices = stored_price_rules(stores, system.sessions, instruments, system.sessions.first, system.sessions.last)
    plan = DayPlan(
        run_id=run_id,
        source=source,
        instruments=tuple(instruments),
        journal_root=system.settings.system.data_dir.absolute() / "journal",
        grace_ns=live.grace_ms * 1_000_000,
        queue_max=live.queue_max_frames,
        fsync=live.journal.fsync,
        lists=lists(
            system, instruments, system.membership().between(system.sessions.first, system.sessions.last), model.feature_set.anchor
        ),
        index=index_row(instruments, system.settings.model.index),
        ticks=prices.ticks,
        bands=prices.bands,
        tradable=stored_trade_lists(stores, instruments),
        sizing=sizing_of(system.settings.trading),
        reasons=system.settings.trading.reasons,
        watch=watch,
    )
    return DayRunner(
        plan, model, stores.bars, stores.days, stores.runs, system.sessions, stores.writer, system.clock.now_ns, stores.signals
    )


def _same_members(system: System, model_id: str) -> None:
    """SkewError when the dated list that the model's instruments were compared by says something else of those days by now."""
    record = system.stores.models.get(model_id)
    now = system.membership().between(record.trained_from, record.trained_to)
    then = json.loads(record.manifest)["data"]["universe"]
    if now is not None and then != now.definition:
        raise SkewError(
            f"model {model_id} compares instruments: expected the members it was trained on ({then}, {record.trained_from} to "
            f"{record.trained_to}), found {now.definition}: the list was changed since; train again (`intraday historical`)"
        )


def build_verifier(system: System) -> Verifier:
    """`intraday verify`."""
    stores = system.stores
    return Verifier(
        stores.bars, stores.features, stores.signals, stores.runs, system.sessions, lambda model_id: load_model(system, model_id)
    )
