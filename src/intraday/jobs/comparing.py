"""``intraday models compare``: a paired test of a challenger against the champion, declared before a session of it is looked at.

Until all of them are there nothing is computed: whoever looks at a test while it runs, and stops when it looks good, has no test.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from intraday.app import System, open_system
from intraday.app_registry import DailyNet, build_daily_net, cannot_run
from intraday.config.settings import Settings
from intraday.domain.arrays import F8
from intraday.domain.clock import Clock
from intraday.domain.errors import CalendarError, NotEnoughData, RegistryError
from intraday.domain.learning import Comparison
from intraday.domain.ports import ModelRecord, Progress
from intraday.domain.session import EPOCH, Session
from intraday.jobs.models import find
from intraday.jobs.outcome import recorded_run
from intraday.jobs.whole_sessions import lacking
from intraday.model.artifacts import read, read_oos
from intraday.model.compare import MIN_SESSIONS, PairedTest, detectable, on_sessions, paired_test
from intraday.model.metrics import Interval
from intraday.model.path import DailyPath, path_of

BPS = 1e4


@dataclass(frozen=True, slots=True)
class Waiting:
    """How far a declared test has come: sessions that are ``over``, days among them whose candles are not all stored, and up to
    when."""

    over: int
    missing: tuple[date, ...]
    until: date | None  # the last session it needs; None: beyond the session table
    lacking: tuple[str, ...] = ()  # what each of ``missing`` lacks, in words


@dataclass(frozen=True, slots=True)
class Compared:
    """What a call said. ``state``: declared, waiting, decided, void, or past (out of sample when trained: decides nothing).

    ``detectable_bps``: the mean difference a session, in bps, that the test finds with 80 %; NaN where nothing is known of the
    spread. ``attempt``: how many tests against this champion were
    declared by now, of any challenger: each has its own chance to be won by luck.
    """

    state: str
    champion_id: str
    challenger_id: str
    comparison: Comparison | None = None
    test: PairedTest | None = None
    waiting: Waiting | None = None
    detectable_bps: float = float("nan")
    attempt: int = 0


def declare(settings: Settings, clock: Clock, ids: Sequence[str], sessions: int, alpha: float) -> Compared:
    """Declare a test on the next ``sessions`` after the last one that is stored. RegistryError where it would be none."""
    if sessions < MIN_SESSIONS:
        raise RegistryError(f"expected at least {MIN_SESSIONS} sessions, found {sessions}: fewer decide nothing")
    with open_system(settings, clock) as system, recorded_run(system, "models compare") as run:
        champion, challenger = _pair(system, ids)
        registry, last = system.stores.registry, _last_stored(system)
        _check_declared(system, champion, challenger, last)
        wanted = Comparison(
            0, champion.id, challenger.id, system.clock.now_ns(), (last - EPOCH).days, sessions, alpha, "net", detail=_terms(system)
        )
        made = registry.declare(wanted)
        run.summary |= {"declared": made.id, "champion": champion.id, "challenger": challenger.id, "sessions": sessions}
        attempt = len(registry.comparisons(champion.id))
        spread = _spread(champion, challenger)
        found = BPS * detectable(spread, sessions, alpha)
        return Compared("declared", champion.id, challenger.id, made, None, _waiting(system, made), found, attempt)


def compare(
    settings: Settings,
    clock: Clock,
    ids: Sequence[str],
    progress: Progress,
    *,
    void: bool = False,
    daily_net: DailyNet | None = None,
) -> Compared:
    """Decide the open test of two models when all its sessions are there, or give it up (``void``). Without an open test: the last
    one that was decided, or how both did out of sample when they were trained.

    ``ids``: the challenger's, or the champion's and the challenger's. ``daily_net`` None: on the stored candles.
    """
    with open_system(settings, clock) as system:
        champion, challenger = _pair(system, ids)
        tests = system.stores.registry.comparisons(champion.id, challenger.id)
        attempt = len(system.stores.registry.comparisons(champion.id))
        if void:
            return _voided(system, tests, champion, challenger)
        if not tests or tests[0].outcome == "void":
            return Compared("past", champion.id, challenger.id, test=_past(champion, challenger), attempt=attempt)
        if tests[0].outcome:
            return Compared("decided", champion.id, challenger.id, tests[0], _told(tests[0]), attempt=attempt)
        waiting = _waiting(system, tests[0])
        if waiting.over < tests[0].n_sessions or waiting.missing:
            return Compared("waiting", champion.id, challenger.id, tests[0], waiting=waiting, attempt=attempt)
        with recorded_run(system, "models compare") as run:
            done, test = _decided(system, tests[0], daily_net or build_daily_net(system, progress))
            run.summary |= {"comparison": done.id, "outcome": done.outcome, "p_value": done.p_value}
        return Compared("decided", champion.id, challenger.id, done, test, attempt=attempt)


def _pair(system: System, ids: Sequence[str]) -> tuple[ModelRecord, ModelRecord]:
    """Champion and challenger."""
    if len(ids) == 2:
        champion, challenger = (find(system, wanted) for wanted in ids)
    else:
        found = system.stores.registry.champion()
        if found is None:
            raise RegistryError(
                "expected a champion to compare with, found none: `intraday models promote ID` makes the first one, or name both"
            )
        champion, challenger = find(system, found.model_id), find(system, ids[0])
    if champion.id == challenger.id:
        raise RegistryError(f"expected two models, found {champion.id} twice: the champion has nobody to beat but a challenger")
    return champion, challenger


def _check_declared(system: System, champion: ModelRecord, challenger: ModelRecord, last: date) -> None:
    """The present champion, two that can run, and nobody who has seen a session after ``last``."""
    present = system.stores.registry.champion()
    if present is None or present.model_id != champion.id:
        found = "none" if present is None else present.model_id
        raise RegistryError(f"expected a test against the champion, which is {found}, found one against {champion.id}")
    for record in (champion, challenger):
        if broken := cannot_run(system, record.id):
            way = "; `intraday models rollback`, or `promote ID` of another, takes it out" if record is champion else ""
            raise RegistryError(f"expected two models that can run, found that {record.id} cannot: {broken}{way}")
        seen = EPOCH + timedelta(days=int(read(Path(record.path)).manifest["data"]["last_session"]))
        if seen > last:
            raise RegistryError(
                f"{record.id} was trained on sessions up to {seen}, the last one stored is {last}: expected a test on sessions "
                "that neither model has seen; store the candles up to that day first"
            )


def _terms(system: System) -> str:
    """What of the settings both models trade by, as JSON: stored with the declaration."""
    trading = system.settings.trading
    return json.dumps({"terms": {"trading.universe": trading.universe, "trading.notional_inr": trading.notional_inr}})


def _check_terms(system: System, test: Comparison) -> None:
    declared, now = (json.loads(detail).get("terms") for detail in (test.detail or "{}", _terms(system)))
    if declared not in (None, now):
        raise RegistryError(
            f"comparison {test.id}: expected the settings it was declared under ({declared}), found {now}: set them back, or give "
            "the test up (`--void`) and declare another"
        )


def _last_stored(system: System) -> date:
    """The last day with candles of the universe."""
    ids = system.membership().ids
    days = [day for number, day, n in system.stores.bars.coverage() if n and number in ids]
    if not days:
        raise NotEnoughData("no candles are stored: expected those that the models were trained on (`intraday backfill`)")
    return max(days)


def _sessions(system: System, test: Comparison) -> list[Session]:
    """The sessions that decide it, as far as the table goes: whole days, evenings of muhurat trading left out."""
    first = EPOCH + timedelta(days=test.declared_session + 1)
    later = [s for s in system.sessions.between(first, system.sessions.last) if s.kind != "muhurat"]
    return later[: test.n_sessions]


def _waiting(system: System, test: Comparison) -> Waiting:
    wanted, now_ns = _sessions(system, test), system.clock.now_ns()
    over = [session for session in wanted if session.close_ns <= now_ns]
    missing = lacking(system, EPOCH + timedelta(days=test.declared_session), over)
    until = wanted[-1].day if len(wanted) == test.n_sessions else None
    return Waiting(len(over), tuple(missing), until, tuple(missing.values()))


def _decided(system: System, test: Comparison, daily_net: DailyNet) -> tuple[Comparison, PairedTest]:
    """Both models on the same sessions, and the verdict for good."""
    _check_terms(system, test)
    numbers = [session.number for session in _sessions(system, test)]
    if len(numbers) < test.n_sessions:
        raise CalendarError(f"expected {test.n_sessions} sessions in the session table, found {len(numbers)}")
    champion, challenger = (on_sessions(daily_net(one, numbers), numbers) for one in (test.champion_id, test.challenger_id))
    found = paired_test(champion, challenger, np.random.default_rng([test.id, test.declared_ns]))
    outcome = "challenger" if found.p_value <= test.alpha else "champion"
    detail = _json({**json.loads(test.detail or "{}"), "first": numbers[0], "last": numbers[-1], **asdict(found)})
    return system.stores.registry.decide(test.id, outcome, system.clock.now_ns(), found.p_value, detail), found


def _voided(system: System, tests: Sequence[Comparison], champion: ModelRecord, challenger: ModelRecord) -> Compared:
    if not tests or tests[0].outcome:
        raise RegistryError(
            f"expected an open test of {challenger.id} against {champion.id}, found none: there is nothing to give up"
        )
    with recorded_run(system, "models compare") as run:
        done = system.stores.registry.decide(tests[0].id, "void", system.clock.now_ns(), float("nan"), tests[0].detail or "{}")
        run.summary |= {"comparison": done.id, "outcome": done.outcome}
    return Compared("void", champion.id, challenger.id, done)


def _json(known: Mapping[str, Any]) -> str:
    """PostgreSQL's JSON has no NaN: null."""
    return json.dumps({name: _json_value(value) for name, value in known.items()}, allow_nan=False)


def _json_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json_value(part) for name, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _told(test: Comparison) -> PairedTest | None:
    """The figures as they were stored."""
    known: dict[str, Any] = {n: math.nan if value is None else value for n, value in json.loads(test.detail or "{}").items()}
    if "difference" not in known:
        return None
    known["difference"] = Interval(**{n: math.nan if value is None else value for n, value in known["difference"].items()})
    return PairedTest(**{name: known[name] for name in PairedTest.__slots__})


def _paths(champion: ModelRecord, challenger: ModelRecord) -> tuple[DailyPath, DailyPath]:
    """Both out of sample when trained, on the sessions both were scored on."""
    a, b = (path_of(read_oos(Path(record.path))) for record in (champion, challenger))
    common = np.intersect1d(a.session, b.session).tolist()
    return on_sessions(a, common), on_sessions(b, common)


def _past(champion: ModelRecord, challenger: ModelRecord) -> PairedTest | None:
    """Both out of sample when they were trained; None: they have fewer than three sessions in common."""
    a, b = _paths(champion, challenger)
    return paired_test(a, b, np.random.default_rng(0)) if len(a) >= 3 else None


def _spread(champion: ModelRecord, challenger: ModelRecord) -> F8:
    a, b = _paths(champion, challenger)
    return b.net - a.net
