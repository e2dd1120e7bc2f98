"""``intraday audit``: the leakage certificate."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, Session, VerboseOption, parse_day, session
from intraday.domain.clock import SystemClock
from intraday.domain.errors import ConfigError, VerifyError

if TYPE_CHECKING:
    from intraday.core.audit.certificate import Certificate
    from intraday.jobs.audit_check import Standing

SHOWN = 20  # failures, and what was not checked, on the terminal

FromOption = Annotated[str | None, typer.Option("--from", help="First day.", metavar="YYYY-MM-DD")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last day, included.", metavar="YYYY-MM-DD")]
SessionsOption = Annotated[int, typer.Option("--sessions", min=2, help="The last so many sessions of that range.")]
InstrumentsOption = Annotated[int, typer.Option("--instruments", min=1, help="At most so many, those with most days.")]
SimulatedOption = Annotated[bool, typer.Option("--simulated", help="On the made-up market, without a database.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of the places where the laws cut and change the bars.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Who signs; without it, the account that runs it.", metavar="NAME")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Exit with 1 as well when a law could not be checked.")]
CheckOption = Annotated[
    Path | None,
    typer.Option("--check", help="Does this certificate (audit-….json) still stand? Nothing is audited again.", metavar="FILE"),
]


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("audit")(audit)


def audit(
    first: FromOption = None,
    last: ToOption = None,
    sessions: SessionsOption = 30,
    instruments: InstrumentsOption = 20,
    simulated: SimulatedOption = False,
    seed: SeedOption = 0,
    by: ByOption = None,
    strict: StrictOption = False,
    check: CheckOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Prove that nothing leaks: the leakage certificate.

    Every configured feature (yours too), label, weight and fold, and the trained pipeline, on your own bars: without the future,
    with another one, in pieces, bar by bar, with late bars. Writes an HTML page and the certificate as JSON beside it. Exits with 1
    when anything fails, and names it with the first row that differs. What the bars at hand cannot tell is "not checked": that is
    said, and passes unless --strict.

    \b
    Examples:
      intraday audit
      intraday audit --simulated
      INTRADAY__MODEL__USER_FEATURES=mine.py intraday audit --sessions 60 --by "A. Rao"
      intraday audit --json | jq '.failures'
      intraday audit --check var/reports/audit-0123456789abcdef.json
    """
    with session(config, as_json, verbose) as run:
        if check is not None:
            _check(run, check, strict)
            return
        settings = run.settings
        from intraday.jobs.audit import AuditRequest, run_audit

        days = parse_day(first), parse_day(last)
        if days[0] is not None and days[1] is not None and days[0] > days[1]:
            raise ConfigError(f"--from: found {days[0]}, expected a day up to --to {days[1]}")
        request = AuditRequest(by or _account(), *days, sessions, instruments, simulated, seed)
        with run.progress() as progress:
            certificate, page = run_audit(settings, request, SystemClock(), progress)
        run.emit(_document(certificate, page), lambda out: _show(out, certificate, page))
        if not certificate.passed:
            raise VerifyError(
                f"audit: {len(certificate.failed)} of {len(certificate.findings)} checks failed: "
                f"{_some(sorted({f.subject for f in certificate.failed}))}"
            )
        if strict and certificate.unchecked:
            raise VerifyError(f"audit: {_incomplete(len(certificate.unchecked), certificate.verdict)}")


def _check(run: Session, path: Path, strict: bool) -> None:
    """Say whether the certificate stands; VerifyError when it does not."""
    settings = run.settings
    from intraday.jobs.audit_check import check_certificate

    with run.progress() as progress:
        standing = check_certificate(settings, path, SystemClock(), progress)
    document = {
        "stands": standing.stands, "digest": standing.kept.digest, "verdict": standing.kept.verdict, "by": standing.kept.who,
        "made_ns": standing.kept.made_ns, "changed": standing.changed, "newer_sessions": standing.newer,
    }  # fmt: skip
    run.emit(document, lambda out: _show_standing(out, standing))
    if not standing.stands:
        names = _some([change.name for change in standing.changed])
        raise VerifyError(f"audit: certificate {standing.kept.digest} does not stand: {names}; run `intraday audit` again")
    if strict and standing.kept.n_unchecked:
        raise VerifyError(f"audit: {_incomplete(standing.kept.n_unchecked, standing.kept.verdict)}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _incomplete(n: int, verdict: str) -> str:
    return f"{n} checks could not be made, and --strict wants all of them ({verdict})"


def _account() -> str:
    """Who runs it; a container's account may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError since Python 3.13
        return f"account {os.getuid()}"


def _document(certificate: Certificate, page: Path) -> dict[str, Any]:
    from intraday.report.audit_page import failure_rows

    return {
        "passed": certificate.passed,
        "verdict": certificate.verdict,
        "digest": certificate.digest,
        "by": certificate.who,
        "made_ns": certificate.made_ns,
        "facts": dict(certificate.facts),
        "own_features": certificate.own,
        "laws": certificate.by_law(),
        "failures": failure_rows(certificate),
        "not_checked": certificate.unchecked,
        "findings": certificate.findings,
        "page": page,
        "certificate": page.with_suffix(".json"),
    }


def _show(out: Console, certificate: Certificate, page: Path) -> None:
    from intraday.report.audit_page import failure_rows

    facts = Table(show_header=False, box=None, pad_edge=False)
    for name, value in certificate.facts:
        facts.add_row(Text(name, style="dim"), Text(value))
    out.print(facts)
    out.print(_laws(certificate))
    for row in failure_rows(certificate)[:SHOWN]:
        where = " ".join(part for part in (row.instrument, row.time) if part)
        told = f"{row.subject}: {row.law}: {row.n_different:,} of {row.n:,} differ"
        at = f"; first {where}: found {row.found}, expected {row.expected}" if where or row.found else ""
        out.print(Text(f"{told}{at}{'; ' if row.detail else ''}{row.detail}", style="red"), soft_wrap=True)
    _more(out, len(certificate.failed))
    for f in certificate.unchecked[:SHOWN]:
        out.print(Text(f"not checked: {f.subject}: {f.law}: {f.detail}", style="yellow"), soft_wrap=True)
    _more(out, len(certificate.unchecked))
    signed = f"  certificate {certificate.digest}, signed {certificate.who}"
    out.print(_verdict(certificate.verdict, signed, certificate.passed, whole=not certificate.unchecked), soft_wrap=True)
    out.print(f"report: {page}", markup=False, soft_wrap=True)
    out.print(f"certificate: {page.with_suffix('.json')}", markup=False, soft_wrap=True)


def _verdict(verdict: str, more: str, good: bool, whole: bool) -> Text:
    """``PASSED``, green only where everything was checked, and the rest of the line."""
    word, *rest = verdict.split(",", 1)
    style = "bold red" if not good else "bold green" if whole else "bold yellow"
    return Text(",".join([word.upper(), *rest]), style=style).append(more, style="default not bold")


def _show_standing(out: Console, standing: Standing) -> None:
    kept = standing.kept
    for change in standing.changed:
        out.print(Text(f"{change.name}: was {change.was}, is {change.now}", style="red"), soft_wrap=True)
    if standing.newer:
        out.print(Text(f"{standing.newer} newer sessions are stored, which it is not about", style="yellow"), soft_wrap=True)
    verdict = "stands" if standing.stands else "does not stand"
    more = f"  certificate {kept.digest}, signed {kept.who}: {kept.verdict}"
    out.print(_verdict(verdict, more, standing.stands, whole=not kept.n_unchecked), soft_wrap=True)


def _laws(certificate: Certificate) -> Table:
    table = Table(
        title="Leakage certificate",
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("Law", overflow="fold")
    for name in ("Passed", "Failed", "Not checked", "Compared"):
        table.add_column(name, justify="right", no_wrap=True)
    for count in certificate.by_law():
        failed = Text(str(count.failed), style="bold red" if count.failed else "")
        table.add_row(str(count.law), str(count.passed), failed, str(count.not_checked), f"{count.n:,}")
    return table


def _more(out: Console, n: int) -> None:
    if n > SHOWN:
        out.print(f"… and {n - SHOWN:,} more: the report and --json list all", markup=False)
