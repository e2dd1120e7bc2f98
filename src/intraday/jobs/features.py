"""``intraday features``: what is known of every feature, and of one its values on stored or made-up bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from intraday.app import build_market, lists, open_system
from intraday.app_models import user_features
from intraday.config.settings import Settings
from intraday.core.anchor import AnchorRule
from intraday.core.candles import HistoricalAggregator
from intraday.core.feature_set import FeatureSet
from intraday.core.feature_words import AnyFeature, computed_as, lookback, needs
from intraday.core.features import FeatureCalculator
from intraday.core.function_features import FunctionCalculator
from intraday.core.lists import index_row, lists_of
from intraday.core.panel import Lists, panel_of
from intraday.core.registry import default_registry
from intraday.core.user_features import UserFeatures
from intraday.domain.arrays import DAY_NS, F8, IST_NS, MINUTE_NS, Bars, Mask, Panel
from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError, InputError, NotEnoughData
from intraday.domain.instruments import Instrument
from intraday.domain.session import SessionTable, day_of, midnight_ns
from intraday.report.feature_picture import Curve, Hours, picture


@dataclass(frozen=True, slots=True)
class Known:
    """A feature in words. ``expression`` is Python to paste; ``own``: the user's; ``configured``: ``model.features`` has it."""

    name: str
    family: str
    formula: str
    expression: str
    units: str
    lookback: str
    needs: str
    undefined: str
    source: str
    own: bool
    configured: bool


@dataclass(frozen=True, slots=True)
class Request:
    """Bars to compute on: the last ``sessions`` sessions of the ``instruments`` with most of them; ``symbols``: what is told is of
    these alone (none: of all), though others may be compared with them."""

    sessions: int = 30
    instruments: int = 20
    symbols: tuple[str, ...] = ()
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Last:
    """An instrument's newest bar: when it opened, ns UTC, and the value there, NaN when missing."""

    symbol: str
    ts_ns: int
    value: float


@dataclass(frozen=True, slots=True)
class Values:
    """A feature on bars. ``missing``: share of all bars without a value, ``missing_last`` of those of the last session.

    Its state starts at the first of the bars; in training it starts at the anchor.
    """

    source: str
    first: date
    last: date
    n: int
    missing: float
    missing_last: float
    newest: Sequence[Last]
    plot: Path | None = None


@dataclass(frozen=True, slots=True)
class _Market:
    instruments: Sequence[Instrument]
    bars: Bars
    lists: Lists
    source: str
    shown: Sequence[int]  # rows


def known(settings: Settings) -> list[Known]:
    """Every feature, the user's after the program's. Raises ConfigError for a file that cannot be used."""
    user = user_features(settings, SessionTable.load())
    return [_words(f, user, settings) for f in _everything(user).values()]


def show(settings: Settings, name: str) -> Known:
    """One of them. Raises ConfigError, with names like it, when there is none."""
    user = user_features(settings, SessionTable.load())
    return _words(_named(_everything(user), name), user, settings)


def values(settings: Settings, name: str, request: Request, clock: Clock, plot: Path | None = None) -> Values:
    """The feature computed on bars, and a picture of the last day in ``plot``. Raises ConfigError, NotEnoughData, InputError."""
    sessions = SessionTable.load()
    user = user_features(settings, sessions)
    _named(_everything(user), name)
    market = _simulated(settings, request, sessions) if request.simulated else _stored(settings, request, clock)
    n, timeframe = len(market.instruments), settings.trading.timeframe
    panel = panel_of(HistoricalAggregator(n).aggregate(market.bars, timeframe), n, timeframe, sessions, market.lists)
    if not panel.mask.any():
        raise NotEnoughData(f"{name}: the bars of these days hold none of {timeframe} minutes: ask for other --sessions")
    computed = _computed(user, name, market, panel, index_row(market.instruments, settings.model.index))
    told = _summary(market, panel, computed)
    if plot is None:
        return told
    _write(plot, _drawn(name, market, panel, computed))
    return replace(told, plot=plot)


def _computed(user: UserFeatures, name: str, market: _Market, panel: Panel, index: int | None) -> F8:
    """float64 [T, S]."""
    if name in user.functions.names:
        chosen = user.functions.chosen((name,))
        found = FunctionCalculator(chosen, panel.timeframe, panel.n_instruments, index).batch(panel)
    else:
        features = FeatureSet.of(panel.timeframe, [name], user.joined(default_registry()), AnchorRule())
        has_volume = np.array([i.has_volume for i in market.instruments], np.bool_)
        found = FeatureCalculator(features, has_volume, index).batch(panel)
    return found[:, :, 0].astype(np.float64)


def _everything(user: UserFeatures) -> Mapping[str, AnyFeature]:
    functions = {f.name: f for f in user.functions.features}
    return {**user.joined(default_registry()), **functions}


def _named(features: Mapping[str, AnyFeature], name: str) -> AnyFeature:
    if name not in features:
        near = ", ".join(get_close_matches(name, features, n=5)) or "one that `intraday features list` names"
        raise ConfigError(f"found no feature {name!r}, expected {near}")
    return features[name]


def _words(f: AnyFeature, user: UserFeatures, settings: Settings) -> Known:
    wanted = settings.model.features
    return Known(
        f.name, f.family, f.formula, computed_as(f), f.units, lookback(f), needs(f), f.undefined, f.source,
        own=f.name in user.names, configured=wanted == "all" or f.name in wanted,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------- bars


def _simulated(settings: Settings, request: Request, sessions: SessionTable) -> _Market:
    s, market = settings.trading.synthetic, build_market(settings.trading, sessions)
    instruments = [replace(instrument, id=k + 1) for k, instrument in enumerate(market.instruments)]
    bars = np.concatenate([market.bars(i) for i in range(max(0, s.sessions - request.sessions), s.sessions)])
    shown = _shown(instruments, request)
    return _Market(instruments, bars, lists_of(instruments, (), None, None), f"the made-up market, seed {s.seed}", shown)


def _stored(settings: Settings, request: Request, clock: Clock) -> _Market:
    with open_system(settings, clock) as system:
        universe = {i.id: i for i in system.universe()}
        days: dict[date, set[int]] = {}
        for instrument_id, day, n in system.stores.bars.coverage():
            if n and instrument_id in universe:
                days.setdefault(day, set()).add(instrument_id)
        if not days:
            raise NotEnoughData("no stored bars of these instruments: import some, or use --simulated")
        chosen = sorted(days)[-request.sessions :]
        asked = [list(universe.values())[k] for k in _shown(list(universe.values()), request)] if request.symbols else []
        ranked = sorted(universe.values(), key=lambda i: (i not in asked, -sum(i.id in days[d] for d in chosen), i.kind, i.id))
        instruments = sorted(ranked[: max(request.instruments, len(asked))], key=lambda i: (i.kind, i.id))
        bars = system.stores.bars.read(
            [i.id for i in instruments], midnight_ns(chosen[0]), midnight_ns(chosen[-1] + timedelta(days=1))
        )
        membership = system.membership().between(chosen[0], chosen[-1])
        known_lists = lists(system, instruments, membership)
        return _Market(instruments, bars, known_lists, "the database, best version of each bar", _shown(instruments, request))


def _shown(instruments: Sequence[Instrument], request: Request) -> list[int]:
    """Rows of what was asked for. ConfigError for a symbol that none has."""
    names = [{i.key.upper(), i.symbol.upper()} for i in instruments]
    unknown = [symbol for symbol in request.symbols if not any(symbol.upper() in n for n in names)]
    if unknown:
        near = get_close_matches(unknown[0].upper(), [i.symbol for i in instruments], n=5)
        raise ConfigError(
            f"--symbol: found {unknown[0]}, expected one of the universe, such as {', '.join(near) or instruments[0].symbol}"
        )
    wanted = {symbol.upper() for symbol in request.symbols}
    return [k for k, n in enumerate(names) if not wanted or n & wanted]


# ---------------------------------------------------------------------------------------------------------------- results


def _summary(market: _Market, panel: Panel, computed: F8) -> Values:
    there, last, newest = panel.mask[:, market.shown], panel.session == panel.session[-1], []
    missing = np.isnan(computed[:, market.shown]) & there
    for s in market.shown:
        rows = np.flatnonzero(panel.mask[:, s])
        if rows.size:
            newest.append(Last(market.instruments[s].key, int(panel.ts_ns[rows[-1]]), float(computed[rows[-1], s])))
    return Values(
        market.source,
        day_of(int(panel.ts_ns[0])),
        day_of(int(panel.ts_ns[-1])),
        int(there.sum()),
        _share(missing, there),
        _share(missing[last], there[last]),
        newest,
    )


def _share(missing: Mask, there: Mask) -> float:
    return float(missing.sum() / there.sum()) if there.any() else float("nan")


def _drawn(name: str, market: _Market, panel: Panel, computed: F8) -> str:
    """SVG of the last session of the first instrument, of those asked for, that has a value in it."""
    last = panel.session == panel.session[-1]
    there = [s for s in market.shown if panel.mask[last, s].any()]
    if not there:
        raise NotEnoughData(f"{name}: no bars on {day_of(int(panel.ts_ns[-1]))} of the instruments asked for")
    s = next((s for s in there if np.isfinite(computed[last & panel.mask[:, s], s]).any()), there[0])
    rows = last & panel.mask[:, s]
    clock = ((panel.ts_ns[rows] + IST_NS) % DAY_NS / MINUTE_NS).astype(np.float64)
    hours = Hours(int(clock[0] - panel.minute[rows][0]), int(clock[-1]) + panel.timeframe)
    curves = [
        Curve("close, rupees", panel.close[rows, s]),
        *([Curve("volume, shares", panel.volume[rows, s])] if market.instruments[s].has_volume else []),
        Curve(name, computed[rows, s], name),
    ]
    title = f"{name}, {market.instruments[s].key}, {day_of(int(panel.ts_ns[-1]))}, bars of {panel.timeframe} minutes"
    return picture(title, clock, curves, hours, columns=1, zoom=3)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: expected a place to write the picture to, found none ({error.strerror})") from error
