"""Operators on tensors of any rank as ONNX nodes of opset 17.

What opset 17 has no node for is written as exporters of its time wrote it, which ONNX Runtime knows how to fuse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import pi, sqrt
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from profiler.workloads.op import Op
from profiler.workloads.ops import Shape

__all__ = ["TENSOR_HANDLERS", "Graph"]


class Graph(Protocol):
    """The graph under construction, as the handlers here see it (`builders.onnx` has it)."""

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Add an initializer; returns its name."""

    def weight(self, index: int, name: str) -> str:
        """Add one of the op's weights; returns its name."""

    def value(self, index: int) -> None:
        """The op's output is an initializer of its value."""

    def shape(self, index: int) -> Shape:
        """The shape of the op's first output."""

    def read(self, index: int, place: int = 0) -> str:
        """The name of a tensor that the op reads."""

    def node(self, index: int, op_type: str, extra: Sequence[str] = (), **attributes: Any) -> None:
        """Add the node for op `index`, `extra` being inputs after its own."""

    def emit(self, index: int, op_type: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Add the node that makes the outputs of op `index`, of inputs named in full."""

    def inner(self, index: int, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node on the way to the outputs of op `index`; returns the name of what it makes."""


Handler = Callable[[Graph, int, Op], None]


def _plain(op_type: str) -> Handler:
    return lambda graph, index, op: graph.node(index, op_type)


def _number(graph: Graph, index: int, name: str, value: float) -> str:
    return graph.constant(f"c{index}_{name}", np.array(value, np.float32))


def _integers(graph: Graph, index: int, name: str, values: Sequence[int]) -> str:
    return graph.constant(f"c{index}_{name}", np.array(values, np.int64))


def _gelu(graph: Graph, index: int, op: Op) -> None:
    """x (1 + erf(x / sqrt 2)) / 2, or x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
    x = graph.read(index)
    one, half = _number(graph, index, "one", 1.0), _number(graph, index, "half", 0.5)
    if op.attr("approximate") == "tanh":
        cube = graph.inner(index, "Mul", [x, graph.inner(index, "Mul", [x, x])])
        small = graph.inner(index, "Mul", [cube, _number(graph, index, "cubic", 0.044715)])
        scaled = graph.inner(
            index, "Mul", [graph.inner(index, "Add", [x, small]), _number(graph, index, "scale", sqrt(2.0 / pi))]
        )
        curve = graph.inner(index, "Tanh", [scaled])
    else:
        curve = graph.inner(index, "Erf", [graph.inner(index, "Div", [x, _number(graph, index, "root", sqrt(2.0))])])
    raised = graph.inner(index, "Mul", [x, graph.inner(index, "Add", [curve, one])])
    graph.emit(index, "Mul", [raised, half])


def _layer_norm(graph: Graph, index: int, op: Op) -> None:
    weights = [graph.weight(index, name) for name in ("weight", "bias")]
    graph.node(index, "LayerNormalization", weights, axis=op.int("axis"), epsilon=op.float("eps"))


def _clip(graph: Graph, index: int, op: Op) -> None:
    graph.node(index, "Clip", [_number(graph, index, name, op.float(name)) for name in ("low", "high")])


def _mean(graph: Graph, index: int, op: Op) -> None:
    graph.node(index, "ReduceMean", axes=op.ints("axes"), keepdims=1)


def _reshape(graph: Graph, index: int, op: Op) -> None:
    graph.node(index, "Reshape", [_integers(graph, index, "shape", op.ints("shape"))])


def _slice(graph: Graph, index: int, op: Op) -> None:
    names = ("start", "end", "axis", "step")
    graph.node(index, "Slice", [_integers(graph, index, name, [op.int(name)]) for name in names])


def _gather(graph: Graph, index: int, op: Op) -> None:
    indices: Any = op.ints("indices")[0] if op.attr("squeeze") else op.ints("indices")
    graph.node(index, "Gather", [_integers(graph, index, "indices", indices)], axis=op.int("axis"))


def _pad(graph: Graph, index: int, op: Op) -> None:
    graph.node(
        index,
        "Pad",
        [_integers(graph, index, "pads", op.ints("pads")), _number(graph, index, "value", op.float("value"))],
    )


def _resize(graph: Graph, index: int, op: Op) -> None:
    sizes = _integers(graph, index, "sizes", graph.shape(index))
    if op.attr("mode") == "nearest":
        form = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        place = "align_corners" if op.attr("align_corners") else "half_pixel"
        form = {"coordinate_transformation_mode": place}
    graph.node(index, "Resize", ["", "", sizes], mode=op.attr("mode"), **form)


TENSOR_HANDLERS: Mapping[str, Handler] = {
    "constant": lambda graph, index, op: graph.value(index),
    "sub": _plain("Sub"),
    "div": _plain("Div"),
    "matmul": _plain("MatMul"),
    "layer_norm": _layer_norm,
    "gelu": _gelu,
    "tanh": _plain("Tanh"),
    "erf": _plain("Erf"),
    "exp": _plain("Exp"),
    "sqrt": _plain("Sqrt"),
    "elu": _plain("Elu"),
    "leaky_relu": lambda graph, index, op: graph.node(index, "LeakyRelu", alpha=op.float("slope")),
    "clip": _clip,
    "mean": _mean,
    "reshape": _reshape,
    "transpose": lambda graph, index, op: graph.node(index, "Transpose", perm=op.ints("perm")),
    "slice": _slice,
    "gather": _gather,
    "pad": _pad,
    "resize": _resize,
}
"""Operator kind -> how its nodes are written."""
