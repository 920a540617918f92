"""Every operator kind but the window ones, as .tflite operators."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from profiler.errors import UnsupportedOperator
from profiler.workloads.builders.tflite_lowering import Lowering, StoredArray, Value
from profiler.workloads.builders.tflite_tensors import TENSOR_HANDLERS
from profiler.workloads.builders.tflite_windows import WINDOW_HANDLERS
from profiler.workloads.ops import Shape

__all__ = ["HANDLERS"]

_RELU, _RELU6 = 1, 3
_TO_CHANNEL_FIRST = (0, 3, 1, 2)
_KEEPS_AXES = 5
"""The version of FULLY_CONNECTED from which on it works along the last of several axes."""


def _reshape(low: Lowering, source: Value, target: Value) -> None:
    low.emit("RESHAPE", [source, low.integers(target.shape)], [target], newShape=list(target.shape))


def _input(low: Lowering, index: int) -> None:
    low.define((index, 0))


def _plain(kind: str) -> Callable[[Lowering, int], None]:
    """A handler for what the file format has under its own name, without options."""

    def handler(low: Lowering, index: int) -> None:
        low.emit(kind, low.read(index), [low.result(index)])

    return handler


def _clamp(kind: str, fused: int) -> Callable[[Lowering, int], None]:
    """A handler for a clamp on its own.

    In int8 it is written as the sum with a zero, clamped: XNNPACK leaves the file format's own operator to the
    built-in kernel, which takes about ten times as long and, unlike anything else, a time that depends on the data.
    """

    def handler(low: Lowering, index: int) -> None:
        (source,) = low.read(index)
        if source.quantization is None:
            low.emit(kind, [source], [low.result(index)])
            return
        nothing = np.full((1,) * len(source.shape), source.quantization.zero_point, np.int8)
        zero = low.store(StoredArray(nothing, source.quantization))
        low.emit("ADD", [source, zero], [low.result(index)], fusedActivationFunction=fused)

    return handler


def _elementwise(kind: str) -> Callable[[Lowering, int], None]:
    def handler(low: Lowering, index: int) -> None:
        low.emit(kind, low.read(index), [low.result(index)], fusedActivationFunction=low.activation(index))

    return handler


def _identity(low: Lowering, index: int) -> None:
    (source,) = low.read(index)
    _reshape(low, source, low.result(index))


def _scalar(low: Lowering, value: float, like: Shape) -> Value:
    """A constant that broadcasts against a tensor of shape `like`."""
    return low.store(low.numbers.constant(np.full((1,) * len(like), value, np.float32)))


def _zero(low: Lowering, index: int) -> None:
    low.define_zeros((index, 0))


def _hsigmoid(low: Lowering, index: int) -> None:
    """relu6(x + 3) / 6, for which the file format has no operator."""
    (source,) = low.read(index)
    shifted = low.scratch(source.shape, low.numbers.between(0.0, 6.0), "relu6(x + 3)")
    low.emit("ADD", [source, _scalar(low, 3.0, source.shape)], [shifted], fusedActivationFunction=_RELU6)
    low.emit("MUL", [shifted, _scalar(low, 1 / 6, source.shape)], [low.result(index)], fusedActivationFunction=0)


def _softmax(low: Lowering, index: int) -> None:
    (source,), axis = low.read(index), low.op(index).int("axis")
    if low.axis(index, axis) != len(source.shape) - 1:
        raise UnsupportedOperator(f"a .tflite softmax is over the last axis, not over {axis}", ("softmax",))
    low.emit("SOFTMAX", [source], [low.result(index)], beta=1.0)


def _linear(low: Lowering, index: int) -> None:
    (source,) = low.read(index)
    weights = low.weights[index]
    bias: NDArray[np.float32] = weights["bias"] if "bias" in weights else np.zeros(len(weights["weight"]), np.float32)
    weight, stored_bias = low.numbers.layer(weights["weight"], bias, 0, source.quantization)
    low.emit(
        "FULLY_CONNECTED",
        [source, low.store(weight, "weight"), low.store(stored_bias, "bias")],
        [low.result(index)],
        1 if len(source.shape) == 2 else _KEEPS_AXES,
        fusedActivationFunction=low.activation(index),
        **({} if len(source.shape) == 2 else {"keepNumDims": True}),
    )


def _batch_norm(low: Lowering, index: int) -> None:
    """A depthwise convolution of one pixel: one operator, and in int8 a scale of its own for every channel."""
    (source,), norm = low.read(index), low.weights[index]
    factor = norm["weight"].astype(np.float64) / np.sqrt(
        norm["running_var"].astype(np.float64) + low.op(index).float("eps")
    )
    shift = (norm["bias"] - norm["running_mean"] * factor).astype(np.float32)
    channels = source.shape[-1]
    weight, bias = low.numbers.layer(
        factor.astype(np.float32).reshape(1, 1, 1, channels), shift, 3, source.quantization
    )
    result = out = low.result(index)
    if len(source.shape) == 2:
        image = (source.shape[0], 1, 1, channels)
        vector, source = source, low.scratch(image, source.quantization)
        _reshape(low, vector, source)
        out = low.scratch(image, result.quantization)
    low.emit(
        "DEPTHWISE_CONV_2D",
        [source, low.store(weight, "scale"), low.store(bias, "shift")],
        [out],
        padding=1,
        strideH=1,
        strideW=1,
        depthMultiplier=1,
        fusedActivationFunction=low.activation(index),
    )
    if out is not result:
        _reshape(low, out, result)


def _concat(low: Lowering, index: int) -> None:
    """Kernels join bytes as they are: an input stored on another scale is requantised first."""
    out = low.result(index)
    inputs: list[Value] = []
    for source in low.read(index):
        joined = source
        if source.quantization != out.quantization:
            joined = low.scratch(source.shape, out.quantization, "requantized")
            low.emit("QUANTIZE", [source], [joined])
        inputs.append(joined)
    low.emit("CONCATENATION", inputs, [out], axis=low.axis(index, low.op(index).int("axis")), fusedActivationFunction=0)


def _split(low: Lowering, index: int) -> None:
    (source,) = low.read(index)
    sizes = low.op(index).ints("sizes")
    parts = [low.define((index, port)) for port in range(len(sizes))]
    axis = low.integers(low.axis(index, low.op(index).int("axis")))
    if len(set(sizes)) == 1:
        low.emit("SPLIT", [axis, source], parts, numSplits=len(sizes))
    else:
        low.emit("SPLIT_V", [source, low.integers(sizes), axis], parts, numSplits=len(sizes))


def _global_avg_pool(low: Lowering, index: int) -> None:
    low.emit("MEAN", [*low.read(index), low.integers((1, 2))], [low.result(index)], keepDims=True)


def _flatten(low: Lowering, index: int) -> None:
    """Values leave in channel-first order, as everywhere else, whatever the layout inside."""
    (source,) = low.read(index)
    channel_last = low.axis(index, 1) == 3
    if channel_last and source.shape[3] > 1 and source.shape[1] * source.shape[2] > 1:
        turned = low.scratch(tuple(source.shape[i] for i in _TO_CHANNEL_FIRST), source.quantization, "channel-first")
        low.emit("TRANSPOSE", [source, low.integers(_TO_CHANNEL_FIRST)], [turned])
        source = turned
    _reshape(low, source, low.result(index))


HANDLERS: dict[str, Callable[[Lowering, int], None]] = {
    **WINDOW_HANDLERS,
    **TENSOR_HANDLERS,
    "input": _input,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "relu": _clamp("RELU", _RELU),
    "relu6": _clamp("RELU6", _RELU6),
    "hswish": _plain("HARD_SWISH"),
    "hsigmoid": _hsigmoid,
    "sigmoid": _plain("LOGISTIC"),
    "softmax": _softmax,
    "identity": _identity,
    "zero": _zero,
    "add": _elementwise("ADD"),
    "mul": _elementwise("MUL"),
    "concat": _concat,
    "split": _split,
    "global_avg_pool": _global_avg_pool,
    "flatten": _flatten,
}
"""Operator kind -> (lowering, op index) -> None; a new kind is one new entry."""
