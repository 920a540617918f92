"""A cost table of a target whose true costs are known, for tests of models of cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from profiler.fleet.targets import Target
from profiler.tables.row import Row, RowKind
from profiler.tables.table import CostTable
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import Kernel, cut, kernels_of
from profiler.workloads.graph import Workload

TARGET = Target("sim", "onnxruntime", "fp32")
T_OF_THREE_ROUNDS = 4.302652729911275


def without(table: CostTable, keys: Iterable[str]) -> CostTable:
    """The same table lacking the kernels with these keys."""
    gone = set(keys)
    return CostTable([r for r in table.all_rows if r.key not in gone], table.workloads, table.targets)


def changed(table: CostTable, key: str, **fields: Any) -> CostTable:
    """The same table with some fields of one row changed."""
    rows = [replace(r, **fields) if r.key == key else r for r in table.all_rows]
    return CostTable(rows, table.workloads, table.targets)


def network(rng: np.random.Generator, blocks: int | None = None) -> Workload:
    """A small random convolutional network: blocks of five sorts at three widths."""
    b = WorkloadBuilder("net")
    width, size = 8, 16
    x = b.relu(b.batch_norm(b.conv2d(b.input((1, 3, size, size)), width, 3)))
    for block in range(blocks or int(rng.integers(3, 9))):
        if block in (2, 4):
            width *= 2
            x = b.relu(b.batch_norm(b.conv2d(x, width, 3, stride=2)))
        sort = int(rng.integers(5))
        if sort == 0:
            x = b.add(x, b.batch_norm(b.conv2d(x, width, 3)))
        elif sort == 1:
            x = b.relu(b.batch_norm(b.conv2d(x, width, 1)))
        elif sort == 2:
            x = b.relu6(b.batch_norm(b.conv2d(x, width, 3, groups=width)))
        elif sort == 3:
            x = b.relu(b.conv2d(x, width, 5, bias=True))
        else:
            x = b.avg_pool(x, 3, 1, padding=1)
    return b.build(b.linear(b.flatten(b.global_avg_pool(x)), 10))


def networks(n: int, seed: int = 0) -> list[Workload]:
    """`n` random networks with distinct keys."""
    rng = np.random.default_rng(seed)
    found: dict[str, Workload] = {}
    while len(found) < n:
        workload = network(rng)
        found.setdefault(workload.key, workload)
    return list(found.values())


def true_kernel_ms(kernel: Kernel) -> float:
    """A truth that is a roofline with a dispatch, and dearer by kind."""
    work = kernel.workload
    moved = sum(4 * int(np.prod(work.shapes[i][0])) for i in work.inputs)
    moved += sum(4 * int(np.prod(work.shape(r))) for r in work.outputs)
    dearer = 2.0 if kernel.kind.startswith("depthwise") else 1.0
    return 0.002 + dearer * (work.macs / 2e7 + moved / 4e6)


def true_model_ms(workload: Workload, overhead_ms: float = 0.05, scale: float = 1.0) -> float:
    """The truth for a whole network: its kernels and a constant."""
    kernels = cut(workload, TARGET.runtime, TARGET.precision)
    return overhead_ms + scale * sum(true_kernel_ms(k) for k in kernels)


def simulated_table(
    n_fit: int = 12, n_held: int = 12, noise: float = 0.0, overhead_ms: float = 0.05, scale: float = 1.0, seed: int = 0
) -> CostTable:
    """All kernels of `n_fit` + `n_held` random networks, and the networks themselves, with relative noise."""
    rng = np.random.default_rng(seed + 1)
    nets = networks(n_fit + n_held, seed)
    rows: list[Row] = []
    workloads: dict[str, Workload] = {}

    def put(workload: Workload, kind: RowKind, label: str, ms: float, isolated_ms: float | None, split: str) -> None:
        latency = ms * (1.0 + noise * float(rng.standard_normal())) * 1e6
        half = T_OF_THREE_ROUNDS * noise * latency
        isolated_ns = None if isolated_ms is None else isolated_ms * 1e6
        row = Row(TARGET.id, workload.key, kind, label, latency, latency - half, latency + half, isolated_ns)
        # the noise is that of the median over the rounds; one round scatters more
        rows.append(replace(row, split=split, spread=noise * 3**0.5, n_rounds=3))
        workloads[workload.key] = workload

    for kernel in kernels_of(nets, TARGET.runtime, TARGET.precision):
        ms = true_kernel_ms(kernel)
        put(kernel.workload, "kernel", kernel.label, ms, 2.0 * ms, "")
    for index, net in enumerate(nets):
        split = "fit" if index < n_fit else "held_out"
        put(net, "model", f"net {index}", true_model_ms(net, overhead_ms, scale), None, split)
    return CostTable(rows, workloads, (TARGET,))
