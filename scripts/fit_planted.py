"""How far a price has to drift after a planted bar for the oracle to gain 1, 2 and 3 times the cost: ``control_markets.DRIFT``.

    python scripts/fit_planted.py

The oracle trades every planted bar on its side, one position per instrument at a time, under the fill rules of the labels; its
gross return a trade is compared with that of the same markets without drift, where it is zero on average, which takes most of the
noise out. Prints the drift at which the gain is each multiple of the cost, by interpolation between the drifts that were tried.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.interpolate import PchipInterpolator

from intraday.backtest.control_markets import COST, control_market, oracle, recipe
from intraday.core.null_markets.sizes import PLANTED_HORIZON, POWER_MULTIPLES, MarketSize
from intraday.domain.session import SessionTable

MARKETS, SIZE = 24, MarketSize(stocks=10, test=190)
TRIED = np.array([0.0, 8.0, 16.0, 24.0, 32.0, 40.0]) * 1e-4
SEED = 77


def main() -> None:
    """Print a line for each drift tried, and one for each multiple."""
    of = recipe(SessionTable.load(), PLANTED_HORIZON)
    gains = np.empty((len(TRIED), MARKETS))
    for i, move in enumerate(TRIED.tolist()):
        for k in range(MARKETS):
            market = control_market(of, SIZE, (SEED, k), move)
            said = oracle(market)
            gains[i, k] = said.gross[said.trade].mean()
        gain = gains[i] - gains[0]
        error = gain.std(ddof=1) / MARKETS**0.5
        sys.stdout.write(f"drift {move * 1e4:5.1f} bps: gain {gain.mean() * 1e4:6.3f} +- {error * 1e4:.3f} bps\n")
    mean = (gains - gains[0]).mean(axis=1)
    for multiple in POWER_MULTIPLES:
        sys.stdout.write(f"{multiple} x cost: drift {float(PchipInterpolator(mean, TRIED)(multiple * COST)) * 1e4:.2f} bps\n")


if __name__ == "__main__":
    main()
