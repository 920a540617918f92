"""The shapes that a node which cannot be read leaves behind, so that what comes after it can be read all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.workloads.importer_graph import FLOAT_TYPES, GraphReader, Node
from profiler.workloads.ops import Shape

if TYPE_CHECKING:
    from onnx import TypeProto

__all__ = ["shapes_behind"]

_MOST_VALUES = 4096
"""Constants of more values decide no shape."""


def shapes_behind(reader: GraphReader, node: Node) -> dict[str, Shape]:
    """The fixed shapes of a node's outputs of floats, by name: as inferred for the whole file, or from what the node
    itself reads, where inference stopped earlier; without those that neither tells."""
    known = {name: reader.known_shapes[name] for name in node.outputs if name in reader.known_shapes}
    if len(known) < len([name for name in node.outputs if name]):
        known = {**_by_onnx(reader, node), **known}
    return known


def _by_onnx(reader: GraphReader, node: Node) -> dict[str, Shape]:
    """By ONNX's own rule for this operator; nothing where it has none, or something read is not known."""
    from onnx import TensorProto, checker, defs, helper, numpy_helper, shape_inference

    types: dict[str, TypeProto] = {}
    for name in node.inputs:
        if name in reader.constants:
            array = reader.constants[name]
            types[name] = helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        elif name in reader.refs:
            types[name] = helper.make_tensor_type_proto(TensorProto.FLOAT, reader.shape(reader.refs[name]))
        elif name:
            return {}
    values = {
        name: numpy_helper.from_array(reader.constants[name], name)
        for name in types
        if name in reader.constants and reader.constants[name].size <= _MOST_VALUES
    }
    failures = (defs.SchemaError, checker.ValidationError, shape_inference.InferenceError, RuntimeError, ValueError)
    try:
        schema = defs.get_schema(node.kind, reader.opset, "")
        proto = helper.make_node(node.kind, list(node.inputs), list(node.outputs), **node.attrs)
        imports = [helper.make_opsetid("", reader.opset)]
        found = shape_inference.infer_node_outputs(schema, proto, types, values, opset_imports=imports)
    except (*failures, TypeError):
        return {}
    shapes: dict[str, Shape] = {}
    for name, made in found.items():
        sizes = tuple(int(dim.dim_value) for dim in made.tensor_type.shape.dim)
        if made.tensor_type.elem_type in FLOAT_TYPES and sizes and min(sizes) > 0:
            shapes[name] = sizes
    return shapes
