"""The same page as a PDF: title page with contents, page numbers, bookmarks, no chart cut in two."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from intraday.domain.errors import ConfigError
from intraday.report.html import page
from intraday.report.inputs import ReportInput
from intraday.report.svg import fixed

SIGNALS_MAX = 120  # rows of the signals table: a PDF is for reading
PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"


def render_pdf(report: ReportInput, path: Path) -> Path:
    """Write the report to ``path`` (replaced in one step) and return it.

    The same input gives the same bytes on the same machine (fonts and libraries decide with it); its dates are the report's.
    Raises ConfigError where the system has no Pango.
    """
    content = pdf(page(report, SIGNALS_MAX))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_bytes(content)
    os.replace(draft, path)
    return path


def pdf(text: str) -> bytes:
    """A page of ours as PDF. Nothing is fetched, whatever the page says. Raises ConfigError where the system has no Pango."""
    try:
        # loaded where it is used: it looks for Pango when it is imported
        from weasyprint import HTML  # type: ignore[import-untyped]
        from weasyprint.urls import URLFetcher  # type: ignore[import-untyped]
    except OSError as error:
        raise ConfigError(
            f"a PDF needs the text layout library Pango, and it was not found ({str(error).splitlines()[0]}): "
            f"install it (Debian, Ubuntu: sudo apt install {PACKAGES}), or use the HTML page, which prints as well"
        ) from error
    identifier = sha256(text.encode()).hexdigest()[:32].encode()
    written = HTML(string=fixed(text), url_fetcher=URLFetcher(allowed_protocols=())).write_pdf(pdf_identifier=identifier)
    return bytes(written)
