"""``intraday models``: which model is the champion, which are challengers, and how that changes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from intraday.app import System, load_model, open_system
from intraday.app_registry import cannot_run, fits_no_more
from intraday.app_verdict import tried_by_now, verdict_today
from intraday.config.settings import Settings
from intraday.domain.clock import Clock
from intraday.domain.errors import RegistryError
from intraday.domain.learning import Comparison, Promotion, Role, Trial
from intraday.domain.ports import ModelRecord
from intraday.jobs.outcome import recorded_run

NO_CHAMPION = "no champion: the newest model is used; `intraday models promote ID` makes one the first champion, without a test"

UNTESTED = "without a test"  # how the reason of such a promotion begins


@dataclass(frozen=True, slots=True)
class ShownModel:
    """A registered model. ``in_use``: its signals are the system's. ``verdict`` is that of its training, ``verdict_today`` by all
    configurations tried by now, and where they differ ``verdict_note`` says why.
    Figures are out of sample, bps of the notional a trade."""

    id: str
    role: Role
    in_use: bool
    verdict: str
    trained_from: date
    trained_to: date
    trades: int
    net_bps_trade: float
    test: str  # where it stands against the champion, in words
    verdict_today: str
    verdict_note: str


@dataclass(frozen=True, slots=True)
class Registry:
    """All models, newest first."""

    champion: str | None
    in_use: str | None
    note: str
    models: tuple[ShownModel, ...]


@dataclass(frozen=True, slots=True)
class ModelPage:
    """One model with its own words, its tests and its time as champion, newest first."""

    model: ShownModel
    reason: str
    features: int
    labels: str
    path: str
    figures: Mapping[str, Any]
    promotions: tuple[Promotion, ...]
    comparisons: tuple[Comparison, ...]
    primary: str | None = None  # the feature that says the sides


def list_models(settings: Settings, clock: Clock) -> Registry:
    """Everything that is registered."""
    with open_system(settings, clock) as system:
        return registry_of(system)


def registry_of(system: System) -> Registry:
    """The same on an open system."""
    champion, records = system.stores.registry.champion(), system.stores.models.all()
    name = None if champion is None else champion.model_id
    in_use = name or (records[0].id if records else None)
    tests = system.stores.registry.comparisons(champion_id=name) if name else []
    tried = tried_by_now(system.stores.trials)
    models = tuple(_shown(record, name, in_use, tests, tried) for record in records)
    note = "" if name or not records else NO_CHAMPION
    if champion is not None and champion.kind == "rollback" and champion.reason.startswith(UNTESTED):
        note = f"the champion took over {champion.reason}"
    return Registry(name, in_use, note, models)


def show(settings: Settings, clock: Clock, wanted: str) -> ModelPage:
    """One model; ``wanted`` is its id or the start of it."""
    with open_system(settings, clock) as system:
        record, registry = find(system, wanted), system.stores.registry
        shown = next(m for m in registry_of(system).models if m.id == record.id)
        manifest = json.loads(record.manifest)
        return ModelPage(
            model=shown,
            reason=manifest.get("reason", ""),
            features=len(manifest.get("features", {}).get("names", ())),
            labels=record.label_set_id,
            path=record.path,
            primary=manifest.get("training", {}).get("primary"),
            figures={name: value for name, value in manifest.get("metrics", {}).items() if isinstance(value, int | float)},
            promotions=tuple(p for p in registry.promotions() if record.id in (p.model_id, p.previous_id)),
            comparisons=tuple(c for c in registry.comparisons() if record.id in (c.champion_id, c.challenger_id)),
        )


def promote(settings: Settings, clock: Clock, wanted: str, instead: str = "") -> Promotion:
    """Make a model the champion, if it won its declared test against the present one. The very first needs none, nor does whoever
    takes the place of a champion that cannot run here, whom nobody can be tested against: one whose files are damaged, or one that
    does not fit any more (another universe or timeframe), and then the person says why, ``instead``, for the record.

    RegistryError when it did not; ArtifactError, SkewError for a model that can't be used here.
    """
    with open_system(settings, clock) as system, recorded_run(system, "models promote") as run:
        model, registry = find(system, wanted), system.stores.registry
        champion = registry.champion()
        kind, number, reason = "first", 0, "the first champion"
        if champion is not None:
            kind, number, reason = _entitled(system, champion.model_id, model.id, instead)
        load_model(system, model.id)  # its files are whole, and this program computes its features
        today = verdict_today(json.loads(model.manifest), tried_by_now(system.stores.trials))
        reason += f"; {today.note}" if today.note else ""
        previous = "" if champion is None else champion.model_id
        done = registry.promote(model.id, previous, system.clock.now_ns(), kind, number, reason)
        run.summary |= {"champion": done.model_id, "previous": done.previous_id, "reason": reason}
        return done


def rollback(settings: Settings, clock: Clock) -> Promotion:
    """Back to the champion before; once more, to the one before that. RegistryError when there was none."""
    with open_system(settings, clock) as system, recorded_run(system, "models rollback") as run:
        registry = system.stores.registry
        line = reign(registry.promotions())
        if len(line) < 2:
            found = f"only {line[0]}, the first" if line else "no champion at all"
            raise RegistryError(
                f"expected a champion before the present one, found {found}: there is nothing to go back to"
                f"{_way_out(system, line[0]) if line else ''}"
            )
        load_model(system, line[-2])
        reason = f"back from {line[-1]}"
        done = registry.promote(line[-2], line[-1], system.clock.now_ns(), "rollback", 0, reason)
        run.summary |= {"champion": done.model_id, "previous": done.previous_id, "reason": reason}
        return done


def reign(promotions: Sequence[Promotion]) -> list[str]:
    """The champions that led to the present one, which is the last; a rollback takes one away, and may put another one in its
    place. ``promotions`` newest first."""
    line: list[str] = []
    for step in reversed(promotions):
        if step.kind == "rollback":
            line.pop()
        if line[-1:] != [step.model_id]:  # a rollback to none of them took the place of a champion that could not run
            line.append(step.model_id)
    return line


def find(system: System, wanted: str) -> ModelRecord:
    """The model of that id, or the only one whose id begins so. ArtifactError, RegistryError otherwise."""
    return system.stores.models.get(wanted)


def _way_out(system: System, champion_id: str) -> str:
    broken = cannot_run(system, champion_id)
    return f". It cannot run here ({broken}), so `intraday models promote ID` takes another one without a test" if broken else ""


def _entitled(system: System, champion_id: str, model_id: str, instead: str) -> tuple[str, int, str]:
    """Why the model may take the champion's place: (kind, number of the test it won or 0, in words)."""
    try:
        won = _won(system, champion_id, model_id)
    except RegistryError:
        broken = "" if champion_id == model_id else cannot_run(system, champion_id)
        if not broken:
            raise
        if fits_no_more(system, champion_id) and not instead.strip():
            raise RegistryError(
                f"the champion {champion_id} cannot run here: {broken}. Set back what was changed and it is tested against; if the "
                "change is for good, nobody can be: say why with --instead REASON, which `models list` shows from then on"
            ) from None
        why = f"; {instead.strip()}" if instead.strip() else ""
        return "rollback", 0, f"{UNTESTED}, since the champion {champion_id} cannot run here: {broken}{why}"
    return "promote", won.id, f"won comparison {won.id}: p {won.p_value:.4g} over {won.n_sessions} sessions"


def _won(system: System, champion_id: str, model_id: str) -> Comparison:
    """The test that entitles the model."""
    if champion_id == model_id:
        raise RegistryError(f"{model_id} is the champion already")
    registry = system.stores.registry
    tests, used = registry.comparisons(champion_id, model_id), {p.comparison_id for p in registry.promotions()}
    won = [test for test in tests if test.outcome == "challenger" and test.id not in used]
    if not won:
        raise RegistryError(
            f"{model_id} has not won a test against the champion {champion_id}, without which nothing is promoted; "
            f"found: {standing(tests)}. Declare one with `intraday models compare {model_id} --declare`"
        )
    return won[0]


def standing(tests: Sequence[Comparison]) -> str:
    """Where a challenger stands, by its tests against one champion, newest first."""
    if not tests:
        return "no test"
    newest, n = tests[0], len(tests)
    words = {
        "": f"test {newest.id} is open",
        "challenger": f"won test {newest.id} (p {newest.p_value:.3g})",
        "champion": f"lost test {newest.id} (p {newest.p_value:.3g})",
        "void": f"gave up test {newest.id}",
    }[newest.outcome]
    return words if n == 1 else f"{words}, its {n}. test"


def _shown(
    record: ModelRecord, champion: str | None, in_use: str | None, tests: Sequence[Comparison], tried: Sequence[Trial]
) -> ShownModel:
    manifest = json.loads(record.manifest)
    metrics, today = manifest.get("metrics", {}), verdict_today({"verdict": record.verdict} | manifest, tried)
    own = [test for test in tests if test.challenger_id == record.id]
    return ShownModel(
        id=record.id,
        role=Role.CHAMPION if record.id == champion else Role.CHALLENGER,
        in_use=record.id == in_use,
        verdict=record.verdict,
        trained_from=record.trained_from,
        trained_to=record.trained_to,
        trades=int(metrics.get("trades") or 0),
        net_bps_trade=float("nan") if metrics.get("net_bps_trade") is None else float(metrics["net_bps_trade"]),
        test="" if record.id == champion or champion is None else standing(own),
        verdict_today=today.word,
        verdict_note=today.note,
    )
