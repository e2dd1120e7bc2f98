"""The PDF: title, bookmarks and dates in it, the same bytes for the same report, and a plain word where Pango is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from intraday.report.pdf import PACKAGES, pdf, render_pdf
from report_cases import full_report

try:
    import weasyprint  # noqa: F401
except OSError as problem:  # pragma: no cover
    pytest.skip(f"no Pango on this machine: {problem}", allow_module_level=True)


def inside(content: bytes) -> bytes:
    """The file with its compressed streams unpacked after it."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    unpacked = [content]
    for stream in streams:
        with suppress(zlib.error):
            unpacked.append(zlib.decompress(stream))
    return b"\n".join(unpacked)


def test_a_report_becomes_a_pdf_with_bookmarks_and_its_own_date(tmp_path: Path) -> None:
    report = full_report()
    report = replace(report, header=replace(report.header, title="Title Of It"))
    content = inside(render_pdf(report, tmp_path / "new" / "r.pdf").read_bytes())
    assert content.startswith(b"%PDF-")
    assert b"/Outlines" in content
    assert b"Title Of It" in content
    assert b"D:20210611034500Z" in content
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["r.pdf"]


def test_same_page_same_bytes() -> None:
    page = "<html><body><h2>Part</h2><svg viewBox='0 0 9 9'><rect width='5' height='5' fill='var(--blue)'/></svg></body></html>"
    assert pdf(page) == pdf(page)
    assert pdf(page) != pdf(page.replace("Part", "Other"))


def test_nothing_is_fetched(tmp_path: Path) -> None:
    picture = tmp_path / "picture.svg"
    picture.write_text(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'><rect width='9' height='9' fill='#123456'/></svg>"
    )
    page = "<html><body><p>x</p><img style='width:9px' src='{}'>{}</body></html>"
    color = b"0.070588 0.203922 0.337255 rg"
    assert color in inside(pdf(page.format("", picture.read_text())))
    assert color not in inside(pdf(page.format(picture.as_uri(), "")))


def test_without_pango_the_message_names_the_package(tmp_path: Path) -> None:
    """A program of its own, in which the library cannot be loaded."""
    (tmp_path / "weasyprint.py").write_text("raise OSError(\"cannot load library 'libpango-1.0-0'\\nmore\")\n")
    program = "from intraday.report.pdf import pdf\ntry:\n    pdf('x')\nexcept Exception as e:\n    print(type(e).__name__, e)\n"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert f"sudo apt install {PACKAGES}" in done.stdout
    assert "libpango-1.0-0'" in done.stdout
    assert done.stdout.startswith("ConfigError a PDF needs")
