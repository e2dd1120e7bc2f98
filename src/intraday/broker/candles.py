"""What an answer of the broker is worth: candles that can be believed, the days it settles, what of them is missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from intraday.core.validate import NO_BARS, CandleValidator, FlagReason, Validation
from intraday.domain.arrays import DAY_NS, I8, MINUTE_NS, Bars
from intraday.domain.broker import Fetched
from intraday.domain.gaps import NO_CANDLE, NO_SESSION, SCATTERED, expected_minutes, runs
from intraday.domain.instruments import Instrument
from intraday.domain.membership import Auction
from intraday.domain.ports import Gap, Quarantined
from intraday.domain.session import Segment, Session, SessionTable, midnight_ns

RUNS_MAX = 5  # more runs of missing minutes in one session are one gap: a thinly traded stock would fill the table
KEPT_MAX = 100  # rejected rows of one reason kept of one answer; more of them tell nothing new
ORIGIN = "broker, minute candles"
FINAL_NS = DAY_NS + 6 * 60 * MINUTE_NS  # from the midnight before a session until its candles are revised no more
EMPTY_NS = 60 * MINUTE_NS  # a session without a candle is believed when it has none at least so much later either
AGAIN_NS = 10 * MINUTE_NS  # and is not asked for again before
OLD_NS = 7 * DAY_NS  # after the midnight before a session it is believed at once, if other sessions of the answer have candles

Validators = Mapping[Segment, CandleValidator]


@dataclass(frozen=True, slots=True)
class Judged:
    """``bars``: BAR[n] accepted, ascending, volume NaN where the instrument has none. ``fetched``: one row a session asked for
    of which anything was learnt.

    ``n_rejected`` rows in all, of which ``rejected`` has the first KEPT_MAX of each reason.
    """

    bars: Bars
    n_rejected: int
    rejected: tuple[Quarantined, ...]
    fetched: tuple[Fetched, ...]
    gaps: tuple[Gap, ...]
    odd: tuple[FlagReason, ...] = ()  # accepted all the same


def judge(
    instrument: Instrument,
    sessions: Sequence[Session],
    answer: Bars,
    asked_ns: int,
    final_ns: int,
    before: Mapping[tuple[int, date], Fetched],
    validators: Validators,
    earlier: Bars = NO_BARS,
) -> Judged:
    """Judge the minutes of these sessions. ``final_ns``: a candle that ends later is left out, since it may still be running.
    ``before``: what is known of (instrument, day) from earlier answers; a session without a candle is only believed in the end.
    ``earlier``: stored bars of the sessions before, which say what is usual."""
    rows, found = check(instrument, sessions, answer, sessions[0].open_ns, final_ns, validators, earlier)
    bars, seen = rows[found.accepted], _seen(rows, found)
    fetched: list[Fetched] = []
    gaps: list[Gap] = []
    at = np.searchsorted(bars["ts_ns"], [s.open_ns for s in sessions] + [sessions[-1].close_ns])
    for session, n_bars in zip(sessions, np.diff(at).tolist(), strict=True):
        day = Fetched(instrument.id, session.day, last_final_ns(session, final_ns), n_bars, is_final(session.day, asked_ns))
        known = before.get((instrument.id, session.day))
        if n_bars == 0:
            sure = len(bars) > 0 and asked_ns >= midnight_ns(session.day) + OLD_NS
            day, session = _empty(day, session, asked_ns, known, sure), _rest(session, known)
        if n_bars or day != known:
            fetched.append(day)
        gaps += missing_minutes(instrument.id, session, last_final_ns(session, final_ns), seen)
    n_rejected = int(np.count_nonzero(found.code))
    odd = tuple(flag.reason for flag in found.flags)
    return Judged(bars, n_rejected, _quarantined(instrument, rows, found), tuple(fetched), tuple(gaps), odd)


def is_final(day: date, now_ns: int) -> bool:
    """Whether candles of the day change no more: they are published late, and revised after the close."""
    return now_ns >= midnight_ns(day) + FINAL_NS


def worth_asking(day: Fetched, now_ns: int) -> bool:
    """Whether another answer may tell more: not of a complete day, nor right after one without a candle of a day that is over."""
    waits = day.empty_ns is not None and is_final(day.day, now_ns) and now_ns - day.empty_ns < AGAIN_NS
    return not (day.complete or waits)


def _empty(day: Fetched, session: Session, asked_ns: int, known: Fetched | None, sure: bool) -> Fetched:
    """``day`` came without a candle: what was known stays so, and that there is none is believed when it was so for a while, or
    when the answer makes ``sure``. Else an instrument that trades now and then costs a request for each day without a trade."""
    held = day if known is None or known.n_bars == 0 else known
    if day.until_ns < session.close_ns:
        return replace(held, complete=False)
    since_ns = asked_ns if known is None or known.empty_ns is None else known.empty_ns
    return replace(held, complete=day.complete and (sure or asked_ns - since_ns >= EMPTY_NS), empty_ns=since_ns)


def _rest(session: Session, known: Fetched | None) -> Session:
    """What of the session lies behind the stored candles."""
    return session if known is None or known.n_bars == 0 else replace(session, open_ns=max(session.open_ns, known.until_ns))


def check(
    instrument: Instrument,
    sessions: Sequence[Session],
    answer: Bars,
    start_ns: int,
    final_ns: int,
    validators: Validators,
    earlier: Bars = NO_BARS,
) -> tuple[Bars, Validation]:
    """The rows of the answer that open at or after ``start_ns``, end by ``final_ns`` and are of these sessions' days, and what is
    to be thought of each. ``sessions`` are the instrument's own, and so are the hours by which rows are judged.
    ``earlier``: bars from before the answer that are believed."""
    ts = answer["ts_ns"]
    inside = (ts >= start_ns) & (ts + MINUTE_NS <= min(final_ns, midnight_ns(sessions[-1].day) + DAY_NS))
    rows = answer[inside]
    if not instrument.has_volume:
        rows["volume"] = np.nan
    last = float(earlier["close"][-1]) if len(earlier) else None
    early = {s.day for s in sessions if s.auction}
    return rows, validators[instrument.segment].of(early.__contains__).check(rows, instrument.has_volume, last, earlier)


def own_sessions(
    table: SessionTable, instruments: Iterable[Instrument], first: date, last: date, rule: Auction
) -> list[list[Session]]:
    """The sessions of each instrument with ``first <= day <= last``: futures and closing-auction stocks have hours of their own."""
    plain, early = (table.between(first, last, auction) for auction in (False, True))
    late = table.between(first, last, segment=Segment.DERIVATIVES)

    def own(i: Instrument) -> list[Session]:
        if i.segment is Segment.DERIVATIVES:
            return late
        return [b if b.close_ns != a.close_ns and rule(i.id, a.day) else a for a, b in zip(plain, early, strict=True)]

    return [own(i) for i in instruments]


def validators_of(table: SessionTable) -> Validators:
    """One for each segment."""
    return {segment: CandleValidator(table, segment=segment) for segment in Segment}


def last_final_ns(session: Session, final_ns: int) -> int:
    """End of the last minute of the session that ends by ``final_ns``; its open when there is none yet."""
    return max(session.open_ns, min(session.close_ns, final_ns // MINUTE_NS * MINUTE_NS))


def missing_minutes(instrument_id: int, session: Session, until_ns: int, seen_ns: I8) -> list[Gap]:
    """Minutes of the session before ``until_ns`` that are not in ``seen_ns`` (ascending): one gap a run of them, one in all where
    there are more than RUNS_MAX runs or nothing was seen. ``n_minutes`` counts what is missing, pauses are not."""
    grid = expected_minutes([session], until_ns)
    seen = seen_ns[np.searchsorted(seen_ns, session.open_ns) : np.searchsorted(seen_ns, until_ns)]
    missing = grid if seen.size == 0 else np.setdiff1d(grid, seen, assume_unique=True)
    if missing.size == 0:
        return []
    spans = runs(missing)
    if seen.size == 0 or len(spans) > RUNS_MAX:
        reason = SCATTERED if seen.size else NO_SESSION
        return [Gap(instrument_id, int(missing[0]), int(missing[-1]) + MINUTE_NS, reason, missing.size)]
    return [Gap(instrument_id, a, b, NO_CANDLE, (b - a) // MINUTE_NS) for a, b in spans.tolist()]


def untried(
    instrument_id: int, sessions: Sequence[Session], before: Mapping[tuple[int, date], Fetched], final_ns: int, reason: str
) -> list[Gap]:
    """One gap a session for what the broker did not answer; ``before``: what earlier answers said of (instrument, day)."""
    nothing = np.empty(0, dtype=np.int64)
    gaps: list[Gap] = []
    for session in sessions:
        known = before.get((instrument_id, session.day))
        rest = session if known is None else replace(session, open_ns=max(session.open_ns, known.until_ns))
        gaps += missing_minutes(instrument_id, rest, last_final_ns(rest, final_ns), nothing)
    return [replace(gap, reason=reason) for gap in gaps]


def _seen(rows: Bars, found: Validation) -> I8:
    """Minutes that are not missing: accepted ones, and those the broker says had no trade."""
    return np.asarray(np.sort(rows["ts_ns"][found.judged]), dtype=np.int64)


def _quarantined(instrument: Instrument, bars: Bars, found: Validation) -> tuple[Quarantined, ...]:
    rows = []
    kept = [np.flatnonzero(found.code == code)[:KEPT_MAX] for code in np.unique(found.code[found.code > 0])]
    for row in np.sort(np.concatenate([np.empty(0, dtype=np.int64), *kept])).tolist():
        values = {name: float(bars[name][row]) for name in ("open", "high", "low", "close", "volume")}
        readable = {name: None if np.isnan(value) else value for name, value in values.items()}
        ts_ns = int(bars["ts_ns"][row])
        rows.append(Quarantined(instrument.symbol, ORIGIN, ts_ns or None, str(found.reason(row)), readable))
    return tuple(rows)
