"""The made-up market: reproducible, one path for bars and ticks, faults that can be told apart, an edge only where planted."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta

import numpy as np
import pytest

from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.core.synthetic_path import BURST_MINUTES, burst_starts, draw_returns, draw_traits, first_state
from intraday.core.synthetic_ticks import CLEAN, TickFaults
from intraday.domain.arrays import BAR, DAY_NS, IST_NS, MINUTE_NS, Bars, Ticks
from intraday.domain.instruments import Kind
from intraday.domain.session import Session, SessionTable

SESSIONS = SessionTable.load()


def weekdays(n: int, first: date = date(2026, 1, 5)) -> list[Session]:
    days = [d for k in range(2 * n + 7) if (d := first + timedelta(k)).weekday() < 5][:n]
    opens = [(d - date(1970, 1, 1)).days * DAY_NS - IST_NS + 555 * MINUTE_NS for d in days]
    rows = zip(days, opens, strict=True)
    return [Session(d, (o + IST_NS) // DAY_NS, o, o + 375 * MINUTE_NS, o + 365 * MINUTE_NS) for d, o in rows]


def clock(ns: int) -> str:
    """The IST time of an instant."""
    return str(timedelta(seconds=(ns + IST_NS) % DAY_NS // 10**9)).rjust(8, "0")


def fold(ticks: Ticks) -> Bars:
    """The slow, obvious fold: last cumulative volume less that of the bar before."""
    groups: dict[tuple[int, int], list[np.void]] = defaultdict(list)
    for t in ticks:
        groups[int(t["event_ns"]) // MINUTE_NS * MINUTE_NS, int(t["inst"])].append(t)
    before: dict[int, int] = {}
    out = []
    for (ts, inst), rows in sorted(groups.items(), key=lambda kv: kv[0]):
        p = [int(r["price"]) / 100.0 for r in rows]
        total = int(rows[-1]["volume"])
        volume = float("nan") if total < 0 else float(total - before.get(inst, 0))
        before[inst] = total
        out.append((ts, inst, 0, p[0], max(p), min(p), p[-1], volume, len(rows)))
    return np.array(out, dtype=BAR)


def rejects_removed(ticks: Ticks, session: Session) -> Ticks:
    """Keep what a strict receiver keeps: in hours, never older than the last, volume never lower, no exact repeat."""
    last: dict[int, tuple[int, int, int]] = {}
    keep = []
    for t in ticks:
        inst, key = int(t["inst"]), (int(t["event_ns"]), int(t["volume"]), int(t["price"]))
        good = session.open_ns <= key[0] < session.close_ns
        if inst in last:
            good = good and key[0] >= last[inst][0] and key[1] >= last[inst][1] and key != last[inst]
        keep.append(good)
        if good:
            last[inst] = key
    kept: Ticks = ticks[np.array(keep)]
    return kept


def equal(a: Bars, b: Bars) -> bool:
    return len(a) == len(b) and all(np.array_equal(a[f], b[f], equal_nan=f == "volume") for f in BAR.names or ())


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return SyntheticMarket(SyntheticSpec(instruments=6, seed=3), weekdays(3))


def test_same_seed_same_market_whatever_is_asked_first(market: SyntheticMarket) -> None:
    again = SyntheticMarket(SyntheticSpec(instruments=6, seed=3), weekdays(3))
    last_first = again.bars(2)
    assert equal(last_first, market.bars(2)) and equal(again.bars(0), market.bars(0))
    assert np.array_equal(again.ticks(1), market.ticks(1))
    other = SyntheticMarket(SyntheticSpec(instruments=6, seed=4), weekdays(3))
    assert not equal(other.bars(0), market.bars(0))


@pytest.mark.parametrize("i_session", [0, 2])
def test_clean_ticks_fold_to_the_bars(market: SyntheticMarket, i_session: int) -> None:
    ticks = market.ticks(i_session, CLEAN)
    assert (np.diff(ticks["recv_ns"]) >= 0).all() and (ticks["recv_ns"] > ticks["event_ns"]).all()
    assert equal(fold(ticks), market.bars(i_session))


def test_dropping_bad_packets_gives_the_clean_bars(market: SyntheticMarket) -> None:
    faults = TickFaults(late=0.0, outage_s=0)
    ticks = market.ticks(1, faults)
    session = market.sessions[1]
    clean = market.ticks(1, CLEAN)
    kept = rejects_removed(ticks, session)
    assert len(ticks) > len(kept) == len(clean)
    assert equal(fold(kept), market.bars(1))


@pytest.mark.parametrize(
    ("day", "begin", "match"),
    [
        (date(2010, 10, 15), "09:00", ""),
        (date(2021, 2, 24), "09:00", "09:07:30"),
        (date(2021, 11, 4), "18:00", "18:07:30"),
        (date(2026, 9, 4), "09:00", "09:07:30"),
        (date(2026, 9, 7), "09:00", "09:09:00"),
    ],
)
def test_days_that_are_not_like_others_have_their_own_hours(day: date, begin: str, match: str) -> None:
    """The first packets come when the pre-open begins, its print when the exchange matches; nothing is traded in a halt."""
    sessions = SESSIONS.between(day - timedelta(days=5), day)
    market = SyntheticMarket(SyntheticSpec(instruments=3, faults=TickFaults(late=0.0, outage_s=0)), sessions)
    at, session = len(sessions) - 1, sessions[-1]
    ticks = market.ticks(at)
    assert {clock(ns)[:5] for ns in ticks["recv_ns"][:3].tolist()} == {begin}
    early = (ticks["event_ns"] >= session.open_ns - 30 * MINUTE_NS) & (ticks["event_ns"] < session.open_ns)
    assert [clock(ns) for ns in ticks["event_ns"][early].tolist()] == [match] * (3 if match else 0)
    for start_ns, end_ns in session.pauses:
        assert not ((ticks["event_ns"] >= start_ns) & (ticks["event_ns"] < end_ns)).any()
    clean = market.ticks(at, CLEAN)
    assert session.open_ns <= clean["event_ns"].min() < clean["event_ns"].max() < session.close_ns
    assert equal(fold(rejects_removed(ticks, session)), market.bars(at))


def test_every_fault_is_there(market: SyntheticMarket) -> None:
    ticks, session = market.ticks(1), market.sessions[1]
    event, recv, inst = ticks["event_ns"], ticks["recv_ns"], ticks["inst"]
    assert (np.diff(recv) >= 0).all()
    assert (event == 0).sum() > 20
    assert ((event > 0) & (event < market.sessions[0].close_ns)).sum() == 6  # each one's stale first packet
    first = [int(event[np.flatnonzero(inst == s)[0]]) for s in range(6)]
    assert all(market.sessions[0].open_ns < ns < market.sessions[0].close_ns for ns in first)
    assert ((event >= session.open_ns - 20 * MINUTE_NS) & (event < session.open_ns)).sum() == 6
    assert (event >= session.close_ns).sum() == 18
    one = ticks[(inst == 0) & (event > 0)]
    assert (np.diff(one["event_ns"]) < 0).any() and (np.diff(one["volume"]) < 0).any()
    same = [one[f][1:] == one[f][:-1] for f in ("event_ns", "price", "volume")]
    assert np.logical_and.reduce(same).any()
    inside = (event >= session.open_ns) & (event < session.close_ns)
    assert (recv[inside] // MINUTE_NS - event[inside] // MINUTE_NS > 0).sum() > 5
    during = recv[(recv >= session.open_ns) & (recv < session.close_ns)]
    assert 44e9 < np.diff(during).max() < 50e9


def test_instruments_and_the_index_without_volume(market: SyntheticMarket) -> None:
    made = market.instruments
    assert [i.symbol for i in made] == ["SYN01", "SYN02", "SYN03", "SYN04", "SYN05", "SYNIDX"]
    assert made[-1].kind is Kind.INDEX
    bars, ticks = market.bars(0), market.ticks(0)
    assert np.isnan(bars["volume"][bars["inst"] == 5]).all() and (ticks["volume"][ticks["inst"] == 5] == -1).all()
    assert (bars["volume"][bars["inst"] < 5] > 0).all()
    for s, each in enumerate(made):
        paise = np.round(bars["close"][bars["inst"] == s] * 100).astype(int)
        assert (paise % each.tick_size == 0).all()


def test_thin_instruments_miss_minutes(market: SyntheticMarket) -> None:
    bars = market.bars(0)
    assert (bars["inst"] == 0).sum() == 375 and 200 < (bars["inst"] == 4).sum() < 370
    assert (np.diff(bars["ts_ns"] * 8 + bars["inst"]) > 0).all()


def test_realism() -> None:
    market = SyntheticMarket(SyntheticSpec(instruments=8, seed=5, edge=0.0), weekdays(10))
    bars = np.concatenate([market.bars(i) for i in range(10)])
    one = bars[bars["inst"] == 0]
    minute = ((one["ts_ns"] + IST_NS) % DAY_NS) // MINUTE_NS - 555
    step = np.diff(np.log(one["close"]))[np.diff(one["ts_ns"]) == MINUTE_NS]
    assert np.mean(step**4) / np.mean(step**2) ** 2 > 4.0  # fat tails
    assert np.corrcoef(np.abs(step[1:]), np.abs(step[:-1]))[0, 1] > 0.08  # persistent volatility
    volume = [one["volume"][(minute >= a) & (minute < a + 25)].mean() for a in (0, 175, 350)]
    assert volume[0] > 1.5 * volume[1] < volume[2]
    closes = np.stack([np.log(bars["close"][(bars["inst"] == s)][::1][:375]) for s in (0, 1)])
    assert np.corrcoef(np.diff(closes))[0, 1] > 0.05  # common factors
    night = np.log(one["open"][minute == 0][1:] / one["close"][minute == 374][:-1])
    assert 0.001 < night.std() < 0.05


def burst_follow_up(edge: float) -> tuple[float, float]:
    """Mean signed return of the hour after a burst over many drawn sessions, and its standard error, in own hourly sd."""
    rng = np.random.Generator(np.random.PCG64(1))
    traits = draw_traits(rng, 12, False)._replace(beta=np.zeros(12))
    state, out = first_state(traits), []
    for _ in range(15):
        starts = burst_starts(rng, 375, traits)
        step, _ = draw_returns(rng, traits, state, starts, edge)
        for minute, s in np.argwhere(starts[:300]):
            a, b = minute * 60, (minute + BURST_MINUTES) * 60
            out.append(np.sign(step[a:b, s].sum()) * step[b : b + 3600, s].sum() / (traits.vol[s] * 0.4))
    return float(np.mean(out)), float(np.std(out) / np.sqrt(len(out)))


def test_edge_is_there_only_when_planted() -> None:
    mean, error = burst_follow_up(0.0)
    assert abs(mean) < 3 * error
    mean, error = burst_follow_up(0.6)
    assert mean > 0.15 and mean > 4 * error
