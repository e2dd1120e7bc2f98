"""A model on disk: one folder, plain files, every one of them named by its sha256 in the manifest. No pickle.

``<directory>/<model_id>/``
    model.txt      LightGBM's text format
    manifest.json  what it was trained on and with, its figures, verdict, calibrator and decision rule, and the files' sha256
    golden.npz     bars of a few instruments over the last sessions, the features computed from them and the predictions
    oos.npz        the out-of-sample predictions behind the figures
    shap.npz       what the features did to a sample of them, where that was asked for

``model_id`` hashes all of that, so the same data, spec, library versions and machine give the same id, and a second save changes
nothing. A folder is written under a temporary name and renamed: it is there completely or not at all.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.core.decision import DecisionRule
from intraday.domain.arrays import F4, F8, Mask, Panel
from intraday.domain.errors import ArtifactError
from intraday.domain.ports import FeatureSetRecord
from intraday.model.boosting import raw_scores
from intraday.model.calibration import Calibrator
from intraday.model.fingerprint import fingerprint
from intraday.model.metrics import OutOfSample
from intraday.model.trained import Explained, Trained

FORMAT = 2
MODEL, MANIFEST, GOLDEN, OOS, SHAP = "model.txt", "manifest.json", "golden.npz", "oos.npz", "shap.npz"
NEEDED = frozenset({MODEL, GOLDEN, OOS})


@dataclass(frozen=True, slots=True)
class Golden:
    """What must come out again: ``x`` float32 [T, S, F] of ``panel`` from a cold start, ``p`` float64 [T * S, 3] from ``x``."""

    panel: Panel
    has_volume: Mask
    x: F4
    p: F8


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where the rows came from."""

    features: FeatureSetRecord
    anchor: str  # rule of the recursive state's start
    label_set_id: str
    label_definition: str  # JSON
    view: str  # which bars were read, for example "best version" or "source import"
    symbols: tuple[str, ...]
    universe: str = "all symbols on every day"  # who was learned from when


@dataclass(frozen=True, slots=True)
class Artifact:
    """A folder that was read and whose files are what their sha256 says."""

    id: str
    path: Path
    model_text: str
    manifest: Mapping[str, Any]
    features: FeatureSetRecord
    calibrator: Calibrator
    rule: DecisionRule
    cost: float  # round trip of the last training session, as a return
    verdict: str
    golden: Golden

    @property
    def primary(self) -> str | None:
        """The feature that says the sides; None: the model says them itself."""
        name = self.manifest["training"].get("primary")
        return None if name is None else str(name)


def save(directory: Path, trained: Trained, lineage: Lineage, panel: Panel, has_volume: Mask, x: F4) -> Artifact:
    """Write the artifact of ``trained`` below ``directory`` and read it back.

    ``x`` float32 [T, S, F] are the features of the golden ``panel`` (a few instruments, the last sessions) from a cold start.
    """
    import lightgbm as lgb  # loaded where it is used: most commands need none of it

    assert lineage.features.names == trained.feature_names, "the feature set is not the one the model was trained on"
    assert x.shape == (len(panel), panel.n_instruments, len(trained.feature_names)), x.shape
    calibrator = trained.calibrator
    p = calibrator.apply(raw_scores(lgb.Booster(model_str=trained.model_text), x.reshape(-1, x.shape[2])))
    files = {
        MODEL: trained.model_text.encode(),
        GOLDEN: _npz({**_panel_arrays(panel), "has_volume": has_volume, "x": x, "p": p}),
        OOS: _npz({f.name: getattr(trained.oos, f.name) for f in fields(trained.oos)}),
    }
    if trained.explained is not None:
        files[SHAP] = _npz({f.name: np.asarray(getattr(trained.explained, f.name)) for f in fields(trained.explained)})
    manifest = _manifest(trained, lineage) | {"sha256": {name: _sha256(content) for name, content in files.items()}}
    model_id = _sha256(_json(manifest))[:16]
    files[MANIFEST] = _json(manifest | {"id": model_id})
    _write(directory / model_id, files)
    return read(directory / model_id)


def read(folder: Path) -> Artifact:
    """Read a folder and check every file against its sha256. Raises ArtifactError naming the file and what is wrong."""
    manifest = _read_manifest(folder)
    content = {name: _checked(folder / name, want) for name, want in _sha256s(folder, manifest).items()}
    try:
        return _assemble(folder, manifest, content)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{folder}: the manifest or the golden file is incomplete ({error!r}): train again") from error


def _sha256s(folder: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    found = manifest.get("sha256")
    if not isinstance(found, dict) or not NEEDED <= set(found) <= NEEDED | {SHAP}:
        raise ArtifactError(
            f"{folder / MANIFEST}: expected the sha256 of {', '.join(sorted(NEEDED))}, found {found!r}: train again"
        )
    return found


def _checked(path: Path, want: str) -> bytes:
    content = _read_file(path)
    found = _sha256(content)
    if found != want:
        raise ArtifactError(f"{path}: altered or damaged (sha256 {found[:12]}, manifest says {str(want)[:12]}): train again")
    return content


def read_oos(folder: Path) -> OutOfSample:
    """The out-of-sample predictions of an artifact, for reports."""
    with np.load(io.BytesIO(_read_file(folder / OOS)), allow_pickle=False) as file:
        return OutOfSample(*(file[f.name] for f in fields(OutOfSample)))


def read_explained(folder: Path) -> Explained | None:
    """What the features did to out-of-sample rows, for reports; None where nobody asked."""
    if not (folder / SHAP).exists():
        return None
    with np.load(io.BytesIO(_read_file(folder / SHAP)), allow_pickle=False) as file:
        names = tuple(str(name) for name in file["names"])
        return Explained(file["size"], names, file["toward_up"], file["quantile"])


def _manifest(trained: Trained, lineage: Lineage) -> dict[str, Any]:
    features = lineage.features
    return {
        "format": FORMAT,
        "features": {
            "id": features.id,
            "timeframe": features.timeframe,
            "names": list(features.names),
            "definition": features.definition,
            "anchor": lineage.anchor,
        },
        "labels": {"id": lineage.label_set_id, "definition": lineage.label_definition},
        "data": {
            "view": lineage.view,
            "symbols": list(lineage.symbols),
            "universe": lineage.universe,
            "first_session": trained.sessions[0],
            "last_session": trained.sessions[1],
            "rows": trained.rows,
            "effective_rows": trained.effective_rows,
            "label_counts": dict(zip(("down", "hold", "up"), trained.label_counts, strict=True)),
        },
        "training": trained.spec.record() | {"rounds": trained.rounds, "parameters": json.loads(trained.parameters)},
        "folds": [asdict(f) for f in trained.folds],
        "metrics": asdict(trained.metrics),
        "reliability": trained.reliability.to_dict(),
        "baselines": [one.to_dict() for one in trained.baselines],
        "verdict": trained.verdict,
        "reason": trained.reason,
        "judged": asdict(trained.judged),
        "calibrator": trained.calibrator.to_dict(),
        "decision": {**asdict(trained.rule), "cost": trained.cost},
        "importance": [asdict(i) for i in trained.importance],
        "gain_by_fold": trained.gain_by_fold.tolist(),
        "trials": [
            {"id": t.id, "kind": t.kind, "parameters": t.parameters, "value": t.value, "state": t.state, "note": t.note}
            for t in trained.trials
        ],
        "cross_validation": None if trained.paths is None else asdict(trained.paths),
        "fingerprint": fingerprint(),
    }


def _assemble(folder: Path, manifest: Mapping[str, Any], content: Mapping[str, bytes]) -> Artifact:
    names = manifest["features"]
    decision = manifest["decision"]
    return Artifact(
        id=manifest["id"],
        path=folder,
        model_text=content[MODEL].decode(),
        manifest=manifest,
        features=FeatureSetRecord(names["id"], names["timeframe"], tuple(names["names"]), names["definition"]),
        calibrator=Calibrator.from_dict(manifest["calibrator"]),
        rule=DecisionRule(
            _three(decision["long"]), _three(decision["short"]), _number(decision["threshold"]), _number(decision["shown"])
        ),
        cost=_number(decision["cost"]),
        verdict=manifest["verdict"],
        golden=_golden(content[GOLDEN]),
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    content = _read_file(path)
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise ArtifactError(f"{path}: not JSON ({error}): train again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise ArtifactError(f"{path}: expected artifact format {FORMAT}, found {found!r}: train again with this version")
    claimed = manifest.get("id")
    actual = _sha256(_json({k: v for k, v in manifest.items() if k != "id"}))[:16]
    if claimed != actual or content != _json(manifest):
        raise ArtifactError(f"{path}: altered (its content hashes to {actual}, it says {claimed}): train again")
    if folder.name != claimed:
        raise ArtifactError(f"{path}: of model {claimed}, in a folder named {folder.name}: give it its name back or train again")
    return manifest


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}): give the folder of a trained model") from error


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """All files under a temporary name, then one rename; an intact folder of that id holds the same content and is left alone."""
    if folder.exists():
        try:
            read(folder)
        except ArtifactError:
            shutil.rmtree(folder)
        else:
            return
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for name, content in files.items():
            with (temporary / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(folder)
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be written ({error.strerror}); nothing was kept") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _panel_arrays(panel: Panel) -> dict[str, NDArray[Any]]:
    arrays = {f.name: getattr(panel, f.name) for f in fields(panel) if f.name != "timeframe"}
    return {"timeframe": np.array(panel.timeframe)} | arrays


def _golden(content: bytes) -> Golden:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        panel = Panel(int(file["timeframe"]), *(file[f.name] for f in fields(Panel) if f.name != "timeframe"))
        return Golden(panel, file["has_volume"], file["x"], file["p"])


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A zip of .npy files; numpy gives its members a fixed date, so equal arrays give equal bytes."""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays, allow_pickle=False)
    return out.getvalue()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(_plain(value), indent=1, sort_keys=True, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    """JSON has no NaN or infinity: they become null and the words "inf", "-inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _number(value: Any) -> float:
    """A number of the manifest: "inf" and "-inf" are words there."""
    return float(value)


def _three(values: Any) -> tuple[float, float, float]:
    a, b, c = (_number(v) for v in values)
    return a, b, c
