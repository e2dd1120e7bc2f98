"""Write tests/golden/mlfinpy_0_1_2.json: made-up prices and what mlfinpy 0.1.2 makes of them.

Run it with a Python that has mlfinpy (it wants an older numpy than we do, so give it an environment of its own)::

    python3.11 -m venv mlfinpy && mlfinpy/bin/pip install mlfinpy==0.1.2
    mlfinpy/bin/python scripts/make_mlfinpy_golden.py

The file is the same every time; it changes only with mlfinpy or with this script.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlfinpy.labeling.labeling import add_vertical_barrier, get_bins, get_events
from mlfinpy.sample_weights.attribution import get_weights_by_return, get_weights_by_time_decay
from mlfinpy.sampling.bootstrapping import _bootstrap_loop_run, get_ind_matrix
from mlfinpy.sampling.concurrent import get_av_uniqueness_from_triple_barrier

OUT = Path(__file__).resolve().parents[1] / "tests" / "golden" / "mlfinpy_0_1_2.json"
CASES = [(1.0, 1.0), (2.0, 1.0), (1.0, 2.0), (1.5, 0.0), (0.0, 1.0)]  # profit and stop multiples


def prices() -> pd.Series:
    """Two sessions of one-minute closes on a grid of 0.05, with a jump over the night and some minutes missing."""
    rng = np.random.Generator(np.random.PCG64(20180221))
    days = [pd.date_range(f"2026-01-0{d} 09:15", periods=200, freq="min") for d in (6, 7)]
    index = days[0].append(days[1])
    steps = rng.integers(-3, 4, len(index))
    steps[200] = 25
    close = pd.Series((2000 + np.cumsum(steps)) * 5 / 100.0, index=index)
    return close[rng.random(len(index)) >= 0.05]


def case(close: pd.Series, events: pd.DatetimeIndex, target: pd.Series, pt_sl: tuple[float, float], side: pd.Series | None) -> Any:
    vertical = add_vertical_barrier(events, close, num_minutes=25)
    found = get_events(close, events, list(pt_sl), target, 0.0008, 1, vertical, side, verbose=False)
    rows = get_bins(found, close)
    return {
        "pt": pt_sl[0],
        "sl": pt_sl[1],
        "with_side": side is not None,
        "t0_ns": [t.value for t in rows.index],
        "t1_ns": [t.value for t in found.loc[rows.index, "t1"]],
        "ret": rows["ret"].tolist(),
        "bin": [int(b) for b in rows["bin"]],
    }


def weights(close: pd.Series, events: pd.DatetimeIndex, target: pd.Series) -> Any:
    """Uniqueness, return attribution, time decay, and the chances of a sequential bootstrap, of the first case's labels."""
    found = get_events(
        close, events, [1.0, 1.0], target, 0.0008, 1, add_vertical_barrier(events, close, num_minutes=25), verbose=False
    )
    found = found.dropna(subset=["t1"])
    found["t1"] = pd.to_datetime(found["t1"])
    drawn = [3, 3, 40, 17]
    matrix = get_ind_matrix(found["t1"], close.to_frame())
    alive = matrix[:, drawn].sum(axis=1).astype(np.float64)
    unique = _bootstrap_loop_run(matrix, alive)
    return {
        "t0_ns": [t.value for t in found.index],
        "t1_ns": [t.value for t in found["t1"]],
        "uniqueness": get_av_uniqueness_from_triple_barrier(found, close, 1, verbose=False)["tW"].tolist(),
        "by_return": get_weights_by_return(found, close, 1, verbose=False).tolist(),
        "by_decay": {
            str(decay): get_weights_by_time_decay(found, close, 1, decay, verbose=False).tolist() for decay in (1, 0.5, 0, -0.25)
        },
        "drawn": drawn,
        "chance": (unique / unique.sum()).tolist(),
    }


def main() -> None:
    close = prices()
    rng = np.random.Generator(np.random.PCG64(7))
    events = close.index[np.sort(rng.choice(len(close), 90, replace=False))]
    target = pd.Series(np.round(rng.uniform(0.0005, 0.006, len(events)), 6), index=events)
    side = pd.Series(rng.choice([-1.0, 1.0], len(events)), index=events)
    made = {
        "mlfinpy": version("mlfinpy"),
        "vertical_min": 25,
        "min_ret": 0.0008,
        "ts_ns": [t.value for t in close.index],
        "close": close.tolist(),
        "event_ns": [t.value for t in events],
        "target": target.tolist(),
        "side": [int(s) for s in side],
        "cases": [case(close, events, target, c, s) for c in CASES for s in (None, side)],
        "weights": weights(close, events, target),
    }
    OUT.write_text(json.dumps(made, separators=(",", ":")).replace('],"', '],\n"').replace("},{", "},\n{") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
