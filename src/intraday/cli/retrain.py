"""``intraday retrain``: a new challenger, when it is time or when the world has moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, session
from intraday.cli.instruments import table
from intraday.domain.clock import SystemClock

if TYPE_CHECKING:
    from intraday.jobs.retrain import Retrained
    from intraday.model.drift import Drift

SHOWN = 10  # features

DriftedOption = Annotated[bool, typer.Option("--if-drifted", help="Only if features, predictions or calibration moved.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and why; train nothing.")]


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("retrain")(retrain)


def retrain(
    if_drifted: DriftedOption = False,
    dry_run: DryOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train a challenger; the champion stays in place.

    With --if-drifted the champion's features, predictions and calibration are compared with those of every session since it was
    trained, and nothing is trained while they look alike. The decision and its reason are kept in the audit trail (table events).

    \b
    Examples:
      intraday retrain --if-drifted              # for a timer, every evening
      intraday retrain --if-drifted --dry-run
      intraday retrain --json
    """
    with session(config, as_json, verbose) as run:
        settings = run.settings
        from intraday.jobs.retrain import run_retrain

        with run.progress() as progress:
            done = run_retrain(
                settings, SystemClock(), progress, if_drifted=if_drifted, dry=dry_run, limits=run.limits, write=run.say
            )
        run.emit(_document(done), lambda out: _show(out, done))


def _document(done: Retrained) -> dict[str, object]:
    names = ("trained", "reason", "champion", "challenger", "fresh", "drift")
    return {**{name: getattr(done, name) for name in names}, "summary": done.outcome.summary if done.outcome else None}


def _show(out: Console, done: Retrained) -> None:
    if done.drift is not None:
        _show_drift(out, done.drift)
    what = "train" if done.trained else "do not train"
    out.print(Text(f"{what}: {done.reason}"), soft_wrap=True)
    if done.challenger is None:
        return
    if not done.fresh:
        out.print("the champion came out again: the candles and the settings are the same", markup=False, soft_wrap=True)
    elif done.champion is None:
        out.print(f"model {done.challenger} is the first one; next: intraday models promote {done.challenger}", markup=False)
    else:
        said = f"challenger {done.challenger}; champion {done.champion} stays"
        out.print(f"{said}; next: intraday models compare {done.challenger} --declare", markup=False, soft_wrap=True)


def _show_drift(out: Console, drift: Drift) -> None:
    title = f"{drift.later_sessions} later sessions beside the last {drift.trained_sessions} trained on"
    made = table(title, "Feature or prediction", "PSI", "KS", "p", "Moved")
    for row in (*drift.predictions, *drift.features[:SHOWN]):
        made.add_row(Text(row.name), f"{row.psi:.3f}", f"{row.ks:.3f}", f"{row.p_value:.3f}", "yes" if row.moved else "")
    out.print(made)
