"""Expressions to plans: common sub-expressions once, operands before users, state rows laid out end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from intraday.core.expression import OPS, Expr
from intraday.domain.arrays import F8, I4


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``kernels.plan.run_plan`` interprets. N nodes, R state rows an instrument, F outputs."""

    code: I4  # [N]
    arg: I4  # [N, 4] nodes, each below the user's; 0 where there is none
    par: F8  # [N, 2]
    row: I4  # [N] first state row
    outputs: I4  # [F]
    initial: F8  # [R] an instrument's state before its first bar

    @property
    def n_nodes(self) -> int:
        """N."""
        return len(self.code)

    @property
    def tables(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], NDArray[np.int32], NDArray[np.int32]]:
        """The first argument of ``run_plan``."""
        return self.code, self.arg, self.par, self.row, self.outputs

    def state(self, n_instruments: int) -> F8:
        """float64 [R, S] before the first bar."""
        return np.repeat(self.initial[:, None], n_instruments, axis=1)


def compile_plan(expressions: Sequence[Expr], timeframe: int) -> Plan:
    """Plan of the expressions, outputs in their order. ``timeframe`` (minutes) is the length of a ``slot``."""
    builder = _Builder(timeframe)
    outputs = [builder.node(e) for e in expressions]
    return Plan(
        code=np.array(builder.code, np.int32),
        arg=np.array(builder.arg, np.int32).reshape(-1, 4),
        par=np.array(builder.par, np.float64).reshape(-1, 2),
        row=np.array(builder.row, np.int32),
        outputs=np.array(outputs, np.int32),
        initial=np.array(builder.initial, np.float64),
    )


@dataclass(slots=True)
class _Builder:
    timeframe: int
    code: list[int] = field(default_factory=list)
    arg: list[list[int]] = field(default_factory=list)
    par: list[list[float]] = field(default_factory=list)
    row: list[int] = field(default_factory=list)
    initial: list[float] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)

    def node(self, expr: Expr) -> int:
        if expr.text not in self.known:
            args = [self.node(a) for a in expr.args]
            self.known[expr.text] = self._add(expr, args)
        return self.known[expr.text]

    def _add(self, expr: Expr, args: list[int]) -> int:
        op = OPS[expr.op]
        params = (*expr.params, float(self.timeframe)) if op.timed else expr.params
        rows = op.rows(params)
        self.row.append(self.row[args[0]] if op.reads else len(self.initial))
        self.initial.extend(rows)
        self.code.append(op.code)
        self.arg.append((args + [0, 0, 0, 0])[:4])
        self.par.append(([*params, 0.0, 0.0])[:2])
        return len(self.code) - 1
