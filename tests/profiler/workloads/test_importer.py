"""ONNX files: what the builder writes comes back as it was, exporters' forms compute the same, bad files say why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_files import assert_same_function, conv, floats, kinds, save

from profiler.errors import ConfigError, UnsupportedOperator
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.importer import read_onnx
from profiler.workloads.transform import simplify
from profiler.workloads.weights import check_weights, seeded_weights

# -------------------------------------------------------------------- round trip


def test_what_the_builder_writes_comes_back_with_its_key_and_weights(samples: ModuleType, tmp_path: Path) -> None:
    workloads = {**samples.operators(), **samples.blocks(), "net": samples.nb201_net(cells=1)}
    workloads["mobilenet"] = samples.mobilenet_v2()
    for name, workload in workloads.items():
        if all(op.kind in ("input", "zero", "identity") for op in workload.ops):
            continue
        path = tmp_path / "model.onnx"
        path.write_bytes(build_onnx(workload))
        imported = read_onnx(path)
        expected, weights = simplify(workload, seeded_weights(workload))
        assert imported.unsupported == ()
        assert imported.workload.key == expected.key, name
        check_weights(imported.workload, imported.weights)
        norms = [
            sorted(float(np.abs(a).sum()) for w in each.values() for a in w.values())
            for each in (imported.weights, weights)
        ]
        np.testing.assert_allclose(norms[0], norms[1], rtol=1e-6)


# -------------------------------------------------------------------- forms that exporters write


W = floats(16, 8, 3, 3)

FORMS: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], tuple[int, ...], list[str]]] = {
    "auto_pad same upper": (
        [conv("x", "y", auto_pad="SAME_UPPER", strides=[2, 2])],
        {"w": W},
        (1, 8, 11, 12),
        ["conv2d"],
    ),
    "auto_pad same lower": (
        [conv("x", "y", auto_pad="SAME_LOWER", strides=[2, 2])],
        {"w": W},
        (1, 8, 12, 11),
        ["conv2d"],
    ),
    "auto_pad valid": ([conv("x", "y", auto_pad="VALID")], {"w": W}, (1, 8, 12, 12), ["conv2d"]),
    "bias in an Add": (
        [conv("x", "c"), helper.make_node("Add", ["c", "b"], ["a"]), helper.make_node("Relu", ["a"], ["y"])],
        {"w": W, "b": floats(1, 16, 1, 1)},
        (1, 8, 12, 12),
        ["conv2d", "relu"],
    ),
    "pad before conv": (
        [helper.make_node("Pad", ["x", "p"], ["q"]), conv("q", "y", strides=[2, 2])],
        {"w": W, "p": np.array([0, 0, 0, 1, 0, 0, 2, 1])},
        (1, 8, 12, 12),
        ["conv2d"],
    ),
    "pad before avg pool": (
        [
            helper.make_node("Pad", ["x", "p"], ["q"]),
            helper.make_node("AveragePool", ["q"], ["y"], kernel_shape=[3, 3]),
        ],
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        (1, 8, 12, 12),
        ["avg_pool"],
    ),
    "pad before max pool of what is not negative": (
        [
            helper.make_node("Relu", ["x"], ["r"]),
            helper.make_node("Pad", ["r", "p"], ["q"]),
            helper.make_node("MaxPool", ["q"], ["y"], kernel_shape=[3, 3], strides=[2, 2]),
        ],
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        (1, 8, 12, 12),
        ["relu", "max_pool"],
    ),
    "matmul and add": (
        [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["b", "m"], ["y"])],
        {"w": floats(12, 5), "b": floats(5)},
        (2, 12),
        ["linear"],
    ),
    "matmul alone": ([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": floats(12, 5)}, (2, 12), ["linear"]),
    "gemm untransposed": (
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        {"w": floats(12, 5), "b": floats(1, 5)},
        (2, 12),
        ["linear"],
    ),
    "mean over the pixels": (
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[-1, -2], keepdims=0)],
        {},
        (2, 8, 6, 6),
        ["global_avg_pool", "flatten"],
    ),
    "reshape by a computed shape": (
        [
            helper.make_node("GlobalAveragePool", ["x"], ["g"]),
            helper.make_node("Shape", ["g"], ["s"]),
            helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
            helper.make_node("Unsqueeze", ["n", "axis"], ["n1"]),
            helper.make_node("Concat", ["n1", "rest"], ["t"], axis=0),
            helper.make_node("Reshape", ["g", "t"], ["y"]),
        ],
        {"zero": np.array(0), "axis": np.array([0]), "rest": np.array([-1])},
        (2, 8, 6, 6),
        ["global_avg_pool", "flatten"],
    ),
    "squeeze": (
        [helper.make_node("GlobalAveragePool", ["x"], ["g"]), helper.make_node("Squeeze", ["g", "axes"], ["y"])],
        {"axes": np.array([2, 3])},
        (2, 8, 6, 6),
        ["global_avg_pool", "flatten"],
    ),
    "slices that partition": (
        [
            helper.make_node("Slice", ["x", "a", "b", "axes"], ["low"]),
            helper.make_node("Slice", ["x", "b", "c", "axes"], ["high"]),
            helper.make_node("Concat", ["high", "low"], ["y"], axis=-3),
        ],
        {"a": np.array([0]), "b": np.array([3]), "c": np.array([2**31]), "axes": np.array([1])},
        (1, 8, 6, 6),
        ["split", "concat"],
    ),
    "a slice alone": (
        [helper.make_node("Slice", ["x", "a", "b", "axes"], ["y"])],
        {"a": np.array([2]), "b": np.array([5]), "axes": np.array([1])},
        (1, 8, 6, 6),
        ["slice"],
    ),
    "split into equal parts": (
        [helper.make_node("Split", ["x"], ["a", "b"], axis=1), helper.make_node("Mul", ["a", "b"], ["y"])],
        {},
        (1, 8, 6, 6),
        ["split", "mul"],
    ),
    "dropout, identity and a sum of three": (
        [
            helper.make_node("Dropout", ["x"], ["d"]),
            helper.make_node("Identity", ["d"], ["i"]),
            helper.make_node("Sum", ["x", "d", "i"], ["y"]),
        ],
        {},
        (1, 8, 6, 6),
        ["add", "add"],
    ),
    "clip without an upper bound": (
        [helper.make_node("Clip", ["x", "low"], ["y"])],
        {"low": np.float32(0)},
        (1, 8, 6, 6),
        ["relu"],
    ),
    "constant nodes": (
        [
            helper.make_node("Constant", [], ["low"], value=numpy_helper.from_array(np.float32(0))),
            helper.make_node("Constant", [], ["high"], value=numpy_helper.from_array(np.float32(6))),
            helper.make_node("Clip", ["x", "low", "high"], ["y"]),
        ],
        {},
        (1, 8, 6, 6),
        ["relu6"],
    ),
    "weights made from constants": (
        [helper.make_node("Mul", ["w", "scale"], ["v"]), conv("x", "y", "v")],
        {"w": W, "scale": np.float32(2)},
        (1, 8, 6, 6),
        ["conv2d"],
    ),
    "rounding up that changes nothing": (
        [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)],
        {},
        (1, 8, 6, 6),
        ["max_pool"],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_read_as_the_same_function(form: str, tmp_path: Path) -> None:
    nodes, constants, shape, expected = FORMS[form]
    path = save(tmp_path, nodes, shape, constants)
    imported = read_onnx(path)
    assert imported.unsupported == ()
    assert kinds(imported) == expected
    assert_same_function(path, imported)


def test_clip_of_opset_10_has_its_bounds_in_attributes(tmp_path: Path) -> None:
    path = save(tmp_path, [helper.make_node("Clip", ["x"], ["y"], min=0.0, max=6.0)], opset=10)
    assert kinds(read_onnx(path)) == ["relu6"]


# -------------------------------------------------------------------- what cannot be read

STRANGE: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], str]] = {
    "steeper hard sigmoid": ([helper.make_node("HardSigmoid", ["x"], ["m"])], {}, "slope 0.2"),
    "sine": ([helper.make_node("Sin", ["x"], ["m"])], {}, "no operator of a workload"),
    "operand that holds no floats": (
        [helper.make_node("Concat", ["x", "a"], ["m"], axis=1)],
        {"a": np.ones((1, 8, 12, 12), np.int64)},
        "constant of int64",
    ),
    "dilated pooling": (
        [helper.make_node("MaxPool", ["x"], ["m"], kernel_shape=[2, 2], dilations=[2, 2], pads=[1, 1, 1, 1])],
        {},
        "dilated",
    ),
    "rounding up a mean that counts its padding": (
        [
            helper.make_node(
                "AveragePool",
                ["x"],
                ["m"],
                kernel_shape=[4, 4],
                strides=[3, 3],
                pads=[1, 1, 1, 1],
                ceil_mode=1,
                count_include_pad=1,
            )
        ],
        {},
        "rounding its size up",
    ),
    "reflecting pad": (
        [helper.make_node("Pad", ["x", "p"], ["q"], mode="reflect"), conv("q", "m", pads=[0, 0, 0, 0])],
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "w": W},
        "constant",
    ),
    "weights that are computed": (
        [helper.make_node("Tile", ["x", "r"], ["k"]), conv("x", "m", "k")],
        {"r": np.array([1, 1, 1, 1])},
        "not a constant",
    ),
}


@pytest.mark.parametrize("case", STRANGE)
def test_what_cannot_be_read_is_listed_and_the_rest_is_kept(case: str, tmp_path: Path) -> None:
    nodes, constants, reason = STRANGE[case]
    imported = read_onnx(save(tmp_path, [*nodes, helper.make_node("Relu", ["m"], ["y"])], constants=constants))
    assert any(re.search(reason, node.reason) for node in imported.unsupported), imported.unsupported
    assert kinds(imported)[-1] == "relu"
    assert len(imported.workload.inputs) > 1


def test_what_hangs_on_an_unknown_shape_is_listed_too(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Strange", ["x"], ["s"], domain="odd", name="first"),
        helper.make_node("Relu", ["s"], ["r"], name="second"),
        helper.make_node("Sigmoid", ["x"], ["y"]),
    ]
    imported = read_onnx(save(tmp_path, nodes))
    assert [(node.name, node.op_type) for node in imported.unsupported] == [
        ("first", "odd.Strange"),
        ("second", "Relu"),
    ]
    assert "shape could not be inferred" in imported.unsupported[1].reason
    assert kinds(imported) == ["sigmoid"]


def test_a_model_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, [helper.make_node("Sin", ["x"], ["m"]), helper.make_node("Tan", ["m"], ["y"])])
    with pytest.raises(
        UnsupportedOperator, match=r"model.onnx: none of its operators can be read \(Sin, Tan\)"
    ) as caught:
        read_onnx(path)
    assert caught.value.operators == ("Sin", "Tan")


# -------------------------------------------------------------------- bad files


def relu_model(folder: Path, shape: Sequence[int | str] = (1, 8, 12, 12)) -> Path:
    return save(folder, [conv("x", "c"), helper.make_node("Relu", ["c"], ["y"])], shape, {"w": W})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gone.onnx: no such file"):
        read_onnx(tmp_path / "gone.onnx")


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is no model", b"\x00" * 64, b"\x89PNG\r\n\x1a\n" + bytes(range(256))]
)
def test_a_file_that_is_not_onnx_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "no.onnx"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="no.onnx: not an ONNX model"):
        read_onnx(path)


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = relu_model(tmp_path)
    whole = path.read_bytes()
    for size in range(1, len(whole) - 40, 97):
        path.write_bytes(whole[:size])
        with pytest.raises(ConfigError, match=r"model\.onnx: (not an ONNX model|damaged|its weights)"):
            read_onnx(path)


@pytest.mark.parametrize(
    ("shape", "named"), [(("batch", 8, 12, 12), "'batch' at place 0"), ((1, 8, -1, 12), "at place 2")]
)
def test_a_dynamic_dimension_is_named_with_its_remedy(shape: tuple[int | str, ...], named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        read_onnx(relu_model(tmp_path, shape))
    assert "input 'x'" in str(caught.value)
    assert "--input-shape 1,8," in str(caught.value)


def test_missing_external_weights_are_named(tmp_path: Path) -> None:
    path = relu_model(tmp_path)
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ConfigError, match=r"model\.onnx: its external data are missing: .* weights\.bin, .*copy it"):
        read_onnx(path)


def test_external_weights_cut_off_are_named(tmp_path: Path) -> None:
    path = relu_model(tmp_path)
    onnx.save(onnx.load(str(path)), str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    weights = tmp_path / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ConfigError, match=r"model\.onnx: its external data cannot be read .*again"):
        read_onnx(path)


def test_a_node_that_reads_what_nothing_makes_is_damage(tmp_path: Path) -> None:
    path = save(tmp_path, [helper.make_node("Relu", ["nowhere"], ["y"])])
    with pytest.raises(ConfigError, match="damaged: node 'y' reads 'nowhere'"):
        read_onnx(path)


@pytest.mark.parametrize("given", ["", "x"])
def test_given_shapes_fix_dynamic_ones(given: str, tmp_path: Path) -> None:
    dynamic = relu_model(tmp_path, ("batch", 8, "height", 12))
    imported = read_onnx(dynamic, {given: (2, 8, 10, 12)})
    assert imported.workload.shape(imported.workload.outputs[0]) == (2, 16, 8, 10)
    assert_same_function(dynamic, imported)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"z": (1, 8, 12, 12)}, "no input 'z'; its inputs are x"),
        ({"": (1, 9, 12, 12)}, r"does not fit input 'x', which is \(batch, 8, 12, 12\)"),
        ({"": (1, 8, 12)}, "does not fit"),
        ({"": (0, 8, 12, 12)}, "does not fit"),
    ],
)
def test_given_shapes_that_do_not_fit_are_refused(
    shapes: dict[str, tuple[int, ...]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_onnx(relu_model(tmp_path, ("batch", 8, 12, 12)), shapes)


def test_a_shape_for_one_of_several_inputs_needs_its_name(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 8]) for name in ("a", "b")]
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["y"])], "g", values, [helper.make_empty_tensor_value_info("y")]
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    with pytest.raises(ConfigError, match=r"2 inputs \(a, b\); say whose"):
        read_onnx(path, {"": (1, 8)})
    with pytest.raises(ConfigError, match="input 'b' has the dynamic .* --input-shape b=1,8"):
        read_onnx(path, {"a": (1, 8)})
    assert read_onnx(path, {"a": (1, 8), "b": (4, 8)}).workload.shape((2, 0)) == (4, 8)


@pytest.mark.parametrize("opset", [9999, 0])
def test_an_unknown_opset_is_named(opset: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"opset {opset} is not one of 1 to"):
        read_onnx(save(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], opset=opset))
