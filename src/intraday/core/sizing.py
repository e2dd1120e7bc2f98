"""How many shares a signal suggests: fixed fractional sizing, capped by the size its costs were computed at.

The risk of one share is the distance to its stop and a round trip's cost; gaps beyond the stop lose more. Source: Vince 1990, fixed
fractional trading.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan


@dataclass(frozen=True, slots=True)
class Sizing:
    """``capital`` rupees, ``risk_share`` of it that one trade may lose at its stop (0.005 is half a percent), and the rupees one
    trade may take at most, ``notional_max``."""

    capital: float
    risk_share: float
    notional_max: float

    def quantity(self, price: float, stop: float, cost: float, lot: int) -> tuple[int, str]:
        """(shares or contracts in whole lots, why there are none).

        ``price`` the entry expected and ``stop`` rupees, ``cost`` the round trip as a return of ``price``. Without a stop (NaN) the
        risk is not known: 0.
        """
        if isnan(stop):
            return 0, "no quantity: it has no stop"
        risk = abs(price - stop) + cost * price
        allowed = self.capital * self.risk_share
        lots = int(min(allowed / risk, self.notional_max / price) / lot + 1e-9)
        if lots > 0:
            return lots * lot, ""
        unit = "one share" if lot == 1 else f"one lot of {lot:,}"
        if risk * lot > allowed:
            return 0, f"no quantity: {unit} risks Rs {risk * lot:,.2f}, a trade may lose {allowed:,.2f}"
        return 0, f"no quantity: {unit} is Rs {price * lot:,.2f}, a trade at most {self.notional_max:,.2f}"
