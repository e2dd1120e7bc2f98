"""From the sections of an artifact's manifest (JSON: NaN is null, infinities are words) to the parts of a report.

A section that is not there, as in a model made without it, gives None or nothing, and the page says so.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from intraday.domain.arrays import F8
from intraday.domain.session import EPOCH
from intraday.report.inputs import Fold, Reliability
from intraday.report.parts import (
    NAN,
    Baseline,
    Estimate,
    Figure,
    FoldMap,
    Judgement,
    Lane,
    PathSpread,
    Realised,
    Recalibration,
    Span,
    Stability,
)
from intraday.report.words import number

SIDES = {-1: "down", 0: "neither", 1: "up"}
Section = Mapping[str, Any]


def value_of(found: Any) -> float:
    """A number of the manifest."""
    return NAN if found is None else float(found)


def day_of(session: int) -> date:
    """The day of a session number."""
    return EPOCH + timedelta(days=int(session))


def estimate_of(found: Section | None) -> Estimate:
    """A mean with its interval (``model.metrics.Interval``)."""
    return Estimate() if found is None else Estimate(*(value_of(found.get(k)) for k in ("mean", "low", "high")))


def judgement_of(verdict: Section | None) -> Judgement | None:
    """The verdict's figures in words (``model.verdict.Verdict``)."""
    if not verdict or not verdict.get("figures"):
        return None
    found = {name: value_of(value) for name, value in verdict["figures"].items()}

    def get(name: str) -> float:
        return found.get(name, NAN)

    n = number(get("n_trials"), 0)
    rows = (
        Figure("Sharpe ratio by session", get("sharpe"), "", 3, get("sharpe_low"), get("sharpe_high"), "net: mean over deviation"),
        Figure("its standard error", get("sharpe_error"), "", 3, note="with skew and fat tails"),
        Figure("Probabilistic Sharpe ratio", 100 * get("psr"), "%", 1, note="chance that the true one is above zero"),
        Figure("Deflated Sharpe ratio", 100 * get("dsr"), "%", 1, note=f"the same, above the best of {n} by luck; 95 % is an edge"),
        Figure("p-value of the edge", get("p_value"), "p", note="under 0.05 is an edge"),
        Figure("Configurations counted (N)", get("n_trials"), "", 0, note="every one whose test result was ever seen"),
        Figure("Variance of their Sharpe ratios (V)", get("variance_of_sharpes"), "", 5),
        Figure("Minimum track record", get("minimum_track_record"), "", 0, note="sessions that this ratio needs; – is never"),
        Figure(
            "Effective sessions", get("effective_sessions"), "", 0, note=f"of {number(get('sessions'), 0)}, after autocorrelation"
        ),
        Figure(
            "Effective trades",
            get("effective_trades"),
            "",
            0,
            note=f"of {number(get('trades'), 0)}, as trades of a day move together",
        ),
        Figure("Effective trials", get("effective_trials"), "", 1, note=f"of {n}, after correlation; shown, not used"),
        Figure("Net a session", get("net_bps_session"), "bps", 1, get("net_bps_session_low"), get("net_bps_session_high")),
        Figure(
            "Gross a session",
            get("gross_bps_session"),
            "bps",
            1,
            get("gross_bps_session_low"),
            get("gross_bps_session_high"),
            _of_what(get("trades"), get("measured_trades")),
        ),
        Figure("p-value before costs", get("gross_p_value"), "p", note="is there any direction?"),
    )
    power = [(float(m), get(f"power_{m}x")) for m in (1, 2, 3)]
    return Judgement(rows, power, str(verdict.get("gross_word") or ""), sentence(str(verdict.get("gross_reason") or "")))


def _of_what(trades: float, measured: float) -> str:
    """What figures before costs are of, where it is not the trades."""
    if np.isnan(measured) or measured == trades:
        return ""
    return f"of the {number(measured, 0)} signals that observe mode shows: {number(trades, 0)} trades are too few"


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip().rstrip(".")
    return f"{text[0].upper()}{text[1:]}." if text else ""


def curves_of(reliability: Section | None) -> tuple[Reliability, ...]:
    """Reliability of each class with intervals (``model.reliability.Reliability``)."""
    if not reliability:
        return ()

    def column(rows: Sequence[Section], name: str) -> F8:
        return np.array([value_of(row.get(name)) for row in rows], dtype=np.float64)

    return tuple(
        Reliability(
            SIDES[one["label"]],
            column(one["curve"], "mean_p"),
            column(one["curve"], "frequency"),
            np.array([int(row["n"]) for row in one["curve"]], dtype=np.int64),
            column(one["curve"], "low"),
            column(one["curve"], "high"),
        )
        for one in reliability["classes"]
    )


def recalibration_of(reliability: Section | None) -> tuple[Recalibration, ...]:
    """Slope, intercept, skill and error of each class."""
    if not reliability:
        return ()
    return tuple(
        Recalibration(
            SIDES[one["label"]],
            *(estimate_of(one.get(name)) for name in ("slope", "intercept", "brier_skill", "ece")),
        )
        for one in reliability["classes"]
    )


def realised_of(reliability: Section | None) -> Realised | None:
    """Promised against realised value of signals; None without any."""
    signals = (reliability or {}).get("signals")
    if not signals or not signals.get("curve"):
        return None
    columns = ("expected_bps", "realised_bps", "low", "high")
    said, came, low, high = (np.array([value_of(row.get(c)) for row in signals["curve"]], dtype=np.float64) for c in columns)
    n = np.array([int(row["n"]) for row in signals["curve"]], dtype=np.int64)
    return Realised(said, came, low, high, n, estimate_of(signals.get("slope")))


def fold_of(k: int, row: Section) -> Fold:
    """One walk-forward fold (``model.folds.FoldFigures``)."""
    return Fold(
        number=k,
        fit_from=day_of(row["fit_sessions"][0]),
        fit_to=day_of(row["stop_sessions"][1]),
        test_from=day_of(row["score_sessions"][0]),
        test_to=day_of(row["score_sessions"][1]),
        n_fit=row["fit_rows"] + row["stop_rows"],
        n_test=row["score_rows"],
        n_rounds=row["rounds"],
        log_loss=value_of(row["log_loss"]),
        prior_log_loss=value_of(row["log_loss_prior"]),
        n_trades=row["trades"],
        net_bps=value_of(row["net_bps_trade"]),
        n_purged=row["purged"],
    )


def fold_map_of(rows: Sequence[Section], days: Sequence[date] = ()) -> FoldMap | None:
    """The windows of each fold on ``days`` (ascending: the sessions there are; without them every weekday between)."""
    if not rows:
        return None
    first = min(row["fit_sessions"][0] for row in rows)
    last = max(row["score_sessions"][1] for row in rows)
    between = [d for d in days if day_of(first) <= d <= day_of(last)]
    weekdays = [day_of(k) for k in range(first, last + 1) if day_of(k).weekday() < 5]
    axis = between or weekdays
    return FoldMap(axis, [Lane(f"fold {k}", _spans(row, axis), row["purged"]) for k, row in enumerate(rows, start=1)])


def _spans(row: Section, axis: Sequence[date]) -> list[Span]:
    """Its windows, the sessions between them as embargo, and where rows were purged a mark before the window they ran into."""
    spans: list[Span] = []
    for kind in ("fit", "stop", "score"):
        start, end = (day_of(k) for k in row[f"{kind}_sessions"])
        first, last = bisect_left(axis, start), bisect_right(axis, end) - 1
        if last < first:
            continue
        if spans and spans[-1].last + 1 < first:
            spans.append(Span("embargo", spans[-1].last + 1, first - 1))
        spans.append(Span(kind, first, last))
    marks = [Span("purged", s.last + 1, s.last) for s in spans if s.kind in ("fit", "stop")] if row["purged"] else []
    return [*spans, *marks]


def stability_of(names: Sequence[str], by_fold: Sequence[Sequence[Any]] | None) -> Stability | None:
    """Importances by fold [K, F], ``names`` in order of the columns."""
    if not by_fold:
        return None
    shares = np.array([[value_of(v) for v in row] for row in by_fold], dtype=np.float64).T
    return Stability(tuple(names), shares, _agreement(shares))


def _agreement(shares: F8) -> float:
    """Mean Spearman correlation of all pairs of columns; ties get their mean rank. NaN under two folds or without spread."""
    if shares.shape[1] < 2 or shares.shape[0] < 2:
        return NAN
    from scipy.stats import rankdata  # loaded where it is used: most commands need none of it

    ranks = rankdata(shares, axis=0)
    if np.any(np.ptp(ranks, axis=0) == 0):
        return NAN
    matrix = np.corrcoef(ranks.T)
    return float(matrix[np.triu_indices(matrix.shape[0], 1)].mean())


def paths_of(section: Section | None, own: float) -> PathSpread | None:
    """Sharpe ratios of the combinatorial paths (``model.cpcv.PathFigures``)."""
    if not section or not section.get("sharpes"):
        return None
    sharpes = np.array([value_of(v) for v in section["sharpes"]], dtype=np.float64)
    return PathSpread(sharpes, own, int(section["groups"]), int(section["test_groups"]))


def baselines_of(rows: Sequence[Section] | None, own: Baseline) -> tuple[Baseline, ...]:
    """The model first, then everything simpler."""
    if not rows:
        return ()
    return (own, *(_baseline(row) for row in rows))


def _baseline(row: Section) -> Baseline:
    return Baseline(
        name=str(row["name"]),
        trades=int(row["trades"]),
        net=value_of(row.get("net_bps_trade")),
        session=estimate_of(row.get("net_bps_session")),
        sharpe=value_of(row.get("sharpe")),
        log_loss=value_of(row.get("log_loss")),
        brier=value_of(row.get("brier")),
        note=str(row.get("note") or ""),
    )
