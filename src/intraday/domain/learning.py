"""What is remembered of learning: every configuration that was tried, who is champion, and the tests that decided it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from intraday.domain.arrays import F8, I4


class TrialKind(StrEnum):
    """What was looked at."""

    CONFIGURATION = "configuration"  # its test path was seen: counted by the deflated Sharpe ratio
    TUNING = "tuning"  # inside a training window only: listed, not counted


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration tried on a scope of data. ``id`` is the same for the same configuration: run again it replaces itself.

    ``scope`` names the data the choice was made on (the view of the bars): the configurations of one scope compete with each other.
    ``session`` int32 [T] and ``net`` float64 [T] are its stitched test path (``model.path.DailyPath``), empty for tuning trials.
    ``value`` is the tuning objective, NaN where there is none; ``parameters`` and ``note`` are for people (JSON, words).
    """

    id: str
    scope: str
    kind: TrialKind
    created_ns: int
    run_id: str
    model_id: str  # empty where no model came of it
    parameters: str
    value: float
    state: str  # complete, pruned or failed
    session: I4
    net: F8
    note: str = ""


class TrialLedger(Protocol):
    """The trials ledger. Nothing is ever taken out of it."""

    def add(self, trials: Sequence[Trial]) -> None:
        """Store or replace by (scope, id), in one transaction."""
        ...

    def of(self, scope: str, kind: TrialKind | None = None) -> list[Trial]:
        """Those of a scope, oldest first."""
        ...


class Role(StrEnum):
    """What a registered model is there for."""

    CHAMPION = "champion"  # its signals are the system's
    CHALLENGER = "challenger"  # runs beside it and waits for its test


@dataclass(frozen=True, slots=True)
class Promotion:
    """One change of the champion; the newest row is the one in force. ``comparison_id`` 0: without a test (the first model of
    all, a rollback)."""

    number: int
    model_id: str
    previous_id: str  # empty: there was none
    at_ns: int
    kind: str  # first, promote or rollback
    comparison_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A paired test of challenger against champion, declared before any session of it was looked at.

    It is decided on the sessions after ``declared_session`` (session number), once ``n_sessions`` of them are there; ``outcome`` is
    empty until then, afterwards ``challenger``, ``champion`` (kept) or ``void``.
    """

    id: int
    champion_id: str
    challenger_id: str
    declared_ns: int
    declared_session: int
    n_sessions: int
    alpha: float
    statistic: str  # what is compared: "net" (mean difference of daily net P&L)
    outcome: str = ""
    decided_ns: int = 0
    p_value: float = float("nan")
    detail: str = ""  # JSON
