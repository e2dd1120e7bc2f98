"""``intraday db check``: the database's checks, those of the files beside it, and the repair in rounds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from intraday.app import open_configured
from intraday.config.settings import Settings
from intraday.database import schema
from intraday.database.check import Checker
from intraday.database.check_block import Scope
from intraday.database.check_repair import Repairer
from intraday.database.check_rules import RULES, Finding, Tally
from intraday.database.pool import Database
from intraday.database.stores import Stores
from intraday.domain.arrays import DAY_NS
from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError, StorageError
from intraday.domain.membership import Flag, auction_rule
from intraday.domain.ports import Progress
from intraday.domain.session import SessionTable, midnight_ns

ROUNDS_MAX = 10  # a bar that goes leaves a gap, whose row goes in the next round; a large finding takes one for each 20 000 places
_WRITERS = ("live", "replay")


@dataclass(frozen=True, slots=True)
class Request:
    """What to check: days (both included, None: all) and symbols like NSE:INFY or INFY (none: all); whether to mend."""

    first: date | None = None
    last: date | None = None
    symbols: tuple[str, ...] = ()
    repair: bool = False


@dataclass(frozen=True, slots=True)
class CheckResult:
    """``findings`` as first found, in the order of the rules; ``left`` after the repair, None without one."""

    findings: Sequence[Finding]
    left: Sequence[Finding] | None = None

    @property
    def wrong(self) -> list[Finding]:
        """What is wrong now; warnings are not."""
        return [f for f in (self.findings if self.left is None else self.left) if f.n and not f.rule.warning]


def run_check(settings: Settings, request: Request, clock: Clock, progress: Progress) -> CheckResult:
    """Check, and mend if asked to. Raises ConfigError for an unknown symbol, and when another program writes during a repair;
    StorageError."""
    with open_configured(settings) as database:
        _require_current(database)
        stores, sessions = Stores(database), SessionTable.load()
        scope = _scope(stores, sessions, request)
        spans = stores.members.spans("flag", Flag.CLOSING_AUCTION)
        auction = auction_rule(spans, stores.members.known_from("flag", Flag.CLOSING_AUCTION))
        checker = Checker(database, sessions, auction)

        def check() -> list[Finding]:
            found = {f.rule.name: f for f in [*checker.run(scope, progress), *_files(database)]}
            return [found[rule.name] for rule in RULES if rule.name in found]

        findings = check()
        if not request.repair:
            return CheckResult(findings)
        with ExitStack() as stack:
            for writer in _WRITERS:
                stack.enter_context(database.exclusive(writer))
            return CheckResult(findings, _mended(findings, check, Repairer(database, sessions, clock.now_ns)))


def _mended(findings: Sequence[Finding], check: Callable[[], Sequence[Finding]], repairer: Repairer) -> Sequence[Finding]:
    """Rounds of mending and checking until nothing is left that can be mended, or a round changed nothing."""
    for _ in range(ROUNDS_MAX):
        before = {f.rule.name: f.n for f in findings if f.rule.mends and f.n}
        if not before:
            break
        for finding in findings:
            repairer.mend(finding)
        findings = check()
        if {f.rule.name: f.n for f in findings if f.rule.mends and f.n} == before:
            break
    return findings


def _require_current(database: Database) -> None:
    found, expected = schema.current(database.dsn)
    if found != expected:
        raise StorageError(f"expected schema revision {expected}, found {found or 'no schema'}: run `intraday db migrate`")


def _scope(stores: Stores, sessions: SessionTable, request: Request) -> Scope:
    ids = None
    if request.symbols:
        known = {name: i.id for i in stores.instruments.all() for name in (i.symbol, i.key)}
        unknown = sorted(set(request.symbols) - known.keys())
        if unknown:
            raise ConfigError(
                f"--symbols: found {', '.join(unknown)}, expected stored symbols such as {', '.join(sorted(known)[:3])}"
            )
        ids = frozenset(known[name] for name in request.symbols)
    first, last = request.first or date(1990, 1, 1), request.last or sessions.last
    return Scope(midnight_ns(first), midnight_ns(last) + DAY_NS, ids)


def _files(database: Database) -> Iterator[Finding]:
    """Rules model_files and journal: what the database says lies beside it."""
    tally = Tally()
    tally.looked("model_files", "journal")
    with database.autocommit() as connection:
        models = connection.execute("SELECT id, path, manifest::text FROM models ORDER BY id").fetchall()
        days = connection.execute("SELECT source::text, day, journal FROM run_days ORDER BY day, source").fetchall()
    for model_id, path, manifest in models:
        wrong = _altered(Path(path), json.loads(manifest).get("sha256", {}))
        if wrong:
            tally.add("model_files", (), [f"{model_id}: {wrong}"], 1)
    for source, day, journal in days:
        if not Path(journal).is_dir():
            tally.add("journal", (), [f"{source} {day}: {journal}"], 1)
    return iter(tally.findings.values())


def _altered(folder: Path, digests: dict[str, str]) -> str | None:
    """What is wrong with a model's folder."""
    if not folder.is_dir():
        return f"{folder} is missing"
    for name, wanted in sorted(digests.items()):
        try:
            content = (folder / name).read_bytes()
        except OSError:
            return f"{folder / name} is missing"
        if hashlib.sha256(content).hexdigest() != wanted:
            return f"{folder / name} is not what its sha256 says"
    return None
