"""``intraday controls``: the pipeline on markets where the answer is known, on your own bars and on made-up ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from intraday.app import open_system
from intraday.app_controls import StoredMarket, stored_market
from intraday.backtest.control_markets import recipe
from intraday.backtest.control_rows import market_rows
from intraday.backtest.control_tables import document
from intraday.backtest.controls import (
    Control,
    NullResult,
    PlantedResult,
    disconnected,
    null_result,
    planted_result,
    simulated_null,
)
from intraday.config.settings import Settings
from intraday.core.null_markets.flip import flipped
from intraday.core.null_markets.sizes import PLANTED_HORIZON, MarketSize
from intraday.domain.arrays import Bars
from intraday.domain.clock import Clock
from intraday.domain.errors import InputError, NotEnoughData
from intraday.domain.ports import Progress
from intraday.domain.session import SessionTable
from intraday.jobs.outcome import recorded_run
from intraday.model.dataset import Dataset
from intraday.report.audit_page import replaced
from intraday.report.parts import Controls, NullControl, PowerGrid

FILE = "controls.json"  # in the data folder's reports: the newest run
BROKEN = (Control.SESSIONS, Control.ROWS, Control.SHIFTED)
PLANTED_SIZE, PLANTED_MULTIPLE = MarketSize(stocks=6, test=70), 3  # an edge that the pipeline finds nearly always


@dataclass(frozen=True, slots=True)
class Counts:
    """Markets of each kind: simulated nulls, each null made of real bars, planted ones."""

    simulated: int
    real: int
    planted: int


QUICK, FULL = Counts(4, 3, 1), Counts(40, 20, 5)


@dataclass(frozen=True, slots=True)
class ControlsRequest:
    """The last ``sessions`` stored sessions from ``first`` to ``last`` and at most ``instruments`` instruments.

    ``simulated``: none of them, made-up markets alone.
    """

    first: date | None = None
    last: date | None = None
    sessions: int = 60
    instruments: int = 10
    simulated: bool = False
    markets: Counts = QUICK
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ControlsOutcome:
    """The tables (``control_tables.document``), what was run on, what could not be and why; ``file``: all of it as JSON."""

    passed: bool
    seed: int
    bars: str
    skipped: Mapping[str, str]
    tables: Mapping[str, Any]
    file: Path


@dataclass(frozen=True, slots=True)
class _Work:
    """One market to be trained on."""

    control: Control
    run: Callable[[], NullResult | PlantedResult]


def run_controls(settings: Settings, request: ControlsRequest, clock: Clock, progress: Progress) -> ControlsOutcome:
    """Run them and keep the tables as JSON. NotEnoughData without stored bars, unless ``simulated``."""
    work, file = _made_up(request.markets, request.seed), settings.system.data_dir / "reports" / FILE
    if request.simulated:
        return _outcome(request, work, "none", file, progress)
    with open_system(settings, clock) as system, recorded_run(system, "controls") as run:
        market = stored_market(system, request.first, request.last, request.sessions, request.instruments)
        bars = f"{market.sessions} sessions of {len(market.instruments)} instruments, {len(market.bars):,} one-minute bars"
        found = _outcome(request, [*_RealBars(market, request.seed).work(request.markets.real), *work], bars, file, progress)
        run.summary |= {"passed": found.passed, "skipped": len(found.skipped), "tables": found.tables}
        return found


def controls_section(file: Path) -> Controls | None:
    """The report's page of what ``run_controls`` (or ``make controls``) kept; None where there is no such file.

    InputError when it is something else.
    """
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        nulls = [_section_row(row, kept["p_values"][row["control"]]) for row in kept["nulls"]]
        return Controls(nulls, _grid(kept["power"], int(kept["trials"])), str(kept.get("note", "")))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: expected the tables of `intraday controls`, found {type(error).__name__}: {error}") from error


def _section_row(row: Mapping[str, Any], p_values: Sequence[float]) -> NullControl:
    return NullControl(
        name=str(row["control"]),
        p_values=np.array(p_values, dtype=np.float64),
        fired=int(row["fired"]),
        allowed=int(row["allowed"]),
        uniform_p=float(row["uniform_p"]),
        net_fired=int(row["edges"]),
    )


def _grid(rows: Sequence[Mapping[str, Any]], trials: int) -> PowerGrid | None:
    """A cell without markets has none found."""
    if not rows:
        return None
    multiples, sessions = (sorted({int(row[name]) for row in rows}) for name in ("multiple", "sessions"))
    found = np.zeros((len(multiples), len(sessions)), dtype=np.int64)
    markets = np.zeros_like(found)
    for row in rows:
        at = multiples.index(int(row["multiple"])), sessions.index(int(row["sessions"]))
        found[at], markets[at] = int(row["found"]), int(row["n"])
    return PowerGrid([float(m) for m in multiples], sessions, found, markets, trials)


def _made_up(counts: Counts, seed: int) -> list[_Work]:
    sessions = SessionTable.load()
    short, usual = recipe(sessions, PLANTED_HORIZON), recipe(sessions)
    first, first_planted = seed * FULL.simulated, seed * FULL.planted
    return [
        *(_Work(Control.MARTINGALE, partial(simulated_null, usual, first + k)) for k in range(counts.simulated)),
        *(
            _Work(Control.PLANTED, partial(planted_result, short, PLANTED_SIZE, PLANTED_MULTIPLE, first_planted + k))
            for k in range(counts.planted)
        ),
    ]


class _RealBars:
    """Stored bars with flipped signs, and their rows (made once) taken apart."""

    def __init__(self, market: StoredMarket, seed: int) -> None:
        self._market = market
        self._seed = seed

    def work(self, n: int) -> Iterator[_Work]:
        """``n`` markets of each control."""
        for k in range(n):
            yield _Work(Control.FLIPPED, partial(self._flip, k))
        for control in BROKEN:
            for k in range(n):
                yield _Work(control, partial(self._break, control, k))

    @cached_property
    def _rows(self) -> Dataset:
        return self._of(self._market.bars)

    def _of(self, bars: Bars) -> Dataset:
        market = self._market
        return market_rows(bars, len(market.instruments), market.recipe, market.ticks, market.cost).data

    def _flip(self, k: int) -> NullResult:
        bars = flipped(np.random.default_rng([self._seed, 10, k]), self._market.bars, self._market.ticks.rupees[-1])
        return null_result(Control.FLIPPED, k, self._of(bars), self._market.names, self._market.training)

    def _break(self, control: Control, k: int) -> NullResult:
        data = disconnected(self._rows, control, np.random.default_rng([self._seed, 11 + BROKEN.index(control), k]))
        return null_result(control, k, data, self._market.names, self._market.training)


def _outcome(request: ControlsRequest, work: Sequence[_Work], bars: str, file: Path, progress: Progress) -> ControlsOutcome:
    """Run all of it; a control for which there are too few sessions is skipped, with the reason."""
    nulls, planted, skipped = list[NullResult](), list[PlantedResult](), dict[str, str]()
    for done, each in enumerate(work):
        progress("controls", done, len(work))
        if each.control in skipped:
            continue
        try:
            found = each.run()
        except NotEnoughData as error:
            skipped[each.control] = str(error)
            continue
        if isinstance(found, NullResult):
            nulls.append(found)
        else:
            planted.append(found)
    progress("controls", len(work), len(work))
    tables = document(nulls, planted)
    note = f"{'' if bars == 'none' else bars + '; '}seed {request.seed}"
    replaced(file, json.dumps(tables | {"note": note, "skipped": skipped}, indent=1))
    passed = all(row["passed"] for row in tables["nulls"]) and all(row["found"] > 0 for row in tables["power"])
    return ControlsOutcome(passed, request.seed, bars, skipped, tables, file)
