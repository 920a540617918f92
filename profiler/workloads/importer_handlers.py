"""How each ONNX operator is read: a dict of functions from a node to the tensors that it makes.

A handler emits ops through the `GraphReader` and returns one reference an output, or raises `Unreadable` (or lets
the shape check's ConfigError pass) with the reason. Convolution and pooling are in `importer_windows`,
what works on tensors of any rank is in `importer_tensors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from profiler.workloads.graph import Ref
from profiler.workloads.importer_attention import attention
from profiler.workloads.importer_einsum import einsum
from profiler.workloads.importer_graph import FLOAT_TYPES, Array, GraphReader, Node, Unreadable, operands
from profiler.workloads.importer_resize import resize
from profiler.workloads.importer_tensors import TENSOR_HANDLERS, plain
from profiler.workloads.importer_windows import WINDOW_HANDLERS
from profiler.workloads.op_spec import AttrValue, Shape

__all__ = ["HANDLERS", "Handler"]

Handler = Callable[[GraphReader, Node], Sequence[Ref]]


def _alias(reader: GraphReader, node: Node) -> Sequence[Ref]:
    """Identity, Dropout, and rounding to integers and back, which is the target's affair: nothing, but where an output
    of the graph would be one of its inputs."""
    if len(node.outputs) > 1 and reader.readers.get(node.outputs[1]):
        raise Unreadable("its mask is read")
    ref = reader.tensor(node.input(0))
    if reader.ops[ref[0]].kind == "input" and node.outputs[0] in reader.graph_outputs:
        return [reader.emit("identity", (ref,), node.name)]
    return [ref]


def _hard_sigmoid(reader: GraphReader, node: Node) -> Sequence[Ref]:
    alpha, beta = float(node.attrs.get("alpha", 0.2)), float(node.attrs.get("beta", 0.5))
    if abs(alpha - 1 / 6) > 1e-4 or beta != 0.5:
        raise Unreadable(f"a hard sigmoid of slope {alpha:g} and offset {beta:g} is not the one of slope 1/6")
    return [reader.emit("hsigmoid", (reader.tensor(node.input(0)),), node.name)]


def _batch_norm(reader: GraphReader, node: Node) -> Sequence[Ref]:
    if node.attrs.get("training_mode", 0) or len(node.outputs) > 1:
        raise Unreadable("it is in training mode")
    names = ("weight", "bias", "running_mean", "running_var")
    weights: dict[str, Array | None] = {
        name: reader.constant(node.input(place), name) for place, name in enumerate(names, start=1)
    }
    eps = round(float(node.attrs.get("epsilon", 1e-5)), 12)  # stored as float32: 1e-5 comes back as 9.99999974e-06
    return [reader.emit_weighted("batch_norm", reader.tensor(node.input(0)), node.name, weights, eps=eps)]


def _along(axis: int) -> dict[str, AttrValue]:
    """The attribute "axis", left out where it is that of the channels."""
    return {} if axis == 1 else {"axis": axis}


def _concat(reader: GraphReader, node: Node) -> Sequence[Ref]:
    refs = operands(reader, node.inputs, node.name)
    if len(refs) == 1:
        return refs
    axis = int(node.attrs.get("axis", 1)) % len(reader.shape(refs[0]))
    return [reader.emit("concat", refs, node.name, **_along(axis))]


def _split(reader: GraphReader, node: Node) -> Sequence[Ref]:
    ref = reader.tensor(node.input(0))
    shape = reader.shape(ref)
    axis = int(node.attrs.get("axis", 0)) % len(shape)
    parts = len(node.outputs)
    if node.input(1):
        sizes = tuple(int(size) for size in reader.constant(node.input(1), "sizes"))
    elif "split" in node.attrs:
        sizes = tuple(int(size) for size in node.attrs["split"])
    else:
        step = -(-shape[axis] // parts)
        sizes = (step,) * (parts - 1) + (shape[axis] - step * (parts - 1),)
    if len(sizes) == 1:
        return [ref]
    index, _ = reader.emit("split", (ref,), node.name, sizes=sizes, **_along(axis))
    return [(index, port) for port in range(parts)]


_Part = tuple[int, int, int, int]
"""(axis, start, end, step) of what a Slice takes of one axis."""


def _slice(reader: GraphReader, node: Node) -> Sequence[Ref]:
    """One slice an axis; the slices of one tensor that make a partition of its channels become one split."""
    ref = reader.tensor(node.input(0))
    shape = reader.shape(ref)
    parts = _parts(reader, node, shape)
    siblings = [n for n in reader.readers[node.input(0)] if n.kind == "Slice"]
    ranges = [_channel_range(reader, sibling, shape) for sibling in siblings]
    known = sorted(r for r in ranges if r is not None)
    partition = len(known) == len(ranges) > 1 and [0, *(end for _, end in known)] == [
        *(start for start, _ in known),
        shape[1],
    ]
    if not partition:
        for axis, start, end, step in parts:
            attrs: dict[str, AttrValue] = {} if step == 1 else {"step": step}
            ref = reader.emit("slice", (ref,), node.name, axis=axis, start=start, end=end, **attrs)
        return [ref]
    index, _ = reader.emit("split", (ref,), node.name, sizes=tuple(end - start for start, end in known))
    for sibling, found in zip(siblings, ranges, strict=True):
        reader.absorb(sibling.outputs[0], (index, known.index(found or (0, 0))))
    return [reader.refs[node.outputs[0]]]


def _channel_range(reader: GraphReader, node: Node, shape: Shape) -> tuple[int, int] | None:
    """(start, end) of a Slice of neighbouring channels; None for any other."""
    try:
        (part,) = _parts(reader, node, shape)
    except (Unreadable, ValueError):
        return None
    axis, start, end, step = part
    return (start, end) if (axis, step) == (1, 1) else None


def _parts(reader: GraphReader, node: Node, shape: Shape) -> list[_Part]:
    """What a Slice takes, without the axes of which it takes everything.

    Raises:
        Unreadable: where that is not known, goes backwards, or is nothing at all.
    """
    values: dict[str, list[int]] = {}
    for place, name in enumerate(("starts", "ends", "axes", "steps"), start=1):
        if node.input(place):
            values[name] = [int(v) for v in reader.constant(node.input(place), name).reshape(-1)]
        elif name in node.attrs:
            values[name] = [int(v) for v in node.attrs[name]]
    starts, ends = values["starts"], values["ends"]
    axes, steps = values.get("axes", list(range(len(starts)))), values.get("steps", [1] * len(starts))
    parts: list[_Part] = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 1:
            raise Unreadable("it slices backwards")
        axis %= len(shape)
        start, end, _ = slice(start, end).indices(shape[axis])
        if start >= end:
            raise Unreadable("it takes nothing at all")
        if (start, end, step) != (0, shape[axis], 1):
            parts.append((axis, start, end, step))
    return parts


def _global_pool(reader: GraphReader, node: Node) -> Sequence[Ref]:
    return [reader.emit("global_avg_pool", (reader.tensor(node.input(0)),), node.name)]


def _cast(reader: GraphReader, node: Node) -> Sequence[Ref]:
    if int(node.attrs["to"]) not in FLOAT_TYPES:
        raise Unreadable("it makes values that are no floating-point numbers")
    return [reader.tensor(node.input(0))]


HANDLERS: Mapping[str, Handler] = {
    **TENSOR_HANDLERS,
    **WINDOW_HANDLERS,
    "Attention": attention,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Concat": _concat,
    "DequantizeLinear": _alias,
    "Dropout": _alias,
    "Einsum": einsum,
    "GlobalAveragePool": _global_pool,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": plain("hswish"),
    "Identity": _alias,
    "QuantizeLinear": _alias,
    "Relu": plain("relu"),
    "Resize": resize,
    "Sigmoid": plain("sigmoid"),
    "Slice": _slice,
    "Split": _split,
    "Upsample": resize,
}
"""ONNX operator -> how it is read."""
