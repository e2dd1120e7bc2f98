"""From an artifact and stored rows to the values a report shows."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date, timedelta
from typing import Any

import numpy as np

from intraday.backtest.verify import VerifyReport
from intraday.domain.arrays import Bars
from intraday.domain.events import Action, Signal
from intraday.model.artifacts import Artifact
from intraday.model.metrics import BPS, CalibrationBin, OutOfSample, session_sums
from intraday.report.inputs import Candles, Check, Confusion, Equity, Figure, Fold, Reliability, SignalRow

EPOCH = date(1970, 1, 1)
CLASS_NAMES = {-1: "SELL", 0: "HOLD", 1: "BUY"}
LIBRARIES = ("lightgbm", "numpy", "numba", "polars")


def day_of(number: int) -> date:
    """The day of a session number."""
    return EPOCH + timedelta(days=number)


def figures(metrics: Mapping[str, Any]) -> list[Figure]:
    """Headline figures of a manifest's ``metrics``; null means there is none."""

    def value(name: str, key: str, unit: str = "", digits: int = 2, scale: float = 1.0, note: str = "") -> Figure:
        return Figure(name, _number(metrics[key]) * scale, unit, digits, note=note)

    def interval(name: str, key: str, unit: str, digits: int, scale: float = 1.0, note: str = "") -> Figure:
        low, mean, high = (_number(metrics[key][k]) * scale for k in ("low", "mean", "high"))
        return Figure(name, mean, unit, digits, low, high, note)

    return [
        interval("Net a session", "net_bps_session", "bps", 1, note="after costs, one unit a trade; the verdict rests on it"),
        interval("Gross a session", "gross_bps_session", "bps", 1),
        value("Net a trade", "net_bps_trade", "bps", note="gross less brokerage, taxes and fees; before spread"),
        value("Gross a trade", "gross_bps_trade", "bps"),
        value("Cost a trade", "cost_bps_trade", "bps"),
        value("Trades", "trades", digits=0, note="signals taken while flat"),
        value("Sessions", "sessions", digits=0, note="out of sample"),
        value("Hit rate", "hit_rate", "%", 1, 100.0, "trades that gained before costs"),
        value("Log-loss", "log_loss", "nats", 4),
        value("Log-loss of the prior", "log_loss_prior", "nats", 4, note="class frequencies of each training window"),
        interval("Gain on the prior", "log_loss_gain", "nats", 4, note="time of day and volatility alone give some"),
        value("Brier skill", "skill_brier", "%", 2, 100.0),
        interval("Direction IC", "ic", "", 4, note="rank correlation with the return of the long trade"),
    ]


def folds(rows: Sequence[Mapping[str, Any]]) -> list[Fold]:
    """The folds of a manifest."""
    return [
        Fold(
            number=i + 1,
            fit_from=day_of(f["fit_sessions"][0]),
            fit_to=day_of(f["fit_sessions"][1]),
            test_from=day_of(f["score_sessions"][0]),
            test_to=day_of(f["score_sessions"][1]),
            n_fit=f["fit_rows"],
            n_test=f["score_rows"],
            n_rounds=f["rounds"],
            log_loss=_number(f["log_loss"]),
            prior_log_loss=_number(f["log_loss_prior"]),
            n_trades=f["trades"],
            net_bps=_number(f["net_bps_trade"]),
        )
        for i, f in enumerate(rows)
    ]


def equity(oos: OutOfSample) -> Equity | None:
    """Cumulated gross and net result of the out-of-sample trades, by session."""
    if len(oos) == 0:
        return None
    sessions = np.unique(oos.session)
    trade = oos.trade
    gross = session_sums(oos.gross[trade] * BPS, oos.session[trade], sessions)
    net = session_sums((oos.gross - oos.cost)[trade] * BPS, oos.session[trade], sessions)
    n = session_sums(np.ones(int(trade.sum())), oos.session[trade], sessions).astype(np.int64)
    curve = np.cumsum(net)
    peak = np.maximum.accumulate(np.concatenate([[0.0], curve]))[1:]
    days = [day_of(int(s)) for s in sessions]
    return Equity(days, np.cumsum(gross), curve, n, float((peak - curve).max(initial=0.0)))


def reliability(bins: Sequence[Mapping[str, Any]]) -> list[Reliability]:
    """Calibration bins of a manifest, by class."""
    rows = [CalibrationBin(**{f.name: b[f.name] for f in fields(CalibrationBin)}) for b in bins]
    out = []
    for label in (1, 0, -1):
        mine = [r for r in rows if r.label == label]
        predicted = np.array([_number(r.mean_p) for r in mine])
        observed = np.array([_number(r.frequency) for r in mine])
        out.append(Reliability(CLASS_NAMES[label], predicted, observed, np.array([r.n for r in mine], np.int64)))
    return out


def confusion(oos: OutOfSample) -> Confusion:
    """What was said against what happened, out of sample."""
    counts = np.zeros((3, 3), np.int64)
    np.add.at(counts, (oos.label.astype(np.int64) + 1, oos.side.astype(np.int64) + 1), 1)
    return Confusion(counts)


def signal_row(s: Signal, symbols: Sequence[str]) -> SignalRow:
    """One signal as the report shows it."""
    return SignalRow(s.decided_ns, s.bar_ns, symbols[s.inst], str(s.action), s.confidence, s.price, s.stop, s.target, s.observe)


def signal_rows(signals: Sequence[Signal], symbols: Sequence[str]) -> tuple[list[SignalRow], int]:
    """(BUY and SELL in order of time, number of HOLD)."""
    rows = [signal_row(s, symbols) for s in signals if s.action is not Action.HOLD]
    return sorted(rows, key=lambda r: (r.time_ns, r.symbol)), len(signals) - len(rows)


def candles(bars: Bars, symbol: str, day: date, timeframe: int, signals: Sequence[SignalRow]) -> Candles:
    """The chart of one instrument's day."""
    return Candles(
        symbol,
        day,
        timeframe,
        bars["ts_ns"],
        bars["open"],
        bars["high"],
        bars["low"],
        bars["close"],
        bars["volume"],
        tuple(signals),
    )


def checks(report: VerifyReport) -> list[Check]:
    """The parts of verify as rows."""
    day = report.run.day
    rows = [Check(f"as known: {c.name}", day, c.n_rows, len(c.differences), not c.differences) for c in report.checks]
    causes = {str(cause).replace("_", " "): n for cause, n in sorted(report.causes.items())}
    rows.append(_corrected("as corrected: candles", report, len(report.candles), causes, report.n_best))
    for name, part in (("features", report.features), ("signals", report.signals)):
        n = sum(part.causes.values()) + len(part.unexplained)
        causes = {**part.causes, **({"unexplained": len(part.unexplained)} if part.unexplained else {})}
        rows.append(_corrected(f"as corrected: {name}", report, n, causes, part.n_rows))
    return rows


def facts(artifact: Artifact | None) -> list[tuple[str, str]]:
    """What made the figures."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    rows = [("intraday", importlib.metadata.version("intraday")), ("Python", platform.python_version()), ("Libraries", versions)]
    if artifact is not None:
        spec, data = artifact.manifest["training"], artifact.manifest["data"]
        rows += [
            ("Model", artifact.id),
            (
                "Feature set",
                f"{artifact.features.id}, {len(artifact.features.names)} features of {artifact.features.timeframe}-minute bars",
            ),
            ("Rows trained on", f"{data['rows']:,}, about {data['effective_rows']:,.0f} of them without overlap"),
            ("Rounds", f"{spec['rounds']} of at most {spec['num_boost_round']}, seed {spec['seed']}"),
        ]
    return rows


def _corrected(name: str, report: VerifyReport, n: int, causes: Mapping[str, int], compared: int) -> Check:
    unexplained = causes.get("unexplained", 0)
    detail = ", ".join(f"{k} {v:,}" for k, v in causes.items())
    return Check(name, report.run.day, compared, n, unexplained == 0, detail)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
