"""``intraday report``: everything that is known about a model, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, session
from intraday.cli.views import as_document, show_historical
from intraday.domain.clock import SystemClock

ModelArgument = Annotated[str | None, typer.Argument(help="Its id; without it the model in use.", metavar="MODEL_ID")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Where the page goes, instead of the data folder.", metavar="FILE")]
PdfOption = Annotated[Path | None, typer.Option("--pdf", help="Write it as a PDF too.", metavar="FILE")]
OpenOption = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("report")(report)


def report(
    model_id: ModelArgument = None,
    html: HtmlOption = None,
    pdf: PdfOption = None,
    opened: OpenOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Everything about a model on one page: HTML, and a PDF if asked.

    The verdict with its figures, money after costs, calibration, how it was tested, what it looks at. The page needs no network. A
    PDF needs the library Pango.

    \b
    Examples:
      intraday report --open
      intraday report 3f9a1c27be0d4e55 --html model.html --pdf model.pdf
    """
    with session(config, as_json, verbose) as run:
        from intraday.jobs.report import run_report

        with run.progress() as progress:
            result = run_report(run.settings, SystemClock(), progress, model_id, html, pdf)
        run.emit(as_document(result), lambda out: show_historical(out, result))
        if opened:
            typer.launch(str(result.page))
