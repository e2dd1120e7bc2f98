"""The real NSE ticks of 2021, seven million rows with every defect a recorder can have, through the live path.

A slice of days by default, all of them with INTRADAY_ALL_TICKS=1 (`make validate-data`). The judge and the candles they are held
against are written apart from the kernels, in plain Python and polars: they share no line with them.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from intraday.core.candles import LiveAggregator
from intraday.core.panel import regular_day
from intraday.domain.arrays import BAR, MINUTE_NS, BarFlag, Bars, Ticks
from intraday.domain.events import Frame, LinkLost, Timer
from intraday.domain.session import SessionTable
from intraday.live.recorded import RecordedTicks, frames
from intraday.live.sources import timed_events
from intraday.live.validate import TickValidator

ALL = bool(os.environ.get("INTRADAY_ALL_TICKS"))
# Rows without a time and of another day; a late start with pre-open rows; two recorders, an outage of two hours.
SLICE = (date(2021, 4, 16), date(2021, 4, 22), date(2021, 5, 24))
TABLE = SessionTable.load()
GRACE_NS, OUTAGE_NS = 1_500_000_000, 60 * 10**9
IST = 330 * 60 * 10**9
DAY = 86_400 * 10**9
OPENS, CLOSES = (9 * 60 + 15) * MINUTE_NS, (15 * 60 + 30) * MINUTE_NS
NO_VOLUME = "NIFTY50"


@dataclass(frozen=True)
class Told:
    """One day: its rows, what the program made of them, and what the plain judge says of each row."""

    day: date
    ticks: Ticks
    lost: list[tuple[int, int]]  # (when it was noticed, since when) of each loss
    refused: Counter[str]
    bars: Bars  # the newest version of each minute
    n_on_time: int
    judged: list[str]


def newest(bars: list[Bars]) -> Bars:
    """The version of each minute that was handed out last, by (inst, ts)."""
    rows = np.concatenate([np.zeros(0, BAR), *bars])
    last = {(int(row["inst"]), int(row["ts_ns"])): k for k, row in enumerate(rows)}
    return rows[[last[key] for key in sorted(last)]]


def live(day: date, ticks: Ticks, n: int) -> tuple[list[tuple[int, int]], Counter[str], list[Bars]]:
    """The day as the engine has it."""
    session = TABLE.get(day)
    hours = regular_day(session, n)
    validator, aggregator = TickValidator(session, hours), LiveAggregator(hours, 5)
    lost: list[tuple[int, int]] = []
    bars: list[Bars] = []
    n_kept = 0
    for event in timed_events(session, frames(ticks), GRACE_NS, OUTAGE_NS):
        match event:
            case Frame():
                kept = validator.check(event.ticks)
                n_kept += len(kept)
                aggregator.fold(kept)
            case LinkLost():
                aggregator.lose_link(event.since_ns)
                lost.append((event.now_ns, event.since_ns))
            case Timer():
                boundary = min((event.now_ns - GRACE_NS) // MINUTE_NS * MINUTE_NS, session.close_ns)
                if boundary > session.open_ns:
                    closed = aggregator.close(boundary)
                    bars += [closed.minutes, closed.late]
    rejects = validator.take_rejects(0)
    refused: Counter[str] = Counter({"": n_kept})
    if rejects is not None:
        for reason, count in zip(rejects.reason, rejects.n.tolist(), strict=True):
            refused[reason] += count
    return lost, refused, bars


def stamp_of(number: int, event: int, recv: int, price: int) -> str:
    """Why a row is none of the session, whatever came before it."""
    if event < DAY:
        return "zero_time"
    if price <= 0:
        return "bad_price"
    day, clock = divmod(event + IST, DAY)
    if day != number:
        return "other_day"
    if clock < OPENS:
        return "pre_open"
    if clock >= CLOSES:
        return "out_of_session"
    return "future" if event > recv + 10 * 10**9 else ""


def order_of(before: tuple[int, int, int], lower: list[int], now: tuple[int, int, int]) -> str:
    """Why a row cannot follow the last used one, each (event, volume, price). ``lower``: volumes refused in a row that agree."""
    if now[0] < before[0]:
        return "out_of_order"
    if now[1] < before[1]:
        lower[:] = [*lower, now[1]] if not lower or now[1] >= lower[-1] else [now[1]]
        return "" if len(lower) == 10 else "volume_regressed"
    return "duplicate" if now == before else ""


def judge(day: date, ticks: Ticks) -> list[str]:
    """Why each row is refused, empty where it is used: the rules of docs/sessions.md once more, row by row."""
    number = day.toordinal() - date(1970, 1, 1).toordinal()
    last: dict[int, tuple[int, int, int]] = {}
    lower: dict[int, list[int]] = {}
    said = []
    for event, recv, inst, price, volume in ticks.tolist():
        now = (event, volume, price)
        why = stamp_of(number, event, recv, price)
        if not why and inst in last:
            why = order_of(last[inst], lower[inst], now)
        said.append(why)
        if not why:
            last[inst], lower[inst] = now, []
    return said


@pytest.fixture(scope="module")
def symbols(shared: Path) -> list[str]:
    return sorted(path.stem for path in (shared / "data" / "ticks" / "nse_2021").glob("*.parquet"))


@pytest.fixture(scope="module")
def told(shared: Path, symbols: list[str]) -> list[Told]:
    inst = {symbol: i for i, symbol in enumerate(symbols)}
    recorded = RecordedTicks([shared / "data" / "ticks" / "nse_2021"], inst, [s != NO_VOLUME for s in symbols], TABLE)
    out = []
    for day in recorded.days() if ALL else SLICE:
        ticks = recorded.ticks(day)
        lost, refused, bars = live(day, ticks, len(symbols))
        n_on_time = int(sum((b["flags"] & BarFlag.LATE == 0).sum() for b in bars))
        out.append(Told(day, ticks, lost, refused, newest(bars), n_on_time, judge(day, ticks)))
    return out


def used(one: Told) -> pl.DataFrame:
    """The rows that make candles, in order of arrival, with what stands before each of its instrument."""
    rows = one.ticks[[k for k, why in enumerate(one.judged) if not why]]
    noticed = np.array([at for at, _ in one.lost], np.int64)
    frame = pl.DataFrame({name: rows[name].astype(np.int64) for name in ("event_ns", "recv_ns", "inst", "price", "volume")})
    frame = frame.with_columns(
        minute=pl.col("event_ns") // MINUTE_NS * MINUTE_NS,
        losses=pl.Series(np.searchsorted(noticed, rows["recv_ns"], side="right")),
    )
    return frame.with_columns(
        before=pl.col("volume").shift(1).over("inst"), known=pl.col("losses").shift(1).over("inst").fill_null(0)
    ).with_columns(cut=(pl.col("losses") > pl.col("known")))


def broken_off(one: Told, frame: pl.DataFrame) -> Iterator[tuple[int, int]]:
    """(inst, minute) under construction when the link went in that very minute."""
    for at, since in one.lost:
        last = frame.filter(pl.col("recv_ns") < at).group_by("inst").agg(pl.col("minute").last())
        yield from last.filter(pl.col("minute") == since // MINUTE_NS * MINUTE_NS).rows()


def candles(one: Told, frame: pl.DataFrame) -> pl.DataFrame:
    """One candle a minute with a used row: first, highest, lowest, last price in paise; volume since the row before the minute."""
    base = pl.when(pl.col("cut")).then(pl.col("volume")).otherwise(pl.col("before").fill_null(0)).first()
    by_minute = frame.group_by("inst", "minute", maintain_order=True).agg(
        open=pl.col("price").first(), high=pl.col("price").max(), low=pl.col("price").min(), close=pl.col("price").last(),
        volume=pl.col("volume").last() - base, n=pl.len().cast(pl.Int64),
        partial=pl.col("cut").any(),
    )  # fmt: skip
    gone = pl.DataFrame(sorted(set(broken_off(one, frame))), schema={"inst": pl.Int64, "minute": pl.Int64}, orient="row")
    gone = gone.with_columns(gone=pl.lit(value=True))
    return by_minute.join(gone, on=["inst", "minute"], how="left").with_columns(
        partial=pl.col("partial") | pl.col("gone").fill_null(value=False)
    ).drop("gone").sort("inst", "minute")  # fmt: skip


def test_every_row_is_used_or_has_a_reason(told: list[Told], shared: Path) -> None:
    total: Counter[str] = Counter()
    for one in told:
        assert one.refused == Counter(one.judged), one.day
        assert one.refused.total() == len(one.ticks)
        total += one.refused
    assert {"zero_time", "other_day", "pre_open", "out_of_session", "out_of_order", "volume_regressed", "duplicate"} < set(total)
    if ALL:
        with (shared / "data" / "ticks.csv").open(encoding="utf-8") as handle:
            lines = [line for line in csv.DictReader(handle) if line["file"].startswith("ticks/nse_2021/")]
        assert total.total() == sum(int(line["ticks"]) for line in lines) > 7_000_000
        assert total["zero_time"] == sum(int(line["ts_before_2000"]) for line in lines)


def test_candles_are_those_of_an_independent_construction(told: list[Told], symbols: list[str]) -> None:
    n_partial = 0
    for one in told:
        expected = candles(one, used(one))
        got = one.bars
        assert got["inst"].tolist() == expected["inst"].to_list() and got["ts_ns"].tolist() == expected["minute"].to_list(), one.day
        for name in ("open", "high", "low", "close"):
            np.testing.assert_array_equal(got[name], expected[name].to_numpy() / 100.0, err_msg=f"{one.day} {name}")
        np.testing.assert_array_equal(got["n_ticks"], expected["n"].to_numpy())
        stock = got["inst"] != symbols.index(NO_VOLUME)
        np.testing.assert_array_equal(got["volume"][stock], expected["volume"].to_numpy()[stock])
        assert np.isnan(got["volume"][~stock]).all()
        partial = got["flags"] & BarFlag.PARTIAL != 0
        np.testing.assert_array_equal(partial, expected["partial"].to_numpy())
        n_partial += int(partial.sum())
    assert n_partial > 50


def test_volumes_add_up_to_the_day(told: list[Told], symbols: list[str]) -> None:
    """Volume of the candles and what the flag PARTIAL says is missing are the last cumulative volume that was used."""
    n_lost = 0
    for one in told:
        frame = used(one)
        for inst in set(range(len(symbols))) - {symbols.index(NO_VOLUME)}:
            own = frame.filter(pl.col("inst") == inst)
            if own.height == 0:
                continue
            missed = own.filter(pl.col("cut")).select((pl.col("volume") - pl.col("before").fill_null(0)).sum()).item()
            in_candles = one.bars["volume"][one.bars["inst"] == inst].sum()
            assert in_candles + missed == own["volume"][-1], (one.day, symbols[inst])
            n_lost += missed
            rows = one.ticks[one.ticks["inst"] == inst]
            clock = (rows["event_ns"] + IST) % DAY
            today = ((rows["event_ns"] + IST) // DAY == one.day.toordinal() - 719_163) & (clock >= OPENS) & (clock < CLOSES)
            highest = int(rows["volume"][today].max())
            assert own["volume"][-1] == highest, (one.day, symbols[inst], "the day's cumulative volume")
    assert n_lost > 0


def test_a_gap_stays_a_gap(told: list[Told]) -> None:
    """No candle without a used row, none outside 09:15 to 15:29, and none in the two hours of 24 May without data."""
    for one in told:
        clock = (one.bars["ts_ns"] + IST) % DAY // MINUTE_NS
        assert clock.min() >= OPENS // MINUTE_NS and clock.max() < CLOSES // MINUTE_NS
        assert (one.bars["n_ticks"] > 0).all()
        if one.day == date(2021, 5, 24):
            assert not ((clock >= 11 * 60 + 35) & (clock < 13 * 60 + 58)).any()
