"""What is odd but possible: outliers, stale bars, jumps, repeats and probable corporate actions, on made-up random markets."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intraday.broker.candles import judge
from intraday.core import suspects
from intraday.core.validate import CandleValidator, Flag, FlagReason, RejectReason, Validation
from intraday.domain.arrays import BAR, DAY_NS, F8, IST_NS, MINUTE_NS, Bars, empty
from intraday.domain.instruments import Instrument
from intraday.domain.session import Segment, SessionTable

TABLE = SessionTable.load()
VALIDATOR = CandleValidator(TABLE)
SESSIONS = TABLE.between(date(2024, 1, 8), date(2024, 2, 9))


def market(seed: int, n_sessions: int = 8, sigma: float = 4e-4, price: float = 500.0) -> Bars:
    """A random walk in ticks of five paise, with volume."""
    rng = np.random.default_rng(seed)
    ts = np.concatenate([np.arange(s.open_ns, s.close_ns, MINUTE_NS) for s in SESSIONS[:n_sessions]])
    bars = empty(BAR, ts.size)
    bars["ts_ns"] = ts
    bars["close"] = np.maximum(np.round(price * np.exp(sigma * rng.normal(size=ts.size).cumsum()) * 20) / 20, 0.05)
    bars["open"] = np.concatenate((bars["close"][:1], bars["close"][:-1]))
    bars["high"] = np.maximum(bars["open"], bars["close"]) + 0.05 * rng.integers(1, 4, ts.size)
    bars["low"] = np.maximum(np.minimum(bars["open"], bars["close"]) - 0.05 * rng.integers(1, 4, ts.size), 0.05)
    bars["volume"] = rng.integers(1_000, 20_000, ts.size)
    return bars


def scale(bars: Bars, rows: slice | int, factor: float) -> None:
    for name in ("open", "high", "low", "close"):
        bars[name][rows] *= factor


def rejected(found: Validation) -> dict[int, str]:
    return {int(k): str(found.reason(int(k))) for k in np.flatnonzero(found.code)}


def flagged(found: Validation) -> list[tuple[int, str]]:
    return [(flag.row, flag.reason.value) for flag in found.flags]


@pytest.mark.parametrize("seed", range(4))
def test_a_plain_market_is_neither_rejected_nor_flagged(seed: int) -> None:
    found = VALIDATOR.check(market(seed), True)
    assert (found.counts(), found.flags) == ({}, ())


@pytest.mark.parametrize("factor", [0.1, 0.7, 1.4, 12.0])
def test_a_spike_is_an_outlier_and_the_bars_behind_it_are_good(factor: float) -> None:
    bars = market(1)
    scale(bars, slice(1_000, 1_003), factor)
    assert rejected(VALIDATOR.check(bars, True)) == dict.fromkeys(range(1_000, 1_003), "outlier")


@pytest.mark.parametrize("field", ["high", "low"])
def test_one_print_out_of_the_world_is_enough(field: str) -> None:
    bars = market(2)
    bars[field][700] *= 1.5 if field == "high" else 0.5
    assert rejected(VALIDATOR.check(bars, True)) == {700: "outlier"}


def test_a_level_that_stays_is_believed() -> None:
    """Whatever moved a price by half within a minute: after five bars that agree it is where the price is."""
    bars = market(3)
    scale(bars, slice(1_000, 1_125), 0.5)  # to the end of the session
    assert rejected(VALIDATOR.check(bars, True)) == dict.fromkeys(range(1_000, 1_004), "outlier")


@pytest.mark.parametrize("factor", [0.05, 0.5, 0.6, 3.0, 40.0])
@pytest.mark.parametrize("n", [1, 4])
def test_wrong_first_bars_are_outliers_and_do_not_condemn_the_session(factor: float, n: int) -> None:
    """Next to a ratio of shares or not: the bars that follow do not stay there."""
    bars = market(4)
    scale(bars, slice(1_500, 1_500 + n), factor)
    found = VALIDATOR.check(bars, True)
    assert (rejected(found), flagged(found)) == (dict.fromkeys(range(1_500, 1_500 + n), "outlier"), [])


@pytest.mark.parametrize("factor", [0.57, 0.7, 1.4])
def test_a_session_that_opens_elsewhere_and_stays_is_kept_whole(factor: float) -> None:
    """A demerger, or news overnight about a stock without a price band: nothing of it is lost, and somebody is told."""
    bars = market(4)
    scale(bars, slice(1_500, None), factor)
    bars["volume"][1_500:] *= 9
    found = VALIDATOR.check(bars, True)
    assert (rejected(found), flagged(found)) == ({}, [(1_500, "jump")])
    assert found.flags[0].detail == f"{100 * (bars['open'][1_500] / bars['close'][1_499] - 1):+.2f} % overnight"


@pytest.mark.parametrize(
    ("factor", "believed"), [(0.5, True), (0.6, True), (0.2, True), (0.45, False), (3.0, False), (40.0, False)]
)
def test_while_a_session_has_too_few_bars_a_ratio_of_shares_is_believed(factor: float, believed: bool) -> None:
    bars = market(4)
    scale(bars, slice(1_500, None), factor)
    for n in (1, 2, 4):
        found = VALIDATOR.check(bars[: 1_500 + n].copy(), True)
        assert rejected(found) == ({} if believed else dict.fromkeys(range(1_500, 1_500 + n), "outlier"))
    assert rejected(VALIDATOR.check(bars[:1_505].copy(), True)) == {}


def test_the_close_before_a_wrong_last_bar_counts() -> None:
    bars = market(4)
    scale(bars, slice(1_499, 1_501), 2.0)
    assert rejected(VALIDATOR.check(bars, True)) == {1_499: "outlier", 1_500: "outlier"}


def test_over_a_long_gap_a_price_may_have_gone_anywhere() -> None:
    bars = market(4)
    scale(bars, slice(1_500, None), 3.0)
    bars["ts_ns"][1_500:] += TABLE.get(date(2024, 3, 11)).open_ns - SESSIONS[4].open_ns
    assert VALIDATOR.check(bars[:1_502], True).counts() == {}


def test_what_is_stored_says_what_the_first_bar_of_an_answer_may_be() -> None:
    bars = market(4)
    scale(bars, 1_500, 3.0)
    assert rejected(VALIDATOR.check(bars[1_500:], True, None, bars[:1_500])) == {0: "outlier"}


@pytest.mark.parametrize("drop", [0.10, 0.13, 0.20])
def test_a_crash_is_kept(drop: float) -> None:
    """As on 2020-03-23: down at the open, then by a circuit's worth within ten minutes, and wild all day."""
    bars, rng = market(5), np.random.default_rng(9)
    scale(bars, slice(2_250, None), 1 - drop)
    path = np.exp(np.concatenate((np.linspace(0, np.log(1 - drop), 10), np.full(365, np.log(1 - drop)))))
    wild = np.exp(0.004 * rng.normal(size=375).cumsum())
    for name in ("open", "high", "low", "close"):
        bars[name][2_250:2_625] *= path * wild
    bars["volume"][2_250:2_625] *= 5
    found = VALIDATOR.check(bars[:2_625], True)
    assert rejected(found) == {}
    assert all(reason == "jump" for _, reason in flagged(found))
    assert len(found.flags) < 40  # and not the whole day: the half hour before says how wild it is


def test_bars_that_hang_are_stale_from_the_fourth_on() -> None:
    bars = market(6)
    for k in range(401, 410):
        for name in ("open", "high", "low", "close", "volume"):
            bars[name][k] = bars[name][400]
    found = VALIDATOR.check(bars, True)
    assert rejected(found) == dict.fromkeys(range(403, 410), "stale")
    assert flagged(found) == [(401, "repeated"), (402, "repeated")]


@pytest.mark.parametrize("has_volume", [True, False])
def test_flat_bars_may_be_the_same_for_a_while(has_volume: bool) -> None:
    """Ten times over is a feed that hangs; of the real sets none was the same more than three times."""
    bars = market(7)
    for name in ("open", "high", "low", "close"):
        bars[name][400:460] = bars["close"][399]
    bars["volume"][400:460] = 777
    found = VALIDATOR.check(bars, has_volume)
    assert rejected(found) == dict.fromkeys(range(410, 460), "stale")
    assert [row for row in flagged(found) if row[0] < 460] == [(row, "repeated") for row in range(403, 410)]
    bars["volume"][400:460] = np.arange(60) + 1
    assert rejected(VALIDATOR.check(bars, True)) == {}


def test_a_day_sent_again_is_stale() -> None:
    bars = market(8)
    for name in ("open", "high", "low", "close", "volume"):
        bars[name][1_125:1_500] = bars[name][750:1_125]
    assert rejected(VALIDATOR.check(bars, True)) == dict.fromkeys(range(1_127, 1_500), "stale")
    assert rejected(VALIDATOR.check(bars, False)) == dict.fromkeys(range(1_127, 1_500), "stale")


def test_a_jump_is_flagged_and_kept() -> None:
    bars = market(9)
    scale(bars, slice(2_000, None), 1.02)
    found = VALIDATOR.check(bars, True)
    assert (rejected(found), flagged(found)) == ({}, [(2_000, "jump")])
    assert found.flags[0].detail.endswith(" deviations")


def test_nothing_is_a_jump_while_volatility_is_unknown() -> None:
    bars = market(9)
    scale(bars, slice(1_000, None), 1.02)
    assert VALIDATOR.check(bars, True).flags == ()


SHARES = {
    "1:10 bonus": 10 / 11,
    "1:5 bonus": 5 / 6,
    "1:2 split": 0.5,
    "1:5 split": 0.2,
    "2:1 bonus": 1 / 3,
    "1:2 bonus": 2 / 3,
    "1:10 split": 0.1,
    "2:1 consolidation": 2.0,
}


@pytest.mark.parametrize("ratio", SHARES.values(), ids=SHARES)
def test_an_ex_date_is_a_probable_corporate_action(ratio: float) -> None:
    bars = market(10)
    scale(bars, slice(1_875, None), ratio)
    bars["volume"][1_875:] = np.round(bars["volume"][1_875:] / ratio)
    found = VALIDATOR.check(bars, True)
    assert (rejected(found), flagged(found)) == ({}, [(1_875, "corporate_action")])
    assert f"near {ratio:.3f}" in found.flags[0].detail


def test_bad_news_is_no_corporate_action() -> None:
    """It halves overnight too, but with many times the rupees traded; and where nothing is traded nothing is said."""
    bars = market(11)
    scale(bars, slice(1_875, None), 0.5)
    bars["volume"][1_875:] *= 12
    assert flagged(VALIDATOR.check(bars, True)) == [(1_875, "jump")]
    assert FlagReason.CORPORATE_ACTION not in VALIDATOR.check(bars, False).flagged()


@pytest.mark.parametrize(("drop", "volume", "is_action"), [
    (10 / 11, 1.1, True), (0.93, 1.1, True), (0.94, 1.1, False), (0.88, 1.1, False), (10 / 11, 2.5, False), (10 / 11, 0.4, False),
    (0.95, 1.0, False), (0.87, 1.1, False), (5 / 6, 1.2, True), (5 / 6, 3.0, False),
])  # fmt: skip
def test_a_small_bonus_needs_the_ratio_and_the_turnover_more_exactly(drop: float, volume: float, is_action: bool) -> None:
    """A stock falls by a tenth on news, too."""
    bars = market(12)
    scale(bars, slice(1_875, None), drop * bars["close"][1_874] / bars["open"][1_875])
    bars["volume"][1_875:] = np.round(bars["volume"][1_875:] * volume)
    assert (FlagReason.CORPORATE_ACTION in VALIDATOR.check(bars, True).flagged()) == is_action


@pytest.mark.parametrize("fall", [0.45, 0.28])
def test_a_fall_that_is_no_ratio_is_none_either(fall: float) -> None:
    bars = market(12)
    scale(bars, slice(1_875, None), fall * bars["close"][1_874] / bars["open"][1_875])
    bars["volume"][1_875:] = np.round(bars["volume"][1_875:] / fall)
    assert FlagReason.CORPORATE_ACTION not in VALIDATOR.check(bars, True).flagged()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 2_999), st.sampled_from([0.0, 2e-3, 0.03, 0.2]), st.booleans())
def test_later_bars_change_no_verdict(seed: int, k: int, sigma: float, has_volume: bool) -> None:
    """Of unit jumps the whole file decides, of corporate actions and jumps overnight the whole session, of a session that opens far
    away its first five bars; everything else knows the past only."""
    bars = market(seed, sigma=sigma, price=50.0)
    bars = bars[np.random.default_rng(seed).random(bars.size) < 0.9]
    k = min(k, bars.size)
    while k < bars.size and 0 < k - np.searchsorted(bars["ts_ns"], (bars["ts_ns"][k - 1] + IST_NS) // DAY_NS * DAY_NS - IST_NS) < 5:
        k += 1
    whole, part = (VALIDATOR.check(b.copy(), has_volume, float(b["close"][0])) for b in (bars, bars[:k]))
    assert whole.code[:k].tolist() == part.code.tolist()
    told, mine = ([f for f in found.flags if f.row < k and not of_the_session(f)] for found in (whole, part))
    assert told == mine


def of_the_session(flag: Flag) -> bool:
    return flag.reason is FlagReason.CORPORATE_ACTION or flag.detail.endswith("overnight")


def volatility(bars: Bars) -> F8:
    sessions = suspects.sessions_of(bars)
    return suspects.volatility(bars, sessions, suspects.returns(bars, sessions))


def slow_volatility(bars: Bars) -> list[float]:
    """The same, bar by bar."""
    days = [next(k for k, s in enumerate(SESSIONS) if s.open_ns <= ts < s.close_ns) for ts in bars["ts_ns"]]
    halves = [(int(ts) - SESSIONS[d].open_ns) // (30 * MINUTE_NS) for ts, d in zip(bars["ts_ns"], days, strict=True)]
    held: dict[tuple[int, int], list[float]] = {}
    for k in range(1, bars.size):
        if days[k] == days[k - 1]:
            minutes = (bars["ts_ns"][k] - bars["ts_ns"][k - 1]) / MINUTE_NS
            held.setdefault((days[k], halves[k]), []).append(
                abs(float(np.log(bars["close"][k] / bars["close"][k - 1]) / np.sqrt(minutes)))
            )
    out = []
    for k, (day, half) in enumerate(zip(days, halves, strict=True)):
        before = [float(np.median(held[d, half])) for d in range(day - 10, day) if (d, half) in held]
        today = [float(np.median(held[day, half - 1]))] if (day, half - 1) in held else []
        floor = max(2e-4, 0.05 / float(bars["close"][k]))
        out.append(1.4826 * max(float(np.median(before)), *today, floor) if len(before) >= 3 else np.nan)
    return out


@pytest.mark.parametrize("seed", range(3))
def test_volatility_is_what_it_says(seed: int) -> None:
    bars = market(seed, 15, sigma=2e-3, price=500.0 if seed else 20.0)  # of a cheap stock a tick is the least
    bars = bars[np.random.default_rng(seed).random(bars.size) < 0.2]
    assert volatility(bars).tolist() == pytest.approx(slow_volatility(bars), rel=1e-12, nan_ok=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2_999))
def test_volatility_knows_earlier_bars_only(seed: int, k: int) -> None:
    bars = market(seed, sigma=3e-3)
    scale(bars, slice(k, None), 1.1)
    assert volatility(bars[: k + 1]).tobytes() == volatility(bars)[: k + 1].tobytes()
    assert volatility(bars)[:k].tobytes() == volatility(market(seed, sigma=3e-3))[:k].tobytes()


@pytest.mark.parametrize(("sigmas", "wanted"), [(19.5, []), (20.5, [(2_000, "jump")])])
def test_where_a_jump_begins(sigmas: float, wanted: list[tuple[int, str]]) -> None:
    bars = market(14)
    move = sigmas * volatility(bars)[2_000] - np.log(bars["close"][2_000] / bars["close"][1_999])
    scale(bars, slice(2_000, None), float(np.exp(move)))
    assert flagged(VALIDATOR.check(bars, True)) == wanted


def test_bars_that_are_strange_each_in_its_own_way_are_not_believed() -> None:
    bars = market(15)
    for k in range(10):
        scale(bars, 1_000 + k, 2.0 if k % 2 else 4.0)
    assert rejected(VALIDATOR.check(bars, True)) == dict.fromkeys(range(1_000, 1_010), "outlier")


def test_what_is_rejected_moves_no_bars_volatility_to_another() -> None:
    """Quiet half hours and wild ones by turns: 2 % are a jump in the one, and nothing in the other."""
    bars = market(16)
    rng = np.random.default_rng(16)
    half = (np.arange(bars.size) % 375) // 30
    close = 5_000 * np.exp((rng.normal(size=bars.size) * np.where(half % 2, 3e-3, 1e-4)).cumsum())
    close[1_875 + 30 :] *= 1.02  # into the first wild half hour of the sixth session
    for name in ("open", "high", "low", "close"):
        bars[name] = close
    bars["high"] += 0.05
    scale(bars, 1_000, 3.0)
    found = VALIDATOR.check(bars, True)
    assert (rejected(found), flagged(found)) == ({1_000: "outlier"}, [])


def test_the_brokers_candles_are_judged_by_the_same_rules() -> None:
    bars, stock, end_ns = market(17), Instrument("NSE", "INFY", id=7), SESSIONS[7].close_ns
    scale(bars, slice(1_875, None), 0.5)
    bars["volume"][1_875:] *= 2
    scale(bars, 1_000, 3.0)
    judged = judge(stock, SESSIONS[:8], bars, end_ns, end_ns, {}, {Segment.EQUITY: VALIDATOR})
    assert [(row.reason, row.ts_ns) for row in judged.rejected] == [("outlier", bars["ts_ns"][1_000])]
    assert judged.odd == (FlagReason.CORPORATE_ACTION,)
    assert judged.bars.size == bars.size - 1
    assert [gap.n_minutes for gap in judged.gaps] == [1]


def test_counts_add_up() -> None:
    bars = market(13)
    scale(bars, 1_000, 2.0)
    found = VALIDATOR.check(bars, True)
    assert found.counts() == {RejectReason.OUTLIER: 1}
    assert found.accepted.size == bars.size - 1
    assert found.gap_minutes == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(11, 14), st.sampled_from([0.25, 0.5, 0.97, 1.0, 1.03, 2.0]), st.booleans())
def test_earlier_bars_say_what_is_usual(seed: int, n_sessions: int, factor: float, spike: bool) -> None:
    """A last session alone, with the ones before it as earlier bars, is judged as at the end of all of them."""
    bars = market(seed, n_sessions)
    k = (n_sessions - 1) * 375
    scale(bars, slice(k, None), factor)
    bars["volume"][k:] = np.rint(bars["volume"][k:] / factor)
    scale(bars, slice(k + 200, None), 1.02)
    bars[k + 100 : k + 104][["open", "high", "low", "close"]] = bars[k - 275 : k - 271][["open", "high", "low", "close"]]
    if spike:
        scale(bars, k + 300, 3.0)
    whole, alone = VALIDATOR.check(bars, True), VALIDATOR.check(bars[k:], True)
    found = VALIDATOR.check(bars[k:], True, float(bars["close"][k - 1]), bars[:k])
    assert found.code.tobytes() == whole.code[k:].tobytes()
    assert (found.accepted + k).tolist() == whole.accepted[whole.accepted >= k].tolist()
    assert [(flag.row + k, flag.reason, flag.detail) for flag in found.flags] == [
        (flag.row, flag.reason, flag.detail) for flag in whole.flags if flag.row >= k
    ]
    assert FlagReason.JUMP in found.flagged() and FlagReason.JUMP not in alone.flagged()
    assert (FlagReason.CORPORATE_ACTION in found.flagged()) == (factor in (0.25, 0.5, 2.0))
