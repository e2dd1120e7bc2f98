"""``intraday retrain``: a new challenger, on a schedule or when the world has moved; the champion stays who it is.

The decision and its reason are in the audit trail before anything is trained. Training registers its model only when it is whole,
and nothing here touches the champion: whenever it is killed, the champion is in place, and the next run goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from intraday.app import System, load_model, open_system
from intraday.app_models import drift_spec
from intraday.config.settings import RateLimits, Settings
from intraday.domain.clock import Clock
from intraday.domain.errors import ArtifactError, RegistryError
from intraday.domain.ports import Progress
from intraday.jobs.drift import DriftMeter, TooFew
from intraday.jobs.historical import run_historical
from intraday.jobs.outcome import Outcome, recorded_run
from intraday.model.drift import Drift, DriftSpec

WORST = 10  # features that the audit trail names


@dataclass(frozen=True, slots=True)
class Retrained:
    """What was decided and why, and what came of it. ``challenger``: the new model's id, None: nothing was trained.

    ``fresh`` is False where training gave the champion itself again: the same candles and settings. ``drift``: what was measured,
    None where nothing was, or too little to measure."""

    trained: bool
    reason: str
    champion: str | None
    challenger: str | None
    fresh: bool
    drift: Drift | None
    outcome: Outcome | None = None


def run_retrain(
    settings: Settings,
    clock: Clock,
    progress: Progress,
    *,
    if_drifted: bool = False,
    dry: bool = False,
    spec: DriftSpec | None = None,
    limits: RateLimits = RateLimits(),  # noqa: B008  frozen
    write: Callable[[str], object] = print,
) -> Retrained:
    """Train a challenger on what is stored by now; ``if_drifted``: only where the champion's world has moved; ``dry``: only say so.

    RegistryError with models but no champion: the newest would take over without a test. Raises as ``run_historical``.
    """
    with open_system(settings, clock) as system, recorded_run(system, "retrain") as run:
        decided = _decide(system, if_drifted, spec or drift_spec(settings.model), progress)
        detail = _detail(decided) | {"dry": dry}
        system.stores.runs.record(clock.now_ns(), "retrain: decided", detail)
        run.summary |= {"trained": decided.trained and not dry, "reason": decided.reason}
    if dry or not decided.trained:
        return decided
    outcome = run_historical(settings, clock, progress, limits=limits, write=write)
    model_id = str(outcome.summary["model_id"])
    fresh = model_id != decided.champion
    with open_system(settings, clock) as system:
        system.stores.runs.record(
            clock.now_ns(), "retrain: trained", {"model": model_id, "champion": decided.champion, "fresh": fresh}
        )
    return Retrained(True, decided.reason, decided.champion, model_id, fresh, decided.drift, outcome)


def _decide(system: System, if_drifted: bool, spec: DriftSpec, progress: Progress) -> Retrained:
    """Whether to train, in words."""
    champion = system.stores.registry.champion()
    if champion is None:
        if system.stores.models.latest() is not None:
            raise RegistryError(
                "expected a champion, found none: the newest model is used, so a retrained one would take over without a test; "
                "make one the first champion (`intraday models promote ID`)"
            )
        return Retrained(True, "there is no model yet", None, None, True, None)
    if not if_drifted:
        return Retrained(True, "asked to, whatever the drift", champion.model_id, None, True, None)
    try:
        model = load_model(system, champion.model_id)
    except ArtifactError as error:  # its features are no longer those of this program, or its files are damaged
        return Retrained(True, f"the champion cannot be used: {error}", champion.model_id, None, True, None)
    found = DriftMeter(system, model, spec, progress).measure()
    if isinstance(found, TooFew):
        return Retrained(False, found.words, champion.model_id, None, True, None)
    words = "; ".join(found.reasons)
    return Retrained(found.drifted, f"{'drift' if found.drifted else 'no drift'}: {words}", champion.model_id, None, True, found)


def _detail(decided: Retrained) -> dict[str, Any]:
    """For the audit trail: the words, and the figures behind them."""
    detail: dict[str, Any] = {"train": decided.trained, "reason": decided.reason, "champion": decided.champion}
    drift = decided.drift
    if drift is None:
        return detail
    return detail | {
        "trained_sessions": drift.trained_sessions,
        "later_sessions": drift.later_sessions,
        "share_moved": drift.share_moved,
        "worst": [asdict(feature) for feature in drift.features[:WORST]],
        "predictions": [asdict(prediction) for prediction in drift.predictions],
        "calibration": None if drift.calibration is None else asdict(drift.calibration),
    }
