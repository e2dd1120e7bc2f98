"""Compare labels, weights and splits with mlfinpy's and skfolio's on the simulated market, and write docs/comparison.md.

It runs in the project's environment and calls the other packages in environments of their own; mlfinpy wants an older numpy::

    python3.11 -m venv mlfinpy && mlfinpy/bin/pip install mlfinpy==0.1.2 scikit-learn
    python3.11 -m venv skfolio && skfolio/bin/pip install skfolio
    python scripts/compare_mlfinpy_skfolio.py --mlfinpy mlfinpy/bin/python --skfolio skfolio/bin/python

Every figure is measured in that run, some minutes on one core; the speeds are this machine's, the rest is the same anywhere.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from intraday.core.bootstrap import sequential_bootstrap
from intraday.core.candles import HistoricalAggregator
from intraday.core.compat_mlfinpy import MlfinpySpec, mlfinpy_labels
from intraday.core.labels import Barrier, Labeler, LabelSpec
from intraday.core.panel import panel_of
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.core.weights import average_uniqueness
from intraday.domain.arrays import DAY_NS, F4, IST_NS, MINUTE_NS, Bars, Labels, Panel
from intraday.domain.session import SessionTable
from intraday.model.splits import SplitSpec, walk_forward

HERE = Path(__file__).resolve().parent
Arrays = dict[str, Any]
SPEC = LabelSpec(target_sigma=2.0, stop_sigma=1.0)
FOLDS = 5


@dataclass(frozen=True)
class Peers:
    """The Pythons that have the packages."""

    mlfinpy: str
    skfolio: str

    def ask(self, package: str, job: str, given: Arrays) -> Arrays:
        """Run a job of label_peers.py."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
            np.savez(source, **given)
            subprocess.run([getattr(self, package), HERE / "label_peers.py", job, source, target], check=True)
            with np.load(target) as out:
                return dict(out)

    def version(self, package: str) -> str:
        code = f"from importlib.metadata import version; print(version({package!r}))"
        return subprocess.run([getattr(self, package), "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@dataclass(frozen=True)
class Market:
    """One-minute bars of a simulated market, their panels, and a volatility for each decision."""

    bars: Bars
    minutes: Panel
    decisions: Panel
    sigma: F4
    table: SessionTable


def simulate(n_instruments: int, n_sessions: int) -> Market:
    table = SessionTable.load()
    sessions = table.between(date(2025, 1, 1), date(2025, 12, 31))[:n_sessions]
    market = SyntheticMarket(SyntheticSpec(instruments=n_instruments, seed=11, with_index=False), sessions)
    bars = np.concatenate([market.bars(k) for k in range(n_sessions)])
    decisions = panel_of(HistoricalAggregator(n_instruments).aggregate(bars, SPEC.timeframe), n_instruments, SPEC.timeframe, table)
    moves = np.diff(np.log(decisions.close[decisions.session == decisions.session[0]]), axis=0)
    sigma = np.broadcast_to(np.nanstd(moves, axis=0), decisions.mask.shape).astype(np.float32)
    return Market(bars, panel_of(bars, n_instruments, 1, table), decisions, sigma, table)


def percent(wrong: Any) -> str:
    return f"{100 * float(np.mean(wrong)):.1f} %"


# ------------------------------------------------------------------------------------------------------------- labels


def as_series(market: Market) -> Arrays:
    """What mlfinpy is given: closes named by the time they were known, events at the decisions' closes, targets of an hour."""
    given: Arrays = {"n_series": market.minutes.n_instruments, "vertical_min": SPEC.horizon_min, "pt_sl": np.array([2.0, 1.0])}
    for k in range(market.minutes.n_instruments):
        here, decided = market.minutes.mask[:, k], market.decisions.mask[:, k]
        given[f"ts{k}"], given[f"close{k}"] = market.minutes.ts_ns[here] + MINUTE_NS, market.minutes.close[here, k]
        event = market.decisions.ts_ns[decided] + SPEC.timeframe * MINUTE_NS
        known = np.isin(event, given[f"ts{k}"])
        given[f"event{k}"] = event[known]
        given[f"target{k}"] = market.sigma[decided, k][known].astype(np.float64) * np.sqrt(SPEC.horizon_bars)
    return given


def compat(given: Arrays, k: int, *, long: bool) -> Any:
    spec = MlfinpySpec(2.0, 1.0, SPEC.horizon_min)
    events = given[f"event{k}"]
    side = np.ones(len(events), np.int8) if long else None
    return mlfinpy_labels(spec, given[f"ts{k}"], given[f"close{k}"], events, given[f"target{k}"], side)


def long_trades(labels: Labels) -> Any:
    """+1, -1, 0 as a lone long trade ended at its target, its stop, or otherwise: what mlfinpy's label without a side means."""
    bits = labels["barrier"]
    return np.where(bits & Barrier.LONG_TARGET, 1, np.where(bits & Barrier.LONG_STOP, -1, 0))


def compare_labels(market: Market, given: Arrays, peer: Arrays) -> list[tuple[str, str, str]]:
    """(what, share of labels, share of end times) rows."""
    ours = Labeler(SPEC, np.full(market.minutes.n_instruments, 0.05)).label(
        market.minutes, market.decisions, market.sigma, market.table
    )
    found: dict[str, list[Any]] = {name: [] for name in ("same", "stop", "stop_end", "ours", "ours_end", "night", "tail")}
    for k in range(market.minutes.n_instruments):
        t0, t1, label = peer[f"t0_{k}"], peer[f"t1_{k}"], peer[f"bin_{k}"]
        copy, true = compat(given, k, long=False), compat(given, k, long=True)
        found["same"].append([np.array_equal(copy["t0_ns"], t0) and np.array_equal(copy["t1_ns"], t1)])
        found["same"].append(copy["label"] == label)
        width = np.log1p(dict_of(given, k, true["t0_ns"]))
        fall = np.where(np.log1p(true["ret"]) < -width, -1, 0)
        honest, at = np.where(true["label"] == 1, 1, fall), np.isin(true["t0_ns"], t0)
        found["stop"].append(honest[at] != label)
        found["stop_end"].append(true["t1_ns"][at] != t1)
        found["night"].append((t0 + IST_NS) // DAY_NS != (t1 + IST_NS) // DAY_NS)
        mine = ours[ours["inst"] == k]
        closed = mine["ts_ns"] + SPEC.timeframe * MINUTE_NS
        _, i, j = np.intersect1d(closed, t0, return_indices=True)
        found["ours"].append(long_trades(mine)[i] != label[j])
        found["ours_end"].append(mine["t1_ns"][i] != t1[j])
        found["tail"].append(~np.isin(t0, closed))
    share = {name: percent(np.concatenate(parts)) for name, parts in found.items()}
    return [
        ("mlfinpy differs from our compatibility mode", percent(1.0 - np.concatenate(found["same"])), "0.0 %"),
        ("… from its own rules with the stop multiple honoured", share["stop"], share["stop_end"]),
        ("… from what a long trade would have done by our rules", share["ours"], share["ours_end"]),
        ("mlfinpy's labels that run over the night", share["night"], ""),
        (
            "mlfinpy's labels of decisions that have none by our rules (nobody could have entered, or left, in time)",
            share["tail"],
            "",
        ),
    ]


def dict_of(given: Arrays, k: int, events: Any) -> Any:
    """The targets of these events."""
    return given[f"target{k}"][np.searchsorted(given[f"event{k}"], events)]


# -------------------------------------------------------------------------------------------------------------- speed


def best_of(run: Any, times: int = 5) -> float:
    took = []
    for _ in range(times):
        start = time.process_time()
        run()
        took.append(time.process_time() - start)
    return min(took)


def compare_speed(market: Market, given: Arrays, peer: Arrays, peers: Peers) -> list[tuple[str, float, float, str]]:
    """(what, theirs, ours, unit) rows; one core each, the same events."""
    labeler = Labeler(SPEC, np.full(market.minutes.n_instruments, 0.05))

    def run() -> Labels:
        return labeler.label(market.minutes, market.decisions, market.sigma, market.table)

    trades, n_ours = peers.ask("mlfinpy", "trades", given), len(run())
    unique = peers.ask("mlfinpy", "uniqueness", given)
    start, end = np.searchsorted(given["ts0"], peer["t0_0"]), np.searchsorted(given["ts0"], peer["t1_0"]) + 1
    got = average_uniqueness(start, end)
    assert np.allclose(got, unique["value"], rtol=1e-12), "uniqueness differs from mlfinpy's"
    ours_s = best_of(lambda: average_uniqueness(start, end))
    rng = np.random.default_rng(0)
    draws_s = best_of(lambda: sequential_bootstrap(start, end, len(start), rng))
    return [
        ("triple-barrier labels, both sides", int(trades["n"]) / float(trades["seconds"]), n_ours / best_of(run), "labels/s"),
        ("average uniqueness (equal to 1e-12)", len(got) / float(unique["seconds"]), len(got) / ours_s, "labels/s"),
        ("sequential bootstrap", float("nan"), len(start) / draws_s, "draws/s"),
    ]


# ------------------------------------------------------------------------------------------------------------- splits


def leaks(train: Any, test: Any, t0: Any, t1: Any) -> int:
    """Training rows whose span overlaps a test row's: both saw the same minutes."""
    order = test[np.argsort(t0[test], kind="stable")]
    latest = np.maximum.accumulate(t1[order])
    before = np.searchsorted(t0[order], t1[train], side="left")  # test rows that begin before the training row ends
    return int(((before > 0) & (latest[np.maximum(before, 1) - 1] > t0[train])).sum())


def leaks_of(out: Arrays, t0: Any, t1: Any, name: str = "") -> tuple[str, str, str]:
    """(leaking training rows a split, share of the training rows, what was raised)."""
    n = int(out[f"{name}n"])
    counts = [(leaks(out[f"{name}train{k}"], out[f"{name}test{k}"], t0, t1), len(out[f"{name}train{k}"])) for k in range(n)]
    error = str(out[f"{name}error"])
    if not counts:
        return "no split", "", error
    total, rows = (sum(c) for c in zip(*counts, strict=True))
    return f"{total / n:.1f}", f"{100 * total / rows:.2f} %", error


def compare_splits(market: Market, peers: Peers) -> list[tuple[str, str, str, str]]:
    """(splitter and rows, leaks a split, share, raised) rows."""
    ours = Labeler(SPEC, np.full(market.minutes.n_instruments, 0.05)).label(
        market.minutes, market.decisions, market.sigma, market.table
    )
    t0, t1 = ours["ts_ns"] + SPEC.timeframe * MINUTE_NS, ours["t1_ns"]
    one = ours["inst"] == 0
    ends = {"25-minute labels": t0[one] + 25 * MINUTE_NS, "real end times": t1[one]}
    rows = []
    for job, name in (("kfold", "PurgedKFold"), ("combinatorial", "CombinatorialPurgedKFold")):
        for what, end in ends.items():
            made = peers.ask("mlfinpy", job, {"t0": t0[one], "t1": end, "folds": FOLDS, "embargo": 0.01})
            rows.append((f"mlfinpy {name}, embargo 1 %, one instrument, {what}", *leaks_of(made, t0[one], end)))
    for job, name in (("kfold", "PurgedKFold"), ("combinatorial", "CombinatorialPurgedKFold")):
        made = peers.ask("mlfinpy", job, {"t0": t0, "t1": t1, "folds": FOLDS, "embargo": 0.01})
        rows.append((f"mlfinpy {name}, embargo 1 %, all instruments pooled, real end times", *leaks_of(made, t0, t1)))
    horizon = int(SPEC.horizon_bars)
    for name, at in (("one instrument", one), ("all instruments pooled", np.ones(len(ours), np.bool_))):
        made = peers.ask("skfolio", "pooled", {"n": int(at.sum()), "rows": horizon, "folds": FOLDS})
        for peer, title in (("skfolio_", "skfolio CombinatorialPurgedCV"), ("sklearn_", "scikit-learn TimeSeriesSplit")):
            rows.append((f"{title}, {horizon} rows purged, {name}, real end times", *leaks_of(made, t0[at], t1[at], peer)))
    session = ((ours["ts_ns"] + IST_NS) // DAY_NS).astype(np.int32)
    folds = walk_forward(t0, t1, session, SplitSpec(min_train=5, test=1, embargo=0))
    mine: Arrays = {"n": len(folds), "error": ""}
    for k, fold in enumerate(folds):
        mine |= {f"train{k}": np.concatenate([fold.fit, fold.stop]), f"test{k}": fold.score}
    rows.append(("ours: walk-forward purged by time, no embargo, all instruments pooled", *leaks_of(mine, t0, t1)))
    return rows


# --------------------------------------------------------------------------------------------------------------- page


def table(head: str, rows: list[Any]) -> str:
    columns = head.count("|") + 1
    lines = [f"| {head} |", "|" + "---|" * columns, *("| " + " | ".join(str(c) for c in row) + " |" for row in rows)]
    return "\n".join(lines)


def speed_row(what: str, theirs: float, ours: float, unit: str) -> tuple[str, str, str, str]:
    known = theirs == theirs
    return what, f"{theirs:,.0f} {unit}" if known else "", f"{ours:,.0f} {unit}", f"{ours / theirs:,.0f}" if known else ""


def page(market: Market, peers: Peers) -> str:
    given = as_series(market)
    peer = peers.ask("mlfinpy", "labels", given)
    n = sum(len(peer[f"t0_{k}"]) for k in range(market.minutes.n_instruments))
    versions = f"mlfinpy {peers.version('mlfinpy')}, skfolio {peers.version('skfolio')}"
    parts = {
        "versions": versions,
        "market": f"{market.minutes.n_instruments} instruments over {len(np.unique(market.minutes.session))} sessions",
        "events": f"{n:,}",
        "rows": int(SPEC.horizon_bars),
        "instruments": market.minutes.n_instruments,
        "labels": table("compared | labels | end times", compare_labels(market, given, peer)),
        "speed": table("one core | mlfinpy | ours | ratio", [speed_row(*row) for row in compare_speed(market, given, peer, peers)]),
        "splits": table(
            "splits | leaking training rows a split | of the training rows | raised",
            [(*row[:3], f"`{row[3][:75]}`" if row[3] else "") for row in compare_splits(market, peers)],
        ),
    }
    return (HERE / "comparison.md.in").read_text(encoding="utf-8").format(**parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlfinpy", required=True, help="a Python that has mlfinpy 0.1.2 and scikit-learn")
    parser.add_argument("--skfolio", required=True, help="a Python that has skfolio")
    parser.add_argument("--instruments", type=int, default=12)
    parser.add_argument("--sessions", type=int, default=13, help="no multiple of the folds: at a night nothing leaks")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "comparison.md")
    chosen = parser.parse_args()
    text = page(simulate(chosen.instruments, chosen.sessions), Peers(chosen.mlfinpy, chosen.skfolio))
    chosen.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
