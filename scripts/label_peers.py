"""The other packages' side of a comparison: arrays in, arrays out, run by a Python that has the package.

``python label_peers.py <job> <in.npz> <out.npz>``; benchmarks/bench_labels.py and scripts/compare_mlfinpy_skfolio.py call it.
Nothing of ours is imported here: mlfinpy wants an older numpy than we do.

Jobs. ``labels``: mlfinpy's triple barriers of each series, without a side; ``trades``: the seconds it takes to do both sides.
``uniqueness``: its average uniqueness of the first series. ``kfold`` and ``combinatorial``: its splits of labels. ``pooled``:
skfolio's and scikit-learn's splits of ``n`` rows. What a package raises is kept as text.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

warnings.simplefilter("ignore")
Arrays = dict[str, Any]


def series(given: Arrays, k: int) -> tuple[Any, Any, Any]:
    """Closes, event times and targets of series ``k`` as pandas has them."""
    import pandas as pd

    close = pd.Series(given[f"close{k}"], index=pd.to_datetime(given[f"ts{k}"]))
    events = pd.DatetimeIndex(pd.to_datetime(given[f"event{k}"]))
    return close, events, pd.Series(given[f"target{k}"], index=events)


def labels_of(given: Arrays, k: int, side: float | None = None) -> tuple[Any, Any]:
    import pandas as pd
    from mlfinpy.labeling.labeling import add_vertical_barrier, get_bins, get_events

    close, events, target = series(given, k)
    vertical = add_vertical_barrier(events, close, num_minutes=int(given["vertical_min"]))
    sides = None if side is None else pd.Series(side, index=events)
    found = get_events(close, events, given["pt_sl"].tolist(), target, 0.0, 1, vertical, sides, verbose=False)
    return found, get_bins(found, close)


def labels(given: Arrays) -> Arrays:
    out: Arrays = {}
    for k in range(int(given["n_series"])):
        found, bins = labels_of(given, k)
        out[f"t0_{k}"] = np.array([t.value for t in bins.index])
        out[f"t1_{k}"] = np.array([t.value for t in found.loc[bins.index, "t1"]])
        out[f"bin_{k}"], out[f"ret_{k}"] = bins["bin"].to_numpy(), bins["ret"].to_numpy()
    return out


def trades(given: Arrays) -> Arrays:
    """The long and the short trade of every event: only with a side does mlfinpy look at the stop multiple."""
    import mlfinpy.labeling.labeling  # noqa: F401 - not to be timed

    start, n = time.process_time(), 0
    for k in range(int(given["n_series"])):
        n += min(len(labels_of(given, k, side)[1]) for side in (1.0, -1.0))
    return {"n": n, "seconds": time.process_time() - start}


def uniqueness(given: Arrays) -> Arrays:
    import pandas as pd
    from mlfinpy.sampling.concurrent import get_av_uniqueness_from_triple_barrier

    found, _ = labels_of(given, 0)
    found = found.dropna(subset=["t1"])
    found["t1"] = pd.to_datetime(found["t1"])
    start = time.process_time()
    value = get_av_uniqueness_from_triple_barrier(found, series(given, 0)[0], 1, verbose=False)["tW"]
    return {"value": value.to_numpy(), "seconds": time.process_time() - start}


def collect(splits: Iterable[tuple[Any, Any]]) -> Arrays:
    """Every split's rows, and what was raised on the way, if anything was."""
    out: Arrays = {"error": "", "n": 0}
    try:
        for k, (train, test) in enumerate(splits):
            out[f"train{k}"] = np.asarray(train, dtype=np.int64)
            out[f"test{k}"] = np.concatenate([np.atleast_1d(np.asarray(t, dtype=np.int64)) for t in test]) if len(test) else test
            out["n"] = k + 1
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        out["error"] = f"{type(error).__name__}: {error}"
    return out


def spans(given: Arrays) -> Any:
    import pandas as pd

    return pd.Series(pd.to_datetime(given["t1"]), index=pd.to_datetime(given["t0"]))


def kfold(given: Arrays) -> Arrays:
    import pandas as pd
    from mlfinpy.cross_validation.cross_validation import PurgedKFold

    info = spans(given)
    folds = PurgedKFold(int(given["folds"]), info, float(given["embargo"]))
    return collect(folds.split(pd.DataFrame(np.zeros((len(info), 1)), index=info.index)))


def combinatorial(given: Arrays) -> Arrays:
    import pandas as pd
    from mlfinpy.cross_validation.combinatorial import CombinatorialPurgedKFold

    info = spans(given)
    folds = CombinatorialPurgedKFold(int(given["folds"]), 2, info, float(given["embargo"]))
    return collect(folds.split(pd.DataFrame(np.zeros((len(info), 1)), index=info.index)))


def pooled(given: Arrays) -> Arrays:
    from skfolio.model_selection import CombinatorialPurgedCV
    from sklearn.model_selection import TimeSeriesSplit

    x, rows, folds = np.zeros((int(given["n"]), 1)), int(given["rows"]), int(given["folds"])
    cv = CombinatorialPurgedCV(n_folds=folds, n_test_folds=2, purged_size=rows, embargo_size=rows)
    ours = {f"skfolio_{key}": value for key, value in collect(cv.split(x)).items()}
    gap = TimeSeriesSplit(n_splits=folds, gap=rows)
    return ours | {f"sklearn_{key}": value for key, value in collect((a, [b]) for a, b in gap.split(x)).items()}


def main() -> None:
    job, source, target = sys.argv[1:4]
    jobs = {
        "labels": labels,
        "trades": trades,
        "uniqueness": uniqueness,
        "kfold": kfold,
        "combinatorial": combinatorial,
        "pooled": pooled,
    }
    with np.load(source) as given:
        out = jobs[job](dict(given))
    np.savez(Path(target), **out)


if __name__ == "__main__":
    main()
