"""From workloads to numbers: the features of a kernel and the totals of a workload."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from profiler.workloads.fusion import Kernel
from profiler.workloads.graph import Op, Workload

__all__ = [
    "CACHE_BYTES",
    "EXTENSIVE",
    "FEATURES",
    "FLAGS",
    "SHAPED",
    "family",
    "feature_matrix",
    "is_depthwise",
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

CACHE_BYTES: tuple[int, ...] = tuple(1 << power for power in (15, 17, 18, 19, 20, 21, 22, 23, 24))
"""Sizes beyond which what a kernel touches may no longer stay in a cache. A grid, and not the sizes that a board
states: those of a shared or a virtual cache are not what one core gets of it. Which matter, measurements decide."""

SHAPED: tuple[str, ...] = (
    "out_padded_macs_4",
    "out_padded_macs_8",
    "out_padded_macs_16",
    "padded_macs_8",
    "padded_macs_16",
    "odd_macs_4",
    "odd_macs_8",
    "odd_macs_16",
    "odd_bytes_4",
    "odd_bytes_8",
    "odd_bytes_16",
    "nonlinear_values",
    "channel_rows",
    "work",
    *(f"spilled_{size >> 10}k" for size in CACHE_BYTES),
    *(f"overflowed_{size >> 10}k" for size in CACHE_BYTES),
)
"""Further ones of that sort: what vector units do beyond what is asked of them, and what caches do not hold."""

_SIZES: tuple[str, ...] = (
    "in_channels",
    "in_pixels",
    "kernel_area",
    "stride",
    "groups",
    "ops",
    "macs_per_byte",
    "touched_bytes",
    "out_fill_8",
    "out_fill_16",
    "in_fill_8",
    "in_fill_16",
    "whole_4",
    "whole_8",
    "whole_16",
    "out_rows",
)

_KINDS: tuple[str, ...] = (
    "linear", "add", "mul", "batch_norm", "relu", "relu6", "hswish", "hsigmoid", "sigmoid", "concat", "split",
    "flatten", "max_pool", "avg_pool", "global_avg_pool",
)  # fmt: skip

FLAGS: tuple[str, ...] = (*(f"is_{kind}" for kind in _KINDS), "tail_add", "tail_clamp", "constant_input")
"""What tells kernels of one family apart: the operator that gives a kernel its character, an addition or a clamp behind
it, and whether it reads a constant of its size. Each is 0 or 1."""

FEATURES: tuple[str, ...] = (*EXTENSIVE, *SHAPED, *_SIZES, *FLAGS)
"""All features of a kernel, in the order of the columns of `feature_matrix`."""

_NONLINEAR = frozenset({"hswish", "hsigmoid", "sigmoid", "softmax", "gelu", "silu", "tanh", "exp", "erf", "layer_norm"})
"""Kinds that take more than a comparison a value."""

_FAMILIES = {
    "linear": "linear",
    "matmul": "matmul",
    "avg_pool": "pool",
    "max_pool": "pool",
    "global_avg_pool": "pool",
}


def _main_op(workload: Workload) -> int:
    """The op that gives a kernel its character: its convolution or linear layer, else its first."""
    reading = [index for index in workload.compute_ops if workload.ops[index].inputs]
    for index in reading:
        if workload.ops[index].kind in ("conv2d", "linear", "matmul"):
            return index
    return (reading or workload.compute_ops)[0]


def is_depthwise(workload: Workload, index: int) -> bool:
    """Whether a convolution keeps its channels apart, each a group of its own."""
    groups = workload.ops[index].int("groups")
    return groups > 1 and groups == workload.input_shapes_of(index)[0][1]


def family(kernel: Kernel) -> str:
    """The coarse class of a kernel: conv, depthwise, linear, pool or elementwise."""
    index = _main_op(kernel.workload)
    kind = kernel.workload.ops[index].kind
    if kind == "conv2d":
        return "depthwise" if is_depthwise(kernel.workload, index) else "conv"
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
    channels read. `padded_macs_N` are multiply-accumulates with the channels on both sides rounded up to a multiple of
    N, `out_padded_macs_N` with those written; `odd_macs_N` are all of them where the channels are no such multiple,
    `odd_bytes_N` all bytes moved there, and `whole_N` is 1 where they are one: blocked layouts are for such channels,
    and others leave them at a price.
    `work` is the multiply-accumulates, or of kernels without any the values that their windows look at.
    `spilled_N` is what a kernel touches beyond N bytes; `overflowed_N` all that it touches where it is twice N or more,
    and a part of it from N on. `fill` is the used share of channels rounded up.
    """
    workload = kernel.workload
    main = _main_op(workload)
    read, written = workload.input_shapes_of(main)[0], workload.shapes[main][0]
    area, stride, groups = _window(workload.ops[main])
    weight_bytes = 4.0 * sum(prod(s) for i in workload.compute_ops for s in workload.param_shapes(i).values())
    bytes_in = 4.0 * sum(prod(workload.shapes[i][0]) for i in workload.inputs)
    bytes_out = 4.0 * sum(prod(workload.shape(ref)) for ref in workload.outputs)
    moved = bytes_in + bytes_out + weight_bytes
    macs = float(workload.macs)
    (c_in, px_in, _), (c_out, px_out, rows) = _layout(read), _layout(written)
    return {
        "macs": macs,
        "bytes_read": bytes_in,
        "bytes_written": bytes_out,
        "weight_bytes": weight_bytes,
        "out_pixels": float(px_out),
        "window_values": float(px_out * area * c_in),
        "out_channels": float(c_out),
        **_aligned(macs, moved, c_in, c_out, groups),
        "nonlinear_values": float(
            sum(prod(workload.shapes[i][0]) for i in workload.compute_ops if workload.ops[i].kind in _NONLINEAR)
        ),
        "channel_rows": float(c_out * rows),
        "work": macs or float(px_out * area * c_out),
        **_cached(moved),
        "in_channels": float(c_in),
        "in_pixels": float(px_in),
        "kernel_area": float(area),
        "stride": float(stride),
        "groups": float(groups),
        "ops": float(len(workload.compute_ops)),
        "macs_per_byte": macs / moved,
        "touched_bytes": moved,
        "out_fill_8": c_out / _rounded_up(c_out, 8),
        "out_fill_16": c_out / _rounded_up(c_out, 16),
        "in_fill_8": c_in / _rounded_up(c_in, 8),
        "in_fill_16": c_in / _rounded_up(c_in, 16),
        "out_rows": float(rows),
        **_flags(workload, main),
    }


def _flags(workload: Workload, main: int) -> dict[str, float]:
    behind = {workload.ops[i].kind for i in workload.compute_ops if i > main}
    kinds = {workload.ops[i].kind for i in workload.compute_ops}
    return {
        **{f"is_{kind}": float(workload.ops[main].kind == kind) for kind in _KINDS},
        "tail_add": float("add" in behind),
        "tail_clamp": float(bool(behind & {"relu", "relu6"})),
        "constant_input": float("constant" in kinds),
    }


def _rounded_up(count: int, step: int) -> int:
    return -(-count // step) * step


def _layout(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, places, rows) of a tensor: an image's second axis, any other's last one, are its channels."""
    if len(shape) == 4:
        return shape[1], shape[0] * shape[2] * shape[3], shape[2]
    return shape[-1], prod(shape[:-1]), 1


def _aligned(macs: float, moved: float, c_in: int, c_out: int, groups: int) -> dict[str, float]:
    """What vector units do: they take the channels of a group together, and those of depthwise convolutions, of which
    each is a group."""
    depthwise = groups > 1 and groups == c_in
    inner, outer = (1, c_out) if depthwise else (max(1, c_in // groups), max(1, c_out // groups))
    padded = {step: macs * _rounded_up(outer, step) / outer for step in (4, 8, 16)}
    inside = {step: 1.0 if inner == 1 else _rounded_up(inner, step) / inner for step in (8, 16)}
    odd = {step: bool(c_in % step or c_out % step) for step in (4, 8, 16)}
    return {
        **{f"out_padded_macs_{step}": value for step, value in padded.items()},
        **{f"padded_macs_{step}": padded[step] * share for step, share in inside.items()},
        **{f"odd_macs_{step}": macs if is_odd else 0.0 for step, is_odd in odd.items()},
        **{f"odd_bytes_{step}": moved if is_odd else 0.0 for step, is_odd in odd.items()},
        **{f"whole_{step}": float(not is_odd) for step, is_odd in odd.items()},
    }


def _cached(touched: float) -> dict[str, float]:
    found = {f"spilled_{size >> 10}k": max(touched - size, 0.0) for size in CACHE_BYTES}
    return found | {
        f"overflowed_{size >> 10}k": touched * min(max(touched / size - 1.0, 0.0), 1.0) for size in CACHE_BYTES
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
