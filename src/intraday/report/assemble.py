"""From what the program stores (artifact, signals, bars, coverage) to the parts of a report: it sorts, counts and adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from intraday.domain.arrays import Bars, session_number
from intraday.domain.events import Action, Signal
from intraday.domain.instruments import Instrument
from intraday.domain.membership import Auction, no_auction
from intraday.domain.session import EPOCH, SessionTable
from intraday.model.artifacts import Artifact
from intraday.model.metrics import BPS, OutOfSample, session_sums
from intraday.model.trained import Explained
from intraday.report.from_manifest import (
    SIDES,
    Section,
    baselines_of,
    curves_of,
    day_of,
    estimate_of,
    fold_map_of,
    fold_of,
    judgement_of,
    paths_of,
    realised_of,
    recalibration_of,
    stability_of,
    value_of,
)
from intraday.report.from_trades import by_hour, by_instrument, heat_map
from intraday.report.inputs import Candles, Confusion, Coverage, Equity, Fold, Header, Reliability, SignalRow
from intraday.report.parts import (
    Baseline,
    Figure,
    FoldMap,
    Group,
    HeatMap,
    Judgement,
    PathSpread,
    Realised,
    Recalibration,
    Stability,
    Swarm,
)
from intraday.report.words import number

DOTS_MAX = 320  # of a feature in the swarm


@dataclass(frozen=True, slots=True)
class ModelParts:
    """The parts of a report that come from a trained model, named as in ``ReportInput``."""

    figures: tuple[Figure, ...]
    equity: Equity
    reliability: tuple[Reliability, ...]
    confusion: Confusion
    importance: tuple[tuple[str, float], ...]
    folds: tuple[Fold, ...]
    judgement: Judgement | None
    by_instrument: tuple[Group, ...]
    by_hour: tuple[Group, ...]
    heat: HeatMap | None
    recalibration: tuple[Recalibration, ...]
    realised: Realised | None
    fold_map: FoldMap | None
    stability: Stability | None
    swarm: Swarm | None
    baselines: tuple[Baseline, ...]
    path_spread: PathSpread | None


def model_parts(artifact: Artifact, oos: OutOfSample, days: Sequence[date] = (), explained: Explained | None = None) -> ModelParts:
    """Figures, charts and folds of an artifact and its out-of-sample predictions (``model.artifacts.read_oos``).

    ``days`` are the sessions there are, ascending: the axis of the fold map (without them every weekday).
    """
    manifest = artifact.manifest
    metrics, reliability, verdict = manifest["metrics"], manifest.get("reliability"), manifest.get("judged")
    symbols = [key.partition(":")[2] or key for key in manifest["data"]["symbols"]]
    sharpe = value_of(((verdict or {}).get("figures") or {}).get("sharpe"))
    return ModelParts(
        figures=_figures(metrics),
        equity=_equity(oos),
        reliability=curves_of(reliability) or _reliability(metrics["calibration"]),
        confusion=_confusion(oos),
        importance=tuple((row["name"], value_of(row["gain"])) for row in manifest["importance"]),
        folds=tuple(fold_of(k, row) for k, row in enumerate(manifest["folds"], start=1)),
        judgement=judgement_of(verdict),
        by_instrument=by_instrument(oos, symbols),
        by_hour=by_hour(oos),
        heat=heat_map(oos, symbols),
        recalibration=recalibration_of(reliability),
        realised=realised_of(reliability),
        fold_map=fold_map_of(manifest["folds"], days),
        stability=stability_of(manifest["features"]["names"], manifest.get("gain_by_fold")),
        swarm=None if explained is None else swarm_of(explained),
        baselines=baselines_of(manifest.get("baselines"), _own(metrics, sharpe)),
        path_spread=paths_of(manifest.get("cross_validation"), sharpe),
    )


def swarm_of(explained: Explained) -> Swarm:
    """At most DOTS_MAX rows a feature, evenly taken; features by what they did between up and down, most first."""
    n = len(explained.toward_up)
    rows = np.unique(np.linspace(0, n - 1, min(n, DOTS_MAX)).astype(np.int64))
    contribution, value = (v[rows].T.astype(np.float64) for v in (explained.toward_up, explained.quantile))
    strength = np.abs(explained.toward_up).sum(axis=0, dtype=np.float64) / max(n, 1)
    order = np.argsort(-strength, kind="stable")
    return Swarm(tuple(explained.names[k] for k in order), value[order], contribution[order], strength[order])


def _own(m: Section, sharpe: float) -> Baseline:
    """The model as a row of the baselines."""
    return Baseline(
        name="this model",
        trades=int(m["trades"]),
        net=value_of(m["net_bps_trade"]),
        session=estimate_of(m["net_bps_session"]),
        sharpe=sharpe,
        log_loss=value_of(m["log_loss"]),
        brier=value_of(m["brier"]),
        own=True,
    )


def header_of(artifact: Artifact, title: str, made_ns: int, mode: str, source: str, n_sessions: int) -> Header:
    """The header of a report on ``artifact``."""
    data = artifact.manifest["data"]
    return Header(
        title=title,
        made_ns=made_ns,
        mode=mode,
        source=source,
        first_day=day_of(data["first_session"]),
        last_day=day_of(data["last_session"]),
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
    return inst, day_of(session)


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
    return SignalRow(
        s.decided_ns, s.bar_ns, symbol, str(s.action), s.confidence, s.price, s.stop, s.target, s.observe,
        s.expected, s.chase, s.quantity, s.reasons, s.note,
    )  # fmt: skip


def _figures(m: Section) -> tuple[Figure, ...]:
    gross, cost, skill = value_of(m["gross_bps_trade"]), value_of(m["cost_bps_trade"]), 100.0 * value_of(m["skill_log_loss"])
    prior = f"prior's {number(value_of(m['log_loss_prior']), 4)}, {number(abs(skill), 2)} % {'better' if skill >= 0 else 'worse'}"
    session, ic = estimate_of(m["net_bps_session"]), estimate_of(m["ic"])
    return (
        Figure("Net a session", session.value, "bps", 1, session.low, session.high),
        Figure("Net a trade", value_of(m["net_bps_trade"]), "bps", note=f"gross {number(gross, 2, True)}, cost {number(cost)}"),
        Figure("Hit rate", 100.0 * value_of(m["hit_rate"]), "%", 1, note="trades that gained before costs"),
        Figure("Direction IC", ic.value, "", 3, ic.low, ic.high, "rank correlation by session"),
        Figure("Log-loss", value_of(m["log_loss"]), "nats", 4, note=prior),
        Figure("Trades", float(m["trades"]), "", 0, note=f"in {m['sessions']} sessions out of sample"),
    )


def _equity(oos: OutOfSample) -> Equity:
    sessions = np.unique(oos.session)
    taken, at = oos.trade, oos.session[oos.trade]
    gross = np.cumsum(session_sums(oos.gross[taken] * BPS, at, sessions))
    net = np.cumsum(session_sums((oos.gross - oos.paid)[taken] * BPS, at, sessions))
    n_trades = session_sums(np.ones(at.size), at, sessions).astype(np.int64)
    peak = np.maximum.accumulate(np.concatenate([[0.0], net]))
    drawdown = float((peak - np.concatenate([[0.0], net])).max())
    return Equity([day_of(int(k)) for k in sessions], gross, net, n_trades, drawdown)


def _reliability(bins: Sequence[Section]) -> tuple[Reliability, ...]:
    def curve(label: int) -> Reliability:
        rows = [b for b in bins if b["label"] == label]
        predicted, observed = (np.array([value_of(b[k]) for b in rows], dtype=np.float64) for k in ("mean_p", "frequency"))
        return Reliability(SIDES[label], predicted, observed, np.array([b["n"] for b in rows], dtype=np.int64))

    return tuple(curve(label) for label in SIDES)


def _confusion(oos: OutOfSample) -> Confusion:
    counts = np.zeros((3, 3), dtype=np.int64)
    np.add.at(counts, (oos.label.astype(np.int64) + 1, oos.side.astype(np.int64) + 1), 1)
    return Confusion(counts)
