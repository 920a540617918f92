"""What a block of a network does, as numbers that its cost may be a sum of:

    kernels             convolutions, linear layers and poolings: what starting one costs
    dense_macs          multiply-accumulates of convolutions that mix channels, and of linear layers
    depthwise_macs      the same of depthwise convolutions, whatever their kernel
    depthwise_bytes     what depthwise convolutions read and write
    weight_bytes        weights of all convolutions and linear layers
    pixels, channels    output pixels and output channels of each convolution, summed: what loops cost at their edges
    moved_bytes         read and written by products, concatenations, splits and poolings
    nonlinear_bytes     read and written by activations that are no clamp
    padding_8, _16      dense MACs that vector units do beyond these, with channels rounded up to a multiple of 8 or 16
    odd_dense_macs      dense MACs where channels are no multiple of 8: runtimes then leave their blocked layout
    odd_depthwise_macs  the same of depthwise convolutions
    single_macs         dense MACs on a picture of one pixel, which no weight is used twice for
    dense_bytes         what dense convolutions read and write
    kK_sS_values        what depthwise convolutions of a kernel K and a stride S write, and kK_channels their channels:
                        runtimes have code of its own for some kernels and none for others, which then take many times
                        as long
    joins, joined_bytes, products, curves, pooled_bytes    number and bytes of splits and concatenations, of products,
                        of activations that are no clamp, and of poolings, each apart

Batch norms, clamps (ReLU, ReLU6) and sums of tensors count as parts of the convolutions before them.
"""

from __future__ import annotations

from math import prod

from profiler.workloads.graph import BYTES_PER_VALUE, Workload

__all__ = ["ASIDE", "BLOCK_FEATURES", "block_features", "features_and_touched"]

_KERNELS, _STRIDES = (3, 5, 7, 9), (1, 2)

ASIDE: tuple[str, ...] = (
    "padding_8",
    "padding_16",
    "odd_dense_macs",
    "odd_depthwise_macs",
    "single_macs",
    "dense_bytes",
    *(f"k{kernel}_s{stride}_values" for kernel in _KERNELS for stride in _STRIDES),
    *(f"k{kernel}_channels" for kernel in _KERNELS),
    "joins",
    "joined_bytes",
    "products",
    "curves",
    "pooled_bytes",
)
"""What no measured block needs to have had for a block that has it to be priced: what is known in general stands in."""

BLOCK_FEATURES: tuple[str, ...] = (
    "kernels",
    "dense_macs",
    "depthwise_macs",
    "depthwise_bytes",
    "weight_bytes",
    "pixels",
    "channels",
    "moved_bytes",
    "nonlinear_bytes",
    *ASIDE,
)
"""Names of the columns of the design but for the last, `spilled_bytes`, which is made of `held_bytes` or of what each
convolution touches."""

_FREE = frozenset({"input", "batch_norm", "relu", "relu6", "add", "identity", "flatten", "zero"})
_NONLINEAR = frozenset({"hswish", "hsigmoid", "sigmoid", "softmax"})
_JOINS = frozenset({"concat", "split"})
_POOLS = frozenset({"avg_pool", "max_pool", "global_avg_pool"})


def block_features(workload: Workload) -> dict[str, float]:
    """What a block does, by the names of `BLOCK_FEATURES`, and `held_bytes`: what its convolutions write plus their
    weights. Bytes are those of the Workload's own dtype, whatever the precision of the target."""
    return features_and_touched(workload)[0]


def features_and_touched(workload: Workload) -> tuple[dict[str, float], list[float]]:
    """The features, and the bytes that each convolution touches."""
    values = dict.fromkeys((*BLOCK_FEATURES, "held_bytes"), 0.0)
    touched: list[float] = []
    for index in workload.live_ops:
        op = workload.ops[index]
        if op.kind in ("conv2d", "linear"):
            _add_convolution(values, workload, index)
            touched.append(float(workload.op_bytes_read(index) + workload.op_bytes_written(index)))
        elif op.kind not in _FREE:
            moved = workload.op_bytes_read(index) + workload.op_bytes_written(index)
            values["nonlinear_bytes" if op.kind in _NONLINEAR else "moved_bytes"] += moved
            values["kernels"] += op.kind in _POOLS
            values["pooled_bytes"] += moved * (op.kind in _POOLS)
            values["joins"] += op.kind in _JOINS
            values["joined_bytes"] += moved * (op.kind in _JOINS)
            values["products"] += op.kind == "mul"
            values["curves"] += op.kind in _NONLINEAR
    return values, touched


def _add_convolution(values: dict[str, float], workload: Workload, index: int) -> None:
    """Add what one convolution or linear layer does."""
    op, written = workload.ops[index], workload.shapes[index][0]
    bytes_written = workload.op_bytes_written(index)
    size = BYTES_PER_VALUE[workload.dtype]
    weights = size * sum(prod(shape) for shape in workload.param_shapes(index).values())
    values["kernels"] += 1.0
    values["weight_bytes"] += weights
    values["held_bytes"] += weights + bytes_written
    values["pixels"] += prod(written[2:])
    values["channels"] += written[1]
    groups = op.int("groups") if op.kind == "conv2d" else 1
    read, macs = workload.input_shapes_of(index)[0][1], workload.op_macs(index)
    odd = bool(read % 8 or written[1] % 8)
    if groups > 1 and groups == read:
        values["depthwise_macs"] += macs
        values["depthwise_bytes"] += workload.op_bytes_read(index) - weights + bytes_written
        values["odd_depthwise_macs"] += macs * odd
        kernel = min(max(op.ints("kernel")) | 1, _KERNELS[-1])
        if kernel in _KERNELS:
            values[f"k{kernel}_s{min(max(op.ints('stride')), _STRIDES[-1])}_values"] += prod(written)
            values[f"k{kernel}_channels"] += written[1]
        return
    values["dense_macs"] += macs
    values["dense_bytes"] += workload.op_bytes_read(index) - weights + bytes_written
    values["single_macs"] += macs * (prod(written[2:]) == 1)
    # the three channels of a picture are no multiple of anything, and every runtime has a way of its own with them
    if read > 3:
        values["odd_dense_macs"] += macs * odd
        for step in (8, 16):
            padded = (-(-written[1] // step) * step) * (-(-read // step) * step)
            values[f"padding_{step}"] += macs * (padded / (written[1] * read) - 1.0)
