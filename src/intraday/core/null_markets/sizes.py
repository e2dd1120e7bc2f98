"""The fixed sizes of controls, stated before the first result: 50,000 to 90,000 rows a market."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

FIRST_DAY: Final = date(2024, 11, 4)  # made-up markets have the regular sessions from here on, all before the closing auction
TRAIN_SESSIONS: Final = 60  # before the first one that is scored
TIMEFRAME: Final = 5  # minutes of a decision bar
HORIZON: Final = 60  # minutes a trade may last in null markets, as configured by default
PLANTED_HORIZON: Final = 15  # in planted ones: in so few rows a longer trade's noise hides an edge of twice the cost from everybody


@dataclass(frozen=True, slots=True)
class MarketSize:
    """``stocks``, and sessions: those before the first score window (an embargo among them), and those that are scored."""

    stocks: int
    test: int
    train: int = TRAIN_SESSIONS

    @property
    def sessions(self) -> int:
        """All of them."""
        return self.train + self.test


NULL_SIZE: Final = MarketSize(stocks=4, test=120)
POWER_SIZES: Final = (MarketSize(10, 15), MarketSize(7, 50), MarketSize(5, 130), MarketSize(4, 250))
POWER_MULTIPLES: Final = (0, 1, 2, 3)  # of the round trip's cost: the oracle's mean gross return a trade
N_NULLS: Final = 400
MOST_REJECTED: Final = 28  # of N_NULLS by a test of 5 %: 20 expected, 28 or fewer with a chance of 97 %
N_POWER: Final = 40  # markets in a cell of the grid
N_POWER_MAIN: Final = 200  # in that of twice the cost and 250 sessions
LEAST_FOUND: Final = 160  # of N_POWER_MAIN
