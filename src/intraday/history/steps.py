"""What each step of a run did and how long it took."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from intraday.domain.ports import WriteReport


@dataclass(frozen=True, slots=True)
class StepReport:
    """``rows`` that went through; ``written`` None for a step that stores nothing."""

    name: str
    rows: int
    seconds: float
    written: WriteReport | None = None

    def summary(self) -> dict[str, object]:
        """JSON-ready."""
        w = self.written
        wrote = {} if w is None else {"inserted": w.inserted, "unchanged": w.unchanged, "revised": w.revised}
        return {"step": self.name, "rows": self.rows, "seconds": round(self.seconds, 3), **wrote}


@dataclass(slots=True)
class Step:
    """One pass through a step, filled in by whoever does it."""

    rows: int = 0
    written: WriteReport | None = None


class StepTimer:
    """Adds up passes by name. A step inside another one counts only for itself."""

    def __init__(self, monotonic_ns: Callable[[], int], names: Sequence[str] = ()) -> None:
        self._monotonic_ns = monotonic_ns
        self._totals = {name: StepReport(name, 0, 0.0) for name in names}
        self._inner_ns = [0]  # by depth: time spent in steps inside the current one

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time what happens inside."""
        start_ns, done = self._monotonic_ns(), Step()
        self._totals.setdefault(name, StepReport(name, 0, 0.0))
        self._inner_ns.append(0)
        yield done
        took_ns = self._monotonic_ns() - start_ns
        own_ns = took_ns - self._inner_ns.pop()
        self._inner_ns[-1] += took_ns
        before = self._totals[name]
        written = done.written if before.written is None else before.written + (done.written or WriteReport())
        self._totals[name] = StepReport(name, before.rows + done.rows, before.seconds + own_ns / 1e9, written)

    def reports(self) -> tuple[StepReport, ...]:
        """In the order of ``names``, then of their first run."""
        return tuple(self._totals.values())
