"""Operators on tensors of any rank, as .tflite operators.

Kernels of full int8 are used only where values are moved or averaged: the others have scales of their own, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from profiler.errors import UnsupportedOperator
from profiler.workloads.builders.tflite_lowering import Lowering, Value
from profiler.workloads.ops_tensors import FLOAT32_MAX

__all__ = ["TENSOR_HANDLERS"]

Handler = Callable[[Lowering, int], None]


def _float_only(handler: Handler) -> Handler:
    """For what full int8 has no kernel for, or one of another scale."""

    def checked(low: Lowering, index: int) -> None:
        if low.numbers.dtype is not np.float32:
            kind = low.op(index).kind
            raise UnsupportedOperator(f"no full int8 .tflite lowering for {kind}; measure it in fp32", (kind,))
        handler(low, index)

    return checked


def _plain(kind: str, **options: object) -> Handler:
    return lambda low, index: low.emit(kind, low.read(index), [low.result(index)], 1, **options)


def _number(low: Lowering, value: float, like: Value) -> Value:
    return low.store(low.numbers.constant(np.full((1,) * len(like.shape), value, np.float32)))


def _linear_norm(low: Lowering, index: int) -> None:
    """A layer norm in the operators that it is made of: the file format has none of its own."""
    (source,), op = low.read(index), low.op(index)
    axes = tuple(range(op.int("axis") % len(source.shape), len(source.shape)))
    reduced = tuple(1 if axis in axes else size for axis, size in enumerate(source.shape))
    mean, variance, safe, factor = (low.scratch(reduced, None, name) for name in ("mean", "variance", "safe", "factor"))
    centred, squared, scaled, weighed = (
        low.scratch(source.shape, None, name) for name in ("centred", "squared", "scaled", "weighed")
    )
    low.emit("MEAN", [source, low.integers(axes)], [mean], keepDims=True)
    low.emit("SUB", [source, mean], [centred], fusedActivationFunction=0)
    low.emit("SQUARED_DIFFERENCE", [source, mean], [squared])
    low.emit("MEAN", [squared, low.integers(axes)], [variance], keepDims=True)
    low.emit("ADD", [variance, _number(low, op.float("eps"), variance)], [safe], fusedActivationFunction=0)
    low.emit("RSQRT", [safe], [factor])
    low.emit("MUL", [centred, factor], [scaled], fusedActivationFunction=0)
    weight, bias = (low.store(low.numbers.constant(low.weights[index][name])) for name in ("weight", "bias"))
    low.emit("MUL", [scaled, weight], [weighed], fusedActivationFunction=0)
    low.emit("ADD", [weighed, bias], [low.result(index)], fusedActivationFunction=0)


def _clip(low: Lowering, index: int) -> None:
    (source,), op = low.read(index), low.op(index)
    bounds = [
        (kind, op.float(name))
        for kind, name in (("MAXIMUM", "low"), ("MINIMUM", "high"))
        if abs(op.float(name)) < FLOAT32_MAX
    ]
    for place, (kind, bound) in enumerate(bounds):
        out = low.result(index) if place == len(bounds) - 1 else low.scratch(source.shape, None, "clipped")
        low.emit(kind, [source, _number(low, bound, source)], [out])
        source = out


def _mean(low: Lowering, index: int) -> None:
    axes = sorted(low.axis(index, axis) for axis in low.op(index).ints("axes"))
    low.emit("MEAN", [*low.read(index), low.integers(axes)], [low.result(index)], keepDims=True)


def _reshape(low: Lowering, index: int) -> None:
    (source,), out = low.read(index), low.result(index)
    low.emit("RESHAPE", [source, low.integers(out.shape)], [out], newShape=list(out.shape))


def _slice(low: Lowering, index: int) -> None:
    (source,), op = low.read(index), low.op(index)
    axis = low.axis(index, op.int("axis"))
    begin, end, step = [0] * len(source.shape), list(source.shape), [1] * len(source.shape)
    begin[axis], end[axis], step[axis] = op.int("start"), op.int("end"), op.int("step")
    parts = [low.integers(values) for values in (begin, end, step)]
    low.emit("STRIDED_SLICE", [source, *parts], [low.result(index)])


def _gather(low: Lowering, index: int) -> None:
    (source,), op = low.read(index), low.op(index)
    places = op.ints("indices")
    chosen = low.integers(places[0] if op.attr("squeeze") else places)
    low.emit("GATHER", [source, chosen], [low.result(index)], axis=op.int("axis"))


def _pad(low: Lowering, index: int) -> None:
    (source,), op = low.read(index), low.op(index)
    pads, rank = op.ints("pads"), len(source.shape)
    sides = [[0, 0]] * rank
    for axis in range(rank):
        sides[low.axis(index, axis)] = [pads[axis], pads[axis + rank]]
    value = low.store(low.numbers.constant(np.asarray(op.float("value"), np.float32)))
    low.emit("PADV2", [source, low.integers(sides), value], [low.result(index)])


def _resize(low: Lowering, index: int) -> None:
    (source,), op = low.read(index), low.op(index)
    inputs = [source, low.integers(op.ints("size"))]
    if op.attr("mode") == "nearest":
        low.emit("RESIZE_NEAREST_NEIGHBOR", inputs, [low.result(index)])
        return
    corners = bool(op.attr("align_corners"))
    low.emit("RESIZE_BILINEAR", inputs, [low.result(index)], 3, alignCorners=corners, halfPixelCenters=not corners)


def _gelu(low: Lowering, index: int) -> None:
    low.emit("GELU", low.read(index), [low.result(index)], approximate=low.op(index).attr("approximate") == "tanh")


def _leaky_relu(low: Lowering, index: int) -> None:
    low.emit("LEAKY_RELU", low.read(index), [low.result(index)], alpha=low.op(index).float("slope"))


TENSOR_HANDLERS: Mapping[str, Handler] = {
    "constant": lambda low, index: None,  # stored by who reads it
    "sub": _float_only(_plain("SUB", fusedActivationFunction=0)),
    "div": _float_only(_plain("DIV", fusedActivationFunction=0)),
    "matmul": _float_only(_plain("BATCH_MATMUL")),
    "layer_norm": _float_only(_linear_norm),
    "gelu": _float_only(_gelu),
    "tanh": _float_only(_plain("TANH")),
    "exp": _float_only(_plain("EXP")),
    "sqrt": _float_only(_plain("SQRT")),
    "elu": _float_only(_plain("ELU")),
    "leaky_relu": _float_only(_leaky_relu),
    "clip": _float_only(_clip),
    "mean": _mean,
    "reshape": _reshape,
    "transpose": lambda low, index: low.turn(index),
    "slice": _slice,
    "gather": _gather,
    "pad": _float_only(_pad),
    "resize": _float_only(_resize),
}
"""Operator kind -> (lowering, op index) -> None. The file format has no error function."""
