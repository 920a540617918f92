"""Reading convolutions, poolings and the padding before them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from profiler.workloads.graph import Ref
from profiler.workloads.importer_graph import Array, GraphReader, Node, Padded, Unreadable
from profiler.workloads.ops import Shape

__all__ = ["WINDOW_HANDLERS", "bias_behind"]

_Padding = tuple[int, int, int, int]
_WINDOWS = ("Conv", "AveragePool", "MaxPool")
_NOT_NEGATIVE = frozenset({"relu", "relu6", "sigmoid", "hsigmoid", "softmax"})
"""Behind these a maximum over padding of zeros is the one over no padding."""


def bias_behind(
    reader: GraphReader, node: Node, channels: int, layouts: tuple[tuple[int, ...], ...]
) -> tuple[Array | None, str]:
    """The constant that an Add, the only reader of a node's output, adds to its channels; and that Add's output.

    Args:
        layouts: the shapes that such a constant may have, -1 for the number of channels.
    """
    adding = reader.only_reader(node.outputs[0])
    if adding is None or adding.kind != "Add":
        return None, ""
    other = [name for name in adding.inputs if name != node.outputs[0]]
    if len(other) != 1 or other[0] not in reader.constants:
        return None, ""
    bias = reader.constants[other[0]]
    if bias.shape not in [tuple(channels if s == -1 else s for s in layout) for layout in layouts]:
        return None, ""
    return bias.reshape(-1), adding.outputs[0]


def _conv(reader: GraphReader, node: Node) -> Sequence[Ref]:
    ref, padded = _source(reader, node)
    weight = reader.constant(node.input(1), "weight")
    if weight.ndim != 4 or len(reader.shape(ref)) != 4:
        raise Unreadable(f"a convolution with a weight of shape {weight.shape} is not two-dimensional")
    groups = int(node.attrs.get("group", 1))
    if weight.shape[1] * groups != reader.shape(ref)[1]:
        raise Unreadable(f"its weight {weight.shape} does not fit {groups} groups of {reader.shape(ref)[1]} channels")
    window = _window(node, reader.shape(ref), (weight.shape[2], weight.shape[3]), padded)
    bias, absorbed = bias_behind(reader, node, len(weight), ((-1, 1, 1), (1, -1, 1, 1)))
    if node.input(2):
        bias, absorbed = reader.constant(node.input(2), "bias"), ""
    attrs = {"out_channels": len(weight), "groups": groups, "bias": bias is not None, **window}
    out = reader.emit_weighted("conv2d", ref, node.name, {"weight": weight, "bias": bias}, **attrs)
    reader.absorb(absorbed, out)
    return [out]


def _pool(kind: str) -> Callable[[GraphReader, Node], Sequence[Ref]]:
    def read(reader: GraphReader, node: Node) -> Sequence[Ref]:
        ref, padded = _source(reader, node)
        shape = reader.shape(ref)
        if len(shape) != 4 or len(node.attrs["kernel_shape"]) != 2:
            raise Unreadable(f"a pooling of {shape} is not two-dimensional")
        if len(node.outputs) > 1 or node.attrs.get("storage_order", 0):
            raise Unreadable("its indices are read")
        window = _window(node, shape, (int(node.attrs["kernel_shape"][0]), int(node.attrs["kernel_shape"][1])), padded)
        if window.pop("dilation") != (1, 1):
            raise Unreadable("it is dilated")
        counted = kind == "avg_pool" and (bool(node.attrs.get("count_include_pad", 0)) or padded is not None)
        if node.attrs.get("ceil_mode", 0) and not _fills(window, shape):
            if counted and any(window["padding"]):
                raise Unreadable("its mean counts its padding and not what rounding its size up adds")
            window["padding"], counted = _rounded_up(window, shape), False
        if kind == "avg_pool":
            window["count_include_pad"] = counted
        return [reader.emit(kind, (ref,), node.name, **window)]

    return read


def _pad(reader: GraphReader, node: Node) -> Sequence[Ref]:
    """Nothing of its own where a convolution or pooling that reads it takes the padding over."""
    ref = reader.tensor(node.input(0))
    name = node.outputs[0]
    readers = reader.readers.get(name, [])
    apart = name in reader.graph_outputs or any(r.kind not in _WINDOWS or r.input(0) != name for r in readers)
    rank = len(reader.shape(ref))
    mode = node.attrs.get("mode", b"constant")
    pads = reader.constant(node.input(1), "pads").tolist() if node.input(1) else list(node.attrs.get("pads", []))
    if node.input(3):
        axes = [int(a) % rank for a in reader.constant(node.input(3), "axes")]
        full = [0] * 2 * rank
        for place, axis in enumerate(axes):
            full[axis], full[axis + rank] = pads[place], pads[place + len(axes)]
        pads = full
    value = float(node.attrs.get("value", 0.0))
    if node.input(2):
        value = float(reader.constant(node.input(2), "value").reshape(()))
    if mode not in (b"constant", "constant") or len(pads) != 2 * rank or min(pads) < 0:
        raise Unreadable("it is not a padding by a constant")
    if not any(pads):
        return [ref]
    if apart or rank != 4 or any(pads[i] for i in (0, 1, 4, 5)):
        return [_written_out(reader, ref, pads, value, node.name)]
    reader.padded[name] = Padded(ref, (pads[2], pads[3], pads[6], pads[7]), value, node.name)
    return []


def _source(reader: GraphReader, node: Node) -> tuple[Ref, _Padding | None]:
    """What a window operator reads, and the padding of a Pad before it."""
    padded = reader.padded.get(node.input(0))
    if padded is None:
        return reader.tensor(node.input(0)), None
    own_padding = any(node.attrs.get("pads", ())) or node.attrs.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
    if node.kind == "MaxPool":
        # its own padding counts as the lowest value there is
        harmless = reader.ops[padded.ref[0]].kind in _NOT_NEGATIVE and padded.value == 0
        takes_over = harmless or padded.value <= float(np.finfo(np.float32).min)
        takes_over = takes_over and max(padded.padding) < min(node.attrs["kernel_shape"])
    else:
        takes_over = padded.value == 0
    if node.kind == "AveragePool" and own_padding and not node.attrs.get("count_include_pad", 0):
        takes_over = False  # the two would count differently in its mean
    if takes_over:
        return padded.ref, padded.padding
    if node.input(0) not in reader.refs:
        top, left, bottom, right = padded.padding
        pads = (0, 0, top, left, 0, 0, bottom, right)
        reader.refs[node.input(0)] = _written_out(reader, padded.ref, pads, padded.value, padded.name)
    return reader.refs[node.input(0)], None


def _written_out(reader: GraphReader, ref: Ref, pads: Sequence[int], value: float, name: str) -> Ref:
    attrs: dict[str, float] = {"value": value} if value else {}
    return reader.emit("pad", (ref,), name, pads=tuple(int(p) for p in pads), **attrs)


def _window(node: Node, shape: Shape, kernel: tuple[int, int], before: _Padding | None) -> dict[str, Any]:
    """kernel, stride, padding and dilation as a Workload has them."""
    stride = _two(node, "strides")
    dilation = _two(node, "dilations")
    auto = node.attrs.get("auto_pad", b"NOTSET")
    auto = auto.decode() if isinstance(auto, bytes) else str(auto)
    first = before or (0, 0, 0, 0)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        high, wide = shape[2] + first[0] + first[2], shape[3] + first[1] + first[3]
        rows = _same(high, kernel[0], stride[0], dilation[0], auto)
        columns = _same(wide, kernel[1], stride[1], dilation[1], auto)
        own = (rows[0], columns[0], rows[1], columns[1])
    elif auto == "VALID" or not node.attrs.get("pads"):
        own = (0, 0, 0, 0)
    else:
        top, left, bottom, right = (int(p) for p in node.attrs["pads"])
        own = (top, left, bottom, right)
    padding = tuple(a + b for a, b in zip(own, first, strict=True))
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


def _same(size: int, kernel: int, stride: int, dilation: int, auto: str) -> tuple[int, int]:
    """Padding before and behind that makes ceil(size / stride) windows."""
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    half = total // 2
    return (half, total - half) if auto == "SAME_UPPER" else (total - half, half)


def _two(node: Node, name: str) -> tuple[int, int]:
    values = [int(v) for v in node.attrs.get(name, (1, 1))]
    if len(values) != 2:
        raise Unreadable(f"its {name} {values} are not two-dimensional")
    return values[0], values[1]


def _fills(window: Mapping[str, Any], shape: Shape) -> bool:
    """Whether the windows end where the padded input ends, so that rounding up changes nothing."""
    pads = window["padding"]
    return all(
        (shape[2 + axis] + pads[axis] + pads[axis + 2] - window["kernel"][axis]) % window["stride"][axis] == 0
        for axis in (0, 1)
    )


def _rounded_up(window: Mapping[str, Any], shape: Shape) -> tuple[int, ...]:
    """The padding with which as many windows fit as rounding up asks for; the last must begin on what there is."""
    pads = list(window["padding"])
    for axis in (0, 1):
        kernel, stride, size = window["kernel"][axis], window["stride"][axis], shape[2 + axis]
        windows = -(-(size + pads[axis] + pads[axis + 2] - kernel) // stride) + 1
        if (windows - 1) * stride >= size + pads[axis]:
            windows -= 1
        pads[axis + 2] = max(pads[axis + 2], (windows - 1) * stride + kernel - size - pads[axis])
    return tuple(pads)


WINDOW_HANDLERS: Mapping[str, Callable[[GraphReader, Node], Sequence[Ref]]] = {
    "AveragePool": _pool("avg_pool"),
    "Conv": _conv,
    "MaxPool": _pool("max_pool"),
    "Pad": _pad,
}
"""ONNX operator -> how it is read."""
