"""Which operators a .tflite file holds, and how the file is laid out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from profiler.errors import ArtefactError
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.tflite import build_tflite, build_tflite_int8
from profiler.workloads.builders.tflite_flatbuffer import FlatModel
from profiler.workloads.graph import Ref, Workload

Shape = tuple[int, ...]
Make = Callable[..., Ref | tuple[Ref, ...]]
IMAGE = (1, 16, 14, 14)
ODD = (1, 16, 15, 15)
VECTOR = (2, 40)
RELU, RELU6 = 1, 3


def graph(make: Make, *shapes: Shape) -> Workload:
    """A workload of what `make(builder, *inputs)` returns: one tensor, or a tuple of them."""
    builder = WorkloadBuilder("case")
    made = make(builder, *(builder.input(shape) for shape in shapes))
    outputs = made if isinstance(made[0], tuple) else (made,)
    return builder.build(*outputs)  # type: ignore[arg-type]


class File:
    """A packed model read back through the schema."""

    def __init__(self, data: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.model = schema.ModelT.InitFromPackedBuf(data, 0)
        (self.graph,) = self.model.subgraphs
        self._names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}

    @property
    def kinds(self) -> list[str]:
        codes = [self.model.operatorCodes[op.opcodeIndex] for op in self.graph.operators]
        return [self._names[code.builtinCode] for code in codes]

    @property
    def versions(self) -> dict[str, int]:
        return {self._names[code.builtinCode]: code.version for code in self.model.operatorCodes}

    def tensors(self, numbers: Any) -> list[Any]:
        return [self.graph.tensors[i] for i in numbers]


# ---------------------------------------------------------------- operators


def test_relu_becomes_part_of_what_makes_its_input() -> None:
    file = File(build_tflite(graph(lambda b, x: b.relu6(b.batch_norm(b.conv2d(x, 4, 3))), IMAGE)))
    assert file.kinds == ["CONV_2D"]
    assert file.graph.operators[0].builtinOptions.fusedActivationFunction == RELU6
    file = File(build_tflite(graph(lambda b, x: b.relu(b.linear(x, 4)), VECTOR)))
    assert file.kinds == ["FULLY_CONNECTED"]
    assert file.graph.operators[0].builtinOptions.fusedActivationFunction == RELU


def test_relu_stays_apart_where_its_input_is_seen() -> None:
    read_twice = graph(lambda b, x: b.add(b.relu(y := b.conv2d(x, 4)), y), IMAGE)
    assert File(build_tflite(read_twice)).kinds == ["CONV_2D", "RELU", "ADD"]
    leaving = graph(lambda b, x: ((y := b.conv2d(x, 4)), b.relu(y)), IMAGE)
    assert File(build_tflite(leaving)).kinds == ["CONV_2D", "RELU"]


def test_relu_stays_apart_from_pooling() -> None:
    pooled = graph(lambda b, x: b.relu(b.max_pool(x, 2)), IMAGE)
    assert File(build_tflite(pooled)).kinds == ["MAX_POOL_2D", "RELU"]


@pytest.mark.parametrize(
    ("make", "shape", "kinds"),
    [
        (lambda b, x: b.conv2d(x, 24, 3), IMAGE, ["CONV_2D"]),
        (lambda b, x: b.conv2d(x, 24, 3, dilation=2), IMAGE, ["CONV_2D"]),
        (lambda b, x: b.conv2d(x, 24, 3, stride=2, padding=1), IMAGE, ["PAD", "CONV_2D"]),
        (lambda b, x: b.conv2d(x, 24, 3, stride=2, padding=1), ODD, ["CONV_2D"]),
        (lambda b, x: b.conv2d(x, 24, stride=2, padding=0), IMAGE, ["CONV_2D"]),
        (lambda b, x: b.conv2d(x, 32, 3, groups=4), IMAGE, ["CONV_2D"]),
        (lambda b, x: b.conv2d(x, 16, 3, groups=16), IMAGE, ["DEPTHWISE_CONV_2D"]),
        (lambda b, x: b.conv2d(x, 32, 3, groups=16), IMAGE, ["DEPTHWISE_CONV_2D"]),
        (lambda b, x: b.batch_norm(x), IMAGE, ["DEPTHWISE_CONV_2D"]),
        (lambda b, x: b.avg_pool(x, 3, 1, 1), IMAGE, ["AVERAGE_POOL_2D"]),
        (lambda b, x: b.avg_pool(x, 3, 1, 1, count_include_pad=True), IMAGE, ["PAD", "AVERAGE_POOL_2D"]),
        (lambda b, x: b.avg_pool(x, 3, 2, 1), IMAGE, ["PAD", "AVERAGE_POOL_2D", "MUL"]),
        (lambda b, x: b.max_pool(x, 3, 1, 1), IMAGE, ["MAX_POOL_2D"]),
        (lambda b, x: b.max_pool(x, 3, 2, 1), IMAGE, ["PADV2", "MAX_POOL_2D"]),
        (lambda b, x: b.split(x, (8, 8)), IMAGE, ["SPLIT"]),
        (lambda b, x: b.split(x, (4, 12)), IMAGE, ["SPLIT_V"]),
        (lambda b, x: b.global_avg_pool(x), IMAGE, ["MEAN"]),
        (lambda b, x: b.hsigmoid(x), IMAGE, ["ADD", "MUL"]),
        (lambda b, x: b.hswish(x), IMAGE, ["HARD_SWISH"]),
        (lambda b, x: b.flatten(x), IMAGE, ["TRANSPOSE", "RESHAPE"]),
        (lambda b, x: b.flatten(b.global_avg_pool(x)), IMAGE, ["MEAN", "RESHAPE"]),
        (lambda b, x: b.flatten(x), (1, 1, 4, 4), ["RESHAPE"]),
        (lambda b, x: b.softmax(b.linear(x, 4)), VECTOR, ["FULLY_CONNECTED", "SOFTMAX"]),
        (lambda b, x: b.zero(x), IMAGE, []),
    ],
)
def test_operators(make: Make, shape: Shape, kinds: list[str]) -> None:
    workload = graph(make, shape)
    assert File(build_tflite(workload)).kinds == kinds
    assert File(build_tflite_int8(workload)).kinds == kinds


def test_versions_are_of_the_kernels_needed() -> None:
    plain = graph(lambda b, x: b.conv2d(x, 24, 3), IMAGE)
    assert File(build_tflite(plain)).versions == {"CONV_2D": 1}
    assert File(build_tflite_int8(plain)).versions == {"CONV_2D": 3}
    grouped = graph(lambda b, x: b.conv2d(x, 32, 3, groups=4), IMAGE)
    assert File(build_tflite(grouped)).versions == {"CONV_2D": 6}
    dilated = graph(lambda b, x: b.conv2d(x, 16, 3, dilation=2, groups=16), IMAGE)
    assert File(build_tflite(dilated)).versions == {"DEPTHWISE_CONV_2D": 2}
    linear = graph(lambda b, x: b.linear(x, 4), VECTOR)
    assert File(build_tflite_int8(linear)).versions == {"FULLY_CONNECTED": 12}


# ---------------------------------------------------------------- layout of the file


def test_equal_workloads_give_equal_bytes() -> None:
    workload = graph(lambda b, x: b.hswish(b.conv2d(b.relu(b.conv2d(x, 32, 3)), 8)), IMAGE)
    for build in (build_tflite, build_tflite_int8):
        assert build(workload) == build(Workload.from_dict(workload.to_dict()))


def test_buffers_are_aligned() -> None:
    from ai_edge_litert import schema_py_generated as schema

    workload = graph(lambda b, x: b.linear(b.flatten(b.conv2d(b.conv2d(x, 7, 3), 5)), 3), IMAGE)
    for build in (build_tflite, build_tflite_int8):
        data = build(workload)
        assert schema.Model.ModelBufferHasIdentifier(data, 0)
        model = schema.Model.GetRootAs(data, 0)
        filled = [model.Buffers(i) for i in range(model.BuffersLength()) if not model.Buffers(i).DataIsNone()]
        assert len(filled) == 8  # three weights, three biases, order and shape of flatten
        for buffer in filled:
            assert buffer._tab.Vector(buffer._tab.Offset(4)) % 16 == 0


def test_names_of_ops_reach_the_file() -> None:
    b = WorkloadBuilder("named")
    file = File(build_tflite(b.build(b.conv2d(b.input((1, 3, 8, 8)), 4, name="stem"))))
    assert [tensor.name for tensor in file.tensors(file.graph.outputs)] == [b"stem:1.0"]


def test_inputs_come_in_the_order_of_their_positions() -> None:
    b = WorkloadBuilder("swapped")
    second = b.op("input", shape=(1, 5), position=1)
    first = b.op("input", shape=(1, 3), position=0)
    file = File(build_tflite(b.build(b.concat(second, first))))
    assert [tensor.shape.tolist() for tensor in file.tensors(file.graph.inputs)] == [[1, 3], [1, 5]]


def test_an_option_that_the_schema_lacks_is_refused() -> None:
    model = FlatModel()
    source, target = (model.tensor(name, (1, 4), np.float32) for name in "xy")
    with pytest.raises(ArtefactError, match="'gamma' in SoftmaxOptions"):
        model.operator("SOFTMAX", [source], [target], gamma=1.0)


@pytest.mark.parametrize("package", ["flatbuffers", "ai_edge_litert"])
def test_missing_packages_are_named_with_the_remedy(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ArtefactError, match=rf"{package}.*edgecost\[litert\]"):
        build_tflite(graph(lambda b, x: b.relu(x), IMAGE))
