"""One figure against its peer, and the line of JSON that every benchmark ends with."""

from __future__ import annotations

import json
from collections.abc import Sequence

Figure = dict[str, object]


def figure(name: str, value: float, unit: str, peer: str, peer_value: float, *, less_is_better: bool = False) -> Figure:
    """``ratio`` is value over peer, the other way round where less is better: above one we are ahead."""
    ratio = peer_value / value if less_is_better else value / peer_value
    return {
        "name": name,
        "value": _short(value),
        "unit": unit,
        "peer": peer,
        "peer_value": _short(peer_value),
        "ratio": round(ratio, 3),
    }


def finish(figures: Sequence[Figure]) -> None:
    """Print the list as the last line."""
    print(json.dumps(list(figures)))


def _short(value: float) -> float:
    return round(value) if abs(value) >= 1000 else round(value, 3)
