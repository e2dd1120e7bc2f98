"""Sequential bootstrap: drawing labels with replacement so that the drawn ones overlap less than chance would have it.

Source: López de Prado 2018, section 4.5. There every draw looks at every label and every bar; here only at the labels that overlap
the one just drawn, so a hundred thousand labels are no matter.
"""

from __future__ import annotations

import numpy as np

from intraday.core.kernels import weights as kernel
from intraday.core.weights import lives
from intraday.domain.arrays import F8, I8

_BLOCK = 512  # rows whose weights are summed together; only the time taken depends on it


def sequential_bootstrap(start: I8, end: I8, n_draws: int, rng: np.random.Generator) -> I8:
    """Rows of labels with lives ``start <= t < end`` (int64 [n]), in order of drawing, int64 [n_draws].

    A label's chance is in proportion to its average uniqueness beside those drawn before. Takes ``n_draws`` doubles from ``rng``.
    """
    assert len(start) > 0 or n_draws == 0, "nothing to draw from"
    order = np.lexsort((end, start))
    at, first, last, _ = lives(start[order], end[order])
    n, longest = len(order), int(np.max(last - first, initial=0))
    got, weight, blocks = np.empty(n_draws, np.int64), np.empty(n), np.empty(-(-n // _BLOCK))
    kernel.draw(first, last, longest, at, rng.random(n_draws), np.zeros(len(at), np.int64), weight, blocks, _BLOCK, got)
    return order[got].astype(np.int64)


def draw_probabilities(start: I8, end: I8, drawn: I8) -> F8:
    """The chance of each label to be drawn next, after the rows ``drawn`` (int64 [m]), float64 [n]."""
    at, first, last, _ = lives(start, end)
    count = np.zeros(len(at), np.int64)
    for row in drawn:
        count[first[row] : last[row]] += 1
    out = np.empty(len(start), dtype=np.float64)
    kernel.probabilities(first, last, at, count, out)
    return out
