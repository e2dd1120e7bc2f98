"""``FeatureCalculator``: hop 6. The same compiled plan over a quarter of panels or over one decision bar."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.core.anchor import AnchorRule
from intraday.core.feature import Feature
from intraday.core.kernels import SOURCE_HASH
from intraday.core.kernels.plan import run_plan
from intraday.core.panel import Day
from intraday.core.plan import Plan, compile_plan
from intraday.domain.arrays import F4, F8, I8, MINUTE_NS, Bars, Mask, Panel
from intraday.domain.errors import ArtifactError, ConfigError, SkewError

BLOCK = 128  # instruments worked at once, so that their state stays in the cache; changes no bit
PRICE_FIELDS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class FeatureSet:
    """Features of one decision timeframe, in order. Equal ``id`` means equal bits for equal bars from the same anchor."""

    timeframe: int  # minutes
    features: tuple[Feature, ...]
    anchor: AnchorRule

    @classmethod
    def of(cls, timeframe: int, names: Sequence[str] | None, registry: Mapping[str, Feature], anchor: AnchorRule) -> FeatureSet:
        """The features ``names`` (all, in the registry's order, when None). ConfigError names an unknown or repeated one."""
        chosen = list(registry) if names is None else list(names)
        unknown = [n for n in chosen if n not in registry]
        if unknown:
            raise ConfigError(f"model.features: unknown feature {unknown[0]!r}; expected some of {', '.join(registry)}")
        repeated = sorted({n for n in chosen if chosen.count(n) > 1})
        if repeated or not chosen:
            raise ConfigError(f"model.features: expected each name once and at least one, found {repeated or 'none'}")
        return cls(timeframe, tuple(registry[n] for n in chosen), anchor)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in column order."""
        return tuple(f.name for f in self.features)

    @property
    def warmup(self) -> int:
        """Bars of an instrument before every feature has had its first value, sessions apart."""
        return max(f.expr.warmup_at(self.timeframe) for f in self.features)

    @cached_property
    def id(self) -> str:
        """16 hex digits of sha256 over timeframe, names, expressions, kernel sources and anchor rule."""
        return hashlib.sha256(self.definition().encode()).hexdigest()[:16]

    def definition(self) -> str:
        """Canonical JSON of everything the values depend on, plus what a person wants to read; the text ``id`` is made of."""
        features = [
            {"name": f.name, "family": f.family, "expression": f.expr.text, "formula": f.formula, "units": f.units,
             "source": f.source, "warmup": f.warmup, "sessions": f.sessions, "needs_volume": f.needs_volume}
            for f in self.features
        ]  # fmt: skip
        whole = {"timeframe": self.timeframe, "anchor": self.anchor.text, "kernels": SOURCE_HASH, "features": features}
        return json.dumps(whole, sort_keys=True, separators=(",", ":"))

    def column(self, name: str) -> int:
        """Position of a feature; ConfigError when the set does not have it."""
        if name not in self.names:
            raise ConfigError(f"feature set {self.id}: expected a feature named {name!r}, found {', '.join(self.names)}")
        return self.names.index(name)

    @cached_property
    def plan(self) -> Plan:
        """The compiled expressions."""
        return compile_plan([f.expr for f in self.features], self.timeframe)


class FeatureCalculator:
    """State of S instruments and the plan that advances it.

    It starts empty: give it bars from the anchor on (``AnchorRule``). Consecutive chunks, one call or step by step, any S and any
    empty rows in between give the same bits.
    """

    def __init__(self, feature_set: FeatureSet, has_volume: Mask, index: int | None = None) -> None:
        self.feature_set = feature_set
        self._index = index
        self._has_volume = _kernel_array(has_volume, np.bool_)
        self._index = index
        self._silent = False
        self._plan = feature_set.plan
        self._state = self._plan.state(len(has_volume))
        self._reg = _registers(self._plan, len(has_volume))
        self._step = [np.full((1, len(has_volume)), np.nan) for _ in PRICE_FIELDS]
        self._out = np.empty((1, len(has_volume), len(feature_set.features)), np.float32)

    @property
    def n_instruments(self) -> int:
        """S."""
        return len(self._has_volume)

    def batch(self, panel: Panel) -> F4:
        """Advance over the panel. Returns float32 [T, S, F]; NaN without a bar, in warm-up and where undefined."""
        assert panel.timeframe == self.feature_set.timeframe, (panel.timeframe, self.feature_set.timeframe)
        assert panel.n_instruments == self.n_instruments, (panel.n_instruments, self.n_instruments)
        out = np.empty((len(panel), self.n_instruments, len(self.feature_set.features)), np.float32)
        prices = [_kernel_array(getattr(panel, name), np.float64) for name in PRICE_FIELDS]
        clock = (
            _kernel_array(panel.session, np.int32),
            _kernel_array(panel.minute, np.float64),
            _kernel_array(panel.minutes, np.float64),
        )
        self._run(prices, _kernel_array(panel.mask, np.bool_), clock, out)
        return out

    def update(self, bars: Bars, ts_ns: int, day: Day) -> F4:
        """Advance by the decision bar that opened at ``ts_ns``: BAR[b], each instrument at most once.

        Returns float32 [b, F] in order of ``bars``.
        """
        inst = bars["inst"]
        assert len(inst) == 0 or (inst.min() >= 0 and inst.max() < self.n_instruments), (inst, self.n_instruments)
        mask = np.zeros((1, self.n_instruments), np.bool_)
        mask[0, inst] = True
        assert np.count_nonzero(mask) == len(inst), "an instrument twice in one decision bar"
        for name, row in zip(PRICE_FIELDS, self._step, strict=True):
            row[0, inst] = bars[name]
        minute = (ts_ns - day.open_ns) / MINUTE_NS
        clock = (np.array([day.number], np.int32), np.array([minute], np.float64), _kernel_array(day.minutes[None], np.float64))
        self._run(self._step, mask, clock, self._out)
        return np.ascontiguousarray(self._out[0, inst])

    def silence(self) -> None:
        """Give NaN from now on, whatever comes in: the state did not start at the anchor, so its values would match no others."""
        self._silent = True

    def snapshot(self) -> bytes:
        """The state as npz, with the set's id and S."""
        buffer = io.BytesIO()
        silent = np.array(self._silent)
        np.savez(buffer, feature_set=np.array(self.feature_set.id), has_volume=self._has_volume, state=self._state, silent=silent)
        return buffer.getvalue()

    def restore(self, snapshot: bytes) -> None:
        """Go back to a snapshot. SkewError: of another feature set or other instruments; ArtifactError: unreadable."""
        try:
            with np.load(io.BytesIO(snapshot), allow_pickle=False) as stored:
                found, silent = str(stored["feature_set"]), stored["silent"]
                has_volume, state = stored["has_volume"], stored["state"]
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"feature snapshot: expected npz, found {error}; rebuild it from the anchor") from error
        if found != self.feature_set.id:
            raise SkewError(f"feature snapshot: expected set {self.feature_set.id}, found {found}; rebuild it from the anchor")
        if not np.array_equal(has_volume, self._has_volume) or state.shape != self._state.shape:
            raise SkewError(f"feature snapshot: expected these {self.n_instruments} instruments, found {len(has_volume)} others")
        self._state = _kernel_array(state, np.float64)
        self._silent = bool(silent)

    def same_state(self, other: FeatureCalculator) -> Mask:
        """bool [S]: which instruments have the same state here and there, bit for bit (NaN equals NaN)."""
        same = (self._state == other._state) | (np.isnan(self._state) & np.isnan(other._state))
        return np.asarray(same.all(axis=0) & (self._silent == other._silent), np.bool_)

    def columns(self, keep: I8) -> FeatureCalculator:
        """A calculator of the instruments ``keep``, in that order, with a copy of their state."""
        index = None if self._index is None else next(iter(np.flatnonzero(keep == self._index).tolist()), None)
        other = FeatureCalculator(self.feature_set, self._has_volume[keep], index)
        other._state = np.ascontiguousarray(self._state[:, keep])
        other._silent = self._silent
        return other

    def _run(self, prices: list[F8], mask: Mask, clock: tuple[Any, F8, F8], out: F4) -> None:
        with np.errstate(all="ignore"):  # heard only without the compiler (NUMBA_DISABLE_JIT=1)
            open_, high, low, close, volume = prices
            panel = (open_, high, low, close, volume, mask, self._has_volume)
            run_plan(self._plan.tables, panel, clock, self._state, self._reg, out)
        if self._silent:
            out[:] = np.nan


def _kernel_array(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """Contiguous and writable: a read-only array is another type to numba, and would compile everything a second time."""
    return np.require(array, dtype, ["C_CONTIGUOUS", "WRITEABLE"])


def _registers(plan: Plan, n_instruments: int) -> F8:
    return np.full((plan.n_nodes + 1, max(1, min(BLOCK, n_instruments))), np.nan)
