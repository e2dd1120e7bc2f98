"""Draw docs/images/controls.png from what `make controls` has: p-values without an edge, and how often a planted one is found.

python scripts/draw_controls.py [var/controls/controls.json]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from intraday.backtest.controls import Control

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "controls.png"
COLORS = ("#777777", "#56b4e9", "#e69f00", "#009e73")  # Okabe & Ito, by multiple of the cost
Z = 1.96


def wilson(found: int, n: int) -> tuple[float, float]:
    """95 % interval of a share."""
    p, middle = found / n, 1.0 + Z**2 / n
    half = Z * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2)) / middle
    centre = (p + Z**2 / (2 * n)) / middle
    return max(centre - half, 0.0), min(centre + half, 1.0)


def draw_nulls(axis: Any, row: dict[str, Any], p_values: list[float]) -> None:
    """Share of markets with a p-value up to each level, which should lie on the diagonal."""
    at = np.sort(p_values)
    axis.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="--")
    axis.step([0, *at, 1], [0, *np.arange(1, len(at) + 1) / len(at), 1], where="post", color="#0072b2")
    axis.axvline(0.05, color="#d55e00", linewidth=0.8)
    told = f"{row['fired']} of {row['n']} fire at 5 %\n{row['allowed']} are allowed\nuniform: p = {row['uniform_p']:.2f}"
    axis.text(0.96, 0.06, told, ha="right", va="bottom", transform=axis.transAxes, fontsize="small")
    axis.set(xlabel="p-value at zero cost", ylabel="share of markets up to it", title="No edge", xlim=(0, 1), ylim=(0, 1))


def draw_power(axis: Any, rows: list[dict[str, Any]], trials: int) -> None:
    """Share of markets found by test sessions, a line for each multiple of the cost."""
    for k, multiple in enumerate(sorted({row["multiple"] for row in rows})):
        mine = sorted((row for row in rows if row["multiple"] == multiple), key=lambda row: row["sessions"])
        at = np.array([row["sessions"] for row in mine])
        share = np.array([row["found"] / row["n"] for row in mine])
        low, high = np.array([wilson(row["found"], row["n"]) for row in mine]).T
        error = np.stack([share - low, high - share]).clip(0.0)
        axis.errorbar(at, share, error, fmt="o-", markersize=4, capsize=2, color=COLORS[k], label=f"{multiple} times the cost")
    axis.axhline(0.8, color="#999999", linewidth=0.8, linestyle="--")
    axis.set(xlabel="test sessions", ylabel="share of markets found", title=f"Planted edge, best of {trials}", ylim=(0, 1.02))
    axis.legend(fontsize="small", loc="center right")


def main(source: Path) -> None:
    """Both panels side by side."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found = json.loads(source.read_text(encoding="utf-8"))
    row = next(row for row in found["nulls"] if row["control"] == Control.MARTINGALE)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    draw_nulls(axes[0], row, found["p_values"][Control.MARTINGALE])
    draw_power(axes[1], found["power"], found["trials"])
    for axis in axes:
        axis.grid(visible=True, alpha=0.25)
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "var/controls/controls.json"))
