"""``intraday audit``: every law on every feature, label, weight and split, on the bars at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np

from intraday.backtest.audit_live import TickDay, tick_day
from intraday.backtest.audit_model import ModelCase, model_laws
from intraday.backtest.audit_pipeline import OWN, anew
from intraday.core.audit.adjusted import AdjustedCase, adjusted_law
from intraday.core.audit.alone import Alone
from intraday.core.audit.functions import order_law, whole_panel
from intraday.core.audit.labels import LabelCase, label_laws
from intraday.core.audit.laws import Group, feature_laws, late_bars, without
from intraday.core.audit.members import members_law
from intraday.core.audit.result import Finding, Law, merged
from intraday.core.audit.unusual import unusual_law
from intraday.core.candles import HistoricalAggregator
from intraday.core.decision import latest_bars_ns
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.function_features import FunctionCalculator, whole
from intraday.core.labels import Labeler, LabelSpec
from intraday.core.panel import Lists, panel_of
from intraday.core.price_rules import PriceRules
from intraday.core.user_features import UserFeatures
from intraday.core.weights import attributed_returns
from intraday.domain.arrays import F4, I8, Bars, Labels, Mask, Panel
from intraday.domain.corporate import Action
from intraday.domain.errors import NotEnoughData
from intraday.domain.ports import Progress
from intraday.domain.session import EPOCH, SessionTable
from intraday.model.dataset import Dataset, join
from intraday.model.trainer import TrainSpec
from intraday.model.weighting import Weighting


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """What is audited. ``features``: the configured expressions; ``user``: the functions chosen and the pipeline.

    ``sigma``: the set that has the labels' volatility and nothing else. ``cost`` as ``model.dataset.join`` wants.
    """

    features: FeatureSet | None
    user: UserFeatures
    sigma: FeatureSet
    labels: LabelSpec
    training: TrainSpec
    sessions: SessionTable
    cost: Callable[[int], float]
    seed: int = 0


@dataclass(frozen=True, slots=True)
class AuditBars:
    """One-minute bars of S instruments, whole sessions, BAR[n] ordered by (ts, inst), and what is known of the instruments.

    ``actions`` name instruments by dense row, as ``bars`` do. ``ticks``: of the session after the last, for the live path.
    """

    bars: Bars
    has_volume: Mask
    prices: PriceRules
    lists: Lists
    index: int | None
    actions: Sequence[Action] = ()
    ticks: TickDay | None = None


class Audit:
    """Checks one plan on some bars. Holds about three float32 [T, S, F] at a time."""

    def __init__(self, plan: AuditPlan, bars: AuditBars, progress: Progress) -> None:
        self._plan = plan
        self._given = bars
        self._progress = progress
        self._rng = np.random.default_rng(plan.seed)
        self._panel = self._decisions(bars.bars)

    def findings(self) -> list[Finding]:
        """Of features, labels, folds, weights and the model. Raises ConfigError for a user feature that fails."""
        if len(np.unique(self._panel.session)) < 2:
            raise NotEnoughData("audit: expected bars of two sessions at least, found fewer; import more or widen --from and --to")
        own = Alone(self._own())
        found: list[Finding] = []
        values: list[F4] = []
        groups = list(self._groups())
        for k, group in enumerate(groups):
            self._progress("features", k, len(groups))
            x, of_group = feature_laws(group, self._panel, self._rng)
            found += [*of_group, *self._adjusted(group, x), *self._live(group)]
            for part in self._apart(group):
                found += members_law(part, self._panel, self._given.index, self._rng)
            values.append(x)
            own.look()
        if self._plan.user.functions.features:
            found += self._functions(values[-1])
        self._progress("features", len(groups), len(groups))
        x = np.concatenate(values, axis=2)
        self._progress("labels and model", 0, 2)
        labels, of_labels = self._labels()
        self._progress("labels and model", 1, 2)
        of_model = model_laws(self._model_case(self._dataset(x, labels), self._names(groups)), self._rng)
        self._progress("labels and model", 2, 2)
        return [*merged(found), *own.findings(), *of_labels, *of_model]

    def _own(self) -> dict[str, Callable[..., Any]]:
        """The user's functions by what they make, the preparation among them."""
        user = self._plan.user
        functions: dict[str, Callable[..., Any]] = {f.name: f.function for f in user.functions.features}
        return functions | ({} if user.pipeline is None else {OWN: user.pipeline})

    def _decisions(self, bars: Bars) -> Panel:
        n, timeframe = len(self._given.has_volume), self._plan.labels.timeframe
        candles = HistoricalAggregator(n).aggregate(bars, timeframe)
        return panel_of(candles, n, timeframe, self._plan.sessions, self._given.lists)

    def _groups(self) -> Iterator[Group]:
        plan, given = self._plan, self._given
        if plan.features is not None:
            own = {f.name for f in plan.user.expressions}
            for mine in (False, True):
                chosen = tuple(f for f in plan.features.features if (f.name in own) == mine)
                if chosen:
                    part = FeatureSet(plan.features.timeframe, chosen, plan.features.anchor)
                    yield Group(chosen, partial(FeatureCalculator, part, given.has_volume, given.index), own=mine)
        functions = plan.user.functions
        if functions.features:
            make = partial(FunctionCalculator, functions, self._panel.timeframe, self._panel.n_instruments, given.index)
            yield Group(functions.features, make, own=True, slot=whole(functions, self._panel)[1])

    def _apart(self, group: Group) -> Iterator[Group]:
        """A user's functions one by one, so that one which fails leaves the others judged."""
        if group.slot is None:
            yield group
            return
        functions, panel, index = self._plan.user.functions, self._panel, self._given.index
        for feature in functions.features:
            chosen = functions.chosen((feature.name,))
            make = partial(FunctionCalculator, chosen, panel.timeframe, panel.n_instruments, index)
            yield Group(chosen.features, make, own=True, slot=group.slot)

    def _names(self, groups: Sequence[Group]) -> tuple[str, ...]:
        return tuple(name for group in groups for name in group.names)

    def _functions(self, values: F4) -> Iterator[Finding]:
        """Whole-panel calls: on the bars as they are, and with some of them too late."""
        functions, index = self._plan.user.functions, self._given.index
        yield from whole_panel(functions, self._panel, values, index)
        holed = without(self._panel, late_bars(self._panel, self._rng))
        trailing = FunctionCalculator(functions, holed.timeframe, holed.n_instruments, index).batch(holed)
        yield from whole_panel(functions, holed, trailing, index, Law.LATE)
        yield from order_law(functions, self._panel, index, self._rng)
        yield from unusual_law(functions, self._panel.timeframe)

    def _adjusted(self, group: Group, values: F4) -> Iterator[Finding]:
        case = AdjustedCase(self._given.bars, self._panel, self._decisions, self._given.actions)
        return adjusted_law(case, group, values)

    def _live(self, group: Group) -> Iterator[Finding]:
        given = self._given
        return iter(()) if given.ticks is None else tick_day(given.ticks, group, given.bars, self._decisions)

    def _minutes(self) -> Panel:
        return panel_of(self._given.bars, self._panel.n_instruments, 1, self._plan.sessions, self._given.lists)

    def _model_case(self, data: Dataset, names: tuple[str, ...]) -> ModelCase:
        """With the weights that are configured."""
        user = self._plan.user
        pipeline = None if user.pipeline is None else partial(anew, user, self._plan.sessions)
        case = ModelCase(data, names, self._plan.training, pipeline)
        if self._plan.training.weights is not Weighting.RETURN_ATTRIBUTION:
            return case
        weigh = partial(attributed_returns, minutes=self._minutes())
        return replace(case, data=replace(data, attribution=weigh(data.entry_ns, data.t1_ns, data.inst)), weigh=weigh)

    def _labels(self) -> tuple[Labels, list[Finding]]:
        plan, given, panel = self._plan, self._given, self._panel
        minutes = self._minutes()

        def sigma_at(t: int) -> F4:
            return FeatureCalculator(plan.sigma, given.has_volume, given.index).batch(panel.rows(0, t + 1))[t, :, 0]

        sigma = np.ascontiguousarray(FeatureCalculator(plan.sigma, given.has_volume, given.index).batch(panel)[:, :, 0])
        labeler = Labeler(plan.labels, given.prices.ticks, given.lists, given.prices.bands)
        case = LabelCase(plan.labels, labeler, minutes, panel, sigma, sigma_at, plan.sessions, given.lists)
        labels = case.labels()
        return labels, label_laws(case, labels, self._rng)

    def _dataset(self, x: F4, labels: Labels) -> Dataset:
        row, inst = np.nonzero(self._panel.mask)
        keys = self._panel.ts_ns[row], inst.astype(np.int32), x[row, inst]
        return join(*keys, labels, self._plan.cost, self._latest, timeframe=self._panel.timeframe)

    def _latest(self, number: int) -> I8:
        plan, n = self._plan, self._panel.n_instruments
        session = plan.sessions.get(EPOCH + timedelta(days=number))
        return latest_bars_ns(plan.labels, session, n, plan.sessions, self._given.lists)
