"""``intraday adjust``: corporate actions in, out and found; the bars themselves stay as they were traded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from math import log
from pathlib import Path

from intraday.app import System, open_system
from intraday.config.settings import Settings
from intraday.core import suspects
from intraday.core.actions import excluded
from intraday.core.anchor import AnchorRule, resolve_anchor
from intraday.database.universe import read_text
from intraday.domain.arrays import DAY_NS
from intraday.domain.clock import Clock
from intraday.domain.corporate import Action, ActionKind, ActionRow, factors, needs_close, read_actions
from intraday.domain.errors import ConfigError, InputError
from intraday.domain.instruments import Instrument
from intraday.domain.ports import Progress, WriteReport
from intraday.domain.session import EPOCH, day_of, midnight_ns
from intraday.domain.universe import key_of
from intraday.jobs.outcome import recorded_run

CLOSE_DAYS = 15  # a stored close older than that is not "the close before"
EVER_NS = 2**62
ANCHOR_DAYS = 200  # an anchor lies up to two quarters before its day, and has to be in the session table
OVERNIGHT = 0.25  # log: how far a market moves from close to open, apart from an action
BY_HAND = "intraday adjust add"


@dataclass(frozen=True, slots=True)
class Stated:
    """An action with the key of its instrument. ``out``: until when it has no features for it, in words; empty: it has.

    ``doubt``: why the stored bars say something else; empty: they don't.
    """

    key: str
    action: Action
    out: str = ""
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Added:
    """What adding actions did: ``stated`` are all that were given, ``unknown`` symbols that no stored instrument has."""

    report: WriteReport
    stated: Sequence[Stated]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probable:
    """A session of an instrument that looks like an ex-date. ``terms``: the ratio as shares before:after; ``stated``: an action of
    that day is stored already."""

    key: str
    ex_date: date
    terms: str
    move: float
    turnover: float
    stated: bool


def add(settings: Settings, clock: Clock, row: ActionRow) -> Added:
    """Store one action. InputError for terms that are none, a day without a session or a close that is needed and not known;
    ConfigError for an instrument that is not stored."""
    with open_system(settings, clock) as system, recorded_run(system, "adjust add") as run:
        instrument = _instrument(system, row.symbol, row.ex_date)
        action = _action(system, instrument, row, row.source or BY_HAND)
        report = system.stores.corporate.add([action], clock.now_ns())
        run.summary |= {"key": instrument.key, "ex_date": str(row.ex_date), "kind": row.kind, "terms": row.terms}
        return Added(report, [_told(system, instrument, action)])


def import_file(settings: Settings, clock: Clock, path: Path, source: str | None) -> Added:
    """Store all actions of a CSV, or none. Importing it again changes nothing."""
    rows = read_actions(read_text(path), str(path))
    with open_system(settings, clock) as system, recorded_run(system, "adjust import") as run:
        stated, unknown = [], []
        for row in rows:
            instrument = _find(system, row.symbol, row.ex_date)
            if instrument is None:
                unknown.append(row.symbol)
            else:
                stated.append(_told(system, instrument, _action(system, instrument, row, source or row.source or path.name)))
        if not stated:
            raise InputError(
                f"{path}: none of its {len(rows)} symbols is a stored instrument ({', '.join(unknown[:5])}): import bars first"
            )
        report = system.stores.corporate.add([s.action for s in stated], clock.now_ns())
        run.summary |= {"file": path.name, "rows": len(rows), "unknown": len(unknown)}
        return Added(report, stated, tuple(unknown))


def listed(settings: Settings, clock: Clock, symbol: str | None, known: date | None) -> list[Stated]:
    """Actions that count, of one instrument or all, by key and ex-date; ``known``: as known at the end of that day."""
    with open_system(settings, clock) as system:
        ids = None if symbol is None else [_instrument(system, symbol, day_of(clock.now_ns())).id]
        known_ns = None if known is None else midnight_ns(known + timedelta(days=1)) - 1_000  # the database counts in microseconds
        keys = {i.id: i.key for i in system.stores.instruments.all()}
        rule = _anchor(system)
        found = [Stated(keys[a.instrument_id], a, _out(system, rule, a)) for a in system.stores.corporate.actions(ids, known_ns)]
        return sorted(found, key=lambda s: (s.key, s.action.ex_date, s.action.kind))


def remove(settings: Settings, clock: Clock, symbol: str, ex_date: date, kind: ActionKind | None) -> int:
    """Let actions of a day count no more; what was known until now stays known as such. InputError when there is none."""
    with open_system(settings, clock) as system, recorded_run(system, "adjust remove") as run:
        instrument = _instrument(system, symbol, ex_date)
        n = system.stores.corporate.remove(instrument.id, ex_date, kind, clock.now_ns())
        if n == 0:
            what = "action" if kind is None else kind.value
            raise InputError(
                f"{instrument.key} has no {what} on {ex_date}: `intraday adjust list {instrument.symbol}` shows what it has"
            )
        run.summary |= {"key": instrument.key, "ex_date": str(ex_date), "removed": n}
        return n


def detect(settings: Settings, clock: Clock, symbol: str | None, since: date | None, progress: Progress) -> list[Probable]:
    """Sessions in the stored bars that look like ex-dates (``core.suspects.actions``), by key and day. Indices have none."""
    with open_system(settings, clock) as system:
        if symbol is None:
            wanted = sorted((i for i in system.stores.instruments.all() if i.has_volume), key=lambda i: i.key)
        else:
            wanted = [_instrument(system, symbol, day_of(clock.now_ns()))]
        stated = {(a.instrument_id, a.ex_date) for a in system.stores.corporate.actions()}
        found = []
        for k, instrument in enumerate(wanted):
            progress("detect", k, len(wanted))
            found += _probable(system, instrument, 0 if since is None else midnight_ns(since), stated)
        progress("detect", len(wanted), len(wanted))
        return found


def _probable(system: System, instrument: Instrument, start_ns: int, stated: set[tuple[int, date]]) -> list[Probable]:
    bars = system.stores.bars.read([instrument.id], start_ns, EVER_NS)
    if not instrument.has_volume or bars.shape[0] == 0:
        return []
    out = []
    for one in suspects.actions(bars, suspects.sessions_of(bars)):
        day = day_of(int(bars["ts_ns"][one.row]))
        ratio = Fraction(one.ratio).limit_denominator(20)
        terms = f"{ratio.numerator}:{ratio.denominator}"
        out.append(Probable(instrument.key, day, terms, one.move, one.turnover, (instrument.id, day) in stated))
    return out


def sitting_out(system: System, day: date) -> list[str]:
    """Who has no features on ``day`` for an action that is entered, a line each, by key."""
    rule, keys = _anchor(system), {i.id: i.key for i in system.universe()}
    actions = [a for a in system.stores.corporate.actions(sorted(keys)) if a.ex_date <= day]
    today = [a for a in actions if excluded([a], [a.instrument_id], rule, system.sessions, day, day)]
    return sorted(f"{keys[a.instrument_id]}: {_out(system, rule, a)}" for a in today)


def _anchor(system: System) -> AnchorRule:
    return resolve_anchor(str(system.settings.model.anchor), [day for _, day, _ in system.stores.bars.coverage()])


def _told(system: System, instrument: Instrument, action: Action) -> Stated:
    return Stated(instrument.key, action, _out(system, _anchor(system), action), _doubt(system, instrument, action))


def _out(system: System, rule: AnchorRule, action: Action) -> str:
    """Until when the instrument has no features for it, in words."""
    table = system.sessions
    since = max(action.ex_date, table.first + timedelta(days=ANCHOR_DAYS))
    spans = excluded([action], [action.instrument_id], rule, table, since, table.last) if since <= table.last else ()
    if not spans:
        return ""
    last = EPOCH + timedelta(days=spans[-1][2])
    if last >= table.last:
        return (
            f"no features from {action.ex_date} on ({action.kind} {action.terms}): state starts before that day ({rule.text}) and "
            "would be on the old scale; with a year of bars, or model.anchor: previous_quarter, it comes back"
        )
    return f"no features from {action.ex_date} to {last} ({action.kind} {action.terms}); then its state starts on the new scale"


def _doubt(system: System, instrument: Instrument, action: Action) -> str:
    """Why the stored bars do not look like this action; nothing of one that says there was none."""
    if not action.rescales:
        return ""
    start_ns = midnight_ns(action.ex_date)
    bars = system.stores.bars.read([instrument.id], start_ns, start_ns + DAY_NS)
    close = _close_before(system, instrument, action.ex_date)
    if close is None or bars.shape[0] == 0:
        return ""
    move = float(bars["open"][0]) / close
    if abs(log(move) - log(action.price_factor)) <= OVERNIGHT:
        return ""
    return (
        f"stored bars open {move - 1:+.1%} from the close before, where {action.kind} {action.terms} makes "
        f"{action.price_factor - 1:+.1%}: check date and terms"
    )


def _action(system: System, instrument: Instrument, row: ActionRow, source: str) -> Action:
    if system.sessions.find(row.ex_date) is None:
        raise InputError(
            f"{instrument.key}: expected an ex-date with a session, found {row.ex_date}, on which the exchange was closed"
        )
    now_ns = system.clock.now_ns()
    known_ns = now_ns if row.known is None else midnight_ns(row.known)
    if known_ns > now_ns:
        raise InputError(f"{instrument.key}: expected a day on which it was known, found {row.known}, which is to come")
    close = row.close
    if close is None and needs_close(row.kind):
        close = _close_before(system, instrument, row.ex_date)
    price, volume = factors(row.kind, row.terms, close)
    return Action(instrument.id, row.ex_date, row.kind, price, volume, row.terms, source, known_ns)


def _close_before(system: System, instrument: Instrument, ex_date: date) -> float | None:
    end_ns = midnight_ns(ex_date)
    bars = system.stores.bars.read([instrument.id], midnight_ns(ex_date - timedelta(days=CLOSE_DAYS)), end_ns)
    return float(bars["close"][-1]) if bars.shape[0] else None


def _instrument(system: System, symbol: str, day: date) -> Instrument:
    found = _find(system, symbol, day)
    if found is None:
        key = key_of(symbol.upper(), system.settings.trading.exchange)
        raise ConfigError(
            f"{key} is not a stored instrument: look for it with `intraday instruments list --search`, or import its bars"
        )
    return found


def _find(system: System, symbol: str, day: date) -> Instrument | None:
    """Who bore the symbol on ``day``."""
    number = system.stores.listings.symbols().find(key_of(symbol.upper(), system.settings.trading.exchange), day)
    return next((i for i in system.stores.instruments.all() if i.id == number), None)
