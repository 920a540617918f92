"""Workload -> ONNX, written with onnx.helper: no exporter, a few milliseconds a model.

Opset 17 and IR 8 are what ONNX Runtime 1.12 and later read, so old boards load these files too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ArtefactError, UnsupportedOperator
from profiler.workloads.builders.onnx_tensors import TENSOR_HANDLERS
from profiler.workloads.graph import Workload
from profiler.workloads.op import Op, Ref
from profiler.workloads.ops import Shape
from profiler.workloads.transform import simplify
from profiler.workloads.weights import Weights, seeded_weights

__all__ = ["IR_VERSION", "OPSET", "build_onnx", "input_name", "onnx_model", "output_name"]

OPSET = 17
IR_VERSION = 8


def build_onnx(workload: Workload, weights: Weights | None = None) -> bytes:
    """A float32 ONNX file of the workload, simplified first (batch norms folded, nothing dead).

    Inputs are named input_0, input_1, ... in the order of `workload.inputs`, outputs output_0, output_1, ...; all
    shapes are fixed and channel-first.

    Args:
        workload: what to lower.
        weights: its weights; by default the seeded ones.

    Raises:
        ArtefactError: where the weights do not fit, or the file would pass protobuf's 2 GB.
        UnsupportedOperator: for a kind without a handler here.
    """
    model = onnx_model(workload, weights)
    try:
        return bytes(model.SerializeToString(deterministic=True))
    except ValueError as error:
        raise ArtefactError(
            f"{workload.name or workload.key} cannot be written as one ONNX file ({error}); use a smaller workload"
        ) from None


def onnx_model(workload: Workload, weights: Weights | None = None, *, outputs_apart: bool = False) -> Any:
    """What `build_onnx` writes, as an onnx.ModelProto.

    Args:
        workload, weights: as there.
        outputs_apart: a tensor that leaves the graph and is read inside it too leaves through an Identity.
    """
    simple, arrays = simplify(workload, seeded_weights(workload) if weights is None else weights)
    return _Lowering(simple, arrays, outputs_apart).model()


def input_name(position: int) -> str:
    """The name of a graph input by its position."""
    return f"input_{position}"


def output_name(position: int) -> str:
    """The name of a graph output by its position."""
    return f"output_{position}"


class _Lowering:
    """Collects nodes and initializers of one graph."""

    def __init__(self, workload: Workload, weights: Weights, outputs_apart: bool) -> None:
        from onnx import helper

        self._helper = helper
        self._workload = workload
        self._weights = weights
        self._outputs_apart = outputs_apart
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._names: dict[Ref, str] = {}

    def model(self) -> Any:
        """The whole ModelProto."""
        from onnx import TensorProto

        workload, helper = self._workload, self._helper
        self._name_tensors()
        for index in workload.compute_ops:
            op = workload.ops[index]
            handler = _HANDLERS.get(op.kind)
            if handler is None:
                raise UnsupportedOperator(f"the ONNX lowering has no handler for {op.kind!r}", (op.kind,))
            handler(self, index, op)
        for position, ref in enumerate(workload.outputs):
            if self._names[ref] != output_name(position):
                # a constant, a graph input, one tensor that leaves twice, or one that is to leave apart
                node = helper.make_node("Identity", [self._names[ref]], [output_name(position)], f"out_{position}")
                self._nodes.append(node)
        inputs = [
            helper.make_tensor_value_info(input_name(p), TensorProto.FLOAT, workload.shapes[i][0])
            for p, i in enumerate(workload.inputs)
        ]
        outputs = [
            helper.make_tensor_value_info(output_name(p), TensorProto.FLOAT, workload.shape(ref))
            for p, ref in enumerate(workload.outputs)
        ]
        graph = helper.make_graph(self._nodes, workload.name or "workload", inputs, outputs, self._initializers)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="edgecost")

    def _name_tensors(self) -> None:
        workload = self._workload
        for index, shapes in enumerate(workload.shapes):
            for port in range(len(shapes)):
                self._names[(index, port)] = f"t{index}_{port}" if len(shapes) > 1 else f"t{index}"
        for position, index in enumerate(workload.inputs):
            self._names[(index, 0)] = input_name(position)
        for position, ref in reversed(list(enumerate(workload.outputs))):
            apart = self._outputs_apart and any(ref in workload.ops[user].inputs for user in workload.users[ref[0]])
            if workload.ops[ref[0]].kind not in ("input", "zero", "constant") and not apart:
                self._names[ref] = output_name(position)

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Add an initializer; returns its name."""
        from onnx import numpy_helper

        self._initializers.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def weight(self, index: int, name: str) -> str:
        """Add one of the op's weights; returns its name."""
        return self.constant(f"w{index}_{name}", self.array(index, name))

    def array(self, index: int, name: str) -> NDArray[np.float32]:
        """One of the op's weights."""
        return self._weights[index][name].astype(np.float32, copy=False)

    def zeros(self, index: int) -> None:
        """The op's output is an initializer of zeros."""
        self.constant(self._names[(index, 0)], np.zeros(self.shape(index), np.float32))

    def value(self, index: int) -> None:
        """The op's output is an initializer of its value."""
        self.constant(self._names[(index, 0)], self.array(index, "value"))

    def shape(self, index: int) -> Shape:
        """The shape of the op's first output."""
        return self._workload.shapes[index][0]

    def read(self, index: int, place: int = 0) -> str:
        """The name of a tensor that the op reads."""
        return self._names[self._workload.ops[index].inputs[place]]

    def node(self, index: int, op_type: str, extra: Sequence[str] = (), **attributes: Any) -> None:
        """Add the node for op `index`, `extra` being inputs after its own."""
        op = self._workload.ops[index]
        self.emit(index, op_type, [*(self._names[ref] for ref in op.inputs), *extra], **attributes)

    def emit(self, index: int, op_type: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Add the node that makes the outputs of op `index`, of inputs named in full."""
        op = self._workload.ops[index]
        outputs = [self._names[(index, port)] for port in range(len(self._workload.shapes[index]))]
        # ONNX Runtime wants node names unique, and people give the same one twice
        name = f"{index}_{op.name or op.kind}"
        self._nodes.append(self._helper.make_node(op_type, inputs, outputs, name, **attributes))

    def inner(self, index: int, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node on the way to the outputs of op `index`; returns the name of what it makes."""
        name = f"i{index}_{len(self._nodes)}"
        node_name = f"{index}_{self._workload.ops[index].kind}_{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(op_type, inputs, [name], node_name, **attributes))
        return name


_Handler = Callable[[_Lowering, int, Op], None]


def _conv2d(graph: _Lowering, index: int, op: Op) -> None:
    names = ["weight", "bias"] if op.attr("bias") else ["weight"]
    graph.node(
        index,
        "Conv",
        [graph.weight(index, name) for name in names],
        kernel_shape=op.ints("kernel"),
        strides=op.ints("stride"),
        pads=op.ints("padding"),
        dilations=op.ints("dilation"),
        group=op.int("groups"),
    )


def _linear(graph: _Lowering, index: int, op: Op) -> None:
    """Gemm on (N, features); on more axes what exporters write, a MatMul and an Add."""
    names = ["weight", "bias"] if op.attr("bias") else ["weight"]
    if len(graph.shape(index)) != 2:
        weight = graph.constant(f"w{index}_weight", graph.array(index, "weight").T)
        if len(names) == 1:
            graph.node(index, "MatMul", [weight])
        else:
            product = graph.inner(index, "MatMul", [graph.read(index), weight])
            graph.emit(index, "Add", [product, graph.weight(index, "bias")])
        return
    graph.node(index, "Gemm", [graph.weight(index, name) for name in names], transB=1)


def _batch_norm(graph: _Lowering, index: int, op: Op) -> None:
    names = ("weight", "bias", "running_mean", "running_var")
    graph.node(index, "BatchNormalization", [graph.weight(index, name) for name in names], epsilon=op.float("eps"))


def _relu6(graph: _Lowering, index: int, op: Op) -> None:
    low = graph.constant(f"c{index}_min", np.array([0.0], np.float32))
    high = graph.constant(f"c{index}_max", np.array([6.0], np.float32))
    graph.node(index, "Clip", [low, high])


def _split(graph: _Lowering, index: int, op: Op) -> None:
    graph.node(
        index, "Split", [graph.constant(f"c{index}_sizes", np.array(op.ints("sizes"), np.int64))], axis=op.int("axis")
    )


def _pool(op_type: str) -> _Handler:
    def handler(graph: _Lowering, index: int, op: Op) -> None:
        counted: dict[str, Any] = (
            {"count_include_pad": int(bool(op.attr("count_include_pad")))} if op_type == "AveragePool" else {}
        )
        graph.node(
            index,
            op_type,
            kernel_shape=op.ints("kernel"),
            strides=op.ints("stride"),
            pads=op.ints("padding"),
            **counted,
        )

    return handler


def _plain(op_type: str, **attributes: Any) -> _Handler:
    def handler(graph: _Lowering, index: int, op: Op) -> None:
        graph.node(index, op_type, **attributes)

    return handler


_HANDLERS: dict[str, _Handler] = {
    **TENSOR_HANDLERS,
    "conv2d": _conv2d,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "relu": _plain("Relu"),
    "relu6": _relu6,
    "hswish": _plain("HardSwish"),
    "hsigmoid": _plain("HardSigmoid", alpha=1.0 / 6.0, beta=0.5),
    "sigmoid": _plain("Sigmoid"),
    "softmax": lambda graph, index, op: graph.node(index, "Softmax", axis=op.int("axis")),
    "add": _plain("Add"),
    "mul": _plain("Mul"),
    "concat": lambda graph, index, op: graph.node(index, "Concat", axis=op.int("axis")),
    "split": _split,
    "avg_pool": _pool("AveragePool"),
    "max_pool": _pool("MaxPool"),
    "global_avg_pool": _plain("GlobalAveragePool"),
    "flatten": _plain("Flatten", axis=1),
    "identity": _plain("Identity"),
    "zero": lambda graph, index, op: graph.zeros(index),
}
