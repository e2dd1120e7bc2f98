"""Hop 7: probabilities from feature vectors, by a model that was seen to fit this program's features."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F4, F8, I4, I8, Mask, Panel
from intraday.domain.errors import ArtifactError, SkewError
from intraday.domain.ports import FeatureSetRecord
from intraday.model.artifacts import Artifact, read
from intraday.model.boosting import raw_scores
from intraday.model.fingerprint import fingerprint
from intraday.model.reasons import contributions, largest

if TYPE_CHECKING:
    import lightgbm as lgb

ULP_MAX = 4

Recompute = Callable[[Panel, Mask], F4]


class ModelPredictor:
    """Predicts with one artifact. Built by ``load``; ``warnings`` are for the caller to log."""

    def __init__(self, artifact: Artifact, booster: lgb.Booster, warnings: tuple[str, ...]) -> None:
        self._booster = booster
        self._calibrator = artifact.calibrator
        self.artifact = artifact
        self.warnings = warnings

    @classmethod
    def load(cls, folder: Path, recompute: Recompute, features: FeatureSetRecord) -> ModelPredictor:
        """Read the folder, check every sha256, and prove that this program computes the features the model was trained on.

        ``recompute(panel, has_volume)`` computes float32 [T, S, F] from a cold start, the way the engine will; ``features`` is the
        program's own set. Names and order must match. The golden matrix must come out bit for bit on the fingerprint it was made
        on; elsewhere 4 float32 ulp pass with a warning. Then the golden predictions must come out.
        Raises ArtifactError for a damaged folder, SkewError naming the worst feature and both values.
        """
        import lightgbm as lgb  # loaded where it is used: most commands need none of it

        artifact = read(folder)
        warnings = _check_names(artifact, features)
        golden = artifact.golden
        same_machine = artifact.manifest["fingerprint"] == fingerprint()
        warnings += compare(artifact.features.names, golden.x, recompute(golden.panel, golden.has_volume), same_machine)
        try:
            booster = lgb.Booster(model_str=artifact.model_text)
        except lgb.basic.LightGBMError as error:
            raise ArtifactError(f"{folder}: LightGBM cannot read model.txt ({error}): train again") from error
        predictor = cls(artifact, booster, warnings)
        predictor._check_predictions()
        return predictor

    @property
    def observe(self) -> bool:
        """True unless the model's verdict is "edge": its signals are for watching only."""
        return self.artifact.verdict != "edge"

    def predict(self, x: F4) -> F8:
        """Calibrated probabilities float64 [b, 3] (down, hold, up) of float32 [b, F]; NaN features are LightGBM's missing values.

        One thread, no IO. A row's result is the same bits alone and in any batch.
        """
        return self._calibrator.apply(raw_scores(self._booster, x))

    def reasons(self, x: F4, side: NDArray[np.int8], k: int) -> list[tuple[tuple[str, float], ...]]:
        """The ``k`` features that speak most for the ``side`` said of each row of ``x``, with their parts (``model.reasons``)."""
        return largest(self.artifact.features.names, contributions(self._booster, x, side), k)

    def _check_predictions(self) -> None:
        golden = self.artifact.golden
        found = self.predict(golden.x.reshape(-1, golden.x.shape[2]))
        if not np.allclose(found, golden.p, rtol=0.0, atol=1e-9, equal_nan=True):
            worst = float(np.nanmax(np.abs(found - golden.p)))
            raise ArtifactError(
                f"{self.artifact.path}: this LightGBM predicts up to {worst:.2g} away from the golden predictions: train again",
            )


def compare(names: tuple[str, ...], want: F4, found: F4, same_machine: bool) -> tuple[str, ...]:
    """Compare the golden matrix with its recomputation; returns warnings or raises SkewError.

    ``want`` and ``found`` float32 [T, S, F]. Bit for bit (NaN equals NaN) passes; up to 4 ulp passes on another machine.
    """
    if found.shape != want.shape or found.dtype != np.float32:
        raise SkewError(f"expected features float32 {want.shape}, the program computes {found.dtype} {found.shape}: train again")
    distance = ulp_distance(want, found)
    worst = int(distance.max(initial=0))
    if worst == 0:
        return ()
    t, s, f = (int(i) for i in np.unravel_index(int(distance.argmax()), distance.shape))
    where = f"feature {names[f]!r} (golden bar {t}, instrument {s}): trained on {want[t, s, f]:.9g}, computed {found[t, s, f]:.9g}"
    if same_machine or worst > ULP_MAX:
        allowed = "bit for bit on this machine" if same_machine else f"within {ULP_MAX} ulp"
        differ = [names[i] for i in np.flatnonzero(distance.reshape(-1, len(names)).any(axis=0))]
        raise SkewError(f"{where}; expected equal {allowed}. {len(differ)} of {len(names)} features differ: train again")
    return (f"features differ by up to {worst} float32 ulp from those trained on (another machine): {where}",)


def ulp_distance(a: F4, b: F4) -> I8:
    """Steps of float32 between two arrays, elementwise; 0 for two NaN and for the two zeros, huge for a NaN against a number."""

    def ordered(v: F4) -> I8:
        bits: I4 = np.ascontiguousarray(v, dtype=np.float32).view(np.int32)
        wide = bits.astype(np.int64)
        return np.where(wide < 0, -(wide & 0x7FFFFFFF), wide).astype(np.int64)

    distance: I8 = np.abs(ordered(a) - ordered(b))
    nan_a, nan_b = np.isnan(a), np.isnan(b)
    distance[nan_a & nan_b] = 0
    distance[nan_a ^ nan_b] = np.int64(2) ** 32
    return distance


def _check_names(artifact: Artifact, features: FeatureSetRecord) -> tuple[str, ...]:
    """Same names, order and timeframe; another id alone (edited kernel sources) is left to the golden matrix."""
    want = artifact.features
    if want.timeframe != features.timeframe:
        raise SkewError(f"the model decides on {want.timeframe}-minute bars, the program on {features.timeframe}: train again")
    if want.names != features.names:
        at = next((i for i, (a, b) in enumerate(zip(want.names, features.names, strict=False)) if a != b), None)
        if at is None:
            raise SkewError(f"the model has {len(want.names)} features, the program {len(features.names)}: train again")
        raise SkewError(f"feature {at} is {want.names[at]!r} in the model and {features.names[at]!r} in the program: train again")
    if want.id != features.id:
        return (
            f"{_changed(want, features)} changed since the model was trained (feature set {want.id} then, {features.id} now); on "
            "the model's golden bars all values are the same, so it goes on",
        )
    return ()


def _changed(then: FeatureSetRecord, now: FeatureSetRecord) -> str:
    """In words, what two feature sets of the same names differ in."""
    words = {"code": "the program's code", "functions": "the file of user features", "features": "the text of features",
             "universe": "the universe", "anchor": "the anchor"}  # fmt: skip
    old, new = json.loads(then.definition), json.loads(now.definition)
    found = [word for key, word in words.items() if old.get(key) != new.get(key)]
    return " and ".join(found) or "something"
