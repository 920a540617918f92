"""What architectures run, in numbers that need no measurement: operator counts and analytic totals.

Sums over operators all of it, because latency adds up; one set for every level of dead-code elimination.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from predictors.features import is_depthwise
from predictors.transfer.elimination import LEVELS, running_ops
from profiler.errors import ConfigError
from profiler.workloads.graph import Workload

__all__ = ["BALANCES", "TOTALS", "PopulationFeatures", "population_features"]

FloatArray = NDArray[np.float64]

BALANCES = (4, 16, 64, 256)
"""Multiply-accumulates that a device does in the time in which it moves one value: from bound by arithmetic to bound by
memory. Which of them a target is like, its measurements decide."""

TOTALS = (
    "macs", "depthwise_macs", "wide_depthwise_macs", "traffic_values", "params", "kernels", "launches",
    *(f"roofline_{balance}" for balance in BALANCES),
)  # fmt: skip
"""Analytic totals of a workload. `wide_depthwise_macs` are those of 5x5 windows and larger; `traffic_values` what all
operators read and write of activations; `kernels` counts what is left once norms and activations are fused, `launches`
what runs where nothing is; `roofline_B` the sum of max(MACs / B, values moved)."""

_FREE = frozenset({"input", "identity", "flatten", "reshape", "batch_norm", "relu", "relu6", "zero", "constant"})
"""Kinds that cost no kernel of their own: no work, or folded into the convolution before or behind them."""

_VIEWS = frozenset({"input", "identity", "flatten", "reshape", "constant"})
"""Kinds that do nothing even where nothing is fused."""

Signature = tuple[object, ...]


@dataclass(frozen=True)
class PopulationFeatures:
    """Features of n architectures.

    Attributes:
        totals: for every level of `LEVELS` an (n, len(TOTALS)) matrix.
        counts: for every level an (n, k) matrix: how often each of k operators (kind, shapes, attributes) runs.
        operators: the k operators in words.
        operator_totals: (k, len(TOTALS)) of one run of each.
    """

    totals: dict[str, FloatArray]
    counts: dict[str, FloatArray]
    operators: tuple[str, ...]
    operator_totals: FloatArray

    def __len__(self) -> int:
        return len(self.totals["written"])

    def total(self, name: str, level: str = "written") -> FloatArray:
        """One total of every architecture, shape (n,)."""
        return self.totals[level][:, TOTALS.index(name)]


def population_features(workloads: Iterable[Workload]) -> PopulationFeatures:
    """Features of every workload, in order.

    Raises:
        ConfigError: without any workload.
    """
    columns: dict[Signature, int] = {}
    rows: list[FloatArray] = []
    tallies: list[dict[str, Counter[int]]] = []
    for workload in workloads:
        of_op: dict[int, int] = {}
        for index in workload.compute_ops:
            op = workload.ops[index]
            signature = (op.kind, op.attrs, workload.input_shapes_of(index))
            column = columns.setdefault(signature, len(rows))
            if column == len(rows):
                rows.append(_totals(workload, index))
            of_op[index] = column
        running = running_ops(workload)
        tallies.append({level: Counter(of_op[i] for i in running[level]) for level in LEVELS})
    if not tallies:
        raise ConfigError("there is no architecture to take features of; give at least one workload")
    counts = {level: _dense([t[level] for t in tallies], len(rows)) for level in LEVELS}
    of_operator = np.array(rows).reshape(len(rows), len(TOTALS))
    totals = {level: matrix @ of_operator for level, matrix in counts.items()}
    return PopulationFeatures(totals, counts, tuple(f"{s[0]} {s[2]}" for s in columns), of_operator)


def _dense(tallies: list[Counter[int]], width: int) -> FloatArray:
    matrix = np.zeros((len(tallies), width))
    for row, tally in enumerate(tallies):
        matrix[row, list(tally)] = list(tally.values())
    return matrix


def _totals(workload: Workload, index: int) -> FloatArray:
    op = workload.ops[index]
    attrs = dict(op.attrs)
    macs = float(workload.op_macs(index))
    shapes = workload.input_shapes_of(index)
    depthwise = op.kind == "conv2d" and is_depthwise(workload, index)
    wide = depthwise and "kernel" in attrs and prod(op.ints("kernel")) >= 25
    params = float(workload.op_params(index))
    free = op.kind in _FREE
    moved = 0.0 if free else float(sum(map(prod, shapes)) + sum(prod(s) for s in workload.shapes[index]))
    floor = 0.0 if free else moved + params
    roofline = [max(macs / balance, floor) for balance in BALANCES]
    launches = float(op.kind not in _VIEWS)
    return np.array([macs, macs * depthwise, macs * wide, moved, params, float(not free), launches, *roofline])
