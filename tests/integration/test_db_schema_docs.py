"""docs/database.md and the diagram say what the live schema is, whatever the server."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import psycopg
import pytest

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parent.parent.parent


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_schema_docs", ROOT / "scripts" / "build_schema_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_the_page_and_the_diagram_are_current(dsn: str) -> None:
    """Otherwise run scripts/build_schema_docs.py."""
    build = builder()
    with psycopg.connect(dsn) as connection:
        tables = build.read(connection)
    text = build.PAGE.read_text("utf-8")
    assert build.with_generated(text, build.page(tables)) == text
    assert build.picture(tables) == build.PICTURE.read_text("utf-8")
    drawn = ElementTree.fromstring(build.picture(tables))  # noqa: S314  our own
    titles = {e.text for e in drawn.iter("{http://www.w3.org/2000/svg}text") if e.get("class") == "title"}
    assert titles == {name for names in build.GROUPS.values() for name in names}
    strangers = {view.name for view in build.views(tables)} - VIEWS
    assert strangers == set(), "put a new table into a group of scripts/build_schema_docs.py"


VIEWS = {
    *("bar_versions", "coverage_by_day", "data_quality", "gaps_readable", "latest_bars", "model_scoreboard", "runs_recent"),
    *("signals_readable", "todays_signals", "bar_revisions", "corporate_actions_readable"),
    *("ohlcv_1min_adjusted", "ohlcv_5min_adjusted", "ohlcv_15min_adjusted", "ohlcv_60min_adjusted"),
}
