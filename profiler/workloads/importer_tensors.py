"""Reading operators on tensors of any rank: products, norms, and everything that only moves values about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from profiler.workloads.graph import Ref
from profiler.workloads.importer_expand import expand
from profiler.workloads.importer_graph import Array, GraphReader, Node, Unreadable, operands
from profiler.workloads.importer_patterns import gelu_at, layer_norm_at
from profiler.workloads.importer_windows import bias_behind
from profiler.workloads.op_spec import AttrValue
from profiler.workloads.ops import Shape
from profiler.workloads.ops_tensors import FLOAT32_MAX

__all__ = ["TENSOR_HANDLERS", "binary", "linear", "plain", "reshaped"]

Handler = Callable[[GraphReader, Node], Sequence[Ref]]

_MOST_INDICES = 4096
"""Indices are attributes of an operator, and part of its key."""


def plain(kind: str) -> Handler:
    """An operator without attributes that a Workload has too."""

    def read(reader: GraphReader, node: Node) -> Sequence[Ref]:
        return [reader.emit(kind, (reader.tensor(node.input(0)),), node.name)]

    return read


def binary(kind: str) -> Handler:
    """Add, Sub, Mul, Div, Sum: folded from the left; what is of lower rank gets axes of one in front."""

    def read(reader: GraphReader, node: Node) -> Sequence[Ref]:
        found = gelu_at(reader, node)
        if found is not None:
            return [found]
        first, *rest = operands(reader, node.inputs, node.name)
        for other in rest:
            first = reader.emit(kind, (first, other), node.name)
        return [first]

    return read


def _axes(reader: GraphReader, node: Node, rank: int) -> list[int] | None:
    """The axes that a node names, as an attribute or as its second input; None where it names none."""
    axes = node.attrs.get("axes")
    if node.input(1):
        axes = reader.constant(node.input(1), "axes").reshape(-1)
    return None if axes is None else sorted(int(a) % rank for a in axes)


def reshaped(reader: GraphReader, ref: Ref, shape: Shape, name: str) -> Ref:
    """The tensor in another shape: itself, flattened, or reshaped."""
    before = reader.shape(ref)
    if shape == before:
        return ref
    if len(shape) == 2 and shape[0] == before[0]:
        return reader.emit("flatten", (ref,), name)
    return reader.emit("reshape", (ref,), name, shape=shape)


def _reshape(reader: GraphReader, node: Node) -> Sequence[Ref]:
    ref = reader.tensor(node.input(0))
    before, after = reader.shape(ref), reader.known_shapes.get(node.outputs[0])
    if node.input(1) in reader.constants:
        wanted = [int(v) for v in reader.constants[node.input(1)].reshape(-1)]
        if not node.attrs.get("allowzero", 0):
            wanted = [before[place] if size == 0 else size for place, size in enumerate(wanted)]
        known = prod(size for size in wanted if size != -1)
        after = tuple(prod(before) // max(known, 1) if size == -1 else size for size in wanted)
    if not after:
        raise Unreadable(f"what it makes of {before} is computed from the model's inputs")
    return [reshaped(reader, ref, after, node.name)]


def _flatten(reader: GraphReader, node: Node) -> Sequence[Ref]:
    ref = reader.tensor(node.input(0))
    shape = reader.shape(ref)
    axis = int(node.attrs.get("axis", 1)) % (len(shape) + 1)
    return [reshaped(reader, ref, (prod(shape[:axis]), prod(shape[axis:])), node.name)]


def _squeeze(reader: GraphReader, node: Node) -> Sequence[Ref]:
    ref = reader.tensor(node.input(0))
    shape = reader.shape(ref)
    axes = _axes(reader, node, len(shape))
    dropped = [axis for axis, size in enumerate(shape) if (size == 1 if axes is None else axis in axes)]
    kept = tuple(size for axis, size in enumerate(shape) if axis not in dropped)
    return [reshaped(reader, ref, kept, node.name)]


def _unsqueeze(reader: GraphReader, node: Node) -> Sequence[Ref]:
    ref = reader.tensor(node.input(0))
    sizes = list(reader.shape(ref))
    named = node.attrs.get("axes", ())
    count = len(reader.constant(node.input(1), "axes").reshape(-1)) if node.input(1) else len(named)
    for axis in _axes(reader, node, len(sizes) + count) or []:
        sizes.insert(axis, 1)
    return [reshaped(reader, ref, tuple(sizes), node.name)]


def _transpose(reader: GraphReader, node: Node) -> Sequence[Ref]:
    ref = reader.tensor(node.input(0))
    rank = len(reader.shape(ref))
    perm = tuple(int(axis) for axis in node.attrs.get("perm", range(rank - 1, -1, -1)))
    return [ref if perm == tuple(range(rank)) else reader.emit("transpose", (ref,), node.name, perm=perm)]


def _gather(reader: GraphReader, node: Node) -> Sequence[Ref]:
    ref = reader.tensor(node.input(0))
    shape = reader.shape(ref)
    axis = int(node.attrs.get("axis", 0)) % len(shape)
    indices = reader.constant(node.input(1), "index")
    if indices.size > _MOST_INDICES:
        raise Unreadable(f"it gathers by a table of {indices.size} places")
    places = tuple(int(i) % shape[axis] for i in indices.reshape(-1))
    attrs: dict[str, AttrValue] = {"squeeze": True} if indices.ndim == 0 else {}
    found = reader.emit("gather", (ref,), node.name, axis=axis, indices=places, **attrs)
    if indices.ndim < 2:
        return [found]
    table = tuple(int(size) for size in indices.shape)
    return [reshaped(reader, found, (*shape[:axis], *table, *shape[axis + 1 :]), node.name)]


def _reduce_mean(reader: GraphReader, node: Node) -> Sequence[Ref]:
    ref = reader.tensor(node.input(0))
    shape = reader.shape(ref)
    axes = _reduced_axes(reader, node, len(shape))
    if not axes:
        return [ref]
    norm = layer_norm_at(reader, node, ref, axes)
    if norm is not None:
        return [norm]
    if len(shape) == 4 and axes == [2, 3]:
        ref = reader.emit("global_avg_pool", (ref,), node.name)
    else:
        ref = reader.emit("mean", (ref,), node.name, axes=tuple(axes))
    return [_without_axes(reader, node, ref, axes)]


def _reduced_axes(reader: GraphReader, node: Node, rank: int) -> list[int]:
    """What is reduced along: all axes where none is named; none where the node then does nothing."""
    axes = _axes(reader, node, rank)
    return axes or ([] if node.attrs.get("noop_with_empty_axes", 0) else list(range(rank)))


def _without_axes(reader: GraphReader, node: Node, reduced: Ref, axes: list[int]) -> Ref:
    """A reduced tensor without the axes of one that are left of what was reduced, where the node drops them."""
    if node.attrs.get("keepdims", 1):
        return reduced
    kept = tuple(size for axis, size in enumerate(reader.shape(reduced)) if axis not in axes)
    return reshaped(reader, reduced, kept, node.name)


def _reduce_sum(reader: GraphReader, node: Node) -> Sequence[Ref]:
    """A mean, times how many it is of."""
    ref = reader.tensor(node.input(0))
    return [_summed(reader, node, ref)]


def _reduce_l2(reader: GraphReader, node: Node) -> Sequence[Ref]:
    """The root of a sum of squares."""
    ref = reader.tensor(node.input(0))
    squares = reader.emit("mul", (ref, ref), node.name)
    return [reader.emit("sqrt", (_summed(reader, node, squares),), node.name)]


def _summed(reader: GraphReader, node: Node, ref: Ref) -> Ref:
    shape = reader.shape(ref)
    axes = _reduced_axes(reader, node, len(shape))
    if not axes:
        return ref
    mean = reader.emit("mean", (ref,), node.name, axes=tuple(axes))
    many = reader.emit_constant(f"{node.name} count", np.full((1,) * len(shape), prod(shape[axis] for axis in axes)))
    return _without_axes(reader, node, reader.emit("mul", (mean, many), node.name), axes)


def _layer_norm(reader: GraphReader, node: Node) -> Sequence[Ref]:
    if any(reader.readers.get(name) for name in node.outputs[1:]):
        raise Unreadable("its mean or deviation is read")
    ref = reader.tensor(node.input(0))
    shape = reader.shape(ref)
    axis = int(node.attrs.get("axis", -1)) % len(shape)
    scale = reader.constant(node.input(1), "scale")
    bias = reader.constant(node.input(2), "bias") if node.input(2) else np.zeros(1, np.float32)
    weights: dict[str, Array | None] = {
        "weight": np.broadcast_to(scale, shape[axis:]),
        "bias": np.broadcast_to(bias, shape[axis:]),
    }
    eps = round(float(node.attrs.get("epsilon", 1e-5)), 12)
    attrs: dict[str, AttrValue] = {} if axis == len(shape) - 1 else {"axis": axis}
    return [reader.emit_weighted("layer_norm", ref, node.name, weights, eps=eps, **attrs)]


# -------------------------------------------------------------------- products


def linear(reader: GraphReader, node: Node, weight: Array, bias: Array | None) -> Ref:
    """A linear layer over the last axis; `weight` is (out, in)."""
    source = reader.tensor(node.input(0))
    if reader.shape(source)[-1:] != weight.shape[1:] or len(reader.shape(source)) < 2:
        raise Unreadable(f"its input {reader.shape(source)} and its weight {weight.shape} are not a linear layer's")
    weights = {"weight": weight, "bias": bias}
    size = len(weight)
    return reader.emit_weighted("linear", source, node.name, weights, out_features=size, bias=bias is not None)


def _gemm(reader: GraphReader, node: Node) -> Sequence[Ref]:
    alpha, beta = (float(node.attrs.get(name, 1.0)) for name in ("alpha", "beta"))
    if node.attrs.get("transA", 0):
        raise Unreadable("a Gemm with a transposed input is not a linear layer")
    weight = reader.constant(node.input(1), "weight")
    weight = weight if node.attrs.get("transB", 0) else weight.T
    bias: Array | None = None
    if node.input(2):
        bias = reader.constant(node.input(2), "bias")
        if bias.size not in (1, len(weight)) or bias.ndim > 2:
            raise Unreadable(f"its bias of shape {bias.shape} is not one value an output")
        bias = np.broadcast_to(bias.reshape(-1), (len(weight),)) * np.float32(beta)
    return [linear(reader, node, weight * np.float32(alpha), bias)]


def _matmul(reader: GraphReader, node: Node) -> Sequence[Ref]:
    """A linear layer where the second factor is a constant matrix, else a product of two tensors."""
    weight = reader.constants.get(node.input(1))
    if weight is None or weight.ndim != 2 or node.input(0) in reader.constants:
        first, second = operands(reader, node.inputs, node.name)
        return [reader.emit("matmul", (first, second), node.name)]
    rank = len(reader.shape(reader.tensor(node.input(0))))
    layouts = tuple((*(1,) * before, -1) for before in range(rank))
    bias, absorbed = bias_behind(reader, node, weight.shape[1], layouts)
    out = linear(reader, node, weight.T, bias)
    reader.absorb(absorbed, out)
    return [out]


# -------------------------------------------------------------------- value by value


def _clip(reader: GraphReader, node: Node) -> Sequence[Ref]:
    low, high = (_bound(reader, node, place, name) for place, name in ((1, "min"), (2, "max")))
    source = (reader.tensor(node.input(0)),)
    if low == 0 and high in (6.0, None):
        return [reader.emit("relu" if high is None else "relu6", source, node.name)]
    bounds: dict[str, AttrValue] = {name: v for name, v in (("low", low), ("high", high)) if v is not None}
    return [reader.emit("clip", source, node.name, **bounds)]


def _bound(reader: GraphReader, node: Node, place: int, name: str) -> float | None:
    """A bound of Clip: an attribute up to opset 10, an input since; None where there is none."""
    if node.input(place):
        bound = float(reader.constant(node.input(place), f"bound {name}").reshape(()))
    else:
        bound = float(node.attrs.get(name, np.inf))
    return bound if abs(bound) < np.float32(FLOAT32_MAX) else None


def _gelu(reader: GraphReader, node: Node) -> Sequence[Ref]:
    form = node.attrs.get("approximate", b"none")
    attrs: dict[str, AttrValue] = {"approximate": "tanh"} if form in (b"tanh", "tanh") else {}
    return [reader.emit("gelu", (reader.tensor(node.input(0)),), node.name, **attrs)]


def _elu(reader: GraphReader, node: Node) -> Sequence[Ref]:
    if float(node.attrs.get("alpha", 1.0)) != 1.0:
        raise Unreadable(f"an ELU of alpha {node.attrs['alpha']:g} is not the one of alpha 1")
    return [reader.emit("elu", (reader.tensor(node.input(0)),), node.name)]


def _leaky_relu(reader: GraphReader, node: Node) -> Sequence[Ref]:
    slope = round(float(node.attrs.get("alpha", 0.01)), 9)  # stored as float32
    return [reader.emit("leaky_relu", (reader.tensor(node.input(0)),), node.name, slope=slope)]


def _softmax(reader: GraphReader, node: Node) -> Sequence[Ref]:
    ref = reader.tensor(node.input(0))
    rank = len(reader.shape(ref))
    # up to opset 12 the default was 1, and all axes from there on were taken as one
    axis = int(node.attrs.get("axis", 1 if reader.opset < 13 else -1)) % rank
    if reader.opset < 13 and axis != rank - 1:
        raise Unreadable(f"before opset 13 a softmax from axis {axis} of {rank} on is one over several axes")
    attrs: dict[str, AttrValue] = {} if axis == 1 else {"axis": axis}
    return [reader.emit("softmax", (ref,), node.name, **attrs)]


def _pow(reader: GraphReader, node: Node) -> Sequence[Ref]:
    exponent = reader.constant(node.input(1), "exponent")
    ref = reader.tensor(node.input(0))
    if exponent.size == 1 and float(exponent.reshape(())) == 2.0:
        return [reader.emit("mul", (ref, ref), node.name)]
    if exponent.size == 1 and float(exponent.reshape(())) == 0.5:
        return [reader.emit("sqrt", (ref,), node.name)]
    raise Unreadable("a power other than the square and the square root")


TENSOR_HANDLERS: Mapping[str, Handler] = {
    "Add": binary("add"),
    "Clip": _clip,
    "Div": binary("div"),
    "Elu": _elu,
    "Erf": plain("erf"),
    "Exp": plain("exp"),
    "Expand": expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _leaky_relu,
    "MatMul": _matmul,
    "Mul": binary("mul"),
    "Pow": _pow,
    "ReduceL2": _reduce_l2,
    "ReduceMean": _reduce_mean,
    "ReduceSum": _reduce_sum,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Sqrt": plain("sqrt"),
    "Squeeze": _squeeze,
    "Sub": binary("sub"),
    "Sum": binary("add"),
    "Tanh": plain("tanh"),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""ONNX operator -> how it is read."""
