from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intraday.domain.arrays import F4, MINUTE_NS, Mask, Panel
from intraday.domain.errors import ArtifactError, SkewError
from intraday.domain.ports import FeatureSetRecord
from intraday.model.artifacts import MANIFEST, MODEL, OOS, SHAP, Artifact, Lineage, read, read_explained, read_oos, save
from intraday.model.cpcv import CpcvSpec
from intraday.model.predictor import ModelPredictor, compare, ulp_distance
from intraday.model.splits import SplitSpec
from intraday.model.trainer import LGBMTrainer, Trained, TrainSpec
from model_cases import NAMES, dataset

FEATURES = FeatureSetRecord("f" * 16, 5, NAMES, '{"signal": "made up"}')
LINEAGE = Lineage(FEATURES, "previous_quarter", "l" * 16, '{"horizon_min": 60}', "best version", ("NSE:AAA", "NSE:BBB"))


def panel() -> Panel:
    rng = np.random.default_rng(4)
    t, s = 12, 3
    price = 100 + np.cumsum(rng.standard_normal((t, s)), axis=0)
    mask = rng.random((t, s)) < 0.9
    price[~mask] = np.nan
    ts = np.arange(t, dtype=np.int64) * 5 * MINUTE_NS
    return Panel(
        5,
        ts,
        np.zeros(t, dtype=np.int32),
        np.arange(t) * 5.0,
        np.full((t, s), 375.0),
        np.ones((t, s), np.bool_),
        price,
        price + 1,
        price - 1,
        price,
        price * 10,
        mask,
    )


def compute(panel: Panel, has_volume: Mask) -> F4:
    """Four made-up features [T, S, 4]."""
    volume = np.where(has_volume, panel.volume, np.nan)
    minute = np.broadcast_to(panel.minute[:, None], panel.close.shape)
    return np.stack([panel.close / panel.open - 1, panel.high - panel.low, volume, minute], axis=2).astype(np.float32)


@pytest.fixture(scope="module")
def trained() -> Trained:
    spec = TrainSpec(
        split=SplitSpec(min_train=12, test=5), num_boost_round=30, min_data_in_leaf=50, threads=1, explained_rows=30,
        cpcv=CpcvSpec(3, 1), baselines=True,
    )  # fmt: skip
    return LGBMTrainer(spec).train(dataset(sessions=20), NAMES)


def store(directory: Path, trained: Trained) -> Artifact:
    golden, has_volume = panel(), np.array([True, True, False])
    return save(directory, trained, LINEAGE, golden, has_volume, compute(golden, has_volume))


@pytest.fixture
def artifact(tmp_path: Path, trained: Trained) -> Artifact:
    return store(tmp_path / "models", trained)


def test_what_was_saved_comes_back(artifact: Artifact, trained: Trained) -> None:
    again = read(artifact.path)
    assert again.path.name == again.id == artifact.id
    assert again.features == FEATURES
    assert (again.calibrator, again.rule, again.cost) == (trained.calibrator, trained.rule, trained.cost)
    assert again.verdict == trained.verdict
    assert again.manifest["metrics"]["log_loss"] == trained.metrics.log_loss
    assert again.manifest["labels"] == {"id": "l" * 16, "definition": '{"horizon_min": 60}'}
    oos = read_oos(artifact.path)
    assert oos.p.tobytes() == trained.oos.p.tobytes()
    assert oos.side.dtype == np.int8
    assert again.golden.panel.close.tobytes() == panel().close.tobytes()


def test_the_same_model_has_the_same_id_and_bytes(tmp_path: Path, artifact: Artifact, trained: Trained) -> None:
    other = store(tmp_path / "elsewhere", trained)
    assert other.id == artifact.id
    for file in artifact.path.iterdir():
        assert file.read_bytes() == (other.path / file.name).read_bytes(), file.name
    threads = store(tmp_path / "models", replace(trained, spec=replace(trained.spec, threads=7)))
    assert threads.id == artifact.id
    changed = store(tmp_path / "models", replace(trained, cost=trained.cost * 2))
    assert changed.id != artifact.id
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == sorted([artifact.id, changed.id])  # no temporary folder left


def test_saving_again_changes_nothing_and_mends_a_damaged_folder(tmp_path: Path, artifact: Artifact, trained: Trained) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in artifact.path.iterdir()}
    store(tmp_path / "models", trained)
    assert {p.name: p.stat().st_mtime_ns for p in artifact.path.iterdir()} == before
    (artifact.path / OOS).unlink()
    store(tmp_path / "models", trained)
    assert read(artifact.path).id == artifact.id


def damaged(content: bytes) -> Iterator[bytes]:
    """With one bit of a byte flipped, cut short, or longer: at both ends and at places in between."""
    for at in sorted({0, 1, len(content) - 1, *range(0, len(content), max(1, len(content) // 25))}):
        for bit in (0, 5):
            yield content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]
        yield content[:at]
    yield content + b"\n"


@pytest.mark.parametrize("name", [MODEL, "golden.npz", OOS, SHAP, MANIFEST])
def test_any_byte_that_is_changed_missing_or_added_is_refused(artifact: Artifact, name: str) -> None:
    path = artifact.path / name
    content = path.read_bytes()
    reason = r"altered|not JSON|expected artifact format|not text" if name == MANIFEST else "altered or damaged"
    for other in damaged(content):
        path.write_bytes(other)
        with pytest.raises(ArtifactError, match=name.replace(".", r"\.") + f".*({reason})"):
            read(artifact.path)
    path.write_bytes(content)
    assert read(artifact.path).id == artifact.id
    path.unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        read(artifact.path)


def manifest_with(artifact: Artifact, change: Callable[[dict[str, object]], None]) -> None:
    path = artifact.path / MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest, indent=1, sort_keys=True))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values of a JSON document; of lists the first and the last."""
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list) and value:
        for k in {0, len(value) - 1}:
            yield from leaves(value[k], (*path, k))
    else:
        yield path


def other_than(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return "edge" if value != "edge" else "no edge"


def test_any_value_that_is_edited_in_the_manifest_is_refused(artifact: Artifact) -> None:
    text = (artifact.path / MANIFEST).read_text()
    places = list(leaves(json.loads(text)))
    assert len(places) > 150
    for place in places:
        manifest = json.loads(text)
        inner: Any = manifest
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = other_than(inner[place[-1]])
        (artifact.path / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
        with pytest.raises(ArtifactError, match=r"manifest.json: (altered|expected artifact format)"):
            read(artifact.path)
    (artifact.path / MANIFEST).write_text(text)
    assert read(artifact.path).id == artifact.id


def test_an_edited_manifest_with_a_new_id_is_another_model(artifact: Artifact) -> None:
    """Whoever makes the id fit again has to rename the folder, and then it is not the model that the registry knows."""

    def forge(manifest: dict[str, object]) -> None:
        del manifest["id"]
        manifest["verdict"] = "edge"
        content = json.dumps(manifest, indent=1, sort_keys=True).encode()
        manifest["id"] = hashlib.sha256(content).hexdigest()[:16]

    manifest_with(artifact, forge)
    with pytest.raises(ArtifactError, match=f"in a folder named {artifact.id}"):
        read(artifact.path)


def test_a_manifest_that_leaves_a_file_out_is_refused(artifact: Artifact) -> None:
    path = artifact.path / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["sha256"][OOS], manifest["id"]
    content = json.dumps(manifest, indent=1, sort_keys=True).encode()
    manifest["id"] = hashlib.sha256(content).hexdigest()[:16]
    path.write_text(json.dumps(manifest, indent=1, sort_keys=True))
    folder = artifact.path.rename(artifact.path.with_name(manifest["id"]))
    with pytest.raises(ArtifactError, match="expected the sha256 of golden.npz, model.txt, oos.npz"):
        read(folder)


def test_format_1_says_train_again(artifact: Artifact) -> None:
    manifest_with(artifact, lambda m: m.update(format=1))
    with pytest.raises(ArtifactError, match="expected artifact format 2, found 1: train again"):
        read(artifact.path)


def test_explanations_come_back(artifact: Artifact, trained: Trained) -> None:
    found, want = read_explained(artifact.path), trained.explained
    assert found is not None
    assert want is not None
    assert found.names == want.names
    assert found.toward_up.tobytes() == want.toward_up.tobytes()
    assert found.quantile.shape == (len(trained.folds) * 30, len(NAMES))
    assert (np.nanmin(found.quantile), np.nanmax(found.quantile)) == (0.0, 1.0)
    assert found.size.shape == (len(trained.folds), 3, len(NAMES))


def test_the_manifest_holds_what_is_known(artifact: Artifact, trained: Trained) -> None:
    m = read(artifact.path).manifest
    assert m["judged"]["word"] == m["verdict"] == trained.verdict
    assert m["judged"]["figures"]["sessions"] == trained.judged.figures["sessions"]
    assert m["cross_validation"]["sharpes"] == list(trained.paths.sharpes) if trained.paths else False
    assert [row["name"] for row in m["baselines"]] == [one.name for one in trained.baselines]
    assert m["reliability"]["log_loss"] == trained.reliability.log_loss
    assert np.array_equal(m["gain_by_fold"], trained.gain_by_fold)
    assert [t["kind"] for t in m["trials"]] == ["configuration"]
    assert m["training"]["parameters"]["num_leaves"] == trained.spec.num_leaves


def test_another_format_a_missing_file_and_no_json_are_refused(artifact: Artifact) -> None:
    manifest_with(artifact, lambda m: m.update(format=99))
    with pytest.raises(ArtifactError, match="expected artifact format 2, found 99"):
        read(artifact.path)
    (artifact.path / MANIFEST).write_text("{")
    with pytest.raises(ArtifactError, match="not JSON"):
        read(artifact.path)
    (artifact.path / MANIFEST).unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        read(artifact.path)


def test_a_full_disk_keeps_nothing(tmp_path: Path, trained: Trained) -> None:
    blocked = tmp_path / "models"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match="cannot be written.*nothing was kept"):
        store(blocked, trained)
    assert [p.name for p in tmp_path.iterdir()] == ["models"]


# ------------------------------------------------------------------------------------------------------------ predictor


def test_it_loads_and_predicts_like_the_folds_calibrator(artifact: Artifact) -> None:
    predictor = ModelPredictor.load(artifact.path, compute, FEATURES)
    assert predictor.warnings == ()
    assert predictor.observe == (artifact.verdict != "edge")
    p = predictor.predict(artifact.golden.x.reshape(-1, 4))
    assert p.dtype == np.float64
    assert p.tobytes() == artifact.golden.p.tobytes()
    assert p.sum(axis=1) == pytest.approx(np.ones(len(p)))


def test_a_row_alone_and_in_any_batch_gives_the_same_bits(artifact: Artifact) -> None:
    predictor = ModelPredictor.load(artifact.path, compute, FEATURES)
    x = np.random.default_rng(1).standard_normal((203, 4)).astype(np.float32)
    x[::7, 1] = np.nan
    together = predictor.predict(x)
    assert np.concatenate([predictor.predict(x[i : i + 1]) for i in range(len(x))]).tobytes() == together.tobytes()
    assert np.concatenate([predictor.predict(part) for part in np.array_split(x, 9)]).tobytes() == together.tobytes()
    assert predictor.predict(np.asfortranarray(x)).tobytes() == together.tobytes()
    assert predictor.predict(x[:0]).shape == (0, 3)
    assert predictor.predict(np.full((1, 4), np.nan, dtype=np.float32)).sum() == pytest.approx(1.0)


def test_other_names_order_or_timeframe_are_skew(artifact: Artifact) -> None:
    swapped = replace(FEATURES, names=("signal", "noise_b", "noise_a", "minute"))
    with pytest.raises(SkewError, match="feature 1 is 'noise_a' in the model and 'noise_b' in the program"):
        ModelPredictor.load(artifact.path, compute, swapped)
    with pytest.raises(SkewError, match="4 features, the program 3"):
        ModelPredictor.load(artifact.path, compute, replace(FEATURES, names=NAMES[:3]))
    with pytest.raises(SkewError, match="5-minute bars, the program on 15"):
        ModelPredictor.load(artifact.path, compute, replace(FEATURES, timeframe=15))
    text = json.dumps(json.loads(FEATURES.definition) | {"code": "edited"})
    loaded = ModelPredictor.load(artifact.path, compute, replace(FEATURES, id="another", definition=text))
    assert "the program's code changed since the model was trained" in loaded.warnings[0]


def test_a_feature_computed_otherwise_is_refused_and_named(artifact: Artifact) -> None:
    def wrong(panel: Panel, has_volume: Mask) -> F4:
        x = compute(panel, has_volume)
        x[:, :, 1] *= np.float32(1.01)
        return x

    with pytest.raises(SkewError, match=r"feature 'noise_a'.*trained on.*computed.*1 of 4 features differ"):
        ModelPredictor.load(artifact.path, wrong, FEATURES)


def test_one_ulp_is_refused_on_the_same_machine(artifact: Artifact) -> None:
    def close(panel: Panel, has_volume: Mask) -> F4:
        x = compute(panel, has_volume)
        x[3, 0, 3] = np.nextafter(x[3, 0, 3], np.float32(1e9))
        return x

    with pytest.raises(SkewError, match="'minute' .golden bar 3, instrument 0.*bit for bit on this machine"):
        ModelPredictor.load(artifact.path, close, FEATURES)


def steps(value: float, n: int) -> np.float32:
    out = np.float32(value)
    for _ in range(n):
        out = np.nextafter(out, np.float32(np.inf))
    return out


def test_four_ulp_pass_with_a_warning_on_another_machine_and_five_do_not() -> None:
    want = np.full((2, 2, 2), 0.5, dtype=np.float32)
    found = want.copy()
    found[1, 0, 1] = steps(0.5, 4)
    (warning,) = compare(("a", "b"), want, found, same_machine=False)
    assert "up to 4 float32 ulp" in warning
    assert "'b'" in warning
    found[1, 0, 1] = steps(0.5, 5)
    with pytest.raises(SkewError, match="within 4 ulp"):
        compare(("a", "b"), want, found, same_machine=False)


def test_a_value_where_there_was_none_and_another_shape_are_skew() -> None:
    want = np.full((1, 1, 2), np.nan, dtype=np.float32)
    assert compare(("a", "b"), want, want.copy(), same_machine=True) == ()
    found = want.copy()
    found[0, 0, 0] = 1.0
    with pytest.raises(SkewError, match="'a'.*nan, computed 1;"):
        compare(("a", "b"), want, found, same_machine=False)
    with pytest.raises(SkewError, match="float64"):
        compare(("a", "b"), want, want.astype(np.float64), same_machine=False)  # type: ignore[arg-type]
    with pytest.raises(SkewError, match=r"\(1, 1, 1\)"):
        compare(("a", "b"), want, want[:, :, :1], same_machine=False)


def test_ulp_distance_counts_over_zero() -> None:
    tiny = np.float32(1e-45)
    a = np.array([0.0, -0.0, tiny, -tiny, 1.0, np.inf], dtype=np.float32)
    b = np.array([-0.0, tiny, -tiny, -tiny, steps(1.0, 3), np.finfo(np.float32).max], dtype=np.float32)
    assert ulp_distance(a, b).tolist() == [0, 1, 2, 0, 3, 1]
