"""Expressions to plans: common sub-expressions once, operands before users, state rows laid out end to end.

Most nodes see one instrument. Those that look across instruments cut the plan into phases: phase 0 needs none of them, phase p
needs results of the cross-sections behind phase p - 1. What a later phase or a cross-section reads is *carried*: kept for all
instruments in a row of its own. Inside a phase nodes share registers, so that a block's values stay in the processor's cache.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from intraday.core.kernels.sums import LANES
from intraday.core.kernels.types import PlanTables
from intraday.core.lowering import READERS, lower
from intraday.core.operations import NAN, OPS, Expr, Op
from intraday.domain.arrays import F8, I8

ALONE = -1
BESIDE_MIN = 3  # rings of a length that share lines of the processor's cache; fewer would leave most of each line empty


@dataclass(frozen=True, slots=True)
class Phase:
    """What ``kernels.plan.run_phase`` interprets. N nodes on ``n_registers`` registers."""

    code: I8  # [N]
    arg: I8  # [N, 7] registers of up to six operands, then the node's own
    par: F8  # [N, 2]
    row: I8  # [N, 7] first state row of those
    cell: I8  # [N] of a ring, and of what reads it: LANES times its first octet, and its lane; ALONE: it has rows of its own
    outputs: I8  # [F', 2] register, column
    carries: I8  # [C', 2] register, carried row
    n_registers: int

    @property
    def tables(self) -> PlanTables:
        """The first argument of ``run_phase``."""
        return self.code, self.arg, self.par, self.row, self.cell, self.outputs, self.carries


@dataclass(frozen=True, slots=True)
class Across:
    """The cross-sections behind a phase: code, carried row read and carried row written, int64 [K] each."""

    code: I8
    source: I8
    target: I8


@dataclass(frozen=True, slots=True)
class Plan:
    """Phases and the cross-sections between them: ``across[p]`` stands behind ``phases[p]``, so there is one less."""

    phases: tuple[Phase, ...]
    across: tuple[Across, ...]
    n_nodes: int  # distinct sub-expressions
    n_carried: int  # C
    initial: F8  # [R] an instrument's rows before its first bar
    n_octets: int  # Q of the rings

    @property
    def n_registers(self) -> int:
        """The most that a phase needs."""
        return max(p.n_registers for p in self.phases)


def compile_plan(expressions: Sequence[Expr], timeframe: int) -> Plan:
    """Plan of the expressions, outputs in their order. ``timeframe`` (minutes) is the length of a decision bar."""
    lowered = lower(expressions)
    readers, alone = _by_ring(lowered)
    nodes = _Nodes(timeframe, alone)
    for expr in readers:
        nodes.add(expr)
    outputs = [nodes.add(e) for e in lowered]
    return _Layout(nodes.nodes, outputs).plan(nodes.initial, nodes.n_octets)


def _by_ring(expressions: Sequence[Expr]) -> tuple[list[Expr], frozenset[str]]:
    """Rings and what reads them, as many rings of a length as stand side by side at a time, and those by how far back.

    What one of them fetches from memory the others find in the cache. And the texts of rings with too few beside them to share it.
    """
    found: dict[str, Expr] = {}
    for expr in expressions:
        _collect(expr, found)
    group: dict[str, tuple[float, int]] = {}
    many: Counter[float] = Counter()
    for expr in found.values():
        if expr.op == "ring":
            length = expr.params[0]
            group[expr.text] = (length, many[length] // LANES)
            many[length] += 1
    readers = [e for e in found.values() if e.op == "ring" or e.op in READERS]

    def order(expr: Expr) -> tuple[tuple[float, int], float]:
        return (group[expr.text], 0.0) if expr.op == "ring" else (group[expr.args[0].text], expr.params[0])

    beside = Counter(group.values())
    alone = frozenset(text for text, own in group.items() if beside[own] < BESIDE_MIN)
    return sorted(readers, key=order), alone


def _collect(expr: Expr, found: dict[str, Expr]) -> None:
    """Every different node, operands first."""
    if expr.text not in found:
        for arg in expr.args:
            _collect(arg, found)
        found[expr.text] = expr


@dataclass(frozen=True, slots=True)
class _Node:
    op: Op
    args: tuple[int, ...]
    params: tuple[float, ...]
    row: int
    cell: int
    phase: int  # the first in which the value is there

    @property
    def is_free(self) -> bool:
        """A plain input: cheaper to load again than to carry."""
        return not self.args and not self.op.rows((*self.params, 1.0, 1.0))


@dataclass(slots=True)
class _Nodes:
    timeframe: int
    alone: frozenset[str] = frozenset()  # rings that keep their observations in rows of their own
    nodes: list[_Node] = field(default_factory=list)
    initial: list[float] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)
    n_octets: int = 0
    free: dict[int, range] = field(default_factory=dict)  # length of rings -> cells that are left beside others of that length

    def add(self, expr: Expr) -> int:
        if expr.text not in self.known:
            args = tuple(self.add(a) for a in expr.args)
            self.known[expr.text] = self._append(expr, args)
        return self.known[expr.text]

    def _append(self, expr: Expr, args: tuple[int, ...]) -> int:
        op = OPS[expr.op]
        params = (*expr.params, float(self.timeframe)) if op.timed else expr.params
        row = self.nodes[args[0]].row if op.reads else len(self.initial)
        own = expr.text in self.alone
        cell = self.nodes[args[0]].cell if op.reads else ALONE if own else self._cell(int(params[0])) if op.kept else 0
        self.initial.extend([*op.rows(params), *([NAN] * int(params[0]) if own else [])])
        phase = max((self.nodes[a].phase for a in args), default=0) + op.across
        self.nodes.append(_Node(op, args, params, row, cell, phase))
        return len(self.nodes) - 1

    def _cell(self, length: int) -> int:
        """Room for a ring, beside others of its length."""
        if not self.free.get(length):
            self.free[length] = range(LANES * self.n_octets, LANES * (self.n_octets + 1))
            self.n_octets += length
        cell, self.free[length] = self.free[length][0], self.free[length][1:]
        return cell


@dataclass(slots=True)
class _Layout:
    """Cuts nodes (operands first) into phases."""

    nodes: list[_Node]
    outputs: list[int]
    carried: dict[int, int] = field(default_factory=dict)  # node -> carried row

    def plan(self, initial: Sequence[float], n_octets: int) -> Plan:
        n_phases = 1 + max((n.phase for n in self.nodes), default=0)  # none: a set of functions alone
        for i in self._kept():
            self.carried[i] = len(self.carried)
        phases = tuple(self._phase(p) for p in range(n_phases))
        across = tuple(self._across(p) for p in range(n_phases - 1))
        return Plan(phases, across, len(self.nodes), len(self.carried), np.array(initial, np.float64), n_octets)

    def _kept(self) -> list[int]:
        """Nodes whose value leaves its phase: cross-sections, what they read, and what a later phase reads."""
        kept = set()
        for i, node in enumerate(self.nodes):
            if node.op.across:
                kept |= {i, *node.args}
            else:
                kept |= {a for a in node.args if self.nodes[a].phase < node.phase and not self.nodes[a].is_free}
        return sorted(kept)

    def _across(self, phase: int) -> Across:
        here = [(i, n) for i, n in enumerate(self.nodes) if n.op.across and n.phase == phase + 1]
        code, source = [n.op.code for _, n in here], [self.carried[n.args[0]] for _, n in here]
        return Across(np.array(code, np.int64), np.array(source, np.int64), np.array([self.carried[i] for i, _ in here], np.int64))

    def _phase(self, phase: int) -> Phase:
        own = [i for i, n in enumerate(self.nodes) if n.phase == phase and not n.op.across]
        needed = {a for i in own for a in self.nodes[i].args} | {i for i in self.outputs if self.nodes[i].phase == phase}
        order = sorted(needed.difference(own)) + own  # what comes from elsewhere first
        columns = [(i, f) for f, i in enumerate(self.outputs) if self.nodes[i].phase == phase]
        carries = [(i, self.carried[i]) for i in own if i in self.carried]
        register = _registers(self._uses(order, own), {i for i, _ in [*columns, *carries]})
        rows = [self._row(i, phase, register) for i in order]
        return Phase(
            code=_table([r[0] for r in rows], 1)[:, 0].copy(),
            arg=_table([r[1] for r in rows], 7),
            par=np.array([r[2] for r in rows], np.float64).reshape(-1, 2),
            row=_table([r[3] for r in rows], 7),
            cell=np.array([self.nodes[i].cell for i in order], np.int64),
            outputs=_table([(register[i], f) for i, f in columns], 2),
            carries=_table([(register[i], c) for i, c in carries], 2),
            n_registers=1 + max(register.values(), default=0),
        )

    def _uses(self, order: list[int], own: list[int]) -> list[tuple[int, tuple[int, ...]]]:
        mine = set(own)
        return [(i, self.nodes[i].args if i in mine else ()) for i in order]

    def _row(
        self, i: int, phase: int, register: dict[int, int]
    ) -> tuple[tuple[int], tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        """(code,), registers, parameters and state rows of a node, or of the load of one that comes from elsewhere."""
        node = self.nodes[i]
        if node.op.across or (node.phase < phase and not node.is_free):
            load = OPS["carried"].code
            return (load,), (*[0] * 6, register[i]), (float(self.carried[i]), 0.0), (0,) * 7
        none = [0] * (6 - len(node.args))
        args, rows = [register[a] for a in node.args], [self.nodes[a].row for a in node.args]
        return (node.op.code,), (*args, *none, register[i]), (*node.params, 0.0, 0.0)[:2], (*rows, *none, node.row)


def _registers(uses: Sequence[tuple[int, tuple[int, ...]]], pinned: set[int]) -> dict[int, int]:
    """A register for each node: one is free again when its node's last user is done. Operands and result never share one."""
    last = {i: i for i, _ in uses} | {a: i for i, args in uses for a in args}
    free: list[int] = []
    register: dict[int, int] = {}
    n = 0
    for i, args in uses:
        register[i] = free.pop() if free else n
        n = max(n, register[i] + 1)
        done = {a for a in (*args, i) if last[a] == i and a not in pinned}
        free.extend(sorted(register[a] for a in done))
    return register


def _table(rows: Iterable[Sequence[int]], width: int) -> I8:
    return np.array([tuple(r) for r in rows], np.int64).reshape(-1, width)
