from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from intraday.core.registry import default_registry


def test_the_features_page_is_current(root: Path) -> None:
    spec = importlib.util.spec_from_file_location("build_feature_docs", root / "scripts" / "build_feature_docs.py")
    if spec is None or spec.loader is None:
        pytest.fail("scripts/build_feature_docs.py is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (root / "docs" / "features.md").read_text(encoding="utf-8") == module.page(), "run scripts/build_feature_docs.py"


def test_the_default_registry_holds_what_was_promised() -> None:
    registry = default_registry()
    assert len(registry) >= 25
    assert {"rsi_14", "sigma", "session_pos", "vwap_dist"} <= set(registry)
    without_volume = [feature for feature in registry.values() if not feature.needs_volume]
    assert len(without_volume) >= 15, "an index has features too"
