"""``intraday audit``: the leakage certificate of the configured features, labels, folds and model on stored or made-up bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

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
from intraday.core.lists import index_row, lists_of
from intraday.core.price_rules import PriceRules, tick_sizes_of
from intraday.core.registry import default_registry
from intraday.core.user_features import load_user_features, no_user_features
from intraday.domain.clock import Clock
from intraday.domain.corporate import Action
from intraday.domain.errors import InputError, NotEnoughData
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.ports import Progress, RunDay
from intraday.domain.session import EPOCH, SessionTable, day_of, midnight_ns
from intraday.jobs.audit_facts import Found, code_digests, facts
from intraday.jobs.outcome import recorded_run
from intraday.jobs.verify import newest_runs, verify_days
from intraday.report.audit_page import render, replaced

RECORDED = "a recorded day"
EVERY = 1_000_000  # sessions: of a range that is known by its days


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What to audit on. The last ``sessions`` sessions from ``first`` to ``last`` (None: all that is stored), and at most
    ``instruments`` instruments, those with most days, the market index among them; or those of ``symbols`` and no others.
    ``simulated``: the made-up market instead."""

    who: str
    first: date | None = None
    last: date | None = None
    sessions: int = 30
    instruments: int = 20
    simulated: bool = False
    seed: int = 0
    symbols: tuple[str, ...] = ()


def run_audit(settings: Settings, request: AuditRequest, clock: Clock, progress: Progress) -> tuple[Certificate, Path]:
    """The certificate and its page, a JSON file of the same name beside it.

    ConfigError for user features that cannot be run, NotEnoughData without bars.
    """
    code, plan = code_digests(), audit_plan(settings, request)  # first of all: what the user wrote may not even load
    with _found(settings, request, plan.sessions, clock, progress) as found:
        findings = [*Audit(plan, found.bars, progress).findings(), *found.live()]
        known = facts(plan, found, settings.trading.notional_inr, code)
    symbols = [i.key for i in found.instruments]
    own = [*map(described, plan.user.expressions), *map(described, plan.user.functions.features)]
    certificate = Certificate(request.who, clock.now_ns(), known, symbols, findings, own, _asked(request, found))
    where = settings.system.data_dir / "reports" / f"audit-{certificate.digest}.html"
    replaced(where.with_suffix(".json"), certificate.kept())
    return certificate, render(certificate, where)


def facts_now(settings: Settings, asked: Mapping[str, Any], clock: Clock, progress: Progress) -> tuple[list[tuple[str, str]], int]:
    """The facts that an audit of the same bars would have today, and how many sessions are stored after them.

    ``asked``: a certificate's. Raises what ``run_audit`` raises, and InputError when ``asked`` names no bars.
    """
    try:
        first, last = (None if asked[key] is None else date.fromisoformat(asked[key]) for key in ("first", "last"))
        request = AuditRequest(
            "", first, last, int(asked["sessions"]), simulated=bool(asked["simulated"]), seed=int(asked["seed"]),
            symbols=tuple(map(str, asked["symbols"])),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the certificate does not say which bars it is about ({type(error).__name__}: {error})") from error
    plan = audit_plan(settings, request)
    with _found(settings, request, plan.sessions, clock, progress) as found:
        return facts(plan, found, settings.trading.notional_inr, code_digests()), found.newer


def _asked(request: AuditRequest, found: Found) -> dict[str, Any]:
    """What finds the same bars again: days and symbols, whatever is imported later; on the made-up market what was asked."""
    ts_ns = found.bars.bars["ts_ns"]
    days = [None, None] if request.simulated else [str(day_of(int(ts_ns[k]))) for k in (0, -1)]
    sessions = request.sessions if request.simulated else EVERY
    symbols = [] if request.simulated else [i.key for i in found.instruments]
    return {
        "simulated": request.simulated, "first": days[0], "last": days[1], "sessions": sessions, "symbols": symbols,
        "seed": request.seed,
    }  # fmt: skip


def audit_plan(settings: Settings, request: AuditRequest) -> AuditPlan:
    """The configured features, labels and training. Raises ConfigError."""
    sessions, costs = SessionTable.load(), Costs.load()
    model, timeframe = settings.model, settings.trading.timeframe
    path = model.user_features
    user = no_user_features(sessions) if path is None else load_user_features(path, sessions, timeframe)
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
def _found(settings: Settings, request: AuditRequest, sessions: SessionTable, clock: Clock, progress: Progress) -> Iterator[Found]:
    if request.simulated:
        yield _simulated(settings, request, sessions)
        return
    with open_system(settings, clock) as system, recorded_run(system, "audit"):
        yield _stored(system, request, progress)


def _simulated(settings: Settings, request: AuditRequest, sessions: SessionTable) -> Found:
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
    return Found(instruments, known, f"simulated market, seed {s.seed}, edge {s.edge:g}", anchor, list)


def _stored(system: System, request: AuditRequest, progress: Progress) -> Found:
    """The best bars of the database, and verify's word on the newest recorded day."""
    universe = {i.id: i for i in system.universe()}
    lowest, highest = request.first or date.min, request.last or date.max
    coverage = system.stores.bars.coverage()
    stored = [(i, day) for i, day, n in coverage if n and i in universe and day <= highest]
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
    runs = newest_runs(system)[-1:]
    return Found(
        instruments, known, "the database, best version of each bar", anchor, partial(_live, system, runs, progress),
        ", ".join(f"{run.day} {run.source}, run {run.run_id}" for run in runs) or "none",
        len({day for i, day, n in coverage if n and i in universe and day > chosen[-1]}),
    )  # fmt: skip


def _actions(system: System, ids: Sequence[int]) -> list[Action]:
    """The stored ones, by dense row."""
    row_of = {number: row for row, number in enumerate(ids)}
    return [replace(a, instrument_id=row_of[a.instrument_id]) for a in system.stores.corporate.actions(ids)]


def _most_complete(
    instruments: Sequence[Instrument], days: Sequence[set[int]], request: AuditRequest, settings: Settings
) -> list[Instrument]:
    """Those with bars on most of the days, the market index first of all; in order of kind and id, as training has them."""
    there = [i for i in instruments if any(i.id in day for day in days) and (not request.symbols or i.key in request.symbols)]
    index = index_row(there, settings.model.index)
    first = None if index is None else there[index].id
    ranked = sorted(there, key=lambda i: (i.id != first, -sum(i.id in day for day in days), i.id))
    return sorted(ranked[: len(request.symbols) or request.instruments], key=lambda i: (i.kind, i.id))


def _live(system: System, runs: Sequence[RunDay], progress: Progress) -> list[Finding]:
    if not runs:
        return [
            not_checked(RECORDED, Law.LIVE, "no day is recorded yet: run `intraday live` or `intraday replay`, then audit again")
        ]
    return list(verified_days(verify_days(system, runs, progress)))


def _has_volume(instruments: Sequence[Instrument]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([i.has_volume for i in instruments], np.bool_)
