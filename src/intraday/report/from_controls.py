"""From the figures of ``intraday controls`` (a JSON document) to the section of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from intraday.report.from_manifest import value_of
from intraday.report.parts import Controls, NullControl, PowerGrid


def controls_of(document: Mapping[str, Any]) -> Controls | None:
    """``nulls`` and ``power`` rows and the ``p_values`` behind them (``backtest.control_tables.document``); None without any."""
    nulls = tuple(_null(row, document["p_values"][row["control"]]) for row in document.get("nulls", ()))
    power = _power(document.get("power") or (), int(document.get("trials") or 1))
    return Controls(nulls, power, str(document.get("note") or "")) if nulls or power else None


def _null(row: Mapping[str, Any], p_values: Sequence[Any]) -> NullControl:
    p = np.array([value_of(v) for v in p_values], dtype=np.float64)
    name = str(row["control"]).replace("_", " ")
    return NullControl(name, p, int(row["fired"]), int(row["allowed"]), value_of(row.get("uniform_p")), int(row["edges"]))


def _power(rows: Sequence[Mapping[str, Any]], trials: int) -> PowerGrid | None:
    """Cells that nobody ran have no markets."""
    if not rows:
        return None
    multiples, sessions = (sorted({row[name] for row in rows}) for name in ("multiple", "sessions"))
    found, markets = (np.zeros((len(multiples), len(sessions)), dtype=np.int64) for _ in range(2))
    for row in rows:
        cell = multiples.index(row["multiple"]), sessions.index(row["sessions"])
        found[cell], markets[cell] = row["found"], row["n"]
    return PowerGrid([float(m) for m in multiples], sessions, found, markets, trials)
