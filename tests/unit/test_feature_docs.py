"""The page of features and its pictures say what the registry says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from intraday.core import expression as e
from intraday.core.registry import default_registry
from intraday.report.feature_picture import Curve, Hours, line, picture, pictured

REGISTRY = default_registry()


def script(root: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, root / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def draw(root: Path) -> ModuleType:
    return script(root, "draw_features")


@pytest.fixture(scope="module")
def build(root: Path) -> ModuleType:
    return script(root, "build_feature_docs")


def test_every_family_has_a_picture_of_its_features_as_they_are(root: Path, draw: Any) -> None:
    page = (root / "docs" / "features.md").read_text(encoding="utf-8")
    pictures = pictured(list(REGISTRY.values()))
    for key, members in pictures.items():
        name = draw.file_name(key)
        picture = (root / "docs" / "images" / name).read_text(encoding="utf-8")
        assert f"](images/{name})" in page
        assert re.findall(r'data-of="(\w+)"', picture) == [draw.digest(f) for f in members], f"{name}: run scripts/draw_features.py"
    drawn = {p.name for p in (root / "docs" / "images").glob("features-*.svg")}
    assert drawn == {draw.file_name(key) for key in pictures}
    assert max(len(members) for members in pictures.values()) <= 40


@pytest.mark.parametrize("family", ["session", "cross-section"])
def test_a_picture_is_of_the_values(root: Path, draw: Any, family: str) -> None:
    members = pictured(list(REGISTRY.values()))[family]
    clock, values = draw.drawn(members, draw.market())
    fresh = draw.drawing(f"{family}: each feature", members, clock, values)
    kept = (root / "docs" / "images" / draw.file_name(family)).read_text(encoding="utf-8")
    numbers = [np.array(re.findall(r"-?\d+(?:\.\d+)?", re.sub(r'data-of="\w+"', "", text)), float) for text in (fresh, kept)]
    np.testing.assert_allclose(numbers[0], numbers[1], atol=0.11)  # a tenth of a pixel: another processor may round otherwise
    assert len(numbers[0]) > 1000


def test_a_line_breaks_where_there_is_no_value() -> None:
    x = np.arange(5) * 3.0
    path, span = line(x, np.array([np.nan, 1.0, 2.0, np.nan, 0.0]))
    assert path == "M3 28.0L6 0.0M12 56.0" and span == "0 .. 2"
    assert line(x, np.full(5, 7.0)) == ("M0 28.0L3 28.0L6 28.0L9 28.0L12 28.0", "7")
    assert line(x, np.full(5, np.nan)) == ("", "no value")


def test_the_time_axis_names_the_hours() -> None:
    text = picture("t", np.array([555.0, 600.0, 925.0]), [Curve("close", np.array([1.0, 2.0, 3.0]))], Hours(555, 930))
    assert re.findall(r'<text class="h" x="(\d+)" y="66">([\d:]+)<', text) == [
        ("27", "10:00"), ("62", "11:00"), ("98", "12:00"), ("133", "13:00"), ("169", "14:00"), ("204", "15:00"),
    ]  # fmt: skip
    assert 'd="M0 56.0L27 28.0L219 0.0"' in text, "the curve stands on the same hours"


def test_one_feature_is_drawn_by_itself(draw: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw.main(["rsi_14", str(tmp_path / "rsi.svg")])
    assert re.findall(r'data-of="(\w+)"', (tmp_path / "rsi.svg").read_text()) == [draw.digest(REGISTRY["rsi_14"])]
    with pytest.raises(SystemExit):
        draw.main(["rsi_15", str(tmp_path / "rsi.svg")])
    assert "expected a registered feature (rsi_5, rsi_14, " in capsys.readouterr().err


def test_every_feature_says_what_a_reader_needs() -> None:
    silent = [f.name for f in REGISTRY.values() if not (f.formula and f.units and f.source)]
    assert silent == []
    assert len(REGISTRY) >= 100


def test_every_family_is_described(build: Any) -> None:
    assert set(build.ABOUT) == {f.family for f in REGISTRY.values()}


def test_the_page_of_the_language_is_of_every_function_as_it_is(root: Path, build: Any) -> None:
    page = (root / "docs" / "expressions.md").read_text(encoding="utf-8")
    assert page == build.language(), "run scripts/build_feature_docs.py"
    listed = re.findall(r"^\| `(\w+)\(", page, re.MULTILINE)
    assert sorted([*listed, "Expr", "INF", "NAN", "OPS"]) == sorted(e.__all__)


def test_no_cell_holds_a_place_for_a_number() -> None:
    texts = [(f.name, text) for f in REGISTRY.values() for text in (f.formula, f.units, f.source, f.undefined)]
    assert [name for name, text in texts if "%d" in text or "{" in text] == []


@pytest.mark.parametrize(
    ("name", "lookback", "needs"),
    [
        ("ret_12", "12", ""),
        ("ema_dist_9", "8 +", ""),
        ("gap", "1 session", ""),
        ("vol_slot_rel", "1 session +", "volume"),
        ("m60_rsi_14", "15 of 60 min +", ""),
        ("m60_vol_rel_20", "20 of 60 min +", "volume"),
        ("beta_60", "59", "index"),
        ("xs_ret_12", "12", "members"),
        ("xs_vwap_dist", "0", "volume, members"),
    ],
)
def test_lookback_and_needs(build: Any, name: str, lookback: str, needs: str) -> None:
    assert (build.lookback(REGISTRY[name]), build.needs(REGISTRY[name])) == (lookback, needs)


def test_user_features_get_the_same_tables(build: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from intraday.core.expression import close, mean\n"
        "from intraday.core.feature import Feature\n"
        "FEATURES = [Feature('mine', 'user', close() / mean(close(), 7), 'close | mean7', 'ratio', 'me')]\n"
    )
    build.main([str(mine)])
    assert "| `mine` | close \\| mean7 | 6 | ratio | me |" in capsys.readouterr().out
