from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import typer
import yaml

from intraday.cli.root import root as command_line
from intraday.domain import errors


def script(root: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, root / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_configuration_page_is_current(root: Path) -> None:
    assert script(root, "build_config_docs").page() == (root / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_command_line_page_names_every_command_and_exit_code(root: Path) -> None:
    page = (root / "docs" / "cli.md").read_text(encoding="utf-8")
    commands = typer.main.get_command(command_line).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        assert f"`intraday {name}" in page
        for child in getattr(command, "commands", {}):
            assert f"{name} {child}" in page
    codes = {e.exit_code for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.IntradayError)}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == codes | {0, 130}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs"])
def test_links_between_pages_lead_somewhere(root: Path, name: str) -> None:
    pages = [root / name] if name.endswith(".md") else sorted((root / name).rglob("*.md"))
    broken = [
        f"{page.relative_to(root)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []
    assert pages


def test_navigation_names_existing_pages(root: Path) -> None:
    def pages(node: object) -> list[str]:
        if isinstance(node, str):
            return [node]
        values = node if isinstance(node, list) else list(node.values())  # type: ignore[attr-defined]
        return [page for value in values for page in pages(value)]

    text = (root / "mkdocs.yml").read_text(encoding="utf-8")
    found = pages(yaml.safe_load(text)["nav"])
    assert [page for page in found if not (root / "docs" / page).exists()] == []
    here = {str(p.relative_to(root / "docs")) for p in (root / "docs").rglob("*.md")}
    assert {page for page in here - set(found) if not page.startswith("adr/")} == set()


def test_the_pictures_are_small(root: Path) -> None:
    pictures = sorted((root / "docs" / "images").iterdir())
    assert "report.png" in [p.name for p in pictures]
    starts = {".png": b"\x89PNG", ".svg": b"<svg"}
    assert all(p.stat().st_size < 300_000 and p.read_bytes().startswith(starts[p.suffix]) for p in pictures)
    assert "](docs/images/report.png)" in (root / "README.md").read_text(encoding="utf-8")


def test_make_targets_in_the_readme_exist(root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z][a-z-]+)", (root / "README.md").read_text()))
    assert named <= targets
    assert {"demo", "test"} <= named
