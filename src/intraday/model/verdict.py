"""From the stitched out-of-sample path and the ledger of trials to a word, and the reason for it.

The session is the unit, nothing is annualised. See docs/significance.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from intraday.domain.arrays import F8
from intraday.domain.learning import Trial, TrialKind
from intraday.model.metrics import BPS
from intraday.model.path import DailyPath
from intraday.model.significance.bootstrap import mean_interval, sharpe_interval
from intraday.model.significance.edge import edge_test, inflation
from intraday.model.significance.effective import effective_sessions, effective_trials, sharpe_error_autocorrelated
from intraday.model.significance.power import Market, power, sharpe_of_edge
from intraday.model.significance.sharpe import (
    deflated,
    expected_maximum,
    minimum_track_record,
    probabilistic,
    sharpe_ratio,
    standard_error,
    standard_error_normal,
)

EDGE, NO_EDGE, TOO_LITTLE = "edge", "no tradable edge", "not enough data"
DIRECTION, NO_DIRECTION = "direction", "no direction"


@dataclass(frozen=True, slots=True)
class VerdictSpec:
    """When a word may be said. The defaults are the product's; controls may lower ``min_sessions`` on small markets."""

    confidence: float = 0.95  # of the deflated Sharpe ratio
    min_sessions: int = 60  # out-of-sample sessions below which "edge" is not possible
    min_active: int = 20  # sessions with a trade, likewise: fewer equal wins would pass by their zeros alone
    min_trades: int = 60  # for any verdict
    min_spread: int = 15  # sessions with a trade below which a path's own spread, hence its power, can't be trusted: no verdict
    power_multiple: float = 2.0  # gross edge, in costs a trade, that must have had
    min_power: float = 0.5  # this chance of being seen before "no tradable edge" is said
    seed: int = 7  # of the bootstrap intervals


@dataclass(frozen=True, slots=True)
class Verdict:
    """The net ``word`` and its reason; beside it whether there is any direction before costs. JSON-able: figures are numbers.

    A figure that is not defined is NaN; an infinite track record is ``inf`` (write both as null).
    """

    word: str  # EDGE, NO_EDGE or TOO_LITTLE
    reason: str
    gross_word: str  # DIRECTION, NO_DIRECTION or TOO_LITTLE
    gross_reason: str
    figures: Mapping[str, float] = field(default_factory=dict)


def judge(
    path: DailyPath,
    ledger: Sequence[Trial],
    spec: VerdictSpec | None = None,
    independent_trades: float = float("nan"),
    shown: DailyPath | None = None,
) -> Verdict:
    """Judge ``path`` beside the other configurations of its scope.

    ``ledger`` holds every trial of the scope, the present one included (tuning trials are ignored; empty: one trial). N and V as
    ``trials_of`` says. ``independent_trades`` is shown, not used: ``effective_trades`` of the single trades.

    ``shown``: what observe mode would have shown (``shown_path_of``). Where too few trades were expected to pay, it stands in for
    ``path`` in what is said of the direction and of the power: a model that never wants to trade has been asked all the same.
    """
    spec = spec or VerdictSpec()
    figures = _figures(path, _measured(path, shown, spec), ledger, spec) | {"effective_trades": independent_trades}
    word, reason = _net(figures, spec)
    gross_word, gross_reason = _gross(figures, spec)
    return Verdict(word, reason, gross_word, gross_reason, figures)


def edge_today(then: Mapping[str, float], net: F8, ledger: Sequence[Trial], spec: VerdictSpec | None = None) -> tuple[str, str]:
    """Word and reason today of a path that was called an edge when it was trained: the same path, more configurations by now.

    ``then``: the verdict's figures of that time. ``net`` float64 [T]: the path's returns a session, as its ledger row has them.
    ``ledger`` holds every trial of the scope, the present one included.
    """
    spec = spec or VerdictSpec()
    n_trials, variance = trials_of(ledger)
    wider = inflation(net) if sharpe_ratio(net).defined else 1.0
    cost = (then["gross_bps_session"] - then["net_bps_session"]) / BPS * then["sessions"] / max(then["trades"], 1.0)
    market = Market(float(net.std(ddof=1)), then["trades"] / max(net.size, 1), cost)
    chance = _net_power(market, wider, net.size, (n_trials, variance), spec, spec.power_multiple)
    now = {"n_trials": float(n_trials), "variance_of_sharpes": variance, "dsr": deflated(sharpe_ratio(net), n_trials, variance)}
    return _net(dict(then) | now | {"p_value": edge_test(net, n_trials, variance), "power": chance}, spec)


def trials_of(ledger: Sequence[Trial]) -> tuple[int, float]:
    """N, the configurations in ``ledger`` (at least 1), and V, the variance of their Sharpe ratios.

    V has divisor N - 1 and is 0 for one trial or where all ratios are equal, and then nothing is deflated: there was nothing to
    choose between. A path without spread counts with the ratio 0, that of doing nothing.
    """
    paths = {t.id: t.net for t in ledger if t.kind is TrialKind.CONFIGURATION}
    ratios = [sharpe_ratio(net) for net in paths.values()]
    values = [s.value if s.defined else 0.0 for s in ratios]
    return max(len(values), 1), float(np.var(values, ddof=1)) if len(values) > 1 else 0.0


def effective_trials_of(ledger: Sequence[Trial]) -> float:
    """``effective_trials`` of the ledger's configurations on the sessions that all scored; NaN under three such sessions."""
    trials = list({t.id: t for t in ledger if t.kind is TrialKind.CONFIGURATION}.values())
    if len(trials) < 2:
        return 1.0
    common = trials[0].session
    for trial in trials[1:]:
        common = np.intersect1d(common, trial.session)
    if common.size < 3:
        return float("nan")
    return effective_trials(np.stack([t.net[np.isin(t.session, common)] for t in trials], axis=1))


def _measured(path: DailyPath, shown: DailyPath | None, spec: VerdictSpec) -> DailyPath:
    thin = int(path.trades.sum()) < spec.min_trades or int((path.trades > 0).sum()) < spec.min_spread
    return path if shown is None or not thin else shown


def _figures(path: DailyPath, measured: DailyPath, ledger: Sequence[Trial], spec: VerdictSpec) -> dict[str, float]:
    """Every number the words rest on; returns in basis points a session, ratios per session."""
    n_trials, variance = trials_of(ledger)
    net, trades = path.net, int(path.trades.sum())
    s, gross = sharpe_ratio(net), sharpe_ratio(measured.gross)
    rng = np.random.default_rng(spec.seed)
    mean, ratio = mean_interval(net * BPS, rng), sharpe_interval(net, rng)
    gross_mean = mean_interval(measured.gross * BPS, rng)
    figures = {
        "sessions": float(len(path)),
        "active_sessions": float((path.trades > 0).sum()),
        "trades": float(trades),
        "effective_sessions": effective_sessions(net),
        "effective_trials": effective_trials_of(ledger),
        "n_trials": float(n_trials),
        "variance_of_sharpes": variance,
        "expected_maximum_sharpe": expected_maximum(n_trials, variance),
        "net_bps_session": mean.mean,
        "net_bps_session_low": mean.low,
        "net_bps_session_high": mean.high,
        "sharpe": s.value,
        "sharpe_low": ratio.low,
        "sharpe_high": ratio.high,
        "sharpe_error": standard_error(s),
        "sharpe_error_normal": standard_error_normal(s),
        "sharpe_error_autocorrelated": sharpe_error_autocorrelated(net),
        "skew": s.skew,
        "kurtosis": s.kurtosis,
        "autocorrelation_inflation": inflation(net) if s.defined else 1.0,
        "psr": probabilistic(s),
        "dsr": deflated(s, n_trials, variance),
        "p_value": edge_test(net, n_trials, variance),
        "minimum_track_record": minimum_track_record(s, expected_maximum(n_trials, variance), spec.confidence),
        "gross_bps_session": gross_mean.mean,
        "gross_bps_session_low": gross_mean.low,
        "gross_bps_session_high": gross_mean.high,
        "gross_sharpe": gross.value,
        "gross_psr": probabilistic(gross),
        "gross_dsr": deflated(gross, n_trials, variance),
        "gross_p_value": edge_test(measured.gross, n_trials, variance),
        "measured_trades": float(measured.trades.sum()),
        "measured_active_sessions": float((measured.trades > 0).sum()),
    }
    return figures | _powers(measured, n_trials, variance, spec)


def _powers(path: DailyPath, n_trials: int, variance: float, spec: VerdictSpec) -> dict[str, float]:
    """Chance that the test sees a gross edge of 1 to 3 costs a trade, net of costs and before them."""
    market = market_of(path)
    sessions, tried = len(path), (n_trials, variance)
    wider = inflation(path.net) if sharpe_ratio(path.net).defined else 1.0  # the test divides by it, so its power does
    multiples = {f"power_{m}x": float(m) for m in (1, 2, 3)}
    multiples |= {"power": spec.power_multiple, "gross_power": spec.power_multiple + 1.0}  # m costs before costs
    return {name: _net_power(market, wider, sessions, tried, spec, m) for name, m in multiples.items()}


def _net_power(market: Market, wider: float, sessions: int, tried: tuple[int, float], spec: VerdictSpec, multiple: float) -> float:
    n_trials, variance = tried
    return power(sharpe_of_edge(market, multiple) / wider, sessions, n_trials, variance / wider**2, 1.0 - spec.confidence)


def market_of(path: DailyPath) -> Market:
    """What ``path`` says about the power of its own test."""
    trades = int(path.trades.sum())
    sd = float(path.net.std(ddof=1)) if len(path) > 1 else float("nan")
    return Market(sd, trades / max(len(path), 1), float(path.cost.sum()) / trades if trades else float("nan"))


def _net(f: Mapping[str, float], spec: VerdictSpec) -> tuple[str, str]:
    passed = f["p_value"] <= 1.0 - spec.confidence
    short = _short_of(f, spec)
    said = _net_sentence(f)
    if passed and not short:
        return EDGE, f"{said}: more than luck explains"
    if passed:
        return TOO_LITTLE, f"{said}: it passes the test, but {short}"
    blind = _blind(f, f["power"], spec)
    if blind:
        return TOO_LITTLE, f"{said}: not shown, and {blind}"
    seen = f"though an edge of {_times(spec)} would have shown with a chance of {_share(f['power'])}"
    return NO_EDGE, f"{said}: no more than luck explains, {seen}"


def _gross(f: Mapping[str, float], spec: VerdictSpec) -> tuple[str, str]:
    passed = f["gross_p_value"] <= 1.0 - spec.confidence
    short = _short_of(f, spec, "measured_")
    said = (
        f"before costs {f['gross_bps_session']:.1f} bps a session (95 % interval {f['gross_bps_session_low']:.1f} to "
        f"{f['gross_bps_session_high']:.1f}), {_p(f['gross_p_value'])}"
    )
    if passed and not short:
        return DIRECTION, said
    if passed:
        return TOO_LITTLE, f"{said}: it passes the test, but {short}"
    blind = _blind(f, f["gross_power"], spec)
    if blind:
        return TOO_LITTLE, f"{said}: {blind}"
    return NO_DIRECTION, said


def _short_of(f: Mapping[str, float], spec: VerdictSpec, of: str = "") -> str:
    """What is missing before "edge" may be said; empty if nothing."""
    wanted = {"sessions": spec.min_sessions, f"{of}active_sessions": spec.min_active, f"{of}trades": spec.min_trades}
    return _missing(f, wanted)


def _blind(f: Mapping[str, float], chance: float, spec: VerdictSpec) -> str:
    """Why it is no news that nothing was seen; empty if it is."""
    if math.isnan(chance):
        return "without trades and their costs there is nothing to measure an edge by"
    missing = _missing(f, {"measured_active_sessions": spec.min_spread, "measured_trades": spec.min_trades})
    if missing or chance >= spec.min_power:
        return missing
    return f"an edge of {_times(spec)} would have shown with a chance of only {_share(chance)}"


def _missing(f: Mapping[str, float], wanted: Mapping[str, int]) -> str:
    named = {"sessions": "out-of-sample sessions", "active_sessions": "sessions with a trade", "trades": "trades"}
    return " and ".join(
        f"{n} {named[what.removeprefix('measured_')]} are needed, {f[what]:.0f} are there"
        for what, n in wanted.items()
        if f[what] < n
    )


def _net_sentence(f: Mapping[str, float]) -> str:
    if f["trades"] == 0:
        return f"no trade was expected to pay in {f['sessions']:.0f} out-of-sample sessions"
    trials = "1 configuration" if f["n_trials"] == 1 else f"{f['n_trials']:.0f} configurations"
    return (
        f"net {f['net_bps_session']:.1f} bps a session (95 % interval {f['net_bps_session_low']:.1f} to "
        f"{f['net_bps_session_high']:.1f}) over {f['sessions']:.0f} out-of-sample sessions and {f['trades']:.0f} trades; "
        f"{_p(f['p_value'])} after {trials} tried (deflated Sharpe {f['dsr']:.3f})"
    )


def _times(spec: VerdictSpec) -> str:
    return f"{spec.power_multiple:g} times the cost"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _share(chance: float) -> str:
    return "over 99 %" if chance > 0.99 else f"{chance * 100.0:.0f} %"
