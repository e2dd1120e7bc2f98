"""Signals, read back exactly as they were decided. The live writer stores them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from intraday.database.copying import nanoseconds, stamp
from intraday.database.pool import Database
from intraday.domain.events import Action, Signal
from intraday.domain.ports import Source

_NAN = float("nan")


class SignalRepository:
    """``domain.ports.SignalStore``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def read(self, source: Source, ids: Sequence[int], start_ns: int, end_ns: int, model_id: str | None = None) -> list[Signal]:
        """Ordered by (bar_ns, inst). ``start_ns <= bar_ns < end_ns``; every model's unless one is named."""
        dense = {number: inst for inst, number in enumerate(ids)}
        with self._db.autocommit() as connection:
            rows = connection.execute(
                """SELECT instrument_id, ts, decided_ns, action, confidence, p_down, p_hold, p_up, price, stop, target,
                          valid_until_ns, observe, model_id, expected, chase, quantity, reasons, note
                   FROM signals WHERE source = %(source)s::source AND instrument_id = ANY (%(ids)s) AND ts >= %(start)s
                     AND ts < %(end)s
                     AND (%(model)s::text IS NULL OR model_id = %(model)s)""",
                {"source": source.value, "ids": list(ids), "start": stamp(start_ns), "end": stamp(end_ns), "model": model_id},
            ).fetchall()
        return sorted((_signal(dense, row) for row in rows), key=lambda s: (s.bar_ns, s.inst, s.model_id))


def _signal(dense: dict[int, int], row: tuple[Any, ...]) -> Signal:
    number, ts, decided_ns, action, confidence, p_down, p_hold, p_up, price, stop, target, valid_ns, observe, model_id = row[:14]
    expected, chase, quantity, reasons, note = row[14:]
    return Signal(
        inst=dense[number], bar_ns=nanoseconds(ts), decided_ns=decided_ns, action=Action(action), confidence=confidence,
        p_down=p_down, p_hold=p_hold, p_up=p_up, price=price, stop=_or_nan(stop), target=_or_nan(target),
        valid_until_ns=valid_ns, observe=observe, model_id=model_id, expected=_or_nan(expected), chase=_or_nan(chase),
        quantity=quantity, reasons=tuple((name, float(part)) for name, part in reasons or ()), note=note,
    )  # fmt: skip


def _or_nan(value: float | None) -> float:
    return _NAN if value is None else value
