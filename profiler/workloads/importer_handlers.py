"""How each ONNX operator is read: a dict of functions from a node to the tensors that it makes.

A handler emits ops through the `GraphReader` and returns one reference an output, or raises `Unreadable` (or lets
the shape check's ConfigError pass) with the reason. Convolution and pooling are in `importer_windows`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from profiler.workloads.graph import Ref
from profiler.workloads.importer_graph import Array, GraphReader, Node, Unreadable
from profiler.workloads.importer_windows import WINDOW_HANDLERS, bias_behind

__all__ = ["HANDLERS", "Handler"]

Handler = Callable[[GraphReader, Node], Sequence[Ref]]


def _plain(kind: str) -> Handler:
    """An operator without attributes that a Workload has too."""

    def read(reader: GraphReader, node: Node) -> Sequence[Ref]:
        return [reader.emit(kind, (reader.tensor(node.input(0)),), node.name)]

    return read


def _pair(kind: str) -> Handler:
    """Add, Mul, Sum: folded from the left; shapes of unequal rank are left to the shape check."""

    def read(reader: GraphReader, node: Node) -> Sequence[Ref]:
        first, *rest = [reader.tensor(name) for name in node.inputs]
        for other in rest:
            first = reader.emit(kind, (first, other), node.name)
        return [first]

    return read


def _alias(reader: GraphReader, node: Node) -> Sequence[Ref]:
    """Identity and Dropout: nothing, but where an output of the graph would be one of its inputs."""
    if len(node.outputs) > 1 and reader.readers.get(node.outputs[1]):
        raise Unreadable("its mask is read")
    ref = reader.tensor(node.input(0))
    if reader.ops[ref[0]].kind == "input" and node.outputs[0] in reader.graph_outputs:
        return [reader.emit("identity", (ref,), node.name)]
    return [ref]


def _clip(reader: GraphReader, node: Node) -> Sequence[Ref]:
    low, high = (_bound(reader, node, place, name) for place, name in ((1, "min"), (2, "max")))
    if low != 0 or high not in (6.0, None):
        raise Unreadable(f"a clip to [{low}, {high}] is neither ReLU nor ReLU6")
    return [reader.emit("relu" if high is None else "relu6", (reader.tensor(node.input(0)),), node.name)]


def _bound(reader: GraphReader, node: Node, place: int, name: str) -> float | None:
    """A bound of Clip: an attribute up to opset 10, an input since; None where there is none."""
    if node.input(place):
        bound = float(reader.constant(node.input(place), f"bound {name}").reshape(()))
    else:
        bound = float(node.attrs.get(name, np.inf))
    return bound if abs(bound) < np.finfo(np.float32).max else None


def _hard_sigmoid(reader: GraphReader, node: Node) -> Sequence[Ref]:
    alpha, beta = float(node.attrs.get("alpha", 0.2)), float(node.attrs.get("beta", 0.5))
    if abs(alpha - 1 / 6) > 1e-4 or beta != 0.5:
        raise Unreadable(f"a hard sigmoid of slope {alpha:g} and offset {beta:g} is not the one of slope 1/6")
    return [reader.emit("hsigmoid", (reader.tensor(node.input(0)),), node.name)]


def _softmax(reader: GraphReader, node: Node) -> Sequence[Ref]:
    ref = reader.tensor(node.input(0))
    shape = reader.shape(ref)
    # the default was 1 up to opset 12 and is -1 since: on (N, F) both mean the same
    if len(shape) != 2 or node.attrs.get("axis", -1) not in (1, -1):
        raise Unreadable(f"a softmax over axis {node.attrs.get('axis', -1)} of {shape} is not one over (N, features)")
    return [reader.emit("softmax", (ref,), node.name)]


def _batch_norm(reader: GraphReader, node: Node) -> Sequence[Ref]:
    if node.attrs.get("training_mode", 0) or len(node.outputs) > 1:
        raise Unreadable("it is in training mode")
    names = ("weight", "bias", "running_mean", "running_var")
    weights: dict[str, Array | None] = {
        name: reader.constant(node.input(place), name) for place, name in enumerate(names, start=1)
    }
    eps = round(float(node.attrs.get("epsilon", 1e-5)), 12)  # stored as float32: 1e-5 comes back as 9.99999974e-06
    return [reader.emit_weighted("batch_norm", reader.tensor(node.input(0)), node.name, weights, eps=eps)]


def _gemm(reader: GraphReader, node: Node) -> Sequence[Ref]:
    scales = (node.attrs.get("alpha", 1.0), node.attrs.get("beta", 1.0))
    if node.attrs.get("transA", 0) or scales != (1.0, 1.0):
        raise Unreadable("a Gemm with a transposed input or scaled by alpha or beta is not a linear layer")
    weight = reader.constant(node.input(1), "weight")
    weight = weight if node.attrs.get("transB", 0) else weight.T
    bias: Array | None = None
    if node.input(2):
        bias = reader.constant(node.input(2), "bias")
        if bias.size not in (1, len(weight)) or bias.ndim > 2:
            raise Unreadable(f"its bias of shape {bias.shape} is not one value an output")
        bias = np.broadcast_to(bias.reshape(-1), (len(weight),))
    return [_linear(reader, node, weight, bias)]


def _matmul(reader: GraphReader, node: Node) -> Sequence[Ref]:
    weight = reader.constant(node.input(1), "second factor")
    if weight.ndim != 2:
        raise Unreadable(f"its second factor of shape {weight.shape} is not a matrix")
    bias, absorbed = bias_behind(reader, node, weight.shape[1], ((-1,), (1, -1)))
    out = _linear(reader, node, weight.T, bias)
    reader.absorb(absorbed, out)
    return [out]


def _linear(reader: GraphReader, node: Node, weight: Array, bias: Array | None) -> Ref:
    source = reader.tensor(node.input(0))
    if reader.shape(source)[1:] != weight.shape[1:]:
        raise Unreadable(f"its input {reader.shape(source)} and its weight {weight.shape} are not a linear layer's")
    weights = {"weight": weight, "bias": bias}
    size = len(weight)
    return reader.emit_weighted("linear", source, node.name, weights, out_features=size, bias=bias is not None)


def _concat(reader: GraphReader, node: Node) -> Sequence[Ref]:
    refs = [reader.tensor(name) for name in node.inputs]
    axis = int(node.attrs.get("axis", 1))
    if axis not in (1, 1 - len(reader.shape(refs[0]))):
        raise Unreadable(f"it joins along axis {axis}, not along the channels")
    return [reader.emit("concat", refs, node.name)]


def _split(reader: GraphReader, node: Node) -> Sequence[Ref]:
    ref = reader.tensor(node.input(0))
    shape, axis = reader.shape(ref), int(node.attrs.get("axis", 0))
    if axis not in (1, 1 - len(shape)):
        raise Unreadable(f"it splits along axis {axis}, not along the channels")
    parts = len(node.outputs)
    if node.input(1):
        sizes = tuple(int(size) for size in reader.constant(node.input(1), "sizes"))
    elif "split" in node.attrs:
        sizes = tuple(int(size) for size in node.attrs["split"])
    else:
        step = -(-shape[1] // parts)
        sizes = (step,) * (parts - 1) + (shape[1] - step * (parts - 1),)
    index, _ = reader.emit("split", (ref,), node.name, sizes=sizes)
    return [(index, port) for port in range(parts)]


def _slice(reader: GraphReader, node: Node) -> Sequence[Ref]:
    """A range of channels; the slices of one tensor that make a partition of it become one split."""
    ref = reader.tensor(node.input(0))
    channels = reader.shape(ref)[1]
    wanted = _channel_range(reader, node, channels)
    siblings = [n for n in reader.readers[node.input(0)] if n.kind == "Slice"]
    ranges = sorted({_channel_range(reader, sibling, channels) for sibling in siblings})
    partition = [0, *(end for _, end in ranges)] == [*(start for start, _ in ranges), channels]
    if not partition or len(ranges) != len(siblings):
        start, end = wanted
        ranges = [r for r in ((0, start), wanted, (end, channels)) if r[0] < r[1]]
        siblings = [node]
    if ranges == [(0, channels)]:
        return [ref]
    index, _ = reader.emit("split", (ref,), node.name, sizes=tuple(end - start for start, end in ranges))
    for sibling in siblings:
        port = ranges.index(_channel_range(reader, sibling, channels))
        reader.absorb(sibling.outputs[0], (index, port))
    return [(index, ranges.index(wanted))]


def _channel_range(reader: GraphReader, node: Node, channels: int) -> tuple[int, int]:
    """(start, end) of a Slice of channels.

    Raises:
        Unreadable: for a slice of anything else.
    """
    values: dict[str, list[int]] = {}
    for place, name in enumerate(("starts", "ends", "axes", "steps"), start=1):
        if node.input(place):
            values[name] = [int(v) for v in reader.constant(node.input(place), name).reshape(-1)]
        elif name in node.attrs:
            values[name] = [int(v) for v in node.attrs[name]]
    starts, ends = values.get("starts", []), values.get("ends", [])
    axes, steps = values.get("axes", list(range(len(starts)))), values.get("steps", [1])
    if len(starts) != 1 or axes not in ([1], [-3]) or steps != [1]:
        raise Unreadable("it is not a slice of neighbouring channels")
    start, end, _ = slice(starts[0], ends[0]).indices(channels)
    if start >= end:
        raise Unreadable("it takes no channel at all")
    return start, end


def _global_pool(reader: GraphReader, node: Node) -> Sequence[Ref]:
    return [reader.emit("global_avg_pool", (reader.tensor(node.input(0)),), node.name)]


def _reduce_mean(reader: GraphReader, node: Node) -> Sequence[Ref]:
    ref = reader.tensor(node.input(0))
    axes = node.attrs.get("axes")
    if node.input(1):
        axes = reader.constant(node.input(1), "axes").reshape(-1)
    rank = len(reader.shape(ref))
    if axes is None or rank != 4 or sorted(int(a) % rank for a in axes) != [2, 3]:
        raise Unreadable("a mean over other axes than height and width is no global pooling")
    ref = reader.emit("global_avg_pool", (ref,), node.name)
    return [ref if node.attrs.get("keepdims", 1) else reader.emit("flatten", (ref,), node.name)]


def _reshape(reader: GraphReader, node: Node) -> Sequence[Ref]:
    """Flatten, Reshape, Squeeze, Unsqueeze, Cast: whatever comes out flattened, or unchanged."""
    ref = reader.tensor(node.input(0))
    before, after = reader.shape(ref), reader.known_shapes.get(node.outputs[0])
    if after == before:
        return [ref]
    if after is None or len(after) != 2 or after[0] != before[0]:
        raise Unreadable(
            f"it makes {after or 'an unknown shape'} of {before}, which is not flattening to (N, features)"
        )
    return [reader.emit("flatten", (ref,), node.name)]


HANDLERS: Mapping[str, Handler] = {
    **WINDOW_HANDLERS,
    "Add": _pair("add"),
    "BatchNormalization": _batch_norm,
    "Cast": _reshape,
    "Clip": _clip,
    "Concat": _concat,
    "Dropout": _alias,
    "Flatten": _reshape,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain("hswish"),
    "Identity": _alias,
    "MatMul": _matmul,
    "Mul": _pair("mul"),
    "ReduceMean": _reduce_mean,
    "Relu": _plain("relu"),
    "Reshape": _reshape,
    "Sigmoid": _plain("sigmoid"),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _reshape,
    "Sum": _pair("add"),
}
"""ONNX operator -> how it is read."""
