"""The laws of labels: none before its outcome is known, none that the future changes, all of them after the decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from intraday.core.anchor import EPOCH
from intraday.core.audit.laws import another_future
from intraday.core.audit.result import Difference, Finding, Law, finding
from intraday.core.fills import last_exit_ns
from intraday.core.labels import Labeler, LabelSpec
from intraday.core.panel import Lists
from intraday.domain.arrays import DAY_NS, F4, I8, IST_NS, MINUTE_NS, Labels, Mask, Panel
from intraday.domain.session import SessionTable

SUBJECT = "labels"
MOMENTS = 3  # at which the labels known then are compared with those known today
SIGMAS = 6  # labels whose volatility is computed again from nothing but the bars up to their decision


@dataclass(frozen=True, slots=True)
class LabelCase:
    """What labels are made from. ``sigma`` float32 [T, S] of the decision bars; ``sigma_at(t)`` [S]: from bars up to row t."""

    spec: LabelSpec
    labeler: Labeler
    minutes: Panel
    decisions: Panel
    sigma: F4
    sigma_at: Callable[[int], F4]
    sessions: SessionTable
    lists: Lists

    def labels(self) -> Labels:
        """All of them."""
        return self.labeler.label(self.minutes, self.decisions, self.sigma, self.sessions)


def label_laws(case: LabelCase, labels: Labels, rng: np.random.Generator) -> list[Finding]:
    """The findings on ``labels``, those of ``case``."""
    return [*_past(case, labels, rng), _times(case, labels), _sigma(case, labels, rng)]


def _past(case: LabelCase, labels: Labels, rng: np.random.Generator) -> Iterator[Finding]:
    """What was known at some moments within sessions, made from what there was then, and with another future after it."""
    changed = _Rows(Law.LABEL_PREFIX)
    tail = _Rows(Law.LABEL_TAIL)
    for known_ns in _moments(case.minutes, rng):
        expected = labels[labels["t1_ns"] <= known_ns]
        m = int(np.searchsorted(case.minutes.ts_ns + MINUTE_NS, known_ns, side="right"))
        frame_ns = case.spec.timeframe * MINUTE_NS
        d = int(np.searchsorted(case.decisions.ts_ns + frame_ns, known_ns, side="right"))
        then = (case.minutes.rows(0, m), case.decisions.rows(0, d), case.sigma[:d], case.sessions)
        found = case.labeler.label(*then, known_ns=known_ns)
        changed.add(found[found["t1_ns"] <= known_ns], expected)
        tail.add(found[found["t1_ns"] > known_ns], labels[:0])
        tail.n += len(found)
        other = another_future(case.minutes, m, rng), another_future(case.decisions, d, rng)
        later = case.labeler.label(*other, case.sigma, case.sessions)
        changed.add(later[later["t1_ns"] <= known_ns], expected)
    yield changed.finding()
    yield tail.finding()


def _moments(minutes: Panel, rng: np.random.Generator) -> list[int]:
    """Ends of some minutes of the later half."""
    drawn = rng.integers(len(minutes) // 2, len(minutes), MOMENTS)
    return [int(minutes.ts_ns[k]) + MINUTE_NS for k in drawn]


def _times(case: LabelCase, labels: Labels) -> Finding:
    """Entered no sooner than a person can after the decision bar has closed; over when every trade of the session must be."""
    closes, last = _ends(case, labels)
    decided = np.minimum(labels["ts_ns"] + case.spec.timeframe * MINUTE_NS, closes)
    early = labels["entry_ns"] < decided + case.spec.entry_delay_s * 10**9
    wrong = early | (labels["t1_ns"] < labels["entry_ns"]) | (labels["t1_ns"] > last)
    first = None
    if wrong.any():
        bad = labels[wrong][0]
        told = f"entry {_clock(int(bad['entry_ns']))}, known {_clock(int(bad['t1_ns']))}"
        limits = f"entry after {_clock(int(decided[wrong][0]))}, known by {_clock(int(last[wrong][0]))}"
        first = Difference(int(bad["inst"]), int(bad["ts_ns"]), told, limits)
    return finding(SUBJECT, Law.LABEL_TIMES, len(labels), int(wrong.sum()), first)


def _ends(case: LabelCase, labels: Labels) -> tuple[I8, I8]:
    """Of each row's instrument on its day: the end of continuous trading, and when its trades must be over, int64 [n] each."""
    out = np.empty((2, len(labels)), np.int64)
    numbers = (labels["ts_ns"] + IST_NS) // DAY_NS
    for number in np.unique(numbers).tolist():
        auction = case.lists.auction_on(number, case.minutes.n_instruments)
        sessions = [case.sessions.get(EPOCH + timedelta(days=number), auction=each) for each in (False, True)]
        hours = np.array([(s.close_ns, last_exit_ns(case.spec.rules, s)) for s in sessions])
        rows = numbers == number
        out[:, rows] = hours[auction[labels["inst"][rows]].astype(np.int64)].T
    return out[0], out[1]


def _sigma(case: LabelCase, labels: Labels, rng: np.random.Generator) -> Finding:
    """The volatility a label was scaled with is that of its decision bar, and the bars up to it are enough to know it."""
    t = np.searchsorted(case.decisions.ts_ns, labels["ts_ns"])
    wrong = np.asarray(labels["sigma"].astype(np.float32) != case.sigma[t, labels["inst"]], np.bool_)
    expected = case.sigma[t, labels["inst"]].astype(np.float64)
    for k in rng.choice(len(labels), min(SIGMAS, len(labels)), replace=False) if len(labels) else ():
        expected[k] = case.sigma_at(int(t[k]))[labels["inst"][k]]
        wrong[k] |= np.float32(labels["sigma"][k]) != np.float32(expected[k])
    first = None
    if wrong.any():
        k = int(np.flatnonzero(wrong)[0])
        first = Difference(int(labels["inst"][k]), int(labels["ts_ns"][k]), float(labels["sigma"][k]), float(expected[k]))
    return finding(SUBJECT, Law.SIGMA, len(labels), int(wrong.sum()), first)


class _Rows:
    """Adds up comparisons of LABEL rows."""

    def __init__(self, law: Law) -> None:
        self.n = 0
        self._law = law
        self._different = 0
        self._first: Difference | None = None

    def add(self, found: Labels, expected: Labels) -> None:
        """Rows by (ts, inst); one that only one side has differs too."""
        ours, theirs = _by_key(found), _by_key(expected)
        self.n += len(theirs)
        wrong = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
        self._different += len(wrong)
        if wrong and (self._first is None or wrong[0][0] < self._first.ts_ns):
            ts_ns, inst = wrong[0]
            self._first = Difference(inst, ts_ns, _told(found, wrong[0]), _told(expected, wrong[0]))

    def finding(self) -> Finding:
        """The sum."""
        return finding(SUBJECT, self._law, self.n, self._different, self._first)


def _by_key(labels: Labels) -> dict[tuple[int, int], bytes]:
    keys = zip(labels["ts_ns"].tolist(), labels["inst"].tolist(), strict=True)
    return {key: row.tobytes() for key, row in zip(keys, labels, strict=True)}


def _told(labels: Labels, key: Sequence[int]) -> str:
    rows: Mask = (labels["ts_ns"] == key[0]) & (labels["inst"] == key[1])
    if not rows.any():
        return "no label"
    row = labels[rows][0]
    return f"label {int(row['label']):+d}, known {_clock(int(row['t1_ns']))}, long {row['ret_long']:+.6f}"


def _clock(ns: int) -> str:
    seconds = (ns + IST_NS) % DAY_NS // 10**9
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
