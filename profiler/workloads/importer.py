"""ONNX file -> Workload with its weights, and everything that could not be read.

What a Workload cannot say is part of the answer: the outputs of an unknown node become inputs of the workload, so
that the rest can still be priced, and the node is listed in `Imported.unsupported`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from profiler.errors import ConfigError, UnsupportedOperator
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.importer_file import OnnxFile, open_onnx
from profiler.workloads.importer_graph import Array, GraphReader, Node, Unreadable
from profiler.workloads.importer_handlers import HANDLERS
from profiler.workloads.importer_shapes import shapes_behind
from profiler.workloads.ops import Shape
from profiler.workloads.weights import Weights

__all__ = ["Imported", "UnsupportedNode", "read_onnx"]

_NEVER_FOLDED = frozenset({"AveragePool", "BatchNormalization", "Conv", "GlobalAveragePool", "MaxPool"})
"""Nodes that stay operators even where all they read is constant."""
_FOLDED_ZEROS = frozenset(
    {
        "Add", "Cast", "Concat", "Constant", "Expand", "Gather", "Mul", "Reshape", "Slice", "Squeeze", "Sub",
        "Transpose", "Unsqueeze",
    }
)  # fmt: skip
"""Nodes that are computed even where what they read is zeros, which stand for the dead branches of a cell."""


_OLDEST_FOLDED = {"DequantizeLinear": 19, "QuantizeLinear": 19}
"""Of which version onnx can compute them; on weights they have not changed since 13."""

_INTEGER = frozenset({"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"})
"""Nodes of files in which weights and activations are integers."""


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
        notes: sentences on what is read otherwise than the file has it.
    """

    workload: Workload
    weights: Weights
    unsupported: tuple[UnsupportedNode, ...]
    notes: tuple[str, ...] = ()


def read_onnx(path: str | Path, input_shapes: Mapping[str, Shape] | None = None) -> Imported:
    """Read a .onnx file.

    Args:
        path: the file.
        input_shapes: shapes for its inputs, by name; "" stands for the only one. They are needed where the file's own
            are dynamic.

    Raises:
        ConfigError: where the file is missing, is not ONNX, is damaged, is newer than the onnx package, or has dynamic
            shapes.
        UnsupportedOperator: where no operator at all could be read.
    """
    path = Path(path)
    file = open_onnx(path, input_shapes or {})
    reader = GraphReader(dict(file.constants), file.nodes, file.shapes, frozenset(file.outputs), file.opset)
    for name, shape in file.inputs:
        if shape:
            reader.refs[name] = reader.input(shape, name)
        else:
            reader.unknown.add(name)
    unsupported: list[UnsupportedNode] = []
    unread: list[str] = []
    for node in file.nodes:
        problem = _read(reader, node)
        if problem is not None:
            unsupported.append(problem)
            unread += node.inputs
    return _finished(reader, file, unread, tuple(unsupported), path)


def _read(reader: GraphReader, node: Node) -> UnsupportedNode | None:
    """Read one node; what cannot be read turns its outputs into inputs."""
    if node.outputs and node.outputs[0] in reader.done:
        return None  # drawn into an earlier op
    try:
        if _folded(reader, node):
            return None
        handler = HANDLERS.get(node.kind)
        if handler is None:
            raise Unreadable(_why_unknown(node.kind))
        for name, ref in zip(node.outputs, handler(reader, node), strict=False):
            if name:
                reader.refs[name] = ref
    except (Unreadable, ConfigError) as error:
        reason = str(error)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        reason = f"its attributes or inputs are not those of a valid {node.kind} ({error!r})"
    else:
        return None
    shapes = shapes_behind(reader, node)
    for name in node.outputs:
        if name in shapes:
            reader.refs[name] = reader.input(shapes[name], name)
            reader.invented.add(name)
        elif name:
            reader.unknown.add(name)
    return UnsupportedNode(node.name, node.kind, reason)


def _why_unknown(kind: str) -> str:
    """What is in the way of an operator that there is no word for, and what to do where that is known."""
    if kind in _INTEGER or kind.startswith("com.microsoft.QLinear"):
        return "it computes with integers; give the file before it was quantised, or with QuantizeLinear around floats"
    if kind.startswith("com.microsoft."):
        return "ONNX Runtime makes such operators when it optimises; give the file before it was optimised"
    return "no operator of a workload does this"


def _folded(reader: GraphReader, node: Node) -> bool:
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
    if node.kind in _NEVER_FOLDED or "." in node.kind or not all(name in reader.constants for name in read):
        return False
    if node.kind in HANDLERS and node.kind not in _FOLDED_ZEROS and _is_dead_branch(reader.constants[read[0]]):
        return False
    proto = helper.make_node(node.kind, list(node.inputs), list(node.outputs), **node.attrs)
    model = helper.make_model(
        helper.make_graph([proto], "constant", [], [helper.make_empty_tensor_value_info(n) for n in node.outputs if n]),
        opset_imports=[helper.make_opsetid("", max(reader.opset, _OLDEST_FOLDED.get(node.kind, 1)))],
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
    for name, value in zip((n for n in node.outputs if n), values, strict=True):
        # whatever the file's precision: operands of one node are of one type
        array = np.asarray(value)
        reader.constants[name] = array.astype(np.float32) if array.dtype.kind == "f" else array
    return True


def _is_dead_branch(array: Array) -> bool:
    """Whether it is what the exporter makes of a branch of a cell that is none: an image or vectors of zeros."""
    return array.dtype.kind == "f" and array.ndim in (2, 4) and array.size > 1 and not array.any()


def _finished(
    reader: GraphReader, file: OnnxFile, unread: list[str], unsupported: tuple[UnsupportedNode, ...], path: Path
) -> Imported:
    """The workload; what only an unsupported node reads leaves it too, lest the ops behind it count as dead."""
    leaving: list[Ref] = []
    for name in file.outputs:
        if name in reader.invented:
            continue
        with suppress(Unreadable):  # what hangs on an unsupported node
            ref = reader.tensor(name)
            bare = reader.ops[ref[0]].kind == "input"
            leaving.append(reader.emit("identity", (ref,), name) if bare else ref)
    for name in dict.fromkeys(unread):
        read = reader.padded[name].ref if name in reader.padded else reader.refs.get(name)
        if read is not None and read not in leaving and reader.ops[read[0]].kind not in ("input", "zero", "constant"):
            leaving.append(read)
    if not leaving:
        names = tuple(dict.fromkeys(node.op_type for node in unsupported))
        why = f": {unsupported[0].reason}" if unsupported else ""
        raise UnsupportedOperator(f"{path}: none of its operators can be read ({', '.join(names)}){why}", names)
    weights: Mapping[int, Mapping[str, Any]] = reader.weights
    workload = Workload(tuple(reader.ops), tuple(leaving), path.stem)
    return Imported(workload, weights, unsupported, file.notes)
