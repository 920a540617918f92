"""ONNX file -> Workload with its weights, and everything that could not be read.

What a Workload cannot say is part of the answer: the outputs of an unknown node become inputs of the workload, so
that the rest can still be priced, and the node is listed in `Imported.unsupported`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from profiler.errors import ConfigError, UnsupportedOperator
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.importer_graph import Array, GraphReader, Node, Unreadable
from profiler.workloads.importer_handlers import HANDLERS
from profiler.workloads.ops import Shape
from profiler.workloads.weights import Weights

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto

__all__ = ["Imported", "UnsupportedNode", "read_onnx"]

_ONNX_DOMAINS = ("", "ai.onnx")

_COMPUTES = frozenset(HANDLERS) - {"Add", "Cast", "Concat", "Mul", "Reshape", "Slice", "Squeeze"}
"""Nodes that stay operators even where all they read is constant."""


@dataclass(frozen=True, slots=True)
class UnsupportedNode:
    """A node that a Workload cannot say.

    Attributes:
        name: the node's name in the file.
        op_type: its operator, with the domain where that is not ONNX's own.
        reason: what is in the way.
    """

    name: str
    op_type: str
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What was read from a file.

    Attributes:
        workload: everything that could be read.
        weights: by op index, as `profiler.workloads.weights` lays them out.
        unsupported: the nodes that could not; their outputs are inputs of the workload.
    """

    workload: Workload
    weights: Weights
    unsupported: tuple[UnsupportedNode, ...]


def read_onnx(path: str | Path) -> Imported:
    """Read a .onnx file of fixed shapes.

    Raises:
        ConfigError: where the file is missing, is not ONNX, is damaged, or has dynamic shapes.
        UnsupportedOperator: where no operator at all could be read.
    """
    path = Path(path)
    model = _load(path)
    graph = model.graph
    constants = _constants(graph, path)
    inputs = [(value.name, _fixed_shape(value, path)) for value in graph.input if value.name not in constants]
    nodes = tuple(_node(proto) for proto in graph.node)
    _check_wired(graph, nodes, {name for name, _ in inputs} | set(constants), path)
    outputs = [value.name for value in graph.output]
    reader = GraphReader(constants, nodes, _inferred_shapes(model), frozenset(outputs))
    passed = next((name for name in outputs if name in dict(inputs)), None)
    if passed is not None:
        raise ConfigError(f"{path}: its output {passed!r} is also one of its inputs; export it without that output")
    for name, shape in inputs:
        if shape:
            reader.refs[name] = reader.input(shape, name)
        else:
            reader.unknown.add(name)
    opset = max((o.version for o in model.opset_import if o.domain in _ONNX_DOMAINS), default=1)
    unsupported: list[UnsupportedNode] = []
    unread: list[str] = []
    for node in nodes:
        problem = _read(reader, node, opset)
        if problem is not None:
            unsupported.append(problem)
            unread += node.inputs
    return _finished(reader, outputs, unread, tuple(unsupported), path)


# -------------------------------------------------------------------- the file


def _load(path: Path) -> ModelProto:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if not path.is_file():
        raise ConfigError(f"{path}: no such file; give the path of an ONNX model")
    try:
        model = onnx.load(str(path), format="protobuf")
    except DecodeError:
        raise ConfigError(f"{path}: not an ONNX model, or cut off; export or copy it again") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read, or its external data are missing ({error})") from None
    except (ValueError, onnx.checker.ValidationError) as error:
        raise ConfigError(f"{path}: its external data cannot be read ({error})") from None
    if not model.graph.node or not model.graph.output:
        raise ConfigError(f"{path}: not an ONNX model (it holds no nodes or no outputs); export or copy it again")
    return model


def _constants(graph: GraphProto, path: Path) -> dict[str, Array]:
    """Initialisers and the values of Constant nodes, by name."""
    from onnx import numpy_helper

    try:
        found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            for attr in node.attribute:
                if node.op_type == "Constant" and attr.name == "value":
                    found[node.output[0]] = numpy_helper.to_array(attr.t)
    except (ValueError, TypeError, IndexError) as error:
        raise ConfigError(f"{path}: its weights are damaged ({error}); export or copy it again") from None
    return found


def _fixed_shape(value: ValueInfoProto, path: Path) -> Shape:
    """The shape of a graph input; empty where it is no tensor of floats."""
    from onnx import TensorProto

    tensor = value.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
        return ()
    if not tensor.HasField("shape"):
        raise ConfigError(f"{path}: input {value.name!r} has no shape; export the model with fixed shapes")
    for place, dim in enumerate(tensor.shape.dim):
        if dim.dim_value < 1:
            label = f"{dim.dim_param!r} " if dim.dim_param else ""
            raise ConfigError(
                f"{path}: input {value.name!r} has the dynamic dimension {label}at place {place}; fix it with python "
                f"-m onnxruntime.tools.make_dynamic_shape_fixed, or export the model with fixed shapes"
            )
    return tuple(int(dim.dim_value) for dim in tensor.shape.dim)


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


# -------------------------------------------------------------------- the graph


def _read(reader: GraphReader, node: Node, opset: int) -> UnsupportedNode | None:
    """Read one node; what cannot be read turns its outputs into inputs."""
    if node.outputs and node.outputs[0] in reader.done:
        return None  # drawn into an earlier op
    try:
        if _folded(reader, node, opset):
            return None
        handler = HANDLERS.get(node.kind)
        if handler is None:
            raise Unreadable("no operator of a workload does this")
        for name, ref in zip(node.outputs, handler(reader, node), strict=False):
            if name:
                reader.refs[name] = ref
    except (Unreadable, ConfigError) as error:
        reason = str(error)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        reason = f"its attributes or inputs are not those of a valid {node.kind} ({error!r})"
    else:
        return None
    for name in node.outputs:
        shape = reader.known_shapes.get(name)
        if name and shape:
            reader.refs[name] = reader.input(shape, name)
            reader.invented.add(name)
        elif name:
            reader.unknown.add(name)
    return UnsupportedNode(node.name, node.kind, reason)


def _folded(reader: GraphReader, node: Node, opset: int) -> bool:
    """Whether the node's outputs are constants, which are then known."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    if node.outputs and node.outputs[0] in reader.constants:
        return True
    if node.kind == "Shape" and node.inputs[0] in reader.refs:
        shape = reader.shape(reader.refs[node.inputs[0]])
        reader.constants[node.outputs[0]] = np.array(shape[node.attrs.get("start", 0) : node.attrs.get("end")])
        return True
    if node.kind in ("Identity", "Dropout") and node.inputs[0] in reader.constants:
        reader.constants[node.outputs[0]] = reader.constants[node.inputs[0]]
        return True
    read = [name for name in node.inputs if name]
    if node.kind in _COMPUTES or "." in node.kind or not all(name in reader.constants for name in read):
        return False
    proto = helper.make_node(node.kind, list(node.inputs), list(node.outputs), **node.attrs)
    model = helper.make_model(
        helper.make_graph([proto], "constant", [], [helper.make_empty_tensor_value_info(n) for n in node.outputs if n]),
        opset_imports=[helper.make_opsetid("", opset)],
    )
    try:
        values = ReferenceEvaluator(model).run(None, {name: reader.constants[name] for name in read})
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise Unreadable(f"the constant that it makes could not be computed ({error})") from None
    reader.constants.update(zip((n for n in node.outputs if n), values, strict=True))
    return True


def _finished(
    reader: GraphReader, outputs: list[str], unread: list[str], unsupported: tuple[UnsupportedNode, ...], path: Path
) -> Imported:
    """The workload; what only an unsupported node reads leaves it too, lest the ops behind it count as dead."""
    leaving: list[Ref] = []
    for name in outputs:
        if name in reader.invented:
            continue
        with suppress(Unreadable):  # a constant that is not zero, or what hangs on an unsupported node
            ref = reader.tensor(name)
            bare = reader.ops[ref[0]].kind == "input"
            leaving.append(reader.emit("identity", (ref,), name) if bare else ref)
    for name in dict.fromkeys(unread):
        read = reader.padded[name].ref if name in reader.padded else reader.refs.get(name)
        if read is not None and read not in leaving and reader.ops[read[0]].kind not in ("input", "zero"):
            leaving.append(read)
    if not leaving:
        names = tuple(dict.fromkeys(node.op_type for node in unsupported))
        raise UnsupportedOperator(f"{path}: none of its operators can be read ({', '.join(names)})", names)
    weights: Mapping[int, Mapping[str, Any]] = reader.weights
    workload = Workload(tuple(reader.ops), tuple(leaving), path.stem)
    return Imported(workload, weights, unsupported)
