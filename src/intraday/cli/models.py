"""``intraday models``: the registry of trained models, and how one takes the place of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, session
from intraday.cli.instruments import table
from intraday.domain.clock import SystemClock

if TYPE_CHECKING:
    from intraday.domain.learning import Promotion
    from intraday.jobs.comparing import Compared
    from intraday.jobs.models import ModelPage, Registry, ShownModel
    from intraday.model.compare import PairedTest

BPS = 1e4
SESSIONS, ALPHA = 60, 0.05  # of a test, unless told otherwise


def register(root: typer.Typer) -> None:
    """Add the group to the command line."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Trained models: the champion and its challengers.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("compare")(compare)
    group.command("promote")(promote)
    group.command("rollback")(rollback)
    root.add_typer(group, name="models")


IdArgument = Annotated[str, typer.Argument(help="Id of the model, or how it begins.", metavar="ID")]
IdsArgument = Annotated[
    list[str], typer.Argument(help="The challenger; or the champion, then the challenger.", metavar="[CHAMPION] CHALLENGER")
]
DeclareOption = Annotated[bool, typer.Option("--declare", help="Declare a test on the sessions to come.")]
SessionsOption = Annotated[
    int | None,
    typer.Option("--sessions", min=1, help="With --declare: how many of them decide it.", show_default=str(SESSIONS), metavar="N"),
]
AlphaOption = Annotated[
    float | None,
    typer.Option(
        "--alpha", min=0.0001, max=0.2, help="With --declare: level of the one-sided test.", show_default=str(ALPHA), metavar="P"
    ),
]
VoidOption = Annotated[bool, typer.Option("--void", help="Give the open test up.")]


def list_(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """List the models, which is the champion, and who challenges it.

    \b
    Examples:
      intraday models list
      intraday models list --json
    """
    from intraday.jobs import models

    with session(config, as_json, verbose) as run:
        found = models.list_models(run.settings, SystemClock())
        run.emit(found, lambda out: _show_list(out, found))


def show(
    model: IdArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """Show a model: its verdict, its tests, and when it was champion.

    \b
    Examples:
      intraday models show 3f9c
      intraday models show 3f9c --json
    """
    from intraday.jobs import models

    with session(config, as_json, verbose) as run:
        found = models.show(run.settings, SystemClock(), model)
        run.emit(found, lambda out: _show_model(out, found))


def compare(
    models: IdsArgument,
    declare: DeclareOption = False,
    sessions: SessionsOption = None,
    alpha: AlphaOption = None,
    void: VoidOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Test a challenger against the champion, declared before looking.

    With --declare the test is fixed: the sessions after the last one stored, their number, the level. Until all of them are stored,
    nothing is computed. Then both models run on the same candles, the difference of their daily net P&L is tested, and the outcome
    stands: only a challenger that won can be promoted.

    \b
    Examples:
      intraday models compare 3f9c                                # out of sample when trained; decides nothing
      intraday models compare 3f9c --declare --sessions 60
      intraday models compare 3f9c                                # later: how far it is, or its outcome
    """
    from intraday.jobs import comparing

    with session(config, as_json, verbose) as run:
        if len(models) > 2 or (declare and void):
            raise typer.BadParameter("expected one model or two, and --declare or --void at the most one")
        if not declare and not (sessions is None and alpha is None):
            raise typer.BadParameter("--sessions and --alpha are of a test to declare, found no --declare: what is declared stays")
        if declare:
            n, level = (SESSIONS if sessions is None else sessions), (ALPHA if alpha is None else alpha)
            found = comparing.declare(run.settings, SystemClock(), models, n, level)
        else:
            with run.progress() as progress:
                found = comparing.compare(run.settings, SystemClock(), models, progress, void=void)
        run.emit(found, lambda out: _show_compared(out, found))


InsteadOption = Annotated[
    str,
    typer.Option("--instead", help="Why a champion that fits the settings no more is given up untested.", metavar="WHY"),
]


def promote(
    model: IdArgument,
    instead: InsteadOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a challenger that won its test the champion.

    The very first champion needs no test, nor does the one that replaces a champion whose files are damaged (it is written down
    why). A champion that does not fit the settings any more (another universe or timeframe) cannot be tested against: set them
    back, or say with --instead why it is given up; `models list` shows that until a test is won. A champion that runs here is
    replaced by who won the declared test and by nobody else (exit code 2).

    \b
    Examples:
      intraday models promote 3f9c
      intraday models promote 3f9c --instead "NIFTY 100 from now on, not NIFTY 50"
    """
    from intraday.jobs import models

    with session(config, as_json, verbose) as run:
        done = models.promote(run.settings, SystemClock(), model, instead)
        run.emit(done, lambda out: _show_promotion(out, done))


def rollback(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Go back to the champion before.

    \b
    Examples:
      intraday models rollback
    """
    from intraday.jobs import models

    with session(config, as_json, verbose) as run:
        done = models.rollback(run.settings, SystemClock())
        run.emit(done, lambda out: _show_promotion(out, done))


def _show_list(out: Console, found: Registry) -> None:
    if not found.models:
        out.print("no models: `intraday historical` trains one", markup=False)
        return
    made = table("Models, newest first", "Model", "Role", "Trained on", "Verdict", "Trades", "Net bps", "Against the champion")
    for m in found.models:
        role = f"{m.role.value}, in use" if m.in_use else m.role.value
        net = "-" if m.net_bps_trade != m.net_bps_trade else f"{m.net_bps_trade:.2f}"
        row = (m.id, role, f"{m.trained_from} – {m.trained_to}", _verdict(m), f"{m.trades:,}", net, m.test)
        made.add_row(*(Text(part) for part in row))
    out.print(made)
    if found.note:
        out.print(Text(found.note, style="yellow"), soft_wrap=True)


def _verdict(m: ShownModel) -> str:
    return m.verdict if m.verdict_today == m.verdict else f"{m.verdict} when trained; {m.verdict_today} today"


def _show_model(out: Console, found: ModelPage) -> None:
    m = found.model
    today = (("Today", m.verdict_note),) if m.verdict_note else ()
    for name, value in (
        ("Model", m.id),
        ("Role", f"{m.role.value}{', in use' if m.in_use else ''}"),
        ("Trained on", f"{m.trained_from} – {m.trained_to}, {found.features} features, labels {found.labels}"),
        *(() if found.primary is None else [("On top of", f"{found.primary}: only its sides are said")]),
        ("Verdict", f"{m.verdict}: {found.reason}" if found.reason else m.verdict),
        *today,
        ("Out of sample", f"{m.trades:,} trades, {m.net_bps_trade:.2f} bps net a trade"),
        ("Test", m.test or "-"),
        ("Files", found.path),
    ):
        out.print(Text(f"{name:<14}", style="dim") + Text(value), soft_wrap=True)
    for p in found.promotions:
        what = f"number {p.number}: {p.model_id} ({p.kind}; {p.reason})"
        out.print(Text(f"{'Champion':<14}", style="dim") + Text(what), soft_wrap=True)
    for c in found.comparisons:
        what = f"{c.id}: {c.challenger_id} against {c.champion_id}, {c.n_sessions} sessions: {c.outcome or 'open'}"
        out.print(Text(f"{'Comparison':<14}", style="dim") + Text(what), soft_wrap=True)


def _show_compared(out: Console, found: Compared) -> None:
    say = {"declared": _declared, "waiting": _waiting, "decided": _decided, "void": _given_up, "past": _past}[found.state]
    for line in say(found):
        out.print(line, markup=False, soft_wrap=True)


def _declared(found: Compared) -> list[str]:
    c = found.comparison
    assert c is not None
    assert found.waiting is not None
    lines = [
        f"declared: comparison {c.id}, {found.challenger_id} against {found.champion_id}, on the {c.n_sessions} sessions after "
        f"the last one stored (until {found.waiting.until or 'beyond the session table'}), one-sided at {c.alpha:g}"
    ]
    if found.detectable_bps == found.detectable_bps:
        lines.append(f"it finds a difference of {found.detectable_bps:.1f} bps a session with 80 %; a smaller one more rarely")
    if found.attempt > 1:
        luck = 1.0 - (1.0 - c.alpha) ** found.attempt
        lines.append(f"it is test number {found.attempt} against this champion: that one of so many is won by luck has {luck:.0%}")
    return [*lines, f"when they are stored: intraday models compare {found.champion_id} {found.challenger_id}"]


def _waiting(found: Compared) -> list[str]:
    assert found.comparison is not None
    assert found.waiting is not None
    n, w = found.comparison.n_sessions, found.waiting
    lines = [f"comparison {found.comparison.id} is open: {w.over} of {n} sessions are over, nothing is computed before all are"]
    if w.missing:
        lines += [f"  {day}: {what}" for day, what in zip(w.missing[:5], w.lacking, strict=False)]
        lines.append(f"{len(w.missing)} of them are not whole yet, without which nothing is decided: intraday backfill")
    return lines


def _decided(found: Compared) -> list[str]:
    c = found.comparison
    assert c is not None
    better = c.outcome == "challenger"
    says = f"the challenger {c.challenger_id} is better" if better else f"the champion {c.champion_id} stays"
    lines = [f"comparison {c.id}: {says} (p {c.p_value:.4g}, level {c.alpha:g})", *_figures(found.test)]
    return [*lines, f"next: intraday models promote {c.challenger_id}"] if better else lines


def _given_up(found: Compared) -> list[str]:
    assert found.comparison is not None
    return [f"comparison {found.comparison.id} is given up; it stays in the registry as void"]


def _past(found: Compared) -> list[str]:
    if found.test is None:
        return ["no test is declared, and the two were scored on no sessions in common when they were trained"]
    head = "no test is declared; out of sample when trained, which decides nothing since it was looked at:"
    return [head, *_figures(found.test), f"to declare one: intraday models compare {found.challenger_id} --declare"]


def _figures(test: PairedTest | None) -> list[str]:
    if test is None:
        return []
    d = test.difference
    return [
        f"  champion   {BPS * test.champion:8.2f} bps net a session, {test.champion_trades:,} trades in {test.sessions} sessions",
        f"  challenger {BPS * test.challenger:8.2f} bps net a session, {test.challenger_trades:,} trades",
        f"  difference {BPS * d.mean:8.2f} bps a session, 95 % interval {BPS * d.low:.2f} to {BPS * d.high:.2f}",
    ]


def _show_promotion(out: Console, done: Promotion) -> None:
    before = f", after {done.previous_id}" if done.previous_id else ""
    out.print(f"champion: {done.model_id}{before} ({done.reason})", markup=False, soft_wrap=True)
