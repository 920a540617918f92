"""A cost table of the blocks, kernels and some networks of a MixConv space, on a target whose true costs are known."""

from __future__ import annotations

import numpy as np

from profiler.fleet.targets import Target
from profiler.tables.row import Row, RowKind
from profiler.tables.table import CostTable
from profiler.workloads.fusion import cut, kernels_of
from profiler.workloads.graph import Workload
from search.s3nas.costs.sampling import scaled_blocks
from search.spaces.mixconv import MixConv
from search.spaces.supernet import read_supernet

TARGET = Target("sim", "onnxruntime", "fp32")
OVERHEAD_MS = 0.05


def true_ms(workload: Workload) -> float:
    """What a workload costs inside a network: a dispatch a kernel, its arithmetic, and what it moves."""
    total = 0.0
    for kernel in cut(workload, TARGET.runtime, TARGET.precision):
        work = kernel.workload
        moved = work.bytes_read + work.bytes_written
        total += 0.002 + work.macs / 5e7 + moved / 1e8
    return total


def tiny_space() -> MixConv:
    return MixConv(read_supernet("tiny"))


def block_table(
    space: MixConv, n_models: int = 8, scaled: int = 60, kernels: bool = False, seed: int = 0, scale: float = 1.0
) -> CostTable:
    """All blocks, stem and head of a space, scaled blocks of it, and random networks, half of them held out; with
    their kernels where asked for. A network costs the overhead and `scale` times its parts."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    workloads: dict[str, Workload] = {}

    def put(workload: Workload, kind: RowKind, ms: float, label: str = "", split: str = "") -> None:
        ns = ms * 1e6
        spread = {"spread": 0.0, "n_rounds": 3, "energy_mj": 2.0 * ms, "split": split}
        isolated = None if kind == "model" else ns + OVERHEAD_MS * 1e6
        rows.append(
            Row(TARGET.id, workload.key, kind, label or workload.name, ns, 0.99 * ns, 1.01 * ns, isolated, **spread)
        )
        workloads[workload.key] = workload

    for block in (*space.block_workloads(), *scaled_blocks(space, scaled, seed)):
        put(block, "block", true_ms(block))
    drawn = [space.workload(space.sample(rng)) for _ in range(n_models)]
    for index, net in enumerate({net.key: net for net in drawn}.values()):
        put(net, "model", OVERHEAD_MS + scale * true_ms(net), split="fit" if index % 2 else "held_out")
    if kernels:
        covering = [space.workload(space.sample(rng)) for _ in range(15)]
        for kernel in kernels_of([*covering, *drawn], TARGET.runtime, TARGET.precision):
            put(kernel.workload, "kernel", true_ms(kernel.workload), kernel.label)
    return CostTable(rows, workloads, (TARGET,))
