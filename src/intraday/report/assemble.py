"""From what the program stores (artifact, signals, bars, coverage) to the parts of a report: it sorts, counts and adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from intraday.domain.arrays import Bars, session_number
from intraday.domain.events import Action, Signal
from intraday.domain.instruments import Instrument
from intraday.domain.membership import Auction, no_auction
from intraday.domain.session import SessionTable
from intraday.model.artifacts import Artifact
from intraday.model.metrics import BPS, OutOfSample, session_sums
from intraday.report.inputs import Candles, Confusion, Coverage, Equity, Fold, Header, Reliability, SignalRow
from intraday.report.parts import NAN, Figure
from intraday.report.words import number

EPOCH = date(1970, 1, 1)
SIDES = {-1: "down", 1: "up"}


@dataclass(frozen=True, slots=True)
class ModelParts:
    """The parts of a report that come from a trained model, named as in ``ReportInput``."""

    figures: tuple[Figure, ...]
    equity: Equity
    reliability: tuple[Reliability, ...]
    confusion: Confusion
    importance: tuple[tuple[str, float], ...]
    folds: tuple[Fold, ...]


def model_parts(artifact: Artifact, oos: OutOfSample) -> ModelParts:
    """Figures, charts and folds of an artifact and its out-of-sample predictions (``model.artifacts.read_oos``)."""
    manifest = artifact.manifest
    return ModelParts(
        figures=_figures(manifest["metrics"]),
        equity=_equity(oos),
        reliability=_reliability(manifest["metrics"]["calibration"]),
        confusion=_confusion(oos),
        importance=tuple((row["name"], _number(row["gain"])) for row in manifest["importance"]),
        folds=tuple(_fold(k, row) for k, row in enumerate(manifest["folds"], start=1)),
    )


def header_of(artifact: Artifact, title: str, made_ns: int, mode: str, source: str, n_sessions: int) -> Header:
    """The header of a report on ``artifact``."""
    data = artifact.manifest["data"]
    return Header(
        title=title,
        made_ns=made_ns,
        mode=mode,
        source=source,
        first_day=_day(data["first_session"]),
        last_day=_day(data["last_session"]),
        n_sessions=n_sessions,
        n_instruments=len(data["symbols"]),
        timeframe=artifact.features.timeframe,
        model_id=artifact.id,
        verdict=artifact.verdict,
        reason=artifact.manifest["reason"],
    )


def signal_rows(signals: Sequence[Signal], symbols: Sequence[str]) -> tuple[list[SignalRow], int]:
    """BUY and SELL in order of decision, then symbol; and how many were HOLD. ``symbols`` by dense row."""
    said = [s for s in signals if s.action is not Action.HOLD]
    rows = [signal_row(s, symbols[s.inst]) for s in said]
    return sorted(rows, key=lambda r: (r.time_ns, r.symbol)), len(signals) - len(said)


def busiest(signals: Sequence[Signal]) -> tuple[int, date] | None:
    """(dense row, day) with most BUY and SELL, of equals the first; without any, with most HOLD; None without signals."""
    said = [s for s in signals if s.action is not Action.HOLD] or list(signals)
    if not said:
        return None
    counts = Counter((s.inst, session_number(s.bar_ns)) for s in said)
    inst, session = min(counts, key=lambda key: (-counts[key], key))
    return inst, _day(session)


def candles_of(bars: Bars, inst: int, symbol: str, day: date, timeframe: int, signals: Sequence[Signal]) -> Candles:
    """One instrument's day from BAR rows of the decision timeframe (any instruments and days) with its signals."""
    wanted = (day - EPOCH).days
    rows = bars[(bars["inst"] == inst) & np.array([session_number(int(t)) == wanted for t in bars["ts_ns"]], dtype=np.bool_)]
    rows = rows[np.argsort(rows["ts_ns"], kind="stable")]
    mine = [s for s in signals if s.inst == inst and session_number(s.bar_ns) == wanted and s.action is not Action.HOLD]
    return Candles(
        symbol=symbol,
        day=day,
        timeframe=timeframe,
        ts_ns=rows["ts_ns"].astype(np.int64),
        open=rows["open"],
        high=rows["high"],
        low=rows["low"],
        close=rows["close"],
        volume=rows["volume"],
        signals=tuple(signal_row(s, symbol) for s in mine),
    )


def coverage_of(
    stored: Sequence[tuple[int, date, int]],
    instruments: Sequence[Instrument],
    sessions: SessionTable,
    auction: Auction = no_auction,
) -> tuple[Coverage, ...]:
    """By instrument, from (id, day, bars) rows (``BarStore.coverage``): bars there against the minutes of the sessions it has.

    ``auction``: who takes part in the closing auction when; there are fewer minutes then. A halt has none.
    """
    by_id: dict[int, list[tuple[date, int]]] = {i.id: [] for i in instruments}
    for instrument_id, day, n in stored:
        if instrument_id in by_id:
            by_id[instrument_id].append((day, n))
    return tuple(_coverage(i, by_id[i.id], sessions, auction) for i in instruments)


def _coverage(i: Instrument, days: Sequence[tuple[date, int]], sessions: SessionTable, auction: Auction) -> Coverage:
    found = [sessions.find(day, auction(i.id, day), i.segment) for day, _ in days]
    expected = sum(session.open_minutes for session in found if session is not None)
    return Coverage(i.symbol, len(days), sum(n for _, n in days), expected)


def signal_row(s: Signal, symbol: str) -> SignalRow:
    """One decision, HOLD included, as a row."""
    return SignalRow(s.decided_ns, s.bar_ns, symbol, str(s.action), s.confidence, s.price, s.stop, s.target, s.observe)


def _figures(m: Mapping[str, Any]) -> tuple[Figure, ...]:
    gross, cost, skill = _number(m["gross_bps_trade"]), _number(m["cost_bps_trade"]), 100.0 * _number(m["skill_log_loss"])
    prior = f"prior's {number(_number(m['log_loss_prior']), 4)}, {number(abs(skill), 2)} % {'better' if skill >= 0 else 'worse'}"
    session, ic = m["net_bps_session"], m["ic"]
    return (
        Figure("Net a session", _number(session["mean"]), "bps", 1, _number(session["low"]), _number(session["high"])),
        Figure("Net a trade", _number(m["net_bps_trade"]), "bps", note=f"gross {number(gross, 2, True)}, cost {number(cost)}"),
        Figure("Hit rate", 100.0 * _number(m["hit_rate"]), "%", 1, note="trades that gained before costs"),
        Figure("Direction IC", _number(ic["mean"]), "", 3, _number(ic["low"]), _number(ic["high"]), "rank correlation by session"),
        Figure("Log-loss", _number(m["log_loss"]), "nats", 4, note=prior),
        Figure("Trades", float(m["trades"]), "", 0, note=f"in {m['sessions']} sessions out of sample"),
    )


def _equity(oos: OutOfSample) -> Equity:
    sessions = np.unique(oos.session)
    taken, at = oos.trade, oos.session[oos.trade]
    gross = np.cumsum(session_sums(oos.gross[taken] * BPS, at, sessions))
    net = np.cumsum(session_sums((oos.gross - oos.cost)[taken] * BPS, at, sessions))
    n_trades = session_sums(np.ones(at.size), at, sessions).astype(np.int64)
    peak = np.maximum.accumulate(np.concatenate([[0.0], net]))
    drawdown = float((peak - np.concatenate([[0.0], net])).max())
    return Equity([_day(int(k)) for k in sessions], gross, net, n_trades, drawdown)


def _reliability(bins: Sequence[Mapping[str, Any]]) -> tuple[Reliability, ...]:
    def curve(label: int) -> Reliability:
        rows = [b for b in bins if b["label"] == label]
        predicted, observed = (np.array([_number(b[k]) for b in rows], dtype=np.float64) for k in ("mean_p", "frequency"))
        return Reliability(SIDES[label], predicted, observed, np.array([b["n"] for b in rows], dtype=np.int64))

    return tuple(curve(label) for label in SIDES)


def _confusion(oos: OutOfSample) -> Confusion:
    counts = np.zeros((3, 3), dtype=np.int64)
    np.add.at(counts, (oos.label.astype(np.int64) + 1, oos.side.astype(np.int64) + 1), 1)
    return Confusion(counts)


def _fold(k: int, row: Mapping[str, Any]) -> Fold:
    return Fold(
        number=k,
        fit_from=_day(row["fit_sessions"][0]),
        fit_to=_day(row["stop_sessions"][1]),
        test_from=_day(row["score_sessions"][0]),
        test_to=_day(row["score_sessions"][1]),
        n_fit=row["fit_rows"] + row["stop_rows"],
        n_test=row["score_rows"],
        n_rounds=row["rounds"],
        log_loss=_number(row["log_loss"]),
        prior_log_loss=_number(row["log_loss_prior"]),
        n_trades=row["trades"],
        net_bps=_number(row["net_bps_trade"]),
    )


def _number(value: Any) -> float:
    """A number of the manifest, where NaN is null."""
    return NAN if value is None else float(value)


def _day(session: int) -> date:
    return EPOCH + timedelta(days=int(session))
