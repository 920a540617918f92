"""Files that are written otherwise than they compute: in half precision, quantised, optimised, out of order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_files import conv, floats, kinds, run, save

from profiler.errors import UnsupportedOperator
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.importer import Imported, read_onnx

W = floats(16, 8, 3, 3)
SHAPE = (1, 8, 12, 12)
X = np.random.default_rng(3).uniform(-1, 1, SHAPE).astype(np.float32)


def node(kind: str, inputs: str, output: str, **attrs: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attrs)


def ours(imported: Imported) -> np.ndarray:
    return run(build_onnx(imported.workload, imported.weights), [X])[0]


def test_half_precision_inside_is_read_as_the_same_network(tmp_path: Path) -> None:
    nodes = [node("Cast", "x", "h", to=10), conv("h", "c"), node("Mul", "c s", "m"), node("Cast", "m", "y", to=1)]
    constants = {"w": W.astype(np.float16), "s": np.array([0.5], np.float16)}
    path = save(tmp_path, nodes, SHAPE, constants)
    imported = read_onnx(path)
    assert imported.unsupported == ()
    assert kinds(imported) == ["conv2d", "constant", "mul"]
    np.testing.assert_allclose(ours(imported), run(path.read_bytes(), [X])[0], atol=0.02)
    (note,) = imported.notes
    assert "float16" in note


def test_an_input_of_halves_is_an_input(tmp_path: Path) -> None:
    path = save(tmp_path, [conv("x", "c"), node("Relu", "c", "y")], SHAPE, {"w": W.astype(np.float16)})
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, path)
    imported = read_onnx(path)
    assert (imported.unsupported, kinds(imported)) == ((), ["conv2d", "relu"])
    assert imported.workload.shapes[0][0] == SHAPE


def test_constants_of_half_precision_fold_with_others(tmp_path: Path) -> None:
    """Casts that converters leave beside single values must not keep them from being computed."""
    nodes = [node("Cast", "r", "h", to=10), node("Sqrt", "h", "q"), node("Div", "one q", "k"), node("Mul", "x k", "y")]
    imported = read_onnx(save(tmp_path, nodes, SHAPE, {"r": np.float32([4]), "one": np.array([1], np.float16)}))
    assert imported.unsupported == ()
    np.testing.assert_allclose(ours(imported), X / 2, rtol=1e-3)


def test_a_float_network_has_no_notes(tmp_path: Path) -> None:
    assert read_onnx(save(tmp_path, [conv("x", "y")], SHAPE, {"w": W})).notes == ()


def test_rounding_to_integers_and_back_is_read_as_what_lies_between(tmp_path: Path) -> None:
    scales = np.full(16, 0.01, np.float32)
    nodes = [
        node("QuantizeLinear", "x s z", "xq"),
        node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "wq scales zeros", "wd", axis=0),
        node("DequantizeLinear", "bq biases", "bd", axis=0),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["c"], pads=[1, 1, 1, 1]),
        node("QuantizeLinear", "c s2 z2", "cq"),
        node("MaxPool", "cq", "pq", kernel_shape=[2, 2], strides=[2, 2]),
        node("DequantizeLinear", "pq s2 z2", "y"),
    ]
    rng = np.random.default_rng(1)
    constants = {
        "s": np.float32(2 / 255),
        "z": np.uint8(128),
        "wq": rng.integers(-127, 127, (16, 8, 3, 3)).astype(np.int8),
        "scales": scales,
        "zeros": np.zeros(16, np.int8),
        "bq": np.arange(16, dtype=np.int32) * 100,
        "biases": scales * np.float32(2 / 255),
        "s2": np.float32(0.1),
        "z2": np.uint8(128),
    }
    path = save(tmp_path, nodes, SHAPE, constants)
    imported = read_onnx(path)
    assert imported.unsupported == ()
    assert kinds(imported) == ["conv2d", "max_pool"]
    (note,) = imported.notes
    assert "QuantizeLinear" in note
    theirs = run(path.read_bytes(), [X])[0]
    assert np.abs(ours(imported) - theirs).max() <= 0.2  # a step or two of a tenth


@pytest.mark.parametrize(
    ("kind", "domain", "remedy"),
    [("FusedConv", "com.microsoft", "before it was optimised"), ("QLinearAdd", "com.microsoft", "before it was quant")],
)
def test_what_onnxruntime_wrote_for_itself_says_which_file_to_give(
    kind: str, domain: str, remedy: str, tmp_path: Path
) -> None:
    path = save(tmp_path, [helper.make_node(kind, ["x"], ["y"], domain=domain)], SHAPE)
    with pytest.raises(UnsupportedOperator, match=remedy):
        read_onnx(path)


def test_nodes_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    nodes = [node("Relu", "c", "r"), node("Sigmoid", "r", "y"), conv("x", "c")]
    imported = read_onnx(save(tmp_path, nodes, SHAPE, {"w": W}))
    assert (imported.unsupported, kinds(imported)) == ((), ["conv2d", "relu", "sigmoid"])


@pytest.mark.parametrize("size", ["4", "computed"])
def test_what_comes_behind_an_unreadable_node_is_read_where_its_shape_follows(size: str, tmp_path: Path) -> None:
    """Inference over the whole file stops at shapes that are computed; the reader knows them all the same."""
    weights = numpy_helper.to_array(numpy_helper.from_array(floats(8, 5)))
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s first", "n"),
        node("Concat", "n rest", "t", axis=0),
        node("Reshape", "x t", "flat"),
        node("ReduceMax", "flat axes", "norm", keepdims=1),
        node("Div", "flat norm", "unit"),
        node("MatMul", "unit w", "y"),
    ]
    constants = {
        "first": np.array([0]),
        "rest": np.array([-1, 8] if size == "computed" else [144, 8]),
        "axes": np.array([-1]),
        "w": weights,
    }
    imported = read_onnx(save(tmp_path, nodes, SHAPE, constants, opset=18))
    assert [problem.op_type for problem in imported.unsupported] == ["ReduceMax"]
    assert kinds(imported) == ["reshape", "div", "linear"]
    assert imported.workload.macs == 144 * 8 * 5
