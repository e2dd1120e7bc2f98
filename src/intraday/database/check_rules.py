"""What ``intraday db check`` looks for: each rule with what a finding of it means and what to do, and the tally of findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

EXAMPLES_MAX = 5
SPOTS_MAX = 20_000  # places remembered of a rule for the repair; more are found by its next round

Spot = tuple[Any, ...]  # where a finding is, as the rule's repair wants it


@dataclass(frozen=True, slots=True)
class Rule:
    """``name`` for scripts, ``means`` for people, ``advice`` what to do. ``mends``: ``--repair`` can. ``warning``: the data is
    right all the same, so the check does not fail for it."""

    name: str
    means: str
    advice: str
    mends: bool = False
    warning: bool = False


REPAIR = "run `intraday db check --repair`"
_IMPORT_AGAIN = f"{REPAIR}: the rows go to quarantine; then `intraday import` or `intraday backfill` that day again"

RULES: tuple[Rule, ...] = (
    Rule("duplicate_version", "the same version of a minute is stored twice, as the best and as a superseded one",
         REPAIR, mends=True),
    Rule("best_bar", "the best bar of a minute is not the preferred source's newest", REPAIR, mends=True),
    Rule("outside_session", "bars of minutes in which the exchange was closed or paused", _IMPORT_AGAIN, mends=True),
    Rule("not_a_minute", "bars that do not open at a whole minute", _IMPORT_AGAIN, mends=True),
    Rule("bad_price", "prices that are missing, infinite or not positive, or high and low that do not hold open and close",
         _IMPORT_AGAIN, mends=True),
    Rule("bad_volume", "bars with a negative volume", _IMPORT_AGAIN, mends=True),
    Rule("index_volume", "bars of an index with a volume, which it has not",
         f"{REPAIR}: the volume becomes NULL", mends=True),
    Rule("unknown_instrument", "rows of an instrument that is not in instruments",
         "restore instruments from a backup: without its symbol nobody knows what the rows are"),
    Rule("before_retention", "rows older than what retention left", "the next `intraday db maintain` takes them away"),
    Rule("timeframe", "5, 15 or 60 minute bars that are not what the kernel makes of their one-minute bars",
         REPAIR, mends=True),
    Rule("timeframes_behind", "noted changes that the timeframes do not have yet", f"the next job brings them, or {REPAIR}",
         mends=True, warning=True),
    Rule("gap_missing", "minutes of a session that are neither stored nor in candle_gaps, though their source was asked for them",
         f"{REPAIR} to name them; `intraday backfill` asks the broker", mends=True),
    Rule("gap_stale", "rows of candle_gaps for minutes that their source has, or that no session has", REPAIR, mends=True),
    Rule("fetch_empty", "days that count as fetched from the broker of which no candle is stored",
         f"{REPAIR}, then `intraday backfill`", mends=True),
    Rule("sessions_table", "rows of sessions that differ from the program's session table", REPAIR, mends=True),
    Rule("feature_without_bar", "feature vectors of a decision bar without a single minute", REPAIR, mends=True),
    Rule("feature_width", "feature vectors of another length than their set has names",
         f"{REPAIR}; then `intraday historical` makes them again", mends=True),
    Rule("feature_set", "feature vectors of a set that is not registered",
         f"{REPAIR}; then `intraday historical`", mends=True),
    Rule("feature_view", "feature sets without their view of named columns", REPAIR, mends=True),
    Rule("label_without_bar", "labels of a decision bar without a single minute, or without the minute of their entry",
         REPAIR, mends=True),
    Rule("label_set", "labels of a set that is not registered", f"{REPAIR}; then `intraday historical`", mends=True),
    Rule("label_times", "labels that enter before their bar is over, or are known before they enter",
         f"{REPAIR}; then `intraday historical`", mends=True),
    Rule("signal_orphan", "signals whose instrument, model, feature set or run is not stored",
         f"restore that from a backup, or {REPAIR}: the signals go to quarantine", mends=True),
    Rule("outcome_orphan", "outcomes of a signal that is not stored",
         f"restore the signal from a backup, or {REPAIR}", mends=True),
    Rule("model_orphan", "models whose feature set or label set is not registered", "train again: `intraday historical`"),
    Rule("model_files", "models whose folder is missing, or not what its sha256 says",
         "put the folder back, or train again: `intraday historical`", warning=True),
    Rule("run_day", "days whose run is not stored",
         f"restore it from a backup, or {REPAIR}: the day is forgotten", mends=True),
    Rule("journal", "days whose folder of journals is missing: they can't be verified any more",
         "put the folder back", warning=True),
    Rule("intervals", "dated facts of an instrument (universe, flag, token) that overlap",
         "import the lists again: `intraday universe import`, `intraday instruments sync`"),
    Rule("quarantine", "refused rows without a symbol, a reason or a content", "restore quarantine from a backup"),
    Rule("partitions", "partitions or chunks of a time series that are missing, lost their table, or take what no other takes",
         "restore a backup: rows may be out of sight"),
    Rule("index_invalid", "indexes the server calls invalid", REPAIR, mends=True),
    Rule("constraint_unvalidated", "constraints that were never held against the rows that were there", REPAIR, mends=True),
    Rule("checksums", "the server's data pages have no checksums: a disk's errors stay unseen",
         "stop the server and run `pg_checksums --enable`", warning=True),
)  # fmt: skip
RULE = {rule.name: rule for rule in RULES}


@dataclass(slots=True)
class Finding:
    """What was found of one rule: ``n`` in all, the first of them in words, and where they are."""

    rule: Rule
    n: int = 0
    examples: list[str] = field(default_factory=list)
    spots: list[Spot] = field(default_factory=list)


class Tally:
    """Findings by rule; every rule that was looked at has an entry."""

    def __init__(self) -> None:
        self.findings: dict[str, Finding] = {}

    def looked(self, *names: str) -> None:
        """These rules were looked at, whatever was found."""
        for name in names:
            self.findings.setdefault(name, Finding(RULE[name]))

    def add(self, name: str, spots: Iterable[Spot], texts: Iterable[str], n: int) -> None:
        """``n`` more findings. ``spots`` and ``texts`` are read as far as there is room."""
        self.looked(name)
        found = self.findings[name]
        found.n += n
        for text, _ in zip(texts, range(EXAMPLES_MAX - len(found.examples)), strict=False):
            found.examples.append(text)
        for spot, _ in zip(spots, range(SPOTS_MAX - len(found.spots)), strict=False):
            found.spots.append(spot)
