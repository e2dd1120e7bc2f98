"""What many control markets say together: how often the test fired where it should not, and found what was there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from intraday.backtest.controls import LEVEL, Control, NullResult, PlantedResult
from intraday.core.null_markets.sizes import LEAST_FOUND, MOST_REJECTED, N_NULLS, N_POWER_MAIN
from intraday.model.verdict import EDGE

SURE = 0.99  # a control of fewer markets than the stated number fails when its count is less likely than one in a hundred
MAIN_CELL = (2, 250)  # multiple of the cost and test sessions that have a number to reach


@dataclass(frozen=True, slots=True)
class NullRow:
    """``fired``: p-values up to 5 %, of ``n``, ``allowed`` at most; ``uniform_p``: Kolmogorov-Smirnov test of their uniformity;
    ``edges``: net verdicts "edge"."""

    control: str
    n: int
    fired: int
    allowed: int
    uniform_p: float
    edges: int
    passed: bool


@dataclass(frozen=True, slots=True)
class PowerRow:
    """A cell of the grid: of ``n`` markets ``found`` by the test, ``edges`` with the verdict, which needs 60 sessions.

    ``least`` have to be found (0: shown, not judged). Means over markets: ``trades`` a session of the best configuration,
    ``oracle_bps`` gross a trade.
    """

    multiple: int
    sessions: int
    n: int
    found: int
    edges: int
    least: int
    trades: float
    oracle_bps: float
    passed: bool


def document(
    nulls: Sequence[NullResult], planted: Sequence[PlantedResult], shipped: Sequence[PlantedResult] = ()
) -> dict[str, Any]:
    """Everything as JSON: ``nulls``, ``power`` and ``shipped`` are the rows of the tables, ``p_values`` those behind each control.

    ``shipped``: markets tried with the settings as shipped alone; shown, with nothing to reach.
    """
    of = {str(row.control): [r.p_value for r in nulls if r.control == row.control] for row in null_rows(nulls)}
    return {
        "nulls": [asdict(row) for row in null_rows(nulls)],
        "power": [asdict(row) for row in power_rows(planted)],
        "shipped": [asdict(replace(row, least=0, passed=True)) for row in power_rows(shipped)],
        "p_values": of,
        "trials": max((r.trials for r in planted), default=1),
    }


def null_rows(results: Sequence[NullResult]) -> list[NullRow]:
    """One for each control that has results, in order of ``Control``."""
    found = ((control, [r for r in results if r.control == control]) for control in Control)
    return [_null_row(control, own) for control, own in found if own]


def _null_row(control: Control, results: Sequence[NullResult]) -> NullRow:
    from scipy.stats import kstest  # loaded where it is used: most commands need none of it

    p_values = [r.p_value for r in results]
    n, fired = len(p_values), sum(p <= LEVEL for p in p_values)
    uniform, allowed = float(kstest(p_values, "uniform").pvalue), allowed_of(n)
    edges = sum(r.word == EDGE for r in results)
    return NullRow(control, n, fired, allowed, uniform, edges, fired <= allowed and uniform >= 1.0 - SURE)


def allowed_of(n: int) -> int:
    """How often a test of 5 % may fire on ``n`` null markets: 28 of 400, of other numbers what luck exceeds once in a hundred."""
    from scipy.stats import binom  # loaded where it is used: most commands need none of it

    return MOST_REJECTED if n == N_NULLS else int(binom.ppf(SURE, n, LEVEL))


def power_rows(results: Sequence[PlantedResult]) -> list[PowerRow]:
    """One for each cell that has results, by multiple and sessions."""
    cells = sorted({(r.multiple, r.sessions) for r in results})
    return [_power_row(cell, [r for r in results if (r.multiple, r.sessions) == cell]) for cell in cells]


def _power_row(cell: tuple[int, int], results: Sequence[PlantedResult]) -> PowerRow:
    n, found = len(results), sum(r.found for r in results)
    least, most = least_of(cell, n), allowed_of(n) if cell[0] == 0 else n
    return PowerRow(
        multiple=cell[0],
        sessions=cell[1],
        n=n,
        found=found,
        edges=sum(r.word == EDGE for r in results),
        least=least,
        trades=sum(r.trades for r in results) / (n * cell[1]),
        oracle_bps=sum(r.oracle_bps for r in results) / n,
        passed=least <= found <= most,
    )


def least_of(cell: tuple[int, int], n: int) -> int:
    """How many of ``n`` have to be found: 160 of 200 at twice the cost and 250 sessions, of fewer as many but for luck."""
    from scipy.stats import binom  # loaded where it is used: most commands need none of it

    if cell != MAIN_CELL:
        return 0
    return LEAST_FOUND if n >= N_POWER_MAIN else int(binom.ppf(1.0 - SURE, n, LEAST_FOUND / N_POWER_MAIN))
