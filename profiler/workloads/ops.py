"""The operators a Workload may hold: what each one's output looks like, costs and carries.

One `OpSpec` an operator kind, in one dict (`OP_SPECS`). Shapes are channel-first: (N, C, H, W) for images,
(N, F) for vectors; those of `ops_tensors` take any rank. `zero` is a constant and reads nothing, so that what it
stands for can die. A new operator is one new entry here or there plus one handler in each lowering.
"""

from __future__ import annotations

from math import prod

from profiler.errors import ConfigError
from profiler.workloads.op_spec import Attrs, AttrValue, OpSpec, Shape, axis_of, broadcast, integer, ints, same
from profiler.workloads.ops_tensors import TENSOR_SPECS

__all__ = ["ACTIVATIONS", "OP_SPECS", "AttrValue", "Attrs", "OpSpec", "Shape"]

ACTIVATIONS = frozenset({"relu", "relu6", "hswish", "hsigmoid", "sigmoid"})


def _window(size: int, kernel: int, stride: int, before: int, after: int, dilation: int = 1) -> int:
    out = (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
    if out < 1:
        raise ConfigError(f"a window of {kernel} does not fit into {size} pixels")
    return out


def _spatial(attrs: Attrs, shape: Shape) -> tuple[int, int]:
    if len(shape) != 4:
        raise ConfigError(f"a window operator needs a shape (N, C, H, W), not {shape}")
    kernel, stride, pad = ints(attrs, "kernel"), ints(attrs, "stride"), ints(attrs, "padding")
    dilation = ints(attrs, "dilation") if "dilation" in attrs else (1, 1)
    if len(kernel) != 2 or len(stride) != 2 or len(dilation) != 2 or len(pad) != 4:
        raise ConfigError(
            "kernel, stride and dilation are (height, width) and padding is (top, left, bottom, right), "
            f"not {kernel}, {stride}, {dilation} and {pad}"
        )
    if min(*kernel, *stride, *dilation) < 1 or min(pad) < 0:
        raise ConfigError(f"kernel {kernel}, stride {stride} and dilation {dilation} must be >= 1, padding {pad} >= 0")
    top, left, bottom, right = pad
    return (
        _window(shape[2], kernel[0], stride[0], top, bottom, dilation[0]),
        _window(shape[3], kernel[1], stride[1], left, right, dilation[1]),
    )


def _conv_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    (shape,) = inputs
    height, width = _spatial(attrs, shape)
    groups, out_channels = integer(attrs, "groups"), integer(attrs, "out_channels")
    if min(groups, out_channels) < 1:
        raise ConfigError(f"conv2d: {groups} groups and {out_channels} channels must both be >= 1")
    if shape[1] % groups or out_channels % groups:
        raise ConfigError(f"conv2d: {groups} groups divide neither {shape[1]} in nor {out_channels} out")
    return ((shape[0], out_channels, height, width),)


def _conv_params(attrs: Attrs, inputs: tuple[Shape, ...]) -> dict[str, Shape]:
    kernel = ints(attrs, "kernel")
    out_channels = integer(attrs, "out_channels")
    params: dict[str, Shape] = {
        "weight": (out_channels, inputs[0][1] // integer(attrs, "groups"), kernel[0], kernel[1])
    }
    if attrs["bias"]:
        params["bias"] = (out_channels,)
    return params


def _conv_macs(attrs: Attrs, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    per_output = prod(_conv_params(attrs, inputs)["weight"][1:])
    return prod(outputs[0]) * per_output


def _linear_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    (shape,) = inputs
    if len(shape) < 2:
        raise ConfigError(f"linear needs a shape (N, ..., features), not {shape}")
    if integer(attrs, "out_features") < 1:
        raise ConfigError(f"linear: {attrs['out_features']} features must be >= 1")
    return ((*shape[:-1], integer(attrs, "out_features")),)


def _linear_params(attrs: Attrs, inputs: tuple[Shape, ...]) -> dict[str, Shape]:
    out_features = integer(attrs, "out_features")
    params: dict[str, Shape] = {"weight": (out_features, inputs[0][-1])}
    if attrs["bias"]:
        params["bias"] = (out_features,)
    return params


def _linear_macs(attrs: Attrs, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return prod(outputs[0]) * inputs[0][-1]


def _norm_params(attrs: Attrs, inputs: tuple[Shape, ...]) -> dict[str, Shape]:
    channels = (inputs[0][1],)
    return {"weight": channels, "bias": channels, "running_mean": channels, "running_var": channels}


def _concat_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    first = inputs[0]
    axis = axis_of(attrs, first, 1)
    for other in inputs[1:]:
        if len(other) != len(first) or other[:axis] != first[:axis] or other[axis + 1 :] != first[axis + 1 :]:
            raise ConfigError(f"concat joins along one axis ({axis}): {first} and {other} differ elsewhere")
    return ((*first[:axis], sum(s[axis] for s in inputs), *first[axis + 1 :]),)


def _split_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    (shape,) = inputs
    sizes, axis = ints(attrs, "sizes"), axis_of(attrs, shape, 1)
    if sum(sizes) != shape[axis] or min(sizes, default=0) < 1:
        raise ConfigError(f"split sizes {sizes} do not add up to {shape[axis]} on axis {axis}")
    return tuple((*shape[:axis], size, *shape[axis + 1 :]) for size in sizes)


def _softmax_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    axis_of(attrs, inputs[0], 1)
    return (inputs[0],)


def _pool_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    (shape,) = inputs
    spatial = _spatial(attrs, shape)
    (high, wide), (top, left, bottom, right) = ints(attrs, "kernel"), ints(attrs, "padding")
    if max(top, bottom) >= high or max(left, right) >= wide:
        raise ConfigError(
            f"a pooling window of {(high, wide)} could lie wholly in padding {(top, left, bottom, right)}"
        )
    return ((shape[0], shape[1], *spatial),)


def _global_pool_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    (shape,) = inputs
    if len(shape) != 4:
        raise ConfigError(f"global_avg_pool needs a shape (N, C, H, W), not {shape}")
    return ((shape[0], shape[1], 1, 1),)


def _flatten_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    (shape,) = inputs
    return ((shape[0], prod(shape[1:])),)


def _input_shape(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = ints(attrs, "shape")
    if not shape or min(shape) < 1:
        raise ConfigError(f"a shape needs sizes >= 1, not {shape}")
    return (shape,)


_WINDOW = ("kernel", "stride", "padding")
_CHANNELS: Attrs = {"axis": 1}

OP_SPECS: dict[str, OpSpec] = {
    "input": OpSpec(_input_shape, ("shape", "position"), arity=0),
    "conv2d": OpSpec(
        _conv_shape,
        ("out_channels", *_WINDOW, "dilation", "groups", "bias"),
        params=_conv_params,
        macs=_conv_macs,
    ),
    "linear": OpSpec(_linear_shape, ("out_features", "bias"), params=_linear_params, macs=_linear_macs),
    "batch_norm": OpSpec(same, ("eps",), params=_norm_params, buffers=frozenset({"running_mean", "running_var"})),
    "relu": OpSpec(same),
    "relu6": OpSpec(same),
    "hswish": OpSpec(same),
    "hsigmoid": OpSpec(same),
    "sigmoid": OpSpec(same),
    "softmax": OpSpec(_softmax_shape, optional=_CHANNELS),
    "identity": OpSpec(same),
    "zero": OpSpec(_input_shape, ("shape",), arity=0),
    "add": OpSpec(broadcast, arity=2, commutative=True),
    "mul": OpSpec(broadcast, arity=2, commutative=True),
    "concat": OpSpec(_concat_shape, arity=None, optional=_CHANNELS),
    "split": OpSpec(_split_shape, ("sizes",), optional=_CHANNELS),
    "avg_pool": OpSpec(_pool_shape, (*_WINDOW, "count_include_pad")),
    "max_pool": OpSpec(_pool_shape, _WINDOW),
    "global_avg_pool": OpSpec(_global_pool_shape),
    "flatten": OpSpec(_flatten_shape),
    **TENSOR_SPECS,
}
