"""``FeatureCalculator``: hop 6. The same compiled plan over a quarter of panels or over one decision bar."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.core.feature_set import FeatureSet
from intraday.core.function_features import Failure, FunctionCalculator
from intraday.core.kernels.across import run_across
from intraday.core.kernels.plan import SCRATCH, run_phase
from intraday.core.kernels.sums import LANES
from intraday.core.kernels.types import State
from intraday.core.panel import Day
from intraday.domain.arrays import DAY_NS, F4, F8, I8, IST_NS, MINUTE_NS, Bars, Mask, Panel
from intraday.domain.errors import ArtifactError, SkewError

BLOCK = 512  # instruments worked at once: more share the cost of a node, fewer fit the cache; changes no bit
CARRIED_BYTES = 32 << 20  # of what phases hand on: longer panels are worked in chunks
PRICE_FIELDS = ("open", "high", "low", "close", "volume")


class FeatureCalculator:
    """State of S instruments and the plan that advances it.

    It starts empty: give it bars from the anchor on (``AnchorRule``). Consecutive chunks, one call or step by step, any S and any
    empty rows in between give the same bits; with primitives across instruments, any S of the same members and index.
    ``index``: dense row of the market index; None: what needs it is NaN. ``threads`` share the instruments
    between them (more than ``BLOCK``, that is); they change no bit.
    """

    def __init__(self, feature_set: FeatureSet, has_volume: Mask, index: int | None = None, threads: int = 1) -> None:
        self.feature_set = feature_set
        self._has_volume = _kernel_array(has_volume, np.bool_)
        self._index = index
        self._silent = False
        self._plan = feature_set.plan
        self._width = max(1, min(BLOCK, len(has_volume)))
        empty = np.full(self._plan.n_octets * LANES, np.nan)
        self._state = self._blocks(np.repeat(np.concatenate([self._plan.initial, empty])[:, None], len(has_volume), axis=1))
        self._reg = [self._registers()]
        chosen = feature_set.functions
        self._functions = None if chosen is None else FunctionCalculator(chosen, feature_set.timeframe, len(has_volume), index)
        self._step = [np.full((1, len(has_volume)), np.nan) for _ in PRICE_FIELDS]
        self._threads = max(1, threads)
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None

    @property
    def n_instruments(self) -> int:
        """S."""
        return len(self._has_volume)

    def batch(self, panel: Panel, dtype: type[np.floating[Any]] = np.float32) -> NDArray[Any]:
        """Advance over the panel. Returns float32 [T, S, F]; NaN without a bar, in warm-up and where undefined.

        ``dtype`` float64 shows the values before their one cast, for tests.
        """
        assert panel.timeframe == self.feature_set.timeframe, (panel.timeframe, self.feature_set.timeframe)
        assert panel.n_instruments == self.n_instruments, (panel.n_instruments, self.n_instruments)
        out = np.empty((len(panel), self.n_instruments, len(self.feature_set.features)), dtype)
        prices = [_kernel_array(getattr(panel, name), np.float64) for name in PRICE_FIELDS]
        masks = [_kernel_array(panel.mask, np.bool_), _kernel_array(panel.member, np.bool_)]
        clock = (
            _kernel_array(panel.session, np.int32),
            _kernel_array(panel.minute, np.float64),
            _grid_minute(panel.ts_ns),
            _kernel_array(panel.minutes, np.float64),
        )
        self._run((*prices, *masks), clock, np.arange(self.n_instruments), out)
        return out if self._functions is None else self._joined(out, self._functions.batch(panel))

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
        clock = (
            np.array([day.number], np.int32),
            np.array([minute], np.float64),
            _grid_minute(np.array([ts_ns], np.int64)),
            _kernel_array(day.minutes[None], np.float64),
        )
        place = np.full(self.n_instruments, -1)
        place[inst] = np.arange(len(inst))
        found = np.empty((1, len(inst), len(self.feature_set.features)), np.float32)
        self._run((*self._step, mask, _kernel_array(day.member[None], np.bool_)), clock, place, found)
        out: F4 = found[0]
        return out if self._functions is None else self._joined(out, self._functions.update(bars, ts_ns, day))

    def forgive(self) -> None:
        """From now on a user's function that fails costs its own values at that bar (NaN), nothing else: for live."""
        if self._functions is not None:
            self._functions.forgive()

    def take_failures(self) -> Sequence[Failure]:
        """The user's functions that failed since the last call, once ``forgive`` was."""
        return () if self._functions is None else self._functions.take_failures()

    def silence(self) -> None:
        """Give NaN from now on, whatever comes in: the state did not start at the anchor, so its values would match no others."""
        self._silent = True

    def snapshot(self) -> bytes:
        """The state as npz, with the set's id, S and the index's row."""
        buffer = io.BytesIO()
        np.savez(
            buffer, feature_set=np.array(self.feature_set.id), has_volume=self._has_volume, state=self._rows(),
            silent=np.array(self._silent), index=np.array(_row(self._index)),
            functions=np.frombuffer(b"" if self._functions is None else self._functions.snapshot(), np.uint8),
        )  # fmt: skip
        return buffer.getvalue()

    def restore(self, snapshot: bytes) -> None:
        """Go back to a snapshot. SkewError: of another feature set or other instruments; ArtifactError: unreadable."""
        try:
            with np.load(io.BytesIO(snapshot), allow_pickle=False) as stored:
                found, silent, index = str(stored["feature_set"]), stored["silent"], int(stored["index"])
                has_volume, state, functions = stored["has_volume"], stored["state"], stored["functions"].tobytes()
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"feature snapshot: expected npz, found {error}; rebuild it from the anchor") from error
        if found != self.feature_set.id:
            raise SkewError(f"feature snapshot: expected set {self.feature_set.id}, found {found}; rebuild it from the anchor")
        if not np.array_equal(has_volume, self._has_volume) or state.shape != (self._n_rows, self.n_instruments):
            raise SkewError(f"feature snapshot: expected these {self.n_instruments} instruments, found {len(has_volume)} others")
        if index != _row(self._index):
            raise SkewError(f"feature snapshot: expected the market index in row {_row(self._index)} (-1: none), found {index}")
        if self._functions is not None:
            self._functions.restore(functions)
        self._state = self._blocks(state)
        self._silent = bool(silent)

    def same_state(self, other: FeatureCalculator) -> Mask:
        """bool [S]: which instruments have the same state here and there, bit for bit (NaN equals NaN)."""
        ours, theirs = self._rows(), other._rows()
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        whole = np.asarray(same.all(axis=0) & (self._silent == other._silent), np.bool_)
        if self._functions is None or other._functions is None:
            return whole
        return np.asarray(whole & self._functions.same_state(other._functions), np.bool_)

    def columns(self, keep: I8) -> FeatureCalculator:
        """A calculator of the instruments ``keep``, in that order, with a copy of their state."""
        at = np.flatnonzero(np.asarray(keep) == _row(self._index))
        other = FeatureCalculator(self.feature_set, self._has_volume[keep], int(at[0]) if len(at) else None)
        other._state = other._blocks(self._rows()[:, keep])
        other._silent = self._silent
        other._functions = None if self._functions is None else self._functions.columns(keep)
        return other

    def _joined(self, out: NDArray[Any], own: F4) -> NDArray[Any]:
        """The functions' columns after the plan's."""
        if self._silent:
            own[:] = np.nan
        return np.concatenate([out, own.astype(out.dtype)], axis=-1)

    def _rows(self) -> F8:
        """The state as float64 [rows, S], an instrument a column, the rings behind the rest; a copy."""
        n_blocks = len(self._state[0])
        rows, rings = self._state[0].transpose(1, 0, 2), self._state[1].transpose(1, 3, 0, 2)
        whole = np.concatenate([rows, rings.reshape(-1, n_blocks, self._width)])
        return np.ascontiguousarray(whole.reshape(len(whole), n_blocks * self._width)[:, : self.n_instruments])

    def _blocks(self, whole: F8) -> State:
        """The opposite of ``_rows``: what stands in the last block's spare columns is never read."""
        n_blocks, n_rows = -(-self.n_instruments // self._width), len(self._plan.initial)
        padded = np.full((len(whole), n_blocks * self._width), np.nan)
        padded[:, : self.n_instruments] = whole
        blocks = padded.reshape(len(whole), n_blocks, self._width)
        rings = _lines((n_blocks, self._plan.n_octets, self._width, LANES))
        rings[:] = blocks[n_rows:].reshape(self._plan.n_octets, LANES, n_blocks, self._width).transpose(2, 0, 3, 1)
        return np.ascontiguousarray(blocks[:n_rows].transpose(1, 0, 2)), rings

    @property
    def _n_rows(self) -> int:
        return len(self._plan.initial) + LANES * self._plan.n_octets

    def _registers(self) -> F8:
        return np.full((self._plan.n_registers + SCRATCH, self._width + 8), np.nan)

    def _run(self, panel: tuple[NDArray[Any], ...], clock: tuple[NDArray[Any], ...], place: I8, out: NDArray[Any]) -> None:
        """Chunk by chunk, phase by phase, with the cross-sections in between. panel: prices [T, S] x 5, mask, member."""
        n_steps, n_carried = len(out), self._plan.n_carried
        length = max(1, CARRIED_BYTES // (8 * max(1, n_carried * self.n_instruments))) if n_carried else max(1, n_steps)
        carried = np.full((n_carried, min(length, n_steps), self.n_instruments), np.nan)
        for first in range(0, n_steps, length):
            rows = slice(first, min(first + length, n_steps))
            now, times = tuple(a[rows] for a in panel), tuple(a[rows] for a in clock)
            with np.errstate(all="ignore"):  # heard only without the compiler (NUMBA_DISABLE_JIT=1)
                self._chunk(now, times, np.ascontiguousarray(carried[:, : len(now[0])]), place, out[rows])
        if self._silent:
            out[:] = np.nan

    def _chunk(
        self, panel: tuple[NDArray[Any], ...], clock: tuple[NDArray[Any], ...], carried: F8, place: I8, out: NDArray[Any]
    ) -> None:
        inputs: Any = (*panel, self._has_volume)
        times: Any = clock
        for p, phase in enumerate(self._plan.phases):
            shares = self._shares()

            def work(share: tuple[int, int], reg: F8, tables: Any = phase.tables) -> None:
                run_phase(tables, inputs, times, self._state, share, carried, reg, place, out)

            if self._pool is None or len(shares) == 1:
                work(shares[0], self._reg[0])
            else:
                list(self._pool.map(work, shares, self._reg))
            if p < len(self._plan.across):
                self._across(p, panel[5], panel[6], carried)

    def _across(self, p: int, mask: Mask, member: Mask, carried: F8) -> None:
        n = self.n_instruments
        across = self._plan.across[p]
        keys = np.empty((6, max(n, 2048)), np.int64)
        run_across(across.code, across.source, across.target, mask, member, _row(self._index), carried, np.empty(n), keys)

    def _shares(self) -> list[tuple[int, int]]:
        """Blocks cut into at most as many runs as there are threads, each with registers of its own."""
        n_blocks = len(self._state[0])
        edges = np.linspace(0, n_blocks, min(self._threads, max(1, n_blocks)) + 1).astype(int).tolist()
        while len(self._reg) < len(edges) - 1:
            self._reg.append(self._registers())
        return list(zip(edges[:-1], edges[1:], strict=True))


def _kernel_array(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """Contiguous and writable: a read-only array is another type to numba, and would compile everything a second time."""
    return np.require(array, dtype, ["C_CONTIGUOUS", "WRITEABLE"])


def _grid_minute(ts_ns: I8) -> F8:
    """Minutes from 09:15 IST of the same day."""
    return (np.asarray(ts_ns, np.int64) + IST_NS) % DAY_NS / MINUTE_NS - 555.0


def _row(index: int | None) -> int:
    return -1 if index is None else index


def _lines(shape: tuple[int, ...]) -> F8:
    """Float64 [.., 8] that begins with a line of the processor's cache (64 bytes), so that an octet is one line and not two."""
    n = math.prod(shape)
    room = np.empty(n + LANES)
    first = -room.ctypes.data % 64 // 8
    return room[first : first + n].reshape(shape)
