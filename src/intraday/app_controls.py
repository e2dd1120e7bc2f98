"""COMPOSITION ROOT, the part that runs controls: the configured pipeline, and stored bars for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from intraday.app import System, lists
from intraday.app_models import feature_set, label_spec, stored_price_rules, train_spec
from intraday.backtest.control_rows import Recipe
from intraday.config.settings import Settings
from intraday.core.anchor import AnchorRule
from intraday.core.costs import Costs
from intraday.core.fills import TickSizes
from intraday.core.lists import index_row
from intraday.core.panel import within_hours
from intraday.domain.arrays import F8, Bars
from intraday.domain.errors import NotEnoughData
from intraday.domain.instruments import Instrument
from intraday.domain.session import EPOCH, SessionTable, midnight_ns
from intraday.model.spec import TrainSpec


@dataclass(frozen=True, slots=True)
class StoredMarket:
    """Real bars (BAR rows ordered by (ts, inst)) of ``instruments``, and how the configured pipeline makes rows of them.

    ``ticks`` are dated; ``cost`` is the round trip of each instrument as a return, by session number.
    """

    instruments: Sequence[Instrument]
    bars: Bars
    recipe: Recipe
    ticks: TickSizes
    cost: Callable[[int], F8]
    training: TrainSpec

    @property
    def names(self) -> tuple[str, ...]:
        """Of the features."""
        return self.recipe.features.names

    @property
    def sessions(self) -> int:
        """How many there are."""
        return len(np.unique((self.bars["ts_ns"] - midnight_ns(EPOCH)) // 86_400_000_000_000))


def stored_market(system: System, first: date | None, last: date | None, sessions: int, instruments: int) -> StoredMarket:
    """The last ``sessions`` stored sessions of a range, and at most ``instruments`` instruments, those with most of them.

    The market index comes with them where it is stored. NotEnoughData without bars.
    """
    universe = {i.id: i for i in system.universe()}
    days: dict[date, set[int]] = {}
    for number, day, n in system.stores.bars.coverage():
        if n and number in universe and (first or date.min) <= day <= (last or date.max):
            days.setdefault(day, set()).add(number)
    if not days:
        raise NotEnoughData(f"controls: no stored bars of {len(universe)} instruments in that range: import some")
    chosen = sorted(days)[-sessions:]
    held = _most_complete(list(universe.values()), [days[day] for day in chosen], instruments, system.settings)
    ids = [i.id for i in held]
    bars = system.stores.bars.read(ids, midnight_ns(chosen[0]), midnight_ns(chosen[-1] + timedelta(days=1)))
    found = lists(system, held, system.membership().between(chosen[0], chosen[-1]), AnchorRule())
    recipe = configured_recipe(system.settings, system.sessions, held)
    recipe = Recipe(recipe.features, recipe.labels, recipe.sessions, found, recipe.index)
    bars = found.playing(within_hours(bars, len(held), system.sessions, found))
    prices = stored_price_rules(system.stores, system.sessions, held, chosen[0], chosen[-1])
    cost = cost_of(system.costs, held, system.settings.trading.notional_inr)
    return StoredMarket(held, bars, recipe, prices.ticks, cost, train_spec(system.settings.model))


def configured_recipe(settings: Settings, sessions: SessionTable, instruments: Sequence[Instrument]) -> Recipe:
    """The configured features and labels; the state starts at the first bar, wherever that is. Raises ConfigError."""
    features = feature_set(settings, AnchorRule(), sessions)
    return Recipe(features, label_spec(settings.trading), sessions, index=index_row(instruments, settings.model.index))


def cost_of(costs: Costs, instruments: Sequence[Instrument], notional: float) -> Callable[[int], F8]:
    """Round trip of each instrument as a return, by session number."""

    def cost(number: int) -> F8:
        day = EPOCH + timedelta(days=number)
        return np.array([costs.round_trip_bps(day, notional, i.kind) * 1e-4 for i in instruments])

    return cost


def _most_complete(instruments: Sequence[Instrument], days: Sequence[set[int]], most: int, settings: Settings) -> list[Instrument]:
    """Those with bars on most of the days, the market index first of all; in order of kind and id, as training has them."""
    there = [i for i in instruments if any(i.id in day for day in days)]
    index = index_row(there, settings.model.index)
    first = None if index is None else there[index].id
    ranked = sorted(there, key=lambda i: (i.id != first, -sum(i.id in day for day in days), i.id))
    return sorted(ranked[:most], key=lambda i: (i.kind, i.id))
