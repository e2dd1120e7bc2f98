"""``intraday audit --check``: does a kept certificate still stand for today's data, settings and code?

Nothing is audited again: what the certificate is about is found again and compared, fact by fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from intraday.config.settings import Settings
from intraday.core.audit.certificate import Kept, read_certificate
from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError, InputError, NotEnoughData
from intraday.domain.ports import Progress
from intraday.jobs.audit import facts_now
from intraday.jobs.audit_facts import changed_parts

NOT_COMPARED = ("Recorded day",)  # `intraday verify` proves recorded days; the next one makes no certificate wrong
MISSING = "nothing"


@dataclass(frozen=True, slots=True)
class Change:
    """A fact that is another one today: the parts of it that only the certificate has, and those that only today has."""

    name: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Standing:
    """``changed``: why it does not stand. ``newer``: sessions stored since, which it never was about."""

    kept: Kept
    changed: list[Change]
    newer: int

    @property
    def stands(self) -> bool:
        """It says what it said, that nothing failed, and of what is there today."""
        return not self.changed


def check_certificate(settings: Settings, path: Path, clock: Clock, progress: Progress) -> Standing:
    """InputError for a file that is no certificate."""
    kept = read_certificate(_text(path), path.name)
    changed = []
    if kept.digest != kept.found:
        changed.append(Change("Certificate", f"digest {kept.digest}", f"digest {kept.found}: it was altered"))
    if kept.n_failed:
        changed.append(Change("Verdict", kept.verdict, "only one that passed can stand"))
    try:
        now, newer = facts_now(settings, kept.asked, clock, progress)
    except (ConfigError, NotEnoughData) as error:  # what it was made from is not there any more
        return Standing(kept, [*changed, Change("Audit", "could be made", str(error))], 0)
    return Standing(kept, [*changed, *differences(kept.facts, dict(now))], newer)


def differences(was: Mapping[str, str], now: Mapping[str, str]) -> list[Change]:
    """Each fact that is not the same, in today's order, those that are gone last."""
    names = [*now, *(name for name in was if name not in now)]
    pairs = [(name, was.get(name, MISSING), now.get(name, MISSING)) for name in names if name not in NOT_COMPARED]
    return [Change(name, *changed_parts(before, after)) for name, before, after in pairs if before != after]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a certificate (audit-….json), found none that can be read ({error})") from error
