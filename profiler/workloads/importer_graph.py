"""The state of reading one ONNX graph: which tensor is which, what is constant, and the ops read so far."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.workloads.graph import Op, Ref
from profiler.workloads.op import infer_shapes
from profiler.workloads.ops import AttrValue, Shape

__all__ = ["FLOAT_TYPES", "Array", "GraphReader", "Node", "Padded", "Unreadable", "operands", "widened"]

Array = NDArray[Any]

FLOAT_TYPES = frozenset({1, 10, 11, 16})
"""FLOAT, FLOAT16, DOUBLE and BFLOAT16 of ONNX's TensorProto: read alike, as numbers."""


class Unreadable(Exception):
    """A node is outside of what a Workload can say; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Node:
    """One ONNX node with its attributes as plain values.

    Attributes:
        name: its own name, or that of its first output.
        kind: the operator, with its domain where that is not ONNX's own.
        inputs: tensor names; "" stands for an input that is left out.
        outputs: tensor names, trailing empty ones left out.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Any]

    def input(self, place: int) -> str:
        """The name of an input, "" where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else ""


@dataclass(frozen=True, slots=True)
class Padded:
    """A tensor behind a Pad that waits for the convolution or pooling that takes the padding over.

    Attributes:
        ref: the tensor without padding.
        padding: (top, left, bottom, right).
        value: what the padding holds.
        name: of the Pad.
    """

    ref: Ref
    padding: tuple[int, int, int, int]
    value: float
    name: str


@dataclass(slots=True)
class GraphReader:
    """Collects the ops of a workload while nodes are read in order.

    Attributes:
        constants: arrays known without running the model, by tensor name.
        nodes: all nodes in order.
        known_shapes: shapes that shape inference found, by tensor name.
        invented: the outputs of unsupported nodes, which are inputs of the workload.
        graph_outputs: names of the tensors that leave the graph.
        ops, shapes, weights: the workload so far.
        refs: the tensors of the workload, by their name in the file.
        padded: tensors behind a Pad.
        unknown: tensors that have no value in the workload.
        done: first outputs of nodes that were drawn into an earlier op.
        readers: the nodes that read a tensor, by its name.
        opset: the version of ONNX's own operators.
    """

    constants: dict[str, Array]
    nodes: tuple[Node, ...]
    known_shapes: dict[str, Shape]
    graph_outputs: frozenset[str]
    opset: int
    ops: list[Op] = field(default_factory=list)
    shapes: list[tuple[Shape, ...]] = field(default_factory=list)
    weights: dict[int, dict[str, NDArray[np.float32]]] = field(default_factory=dict)
    refs: dict[str, Ref] = field(default_factory=dict)
    padded: dict[str, Padded] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    invented: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    readers: dict[str, list[Node]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    # ---------------------------------------------------------------- tensors

    def tensor(self, name: str) -> Ref:
        """The value of a tensor that an op reads.

        Raises:
            Unreadable: where it has none in the workload.
        """
        if name in self.refs:
            return self.refs[name]
        if name in self.constants:
            self.refs[name] = self.constant_operand(name, self.constants[name].ndim)
            return self.refs[name]
        if name in self.unknown:
            raise Unreadable(f"it depends on {name!r}, whose shape could not be inferred")
        raise Unreadable(f"it needs the input {name!r}")

    def shape(self, ref: Ref) -> Shape:
        """The shape of a tensor of the workload."""
        return self.shapes[ref[0]][ref[1]]

    def constant(self, name: str, what: str) -> Array:
        """A constant that a node needs.

        Raises:
            Unreadable: where it is computed from the model's inputs.
        """
        if name not in self.constants:
            raise Unreadable(f"its {what} is not a constant")
        return self.constants[name]

    def constant_operand(self, name: str, rank: int) -> Ref:
        """A constant that an op reads beside tensors of a rank: axes of one are put before its own.

        Raises:
            Unreadable: where it holds no floating-point values, or has more axes.
        """
        array = self.constants[name]
        if array.dtype.kind != "f" or not array.size or array.ndim > rank or rank == 0:
            raise Unreadable(f"its operand {name!r} is a constant of {array.dtype} and shape {array.shape}")
        if array.ndim in (2, 4) and array.ndim == rank and not array.any():
            return self.emit("zero", (), name, shape=tuple(int(s) for s in array.shape))
        return self.emit_constant(name, array.reshape((1,) * (rank - array.ndim) + array.shape))

    def only_reader(self, name: str) -> Node | None:
        """The one node that reads a tensor which nothing else needs, or None."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.graph_outputs else None

    def absorb(self, name: str, ref: Ref) -> None:
        """A later node's only output is what an op made already; "" for none."""
        if name:
            self.refs[name] = ref
            self.done.add(name)

    # ---------------------------------------------------------------- ops

    def input(self, shape: Shape, name: str) -> Ref:
        """A further graph input."""
        position = sum(op.kind == "input" for op in self.ops)
        return self.emit("input", (), name, position=position, shape=shape)

    def emit(self, kind: str, inputs: Iterable[Ref], name: str, **attrs: AttrValue) -> Ref:
        """Append an op; returns its first output.

        Raises:
            ConfigError: where shapes do not fit; nothing is appended then.
        """
        op = Op(kind, tuple(inputs), tuple(sorted(attrs.items())), name)
        self.shapes.append(infer_shapes(op, len(self.ops), self.shapes))
        self.ops.append(op)
        return (len(self.ops) - 1, 0)

    def emit_constant(self, name: str, value: Array) -> Ref:
        """Append values that are known beforehand, as a tensor of their shape."""
        ref = self.emit("constant", (), name, shape=tuple(int(size) for size in value.shape))
        self.weights[ref[0]] = {"value": np.ascontiguousarray(value, dtype=np.float32)}
        return ref

    def emit_weighted(
        self, kind: str, source: Ref, name: str, weights: dict[str, Array | None], **attrs: AttrValue
    ) -> Ref:
        """Append an op with its weights; those that are None are left out."""
        ref = self.emit(kind, (source,), name, **attrs)
        self.weights[ref[0]] = {
            key: np.ascontiguousarray(array, dtype=np.float32) for key, array in weights.items() if array is not None
        }
        return ref


def operands(reader: GraphReader, names: Sequence[str], label: str) -> list[Ref]:
    """What an operator on several tensors reads, all of one rank: axes of one are put before those of the others.

    Raises:
        Unreadable: where one has no value in the workload.
    """
    refs = {name: reader.tensor(name) for name in names if name not in reader.constants}
    ranks = [len(reader.shape(ref)) for ref in refs.values()]
    rank = max([*ranks, *(reader.constants[name].ndim for name in names if name not in refs)])
    found: list[Ref] = []
    for name in names:
        if name not in refs:
            found.append(reader.constant_operand(name, rank))
            continue
        found.append(widened(reader, refs[name], rank, label))
    return found


def widened(reader: GraphReader, ref: Ref, rank: int, label: str) -> Ref:
    """A tensor with axes of one before its own, of which it has `rank` then."""
    shape = reader.shape(ref)
    wider = (1,) * (rank - len(shape)) + shape
    return ref if wider == shape else reader.emit("reshape", (ref,), label, shape=wider)
