"""Operators on tensors of any rank: what transformers, layer norms and shuffled channels are made of.

Axes are counted from the front and never negative, so that an operator has one spelling.
"""

from __future__ import annotations

from math import prod

from profiler.errors import ConfigError
from profiler.workloads.op_spec import Attrs, OpSpec, Shape, axis_of, broadcast, integer, ints, number, same

__all__ = ["FLOAT32_MAX", "TENSOR_SPECS"]

FLOAT32_MAX = 3.4028234663852886e38
"""A bound that bounds nothing."""


def _matmul_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    first, second = inputs
    if len(first) != len(second) or len(first) < 2 or first[-1] != second[-2]:
        raise ConfigError(f"matmul: the shapes {first} and {second} are not (..., M, K) and (..., K, N) of one rank")
    (batch,) = broadcast({}, (first[:-2], second[:-2]))
    return ((*batch, first[-2], second[-1]),)


def _matmul_macs(attrs: Attrs, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return prod(outputs[0]) * inputs[0][-1]


def _constant_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = ints(attrs, "shape")
    if not shape or min(shape) < 1:
        raise ConfigError(f"a constant needs sizes >= 1, not {shape}")
    return (shape,)


def _constant_params(attrs: Attrs, inputs: tuple[Shape, ...]) -> dict[str, Shape]:
    return {"value": ints(attrs, "shape")}


def _reshape_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = ints(attrs, "shape")
    if not shape or min(shape) < 1 or prod(shape) != prod(inputs[0]):
        raise ConfigError(f"reshape: {inputs[0]} has not as many values as {shape}")
    return (shape,)


def _transpose_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    perm, shape = ints(attrs, "perm"), inputs[0]
    if sorted(perm) != list(range(len(shape))):
        raise ConfigError(f"transpose: {perm} does not order the axes of {shape}")
    return (tuple(shape[axis] for axis in perm),)


def _slice_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = inputs[0]
    axis, start, end = axis_of(attrs, shape), integer(attrs, "start"), integer(attrs, "end")
    step = integer(attrs, "step") if "step" in attrs else 1
    if not 0 <= start < end <= shape[axis] or step < 1:
        raise ConfigError(f"slice: {start}:{end}:{step} is no part of axis {axis} of {shape}")
    return ((*shape[:axis], len(range(start, end, step)), *shape[axis + 1 :]),)


def _gather_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape, indices = inputs[0], ints(attrs, "indices")
    axis = axis_of(attrs, shape)
    if not indices or not 0 <= min(indices) <= max(indices) < shape[axis]:
        raise ConfigError(f"gather: {indices} are no places on axis {axis} of {shape}")
    squeezed = bool(attrs.get("squeeze", False))
    if squeezed and (len(indices) != 1 or len(shape) == 1):
        raise ConfigError(f"gather: an axis is dropped only for one index, not for {indices} of {shape}")
    return ((*shape[:axis], *(() if squeezed else (len(indices),)), *shape[axis + 1 :]),)


def _pad_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape, pads = inputs[0], ints(attrs, "pads")
    if len(pads) != 2 * len(shape) or min(pads) < 0:
        raise ConfigError(f"pad: {pads} are not what stands before and behind each axis of {shape}")
    return (tuple(size + pads[i] + pads[i + len(shape)] for i, size in enumerate(shape)),)


def _reduced_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape, axes = inputs[0], ints(attrs, "axes")
    if not axes or sorted(set(axes)) != list(axes) or axes[0] < 0 or axes[-1] >= len(shape):
        raise ConfigError(f"{axes} are not axes of {shape} in order")
    return (tuple(1 if axis in axes else size for axis, size in enumerate(shape)),)


def _norm_axis(attrs: Attrs, shape: Shape) -> int:
    return axis_of(attrs, shape, len(shape) - 1)


def _layer_norm_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    axis, last = _norm_axis(attrs, inputs[0]), len(inputs[0]) - 1
    if "axis" in attrs and axis == last:
        raise ConfigError("layer_norm: the last axis is what it is over where none is given; leave it out")
    number(attrs, "eps")
    return (inputs[0],)


def _layer_norm_params(attrs: Attrs, inputs: tuple[Shape, ...]) -> dict[str, Shape]:
    shape = inputs[0][_norm_axis(attrs, inputs[0]) :]
    return {"weight": shape, "bias": shape}


def _resize_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape, size = inputs[0], ints(attrs, "size")
    if len(shape) != 4 or len(size) != 2 or min(size) < 1:
        raise ConfigError(f"resize makes (N, C, H, W) of another height and width, not {size} of {shape}")
    if attrs["mode"] not in ("nearest", "linear") or (attrs["mode"] == "nearest" and "align_corners" in attrs):
        raise ConfigError(f"resize: mode {attrs['mode']!r} is none of nearest and linear, or cannot align corners")
    return ((*shape[:2], *size),)


def _clip_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    low, high = (number({"low": -FLOAT32_MAX, "high": FLOAT32_MAX, **attrs}, name) for name in ("low", "high"))
    if not low < high:
        raise ConfigError(f"clip: {low:g} is not below {high:g}")
    return (inputs[0],)


TENSOR_SPECS: dict[str, OpSpec] = {
    "constant": OpSpec(_constant_shape, ("shape",), arity=0, params=_constant_params),
    "sub": OpSpec(broadcast, arity=2),
    "div": OpSpec(broadcast, arity=2),
    "matmul": OpSpec(_matmul_shape, arity=2, macs=_matmul_macs),
    "layer_norm": OpSpec(_layer_norm_shape, ("eps",), params=_layer_norm_params, optional={"axis": -1}),
    "gelu": OpSpec(same, optional={"approximate": "none"}),
    "tanh": OpSpec(same),
    "erf": OpSpec(same),
    "exp": OpSpec(same),
    "sqrt": OpSpec(same),
    "elu": OpSpec(same),
    "leaky_relu": OpSpec(same, ("slope",)),
    "clip": OpSpec(_clip_shape, optional={"low": -FLOAT32_MAX, "high": FLOAT32_MAX}),
    "mean": OpSpec(_reduced_shape, ("axes",)),
    "reshape": OpSpec(_reshape_shape, ("shape",)),
    "transpose": OpSpec(_transpose_shape, ("perm",)),
    "slice": OpSpec(_slice_shape, ("axis", "start", "end"), optional={"step": 1}),
    "gather": OpSpec(_gather_shape, ("axis", "indices"), optional={"squeeze": False}),
    "pad": OpSpec(_pad_shape, ("pads",), optional={"value": 0.0}),
    "resize": OpSpec(_resize_shape, ("size", "mode"), optional={"align_corners": False}),
}
"""Their entries in `ops.OP_SPECS`."""
