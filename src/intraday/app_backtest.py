"""COMPOSITION ROOT, the part that backtests: a model, or signals it gave, on stored candles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

from intraday.app import System, build_day_runner, lists
from intraday.app_decisions import stored_trade_lists
from intraday.app_models import stored_price_rules
from intraday.backtest.account import AccountSpec, Market
from intraday.backtest.fills import FillDesk
from intraday.backtest.run import Backtest
from intraday.backtest.sessions import Preparation
from intraday.backtest.slippage import Model, Slippage
from intraday.config.trading import TradingSettings
from intraday.core.fills import TickSizes, last_exit_ns
from intraday.core.label_sessions import Traded
from intraday.core.labels import LabelSpec
from intraday.core.tradability import Tradable
from intraday.database.known_bars import KnownBars
from intraday.domain.arrays import Mask
from intraday.domain.instruments import Instrument
from intraday.domain.membership import Flag
from intraday.domain.ports import Source
from intraday.domain.session import EPOCH
from intraday.live.assembly import LoadedModel

RUN = "backtest"  # stands where a run's id does; nothing is stored under it


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything a backtest of some days needs."""

    instruments: tuple[Instrument, ...]
    desk: FillDesk
    ticks: TickSizes


def build_backtest(
    system: System, model: LoadedModel, known: Source | None = None, *, reasons: bool = True
) -> tuple[Backtest, Stage]:
    """The model on stored candles of the instruments that live would run now: its plan is live's. ``known``: by the minutes that
    this source had told of when they closed; None: by the best ones. SkewError as live."""
    runner = build_day_runner(system, model, system.universe(), known or Source.REPLAY, RUN)
    plan, sessions = runner.plan, system.sessions
    read = None if known is None else KnownBars(system.database, known).read
    threads = max(1, system.settings.model.threads)
    preparation = Preparation(model, system.stores.bars, sessions, plan, read, threads)
    stage = build_stage(system, model.label, plan.instruments)
    return Backtest(model, plan, preparation, sessions, reasons=reasons), stage


def build_stage(system: System, label: LabelSpec, instruments: Sequence[Instrument]) -> Stage:
    """How orders of these instruments are filled: dated ticks, closing auction and circuit limits, as labels have them."""
    sessions = system.sessions
    prices = stored_price_rules(system.stores, sessions, instruments, sessions.first, sessions.last)
    traded = Traded.of(prices.ticks, lists(system, instruments, None), prices.bands)
    return Stage(tuple(instruments), FillDesk(label, traded, sessions), prices.ticks)


def build_market(system: System, stage: Stage) -> Market:
    """What the account knows of the instruments, and who may be traded intraday by the dated lists; a list that nobody stored
    limits nothing."""
    sessions, label = system.sessions, stage.desk.label
    found = stored_trade_lists(system.stores, stage.instruments)
    auction = stage.desk.traded.lists

    @cache
    def tradable(number: int) -> Tradable:
        return found.on(_day(number), stage.instruments)

    def gate(number: int) -> tuple[Mask, Mask]:
        return tradable(number).long, tradable(number).short

    def exit_ns(number: int, inst: int) -> int:
        early = bool(auction.auction_on(number, len(stage.instruments))[inst])
        return last_exit_ns(label.rules, sessions.get(_day(number), early))

    return Market(
        tuple(i.kind for i in stage.instruments),
        lambda number: tradable(number).lots,
        stage.ticks.on,
        exit_ns,
        gate,
    )


def shorts_known_from(system: System) -> date | None:
    """The first day of which it is known who may be sold short intraday; None: never, so shorts are assumed."""
    return system.stores.members.known_from("flag", Flag.MIS)


def account_spec(trading: TradingSettings) -> AccountSpec:
    """The configured account."""
    s, limits = trading.slippage, trading.limits
    return AccountSpec(
        capital=trading.capital_inr,
        notional=trading.notional_inr,
        risk_share=trading.risk_per_trade_pct / 100.0,
        positions=limits.positions,
        exposure=limits.exposure,
        per_instrument=limits.per_instrument,
        slippage=Slippage(Model(s.model), s.bps, s.spread_share, s.impact_bps, s.most_share),
    )


def _day(number: int) -> date:
    return EPOCH + timedelta(days=number)
