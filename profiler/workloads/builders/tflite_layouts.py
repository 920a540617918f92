"""Which four-dimensional tensors of a .tflite file are images, held channel-last, and which are held as they are.

Convolutions and pooling want images; matrix products, layer norms and everything between a reshape and the next
convolution would only be turned to and fro. A transposition from the one to the other is then no operator at all.
"""

from __future__ import annotations

from profiler.workloads.graph import Op, Workload

__all__ = ["IMAGE_AXES", "plain_ops", "wants_plain"]

IMAGE_AXES = (0, 3, 1, 2)
"""Where the axes N, C, H, W of an image lie in the file."""

_IMAGE = frozenset(
    {"input", "zero", "conv2d", "batch_norm", "avg_pool", "max_pool", "global_avg_pool", "resize", "softmax"}
)
_PLAIN = frozenset({"matmul", "linear", "layer_norm", "reshape", "gather", "transpose"})
_TO_IMAGE = (0, 3, 1, 2)
"""The transposition that makes an image of what was held with its channels last."""


def wants_plain(op: Op) -> bool | None:
    """Whether an operator works on tensors held as they are (True), on images (False), or on either (None)."""
    if op.kind == "softmax":
        return op.int("axis") != 1
    if op.kind == "transpose":
        return None
    return True if op.kind in _PLAIN else False if op.kind in _IMAGE else None


def plain_ops(workload: Workload) -> frozenset[int]:
    """The operators whose outputs are held as they are; those that take either follow what they read."""
    plain: set[int] = set()
    for index, op in enumerate(workload.ops):
        wanted = wants_plain(op)
        if op.kind == "transpose":
            wanted = op.ints("perm") != _TO_IMAGE
        if wanted is None:
            wanted = any(source in plain for source, _ in op.inputs)
        if wanted:
            plain.add(index)
    return frozenset(plain)
