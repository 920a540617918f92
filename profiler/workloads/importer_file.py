"""An ONNX file as plain values: its nodes, constants, shapes and ends; and what may be wrong with a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from profiler.errors import ConfigError
from profiler.workloads.importer_graph import FLOAT_TYPES, Array, Node
from profiler.workloads.importer_load import ONNX_DOMAINS, fed, load_model, opset_of
from profiler.workloads.ops import Shape

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto

__all__ = ["OnnxFile", "open_onnx"]

_CONSTANT_FIELDS: Mapping[str, tuple[str, type[np.generic]]] = {
    "value_float": ("f", np.float32),
    "value_floats": ("floats", np.float32),
    "value_int": ("i", np.int64),
    "value_ints": ("ints", np.int64),
}
"""Attributes of a Constant node -> where they hold their value, and its type."""

_ROUNDING = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """What a file holds.

    Attributes:
        nodes: in order.
        constants: initialisers and the values of Constant nodes, by name.
        inputs: (name, shape) of what has to be fed; the shape is empty where it is no tensor of floats.
        outputs: names of what leaves.
        shapes: every tensor's shape that shape inference could fix, by name.
        opset: the version of ONNX's own operators.
        notes: sentences on what is read otherwise than it is written.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[str, ...]
    shapes: dict[str, Shape]
    opset: int
    notes: tuple[str, ...] = ()


def open_onnx(path: Path, input_shapes: Mapping[str, Shape]) -> OnnxFile:
    """Read and check a file.

    Args:
        path: the file.
        input_shapes: as `importer.read_onnx` takes them.

    Raises:
        ConfigError: where the file is missing, is not ONNX, is damaged, is newer than the onnx package, or has dynamic
            shapes.
    """
    model, _ = load_model(path, input_shapes)
    opset = opset_of(model, path)
    graph = model.graph
    constants = _constants(graph, path)
    values = fed(graph)
    inputs = tuple((value.name, _fixed_shape(value, values, path)) for value in values)
    nodes = tuple(_node(proto) for proto in graph.node)
    _check_wired(graph, nodes, {name for name, _ in inputs} | set(constants), path)
    outputs = tuple(value.name for value in graph.output)
    passed = next((name for name in outputs if name in dict(inputs)), None)
    if passed is not None:
        raise ConfigError(f"{path}: its output {passed!r} is also one of its inputs; export it without that output")
    return OnnxFile(nodes, constants, inputs, outputs, _inferred_shapes(model), opset, _notes(graph))


def _notes(graph: GraphProto) -> tuple[str, ...]:
    """What numbers are stored as does not belong to a workload: that is the target's precision."""
    from onnx import TensorProto

    found: list[str] = []
    types = {t.data_type for t in graph.initializer} | {v.type.tensor_type.elem_type for v in graph.input}
    others = sorted(TensorProto.DataType.Name(t).lower() for t in types & FLOAT_TYPES - {TensorProto.FLOAT})
    if others:
        found.append(f"the file's numbers are {' and '.join(others)}; it is priced in the target's own precision")
    if any(node.op_type in _ROUNDING for node in graph.node):
        found.append(
            "the file rounds to integers and back (QuantizeLinear, DequantizeLinear); it is read as the network "
            "between, without clamps that its scales imply, and priced in the target's own precision"
        )
    return tuple(found)


def _constants(graph: GraphProto, path: Path) -> dict[str, Array]:
    """Initialisers and the values of Constant nodes, by name."""
    from onnx import numpy_helper

    try:
        found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            for attr in node.attribute if node.op_type == "Constant" else ():
                if attr.name == "value":
                    found[node.output[0]] = numpy_helper.to_array(attr.t)
                elif attr.name in _CONSTANT_FIELDS:
                    field, dtype = _CONSTANT_FIELDS[attr.name]
                    found[node.output[0]] = np.array(getattr(attr, field), dtype)
    except (ValueError, TypeError, IndexError) as error:
        raise ConfigError(f"{path}: its weights are damaged ({error}); export or copy it again") from None
    narrow = {t.name for t in graph.initializer if t.data_type in FLOAT_TYPES}
    return {
        name: array.astype(np.float32) if name in narrow or array.dtype.kind == "f" else array
        for name, array in found.items()
    }


def _fixed_shape(value: ValueInfoProto, values: list[ValueInfoProto], path: Path) -> Shape:
    """The shape of a graph input; empty where it is no tensor of floats.

    Raises:
        ConfigError: where it is not fixed, saying how to fix it.
    """
    tensor = value.type.tensor_type
    if tensor.elem_type not in FLOAT_TYPES:
        return ()
    if not tensor.HasField("shape"):
        raise ConfigError(
            f"{path}: input {value.name!r} has no shape; give it one with --input-shape {value.name}=1,3,224,224, or "
            "export the model with fixed shapes"
        )
    for place, dim in enumerate(tensor.shape.dim):
        if dim.dim_value < 1:
            label = f"{dim.dim_param!r} " if dim.dim_param else ""
            raise ConfigError(
                f"{path}: input {value.name!r} has the dynamic dimension {label}at place {place}; fix it with "
                f"--input-shape {_example(value, values)}, or export the model with fixed shapes"
            )
    return tuple(int(dim.dim_value) for dim in tensor.shape.dim)


def _example(value: ValueInfoProto, values: list[ValueInfoProto]) -> str:
    """How its shape might be given: one for the batch, the size of ImageNet's images for what else is not fixed."""
    dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    usual = (1, 3, 224, 224) if len(dims) == 4 else (1,) * len(dims)
    sizes = ",".join(str(size if size >= 1 else guess) for size, guess in zip(dims, usual, strict=True))
    return sizes if len(values) == 1 else f"{value.name}={sizes}"


def _node(proto: Any) -> Node:
    from onnx import helper

    kind = proto.op_type if proto.domain in ONNX_DOMAINS else f"{proto.domain}.{proto.op_type}"
    outputs = list(proto.output)
    while outputs and not outputs[-1]:
        outputs.pop()
    attrs = {attr.name: helper.get_attribute_value(attr) for attr in proto.attribute}
    return Node(proto.name or next(iter(outputs), kind), kind, tuple(proto.input), tuple(outputs), attrs)


def _check_wired(graph: GraphProto, nodes: tuple[Node, ...], known: set[str], path: Path) -> None:
    """A file that was cut off can still parse; then something is read that nothing makes."""
    known = known | {""} | {tensor.values.name for tensor in graph.sparse_initializer}
    for node in nodes:
        for name in node.inputs:
            if name not in known:
                raise ConfigError(f"{path}: damaged: node {node.name!r} reads {name!r}, which nothing before it makes")
        known.update(node.outputs)
    for value in graph.output:
        if value.name not in known:
            raise ConfigError(f"{path}: damaged: nothing makes its output {value.name!r}")


def _inferred_shapes(model: ModelProto) -> dict[str, Shape]:
    """Every tensor's shape that is fixed, by ONNX's own inference; best effort."""
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, ValueError):
        graph = model.graph  # what the file itself declares
    shapes: dict[str, Shape] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        sizes = tuple(int(dim.dim_value) for dim in tensor.shape.dim)
        if tensor.elem_type in FLOAT_TYPES and sizes and min(sizes) > 0:
            shapes[value.name] = sizes
    return shapes
