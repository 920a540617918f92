"""Convolutions and pooling in .tflite: explicit padding becomes SAME, VALID, or a PAD before VALID."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.workloads.builders.tflite_lowering import Lowering, StoredArray, Value
from profiler.workloads.graph import Op

__all__ = ["WINDOW_HANDLERS", "Placement", "place"]

_SAME, _VALID = 0, 1
"""Padding of the schema."""

_LOWEST = np.finfo(np.float32).min


@dataclass(frozen=True, slots=True)
class Placement:
    """How windows lie on one axis.

    Attributes:
        size, out: pixels before and after.
        before, after: padding that windows really touch; `after` is what is left of it when the last window ends
            inside the declared padding.
        same: the runtime's SAME rule gives just these two.
        first, reach: for every window, its first pixel (negative in the padding), and the offsets of its taps.
    """

    size: int
    out: int
    before: int
    after: int
    same: bool
    first: NDArray[np.int64]
    reach: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many taps of every window lie on the image, not on padding."""
        taps = self.first[:, None] + self.reach[None, :]
        counts: NDArray[np.int64] = ((taps >= 0) & (taps < self.size)).sum(axis=1)
        return counts


def place(size: int, kernel: int, stride: int, before: int, after: int, dilation: int = 1) -> Placement:
    """The placement of windows along one axis, and whether SAME would put them there."""
    extent = dilation * (kernel - 1) + 1
    out = (size + before + after - extent) // stride + 1
    touched = max(0, (out - 1) * stride + extent - size - before)
    total = max(0, (-(-size // stride) - 1) * stride + extent - size)
    same = out == -(-size // stride) and (before, touched) == (total // 2, total - total // 2)
    first = np.arange(out, dtype=np.int64) * stride - before
    return Placement(size, out, before, touched, same, first, np.arange(kernel, dtype=np.int64) * dilation)


def _placements(op: Op, shape: tuple[int, ...]) -> tuple[Placement, Placement]:
    kernel, stride, pad = op.ints("kernel"), op.ints("stride"), op.ints("padding")
    dilation = op.ints("dilation") if "dilation" in dict(op.attrs) else (1, 1)
    top, left, bottom, right = pad
    return (
        place(shape[1], kernel[0], stride[0], top, bottom, dilation[0]),
        place(shape[2], kernel[1], stride[1], left, right, dilation[1]),
    )


def _is_valid(rows: Placement, columns: Placement) -> bool:
    return not (rows.before or rows.after or columns.before or columns.after)


def _padded(low: Lowering, source: Value, rows: Placement, columns: Placement, lowest: bool = False) -> Value:
    """`source` with the padding that the windows touch: of zeros, or of the lowest value there is."""
    batch, height, width, channels = source.shape
    shape = (batch, rows.before + height + rows.after, columns.before + width + columns.after, channels)
    padded = low.scratch(shape, source.quantization, "padded")
    pads = low.integers([[0, 0], [rows.before, rows.after], [columns.before, columns.after], [0, 0]])
    if not lowest:
        low.emit("PAD", [source, pads], [padded])
    else:
        floor = np.asarray(-128, np.int8) if source.quantization else np.asarray(_LOWEST, np.float32)
        low.emit("PADV2", [source, pads, low.store(StoredArray(floor, source.quantization), "lowest")], [padded])
    return padded


def _conv2d(low: Lowering, index: int) -> None:
    (source,), op = low.read(index), low.op(index)
    weights = low.weights[index]
    weight, out_channels = weights["weight"], op.int("out_channels")
    bias = weights["bias"] if "bias" in weights else np.zeros(out_channels, np.float32)
    in_channels, groups = source.shape[3], op.int("groups")
    depthwise = groups == in_channels and groups > 1
    if depthwise:  # (C * multiplier, 1, h, w) -> (1, h, w, C * multiplier)
        filters, axis = weight.transpose(1, 2, 3, 0), 3
    else:  # OIHW -> OHWI; CONV_2D finds the groups from the filter's depth
        filters, axis = weight.transpose(0, 2, 3, 1), 0
    rows, columns = _placements(op, source.shape)
    padding = _VALID if _is_valid(rows, columns) or not (rows.same and columns.same) else _SAME
    if padding == _VALID and not _is_valid(rows, columns):
        source = _padded(low, source, rows, columns)
    stored_weight, stored_bias = low.numbers.layer(np.ascontiguousarray(filters), bias, axis, source.quantization)
    (stride_h, stride_w), (dilation_h, dilation_w) = op.ints("stride"), op.ints("dilation")
    low.emit(
        "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
        [source, low.store(stored_weight, "weight"), low.store(stored_bias, "bias")],
        [low.result(index)],
        version=_version(depthwise, groups, dilation_h * dilation_w),
        padding=padding,
        strideH=stride_h,
        strideW=stride_w,
        dilationHFactor=dilation_h,
        dilationWFactor=dilation_w,
        fusedActivationFunction=low.activation(index),
        **({"depthMultiplier": out_channels // in_channels} if depthwise else {}),
    )


def _version(depthwise: bool, groups: int, dilation: int) -> int:
    """Kernels came to dilated depthwise convolutions in version 2, and to groups in version 6."""
    if depthwise:
        return 2 if dilation > 1 else 1
    return 6 if groups > 1 else 1


def _pool_options(op: Op, padding: int) -> dict[str, int]:
    (height, width), (stride_h, stride_w) = op.ints("kernel"), op.ints("stride")
    return {
        "padding": padding,
        "filterHeight": height,
        "filterWidth": width,
        "strideH": stride_h,
        "strideW": stride_w,
    }


def _max_pool(low: Lowering, index: int) -> None:
    (source,), op = low.read(index), low.op(index)
    rows, columns = _placements(op, source.shape)
    padding = _VALID
    if not _is_valid(rows, columns):
        if rows.same and columns.same:
            padding = _SAME
        else:
            source = _padded(low, source, rows, columns, lowest=True)
    low.emit("MAX_POOL_2D", [source], [low.result(index)], **_pool_options(op, padding))


def _avg_pool(low: Lowering, index: int) -> None:
    """The runtime's SAME leaves padding out of the mean; everything else is padded with zeros explicitly."""
    (source,), op = low.read(index), low.op(index)
    rows, columns = _placements(op, source.shape)
    include_pad = bool(op.attr("count_include_pad"))
    if _is_valid(rows, columns):
        low.emit("AVERAGE_POOL_2D", [source], [low.result(index)], **_pool_options(op, _VALID))
    elif rows.same and columns.same and not include_pad:
        low.emit("AVERAGE_POOL_2D", [source], [low.result(index)], **_pool_options(op, _SAME))
    else:
        padded = _padded(low, source, rows, columns)
        out = low.result(index)
        mean = out if include_pad else low.scratch(out.shape, source.quantization, "mean over padding")
        low.emit("AVERAGE_POOL_2D", [padded], [mean], **_pool_options(op, _VALID))
        if not include_pad:
            taps = rows.reach.size * columns.reach.size
            share = (taps / np.outer(rows.counts, columns.counts)).astype(np.float32)
            correction = low.store(low.numbers.constant(share[None, :, :, None]), "taps / taps on the image")
            low.emit("MUL", [mean, correction], [out], fusedActivationFunction=0)


WINDOW_HANDLERS: dict[str, Callable[[Lowering, int], None]] = {
    "conv2d": _conv2d,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
}
