"""From workloads to numbers: the features of a kernel and the totals of a workload."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from profiler.workloads.fusion import Kernel
from profiler.workloads.graph import Op, Workload

__all__ = [
    "EXTENSIVE",
    "FEATURES",
    "family",
    "feature_matrix",
    "kernel_features",
    "workload_features",
]

EXTENSIVE: tuple[str, ...] = (
    "macs",
    "bytes_read",
    "bytes_written",
    "weight_bytes",
    "out_pixels",
    "window_values",
    "out_channels",
)
"""Features of which a kernel's time may be a sum with weights >= 0: twice as much never takes less time."""

FEATURES: tuple[str, ...] = (
    *EXTENSIVE,
    "in_channels",
    "in_pixels",
    "kernel_area",
    "stride",
    "groups",
    "ops",
    "macs_per_byte",
)
"""All features of a kernel, in the order of the columns of `feature_matrix`."""

_FAMILIES = {
    "linear": "linear",
    "avg_pool": "pool",
    "max_pool": "pool",
    "global_avg_pool": "pool",
}


def _main_op(workload: Workload) -> int:
    """The op that gives a kernel its character: its convolution or linear layer, else its first."""
    for index in workload.compute_ops:
        if workload.ops[index].kind in ("conv2d", "linear"):
            return index
    return workload.compute_ops[0]


def _is_depthwise(workload: Workload, index: int) -> bool:
    groups = workload.ops[index].int("groups")
    return groups > 1 and groups == workload.input_shapes_of(index)[0][1]


def family(kernel: Kernel) -> str:
    """The coarse class of a kernel: conv, depthwise, linear, pool or elementwise."""
    index = _main_op(kernel.workload)
    kind = kernel.workload.ops[index].kind
    if kind == "conv2d":
        return "depthwise" if _is_depthwise(kernel.workload, index) else "conv"
    return _FAMILIES.get(kind, "elementwise")


def _window(op: Op) -> tuple[int, int, int]:
    """(kernel area, stride, groups) of an op; 1 where it has no window."""
    attrs = dict(op.attrs)
    area = prod(op.ints("kernel")) if "kernel" in attrs else 1
    stride = max(op.ints("stride")) if "stride" in attrs else 1
    return area, stride, op.int("groups") if "groups" in attrs else 1


def kernel_features(kernel: Kernel) -> dict[str, float]:
    """The features of one kernel by name: counts, bytes at 4 bytes a value whatever the precision, and sizes.

    `bytes_read` counts what enters the kernel, `bytes_written` what leaves it: what fused operators pass to each
    other does not move. `window_values` is the size of the matrix that im2col would make: output pixels x window x
    channels read.
    """
    workload = kernel.workload
    main = _main_op(workload)
    read, written = workload.input_shapes_of(main)[0], workload.shapes[main][0]
    area, stride, groups = _window(workload.ops[main])
    weight_bytes = 4.0 * sum(prod(s) for i in workload.compute_ops for s in workload.param_shapes(i).values())
    bytes_in = 4.0 * sum(prod(workload.shapes[i][0]) for i in workload.inputs)
    bytes_out = 4.0 * sum(prod(workload.shape(ref)) for ref in workload.outputs)
    moved = bytes_in + bytes_out + weight_bytes
    return {
        "macs": float(workload.macs),
        "bytes_read": bytes_in,
        "bytes_written": bytes_out,
        "weight_bytes": weight_bytes,
        "out_pixels": float(written[0] * prod(written[2:])),
        "window_values": float(written[0] * prod(written[2:]) * area * read[1]),
        "out_channels": float(written[1]),
        "in_channels": float(read[1]),
        "in_pixels": float(read[0] * prod(read[2:])),
        "kernel_area": float(area),
        "stride": float(stride),
        "groups": float(groups),
        "ops": float(len(workload.compute_ops)),
        "macs_per_byte": workload.macs / moved,
    }


def feature_matrix(kernels: Sequence[Kernel]) -> NDArray[np.float64]:
    """Features of many kernels, shape (n, len(FEATURES)), columns in the order of `FEATURES`."""
    rows = [[features[name] for name in FEATURES] for features in map(kernel_features, kernels)]
    return np.array(rows, dtype=np.float64).reshape(len(kernels), len(FEATURES))


def workload_features(workload: Workload) -> dict[str, float]:
    """The totals of a whole workload by name, of those operators that its outputs depend on."""
    alive = workload.pruned()
    return {
        "macs": float(alive.macs),
        "params": float(alive.params),
        "bytes_read": float(alive.bytes_read),
        "bytes_written": float(alive.bytes_written),
        "peak_activation_bytes": float(alive.peak_activation_bytes),
        "ops": float(len(alive.compute_ops)),
    }
