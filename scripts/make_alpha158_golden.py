"""Make ``tests/golden/alpha158.npz``: Alpha158 by qlib's own expression engine, over a made-up market or over given bars.

Run by hand, in an environment of its own (qlib is no dependency of ours; 0.9.7 with pandas 2.3.3 made the file)::

    python3.11 -m venv qlib && qlib/bin/pip install pyqlib==0.9.7 pandas==2.3.3
    qlib/bin/python scripts/make_alpha158_golden.py                                       # the golden file
    qlib/bin/python scripts/make_alpha158_golden.py --out real.npz --bars TCS.parquet ...  # the same over real bars
    INTRADAY_ALPHA158=real.npz python -m pytest tests/golden/test_alpha158.py              # and its comparison

The market is written to qlib's binary format, which holds float32. ``float64`` is the engine fed the same numbers as float64;
``float32`` is ``D.features`` as everyone gets it, which also does its arithmetic in float32. Every third bar is kept from the 61st
on, qlib's own floats of every ninth; the inputs completely.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import qlib  # type: ignore[import-not-found]
from numpy.typing import NDArray
from qlib.contrib.data.loader import Alpha158DL  # type: ignore[import-not-found]
from qlib.data import D  # type: ignore[import-not-found]
from qlib.data.base import Feature  # type: ignore[import-not-found]
from qlib.data.cache import H  # type: ignore[import-not-found]
from qlib.data.data import ExpressionD, LocalFeatureProvider  # type: ignore[import-not-found]

OUT = Path(__file__).parents[1] / "tests" / "golden" / "alpha158.npz"
COLUMNS = ("open", "high", "low", "close", "volume")
N_BARS, FIRST, STEP = 400, 60, 3
TICK = 0.05
F4 = NDArray[np.float32]


class DoubleFeatureProvider(LocalFeatureProvider):  # type: ignore[misc]
    """Fields as float64, so that the engine computes in it. (qlib takes the storage from the name's last word but one.)"""

    def feature(self, instrument: str, field: Feature, start_index: int, end_index: int, freq: str) -> Any:
        return super().feature(instrument, field, start_index, end_index, freq).astype(np.float64)


def made_up() -> F4:
    """[3, N_BARS, 5]: a liquid stock; one whose ticks are so coarse that it ties, stops and trades nothing; one that gaps."""
    rng = np.random.default_rng(158)
    liquid = path(rng, 1500.0, rng.normal(0, 1.5e-3, N_BARS), 1e-3)
    moves = rng.normal(0, 1e-3, N_BARS)
    moves[120:190] = 0.0
    coarse = path(rng, 21.0, moves, 5e-4)
    coarse[120:190, :4] = coarse[120, 3]
    gapping = path(rng, 320.0, rng.normal(0, 2e-3, N_BARS) + (np.arange(N_BARS) % 75 == 0) * rng.normal(0, 2e-2, N_BARS), 2e-3)
    liquid[:, 4] = np.floor(rng.lognormal(9, 1, N_BARS)) + 1
    coarse[:, 4] = np.floor(rng.lognormal(3, 1, N_BARS)) + 1
    coarse[[72, 73, 261], 4] = 0.0
    gapping[:, 4] = np.floor(rng.lognormal(6, 2, N_BARS)) + 1
    gapping[290:340, 4] = 100_000.0 + rng.integers(0, 3, 50)  # a deviation of log volume that is no longer one to qlib
    return np.stack([liquid, coarse, gapping]).astype(np.float32)


def path(rng: np.random.Generator, first: float, moves: NDArray[np.float64], spread: float) -> NDArray[np.float64]:
    close = first * np.exp(np.cumsum(moves))
    open_ = np.concatenate([[first], close[:-1]]) * np.exp(rng.normal(0, spread / 3, N_BARS))
    high = np.maximum(open_, close) * (1 + rng.random(N_BARS) * spread)
    low = np.minimum(open_, close) * (1 - rng.random(N_BARS) * spread)
    ticks = np.round(np.stack([open_, high, low, close, close], axis=1) / TICK)
    return np.asarray(ticks * TICK)


def real(files: list[Path]) -> F4:
    """[files, N_BARS, 5]: the last N_BARS bars of each parquet file."""
    frames = [pd.read_parquet(f, columns=list(COLUMNS)).tail(N_BARS).to_numpy(np.float64) for f in files]
    assert all(len(f) == N_BARS for f in frames), "expected files of at least N_BARS bars"
    return np.stack(frames).astype(np.float32)


def write_provider(folder: Path, market: F4) -> list[str]:
    """qlib's binary format: a bar is a "day" of its calendar; a file is the first row's number, then the values. Returns names."""
    days = np.busday_offset("2000-01-03", np.arange(N_BARS), roll="forward").astype(str)
    names = [f"X{i}" for i in range(len(market))]
    for part in ("calendars", "instruments"):
        (folder / part).mkdir()
    (folder / "calendars" / "day.txt").write_text("\n".join(days) + "\n")
    (folder / "instruments" / "all.txt").write_text("".join(f"{n}\t{days[0]}\t{days[-1]}\n" for n in names))
    for name, bars in zip(names, market, strict=True):
        place = folder / "features" / name.lower()
        place.mkdir(parents=True)
        fields = dict(zip(COLUMNS, bars.T, strict=True))
        fields["vwap"] = bars[:, 1:4].astype(np.float64).mean(axis=1).astype(np.float32)  # ours is the typical price
        for field, values in fields.items():
            np.concatenate([[0.0], values]).astype("<f4").tofile(place / f"{field}.day.bin")
    return names


def start(folder: Path, feature_provider: object) -> None:
    qlib.init(provider_uri=str(folder), feature_provider=feature_provider, kernels=1, expression_cache=None, dataset_cache=None)
    H.clear()


def compute(market: F4) -> dict[str, Any]:
    formulas, names = Alpha158DL.get_feature_config()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        instruments = write_provider(folder, market)
        start(folder, "LocalFeatureProvider")
        frame = D.features(instruments, formulas, freq="day").astype(np.float32)
        float32 = np.stack([frame.loc[i].to_numpy() for i in instruments])
        start(folder, {"class": DoubleFeatureProvider})
        expressions = [ExpressionD.get_expression_instance(f) for f in formulas]
        columns = [[e.load(i, 0, N_BARS - 1, "day").to_numpy(np.float64) for e in expressions] for i in instruments]
    float64 = np.stack([np.stack(c, axis=1) for c in columns])
    assert float64.shape == float32.shape == (len(market), N_BARS, 158), (float64.shape, float32.shape)
    kept = {"rows": np.arange(FIRST, N_BARS, STEP), "rows32": np.arange(FIRST, N_BARS, STEP * STEP)}
    values = {"float64": float64[:, kept["rows"]], "float32": float32[:, kept["rows32"]]}
    return {"names": np.array(names), "formulas": np.array(formulas), "market": market, **kept, **values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--bars", type=Path, nargs="+")
    options = parser.parse_args()
    np.savez_compressed(options.out, **compute(real(options.bars) if options.bars else made_up()))


if __name__ == "__main__":
    main()
