"""Instruments outside the universe: whether they are there or not changes nothing that is said of the others.

Which of them a database holds beside the universe is chance, and live has others than training had. What compares instruments
compares the members of the day (``BarWindow.member``; the program's own cross-sections do) and the market index.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from intraday.core.audit.functions import differs, typical
from intraday.core.audit.laws import Group
from intraday.core.audit.result import Comparison, Finding, Law, Outcome, not_checked, same_bits
from intraday.core.function_features import FunctionFeature
from intraday.domain.arrays import F4, Mask, Panel
from intraday.domain.errors import ConfigError

LOOKS = "depends on instruments outside the universe: compare those in bars.member"
FEWEST = 3  # instruments: with fewer, two members and one outside cannot be told apart from one alone
SHARE = 3  # where all are members, one of so many is taken to be none


def members_law(group: Group, panel: Panel, index: int | None, rng: np.random.Generator) -> Iterator[Finding]:
    """Values with everybody there, and without those that are no members: bit for bit, of user functions to 1e-5.

    Where all instruments are members now and then, some of them are taken not to be.
    """
    outside = _outside(panel, index, rng)
    if not outside.any():
        for name in group.names:
            yield not_checked(name, Law.MEMBERS, f"needs {FEWEST} instruments beside the index")
        return
    panel = dataclasses.replace(panel, member=panel.member & ~outside)
    keep = np.flatnonzero(~outside)
    together = group.make().batch(panel)[:, keep]
    try:
        apart = group.make().columns(keep).batch(panel.columns(keep))
    except ConfigError as error:
        for feature in group.features:
            if repr(feature.name) in str(error):
                yield Finding(feature.name, Law.MEMBERS, Outcome.FAILED, 1, 1, detail=f"{LOOKS}: {error}")
        return
    tally = Comparison(Law.MEMBERS, group.names)
    tally.add_judged(apart, together, _different(group, apart, together), panel.ts_ns)
    for found in tally.findings():
        yield dataclasses.replace(found, detail=LOOKS) if found.outcome is Outcome.FAILED else found


def _outside(panel: Panel, index: int | None, rng: np.random.Generator) -> Mask:
    """bool [S]: who is never a member; in want of any, some of those that are. The index belongs to everybody."""
    ever = panel.member.any(axis=0)
    outside = np.asarray(~ever, np.bool_)
    if index is not None:
        outside[index] = False
    if not outside.any() and np.count_nonzero(ever) >= FEWEST:
        members = rng.permutation(np.flatnonzero(ever))
        outside[members[: max(1, len(members) // SHARE)]] = True
    return outside


def _different(group: Group, found: F4, expected: F4) -> Mask:
    """bool [T, S, F]: a sum over other columns may differ in its last bit where a user's function makes it."""
    out = np.asarray(~same_bits(found, expected), np.bool_)
    for f, feature in enumerate(group.features):
        if isinstance(feature, FunctionFeature):
            a, b = (x[:, :, f].astype(np.float64) for x in (found, expected))
            out[:, :, f] = differs(a, b, typical(b))
    return out
