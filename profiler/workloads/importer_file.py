"""An ONNX file as plain values: its nodes, constants, shapes and ends; and what may be wrong with a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from profiler.errors import ConfigError
from profiler.workloads.importer_graph import Array, Node
from profiler.workloads.ops import Shape

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto

__all__ = ["OnnxFile", "load_model", "open_onnx"]

_ONNX_DOMAINS = ("", "ai.onnx")

_CONSTANT_FIELDS: Mapping[str, tuple[str, type[np.generic]]] = {
    "value_float": ("f", np.float32),
    "value_floats": ("floats", np.float32),
    "value_int": ("i", np.int64),
    "value_ints": ("ints", np.int64),
}
"""Attributes of a Constant node -> where they hold their value, and its type."""


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
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[str, ...]
    shapes: dict[str, Shape]
    opset: int


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
    opset = _opset(model, path)
    graph = model.graph
    constants = _constants(graph, path)
    fed = _fed(graph)
    inputs = tuple((value.name, _fixed_shape(value, fed, path)) for value in fed)
    nodes = tuple(_node(proto) for proto in graph.node)
    _check_wired(graph, nodes, {name for name, _ in inputs} | set(constants), path)
    outputs = tuple(value.name for value in graph.output)
    passed = next((name for name in outputs if name in dict(inputs)), None)
    if passed is not None:
        raise ConfigError(f"{path}: its output {passed!r} is also one of its inputs; export it without that output")
    return OnnxFile(nodes, constants, inputs, outputs, _inferred_shapes(model), opset)


def load_model(path: Path, input_shapes: Mapping[str, Shape]) -> tuple[ModelProto, bool]:
    """The file with all weights in memory and the given shapes set; and whether some of the weights lie beside it.

    Raises:
        ConfigError: where it is missing, is not ONNX, or the shapes do not fit.
    """
    model, outside = _load(path)
    if input_shapes:
        _set_shapes(model, _fed(model.graph), input_shapes, path)
    return model, outside


def _fed(graph: GraphProto) -> list[ValueInfoProto]:
    """The inputs that are no weights."""
    constants = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in constants]


def _load(path: Path) -> tuple[ModelProto, bool]:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if not path.is_file():
        raise ConfigError(f"{path}: no such file; give the path of an ONNX model")
    try:
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
        outside = any(onnx.external_data_helper.uses_external_data(tensor) for tensor in model.graph.initializer)
        if outside:
            onnx.load_external_data_for_model(model, str(path.parent))
    except DecodeError:
        raise ConfigError(f"{path}: not an ONNX model, or cut off; export or copy it again") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read, or its external data are missing ({error})") from None
    except (ValueError, onnx.checker.ValidationError) as error:
        raise ConfigError(f"{path}: its external data cannot be read ({error})") from None
    if len(model.functions):
        model = onnx.inliner.inline_local_functions(model)
    if not model.graph.node or not model.graph.output:
        raise ConfigError(f"{path}: not an ONNX model (it holds no nodes or no outputs); export or copy it again")
    return model, outside


def _opset(model: ModelProto, path: Path) -> int:
    """The version of ONNX's own operators.

    Raises:
        ConfigError: where the onnx package here is older.
    """
    import onnx

    opset = max((o.version for o in model.opset_import if o.domain in _ONNX_DOMAINS), default=1)
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= opset <= newest:
        raise ConfigError(
            f"{path}: opset {opset} is not one of 1 to {newest}, which the installed onnx {onnx.__version__} knows; "
            "export the model with an older opset, or install a newer onnx"
        )
    return int(opset)


def _set_shapes(model: ModelProto, fed: list[ValueInfoProto], shapes: Mapping[str, Shape], path: Path) -> None:
    """Write the given shapes into the inputs, and forget all that was derived from the file's own.

    Raises:
        ConfigError: for an input that there is not, or a rank that is not the input's.
    """
    by_name = {value.name: value for value in fed}
    names = ", ".join(by_name)
    for given, shape in shapes.items():
        if not given and len(fed) != 1:
            raise ConfigError(f"{path}: it has {len(fed)} inputs ({names}); say whose shape {shape} is, as NAME=1,3,..")
        value = fed[0] if not given else by_name.get(given)
        if value is None:
            raise ConfigError(f"{path}: it has no input {given!r}; its inputs are {names}")
        tensor = value.type.tensor_type
        declared = [dim.dim_value for dim in tensor.shape.dim]
        fits = len(declared) == len(shape) and all(d < 1 or d == s for d, s in zip(declared, shape, strict=True))
        if min(shape, default=0) < 1 or (tensor.HasField("shape") and not fits):
            own = ", ".join(dim.dim_param or str(dim.dim_value or "?") for dim in tensor.shape.dim)
            raise ConfigError(f"{path}: the shape {shape} does not fit input {value.name!r}, which is ({own})")
        del tensor.shape.dim[:]
        for size in shape:
            tensor.shape.dim.add().dim_value = size
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")


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
    return found


def _fixed_shape(value: ValueInfoProto, fed: list[ValueInfoProto], path: Path) -> Shape:
    """The shape of a graph input; empty where it is no tensor of floats.

    Raises:
        ConfigError: where it is not fixed, saying how to fix it.
    """
    from onnx import TensorProto

    tensor = value.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
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
                f"--input-shape {_example(value, fed)}, or export the model with fixed shapes"
            )
    return tuple(int(dim.dim_value) for dim in tensor.shape.dim)


def _example(value: ValueInfoProto, fed: list[ValueInfoProto]) -> str:
    """How its shape might be given: one for the batch, the size of ImageNet's images for what else is not fixed."""
    dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    usual = (1, 3, 224, 224) if len(dims) == 4 else (1,) * len(dims)
    sizes = ",".join(str(size if size >= 1 else guess) for size, guess in zip(dims, usual, strict=True))
    return sizes if len(fed) == 1 else f"{value.name}={sizes}"


def _node(proto: Any) -> Node:
    from onnx import helper

    kind = proto.op_type if proto.domain in _ONNX_DOMAINS else f"{proto.domain}.{proto.op_type}"
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
        if tensor.elem_type == onnx.TensorProto.FLOAT and sizes and min(sizes) > 0:
            shapes[value.name] = sizes
    return shapes
