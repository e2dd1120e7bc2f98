"""``intraday audit``: the leakage certificate of the configured features, labels, folds and model on stored or made-up bars."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from intraday.app import System, build_market, lists, open_system
from intraday.app_models import label_spec, stored_price_rules, train_spec
from intraday.backtest.audit import Audit, AuditBars, AuditPlan
from intraday.backtest.audit_live import TickDay, verified_days
from intraday.config.settings import Settings
from intraday.core import panel
from intraday.core.anchor import AnchorRule, resolve_anchor
from intraday.core.audit.certificate import Certificate, described
from intraday.core.audit.result import Finding, Law, not_checked
from intraday.core.costs import Costs
from intraday.core.feature_set import FeatureSet
from intraday.core.kernels import SOURCE_HASH
from intraday.core.lists import index_row, lists_of
from intraday.core.price_rules import PriceRules, tick_sizes_of
from intraday.core.registry import default_registry
from intraday.core.user_features import load_user_features, no_user_features
from intraday.domain.arrays import Bars
from intraday.domain.clock import Clock
from intraday.domain.corporate import Action
from intraday.domain.errors import NotEnoughData
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.ports import Progress
from intraday.domain.session import EPOCH, SessionTable, day_of, midnight_ns
from intraday.jobs.outcome import recorded_run
from intraday.jobs.verify import newest_runs, verify_days
from intraday.report.audit_page import render

LIBRARIES = ("numpy", "numba", "lightgbm", "polars")
RECORDED = "a recorded day"


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What to audit on. The last ``sessions`` sessions from ``first`` to ``last`` (None: all that is stored), and at most
    ``instruments`` instruments, those with most days, the market index among them. ``simulated``: the made-up market instead."""

    who: str
    first: date | None = None
    last: date | None = None
    sessions: int = 30
    instruments: int = 20
    simulated: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    """The bars, whose they are, where they come from in words, what recorded days say, and the anchor that training would use."""

    instruments: Sequence[Instrument]
    bars: AuditBars
    source: str
    live: list[Finding]
    anchor: AnchorRule


def run_audit(settings: Settings, request: AuditRequest, clock: Clock, progress: Progress) -> tuple[Certificate, Path]:
    """The certificate and its page. ConfigError for user features that cannot be run, NotEnoughData without bars."""
    sessions, costs = SessionTable.load(), Costs.load()
    plan = audit_plan(settings, request, sessions, costs)  # first of all: what the user wrote may not even load
    with _bars(settings, request, sessions, clock, progress) as found:
        findings = [*Audit(plan, found.bars, progress).findings(), *found.live]
    symbols = [i.key for i in found.instruments]
    own = [*map(described, plan.user.expressions), *map(described, plan.user.functions.features)]
    certificate = Certificate(request.who, clock.now_ns(), _facts(plan, found, request), symbols, findings, own)
    where = settings.system.data_dir / "reports" / f"audit-{certificate.digest}.html"
    return certificate, render(certificate, where)


def audit_plan(settings: Settings, request: AuditRequest, sessions: SessionTable, costs: Costs) -> AuditPlan:
    """The configured features, labels and training. Raises ConfigError."""
    model, timeframe = settings.model, settings.trading.timeframe
    path = model.user_features
    user = no_user_features(sessions) if path is None else load_user_features(path, sessions)
    registry = user.joined(default_registry())
    wanted = [*registry, *user.functions.names] if model.features == "all" else list(model.features)
    expressions = [n for n in wanted if n not in user.functions.names]
    functions = user.functions.chosen(tuple(n for n in wanted if n in user.functions.names))
    anchor = AnchorRule()  # the state starts at the first bar of the audit, wherever that is
    features = FeatureSet.of(timeframe, expressions, registry, anchor) if expressions else None
    labels = label_spec(settings.trading)

    def cost(number: int) -> float:
        return costs.round_trip_bps(EPOCH + timedelta(days=number), settings.trading.notional_inr, Kind.EQUITY) * 1e-4

    chosen = replace(user, expressions=tuple(f for f in user.expressions if f.name in expressions), functions=functions)
    sigma = FeatureSet.of(timeframe, ["sigma"], default_registry(), anchor)
    return AuditPlan(features, chosen, sigma, labels, train_spec(model), sessions, cost, request.seed)


@contextmanager
def _bars(settings: Settings, request: AuditRequest, sessions: SessionTable, clock: Clock, progress: Progress) -> Iterator[_Found]:
    if request.simulated:
        yield _simulated(settings, request, sessions)
        return
    with open_system(settings, clock) as system, recorded_run(system, "audit"):
        yield _stored(system, request, progress)


def _simulated(settings: Settings, request: AuditRequest, sessions: SessionTable) -> _Found:
    """The market of the demo; the session after it comes tick by tick."""
    s = settings.trading.synthetic
    market = build_market(settings.trading, sessions)
    first = max(0, s.sessions - request.sessions)
    instruments = [replace(instrument, id=k + 1) for k, instrument in enumerate(market.instruments)]
    bars = np.concatenate([market.bars(i) for i in range(first, s.sessions)])
    known_lists, session = lists_of(instruments, (), None, None), market.sessions[s.sessions]
    day = panel.day_of(session, len(instruments), sessions, known_lists)
    ticks = TickDay(session, day, market.ticks(s.sessions), settings.live.grace_ms * 1_000_000)
    known = AuditBars(
        bars,
        _has_volume(instruments),
        PriceRules(tick_sizes_of((), instruments)),
        known_lists,
        index_row(instruments, settings.model.index),
        (),
        ticks,
    )
    anchor = resolve_anchor(str(settings.model.anchor), [each.day for each in market.sessions[: s.sessions]])
    return _Found(instruments, known, f"simulated market, seed {s.seed}, edge {s.edge:g}", [], anchor)


def _stored(system: System, request: AuditRequest, progress: Progress) -> _Found:
    """The best bars of the database, and verify's word on the newest recorded day."""
    universe = {i.id: i for i in system.universe()}
    lowest, highest = request.first or date.min, request.last or date.max
    stored = [(i, day) for i, day, n in system.stores.bars.coverage() if n and i in universe and day <= highest]
    days: dict[date, set[int]] = {}
    for instrument_id, day in stored:
        if lowest <= day:
            days.setdefault(day, set()).add(instrument_id)
    if not days:
        raise NotEnoughData(f"audit: no stored bars of {len(universe)} instruments in that range: import some, or use --simulated")
    chosen = sorted(days)[-request.sessions :]
    instruments = _most_complete([universe[i] for i in sorted(universe)], [days[d] for d in chosen], request, system.settings)
    ids = [i.id for i in instruments]
    bars = system.stores.bars.read(ids, midnight_ns(chosen[0]), midnight_ns(chosen[-1] + timedelta(days=1)))
    membership = system.membership().between(chosen[0], chosen[-1])
    anchor = resolve_anchor(str(system.settings.model.anchor), [day for _, day in stored])
    prices = stored_price_rules(system.stores, system.sessions, instruments, chosen[0], chosen[-1])
    known = AuditBars(
        bars, _has_volume(instruments), prices, lists(system, instruments, membership, anchor),
        index_row(instruments, system.settings.model.index), _actions(system, ids),
    )  # fmt: skip
    return _Found(instruments, known, "the database, best version of each bar", _live(system, progress), anchor)


def _actions(system: System, ids: Sequence[int]) -> list[Action]:
    """The stored ones, by dense row."""
    row_of = {number: row for row, number in enumerate(ids)}
    return [replace(a, instrument_id=row_of[a.instrument_id]) for a in system.stores.corporate.actions(ids)]


def _most_complete(
    instruments: Sequence[Instrument], days: Sequence[set[int]], request: AuditRequest, settings: Settings
) -> list[Instrument]:
    """Those with bars on most of the days, the market index first of all; in order of kind and id, as training has them."""
    there = [i for i in instruments if any(i.id in day for day in days)]
    index = index_row(there, settings.model.index)
    first = None if index is None else there[index].id
    ranked = sorted(there, key=lambda i: (i.id != first, -sum(i.id in day for day in days), i.id))
    return sorted(ranked[: request.instruments], key=lambda i: (i.kind, i.id))


def _live(system: System, progress: Progress) -> list[Finding]:
    runs = newest_runs(system)
    if not runs:
        return [
            not_checked(RECORDED, Law.LIVE, "no day is recorded yet: run `intraday live` or `intraday replay`, then audit again")
        ]
    return list(verified_days(verify_days(system, runs[-1:], progress)))


def _has_volume(instruments: Sequence[Instrument]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([i.has_volume for i in instruments], np.bool_)


def _facts(plan: AuditPlan, found: _Found, request: AuditRequest) -> list[tuple[str, str]]:
    """What was audited, by what: enough to do it again and to tell another result from another input."""
    bars = found.bars.bars
    first, last = (str(day_of(int(bars["ts_ns"][k]))) if len(bars) else "none" for k in (0, -1))
    user, features = plan.user, plan.features
    functions = user.functions if user.functions.features else None
    return [
        ("Bars", f"{len(bars):,} one-minute bars of {len(found.instruments)} instruments, {first} to {last}"),
        ("Source", found.source),
        ("Digest of the bars", _digest(bars)),
        ("Decision bars", f"{plan.labels.timeframe} minutes"),
        ("Features", f"{len(features.features) if features else 0} expressions, {len(user.functions.features)} functions"),
        ("Feature set", replace(features, anchor=found.anchor, functions=functions).id if features else "none"),
        ("Anchor", f"{found.anchor.text} (of the set; audited from the first bar on)"),
        ("User features", f"{user.path.name}, sha256 {user.digest}" if user.digest else "none"),
        ("Label set", plan.labels.id),
        ("Circuit limits", _limits(found.bars.prices)),
        ("Kernels", SOURCE_HASH),
        ("Seed", str(request.seed)),
        ("Program", f"intraday {importlib.metadata.version('intraday')}, Python {platform.python_version()}"),
        ("Libraries", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)),
        ("Machine", f"{platform.machine()}, {platform.system()}"),
    ]


def _limits(prices: PriceRules) -> str:
    """How many labels may know of, in words."""
    known = 0 if prices.bands is None else int(np.isfinite(prices.bands.upper).sum())
    late = f", {prices.late:,} known too late to be used" if prices.late else ""
    return f"of {known:,} sessions of an instrument{late}"


def _digest(bars: Bars) -> str:
    return hashlib.sha256(np.ascontiguousarray(bars).tobytes()).hexdigest()[:16]
