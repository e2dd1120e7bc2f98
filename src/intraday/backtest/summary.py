"""What a backtest says, as plain rows: for JSON, for the terminal and for the report's page.

Bps are of one trade's notional; a session without a trade counts as zero in every mean. Money is rupees of the configured account.
"""

from __future__ import annotations

from dataclasses import dataclass

from intraday.model.metrics import Interval


@dataclass(frozen=True, slots=True)
class ScenarioRow:
    """The same signals under one assumption: a delay, or a slippage. ``gross``, ``cost`` and ``net`` are bps a trade, means over
    the trades; ``session`` net bps a session with its 95 % interval; ``hit`` the share of trades that gained gross.

    Of the signals, ``skipped`` were over or near a circuit limit when they were to be entered, ``missed`` had no bar to enter at,
    of ``unknown`` the end is not in the bars, and ``overlapping`` found an earlier trade of their instrument still open.
    """

    name: str
    trades: int
    skipped: int
    missed: int
    unknown: int
    overlapping: int
    gross: float
    cost: float
    net: float
    hit: float
    session: Interval
    estimated: int = 0  # trades whose entry's price is between two known ones


@dataclass(frozen=True, slots=True)
class ChaseRow:
    """Entries ``beyond`` the price that the signal says not to chase, at the labels' delay: every other figure has them. Without
    them there are ``trades``, which made ``net`` bps a trade, and ``session`` bps a session."""

    beyond: int
    trades: int
    net: float
    session: Interval


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Trades of one instrument or hour of decision: bps a trade as in ``ScenarioRow``, ``total`` net bps, ``net_inr`` rupees of the
    account after slippage, charges and fees."""

    name: str
    trades: int
    hit: float
    gross: float
    cost: float
    net: float
    total: float
    net_inr: float


@dataclass(frozen=True, slots=True)
class DayRow:
    """One session of the account, rupees. ``equity`` is the capital and all net results up to it; ``gross_bps`` and ``net_bps`` are
    the sums of its trades on one notional each, as ``ScenarioRow`` counts them at the labels' delay."""

    day: str
    trades: int
    gross: float
    slippage: float
    charges: float
    fees: float
    net: float
    equity: float
    gross_bps: float
    net_bps: float


@dataclass(frozen=True, slots=True)
class CostRow:
    """One part of the charges, rupees: by the rates of each day, and by today's."""

    name: str
    dated: float
    today: float


@dataclass(frozen=True, slots=True)
class AccountRow:
    """What the account came to, rupees. ``refused``: why signals were not traded, and how many.

    ``exposure`` is the mean value of open positions while the market was open, ``exposure_peak`` and ``positions_peak`` the most at
    one moment, ``turnover`` what was bought and sold together, ``drawdown`` the largest fall of the equity from one day's end.
    """

    capital: float
    trades: int
    gross: float
    slippage: float
    charges: float
    charges_today: float
    fees: float
    net: float
    net_today: float
    drawdown: float
    turnover: float
    exposure: float
    exposure_peak: float
    positions_peak: int
    forced: int
    reduced: int
    refused: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class BacktestSummary:
    """The whole of it. ``what`` says where the signals came from; ``in_sample`` how many of the sessions the model was trained on;
    ``shorts`` "assumed" where nobody knew who may be sold short; ``exact`` sessions had ticks for the entries."""

    what: str
    model_id: str
    first: str
    last: str
    sessions: int
    instruments: int
    in_sample: int
    shorts: str
    signals: int
    delay_s: int  # the labels' own, at which the account trades
    slippage_model: str
    exact: int
    delays: tuple[ScenarioRow, ...]
    slippage: tuple[ScenarioRow, ...]
    account: AccountRow
    costs: tuple[CostRow, ...]
    by_instrument: tuple[GroupRow, ...]
    by_hour: tuple[GroupRow, ...]
    days: tuple[DayRow, ...]
    notes: tuple[str, ...] = ()
    chase: ChaseRow | None = None  # None: no signal says a price
    seconds: float = 0.0
    instrument_days_per_minute: float = 0.0
