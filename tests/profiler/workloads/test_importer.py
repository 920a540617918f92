"""ONNX files: what the builder writes comes back as it was, exporters' forms compute the same, bad files say why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from profiler.errors import ConfigError, UnsupportedOperator
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.importer import Imported, read_onnx
from profiler.workloads.transform import simplify
from profiler.workloads.weights import check_weights, seeded_weights

RNG = np.random.default_rng(5)


def save(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    input_shape: Sequence[int | str] = (1, 8, 12, 12),
    constants: dict[str, Any] | None = None,
    output: str = "y",
    opset: int = 17,
) -> Path:
    """A model file with the input "x" and one output."""
    arrays = {name: np.asarray(value) for name, value in (constants or {}).items()}
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(input_shape))],
        [helper.make_empty_tensor_value_info(output)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("odd", 1)]
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString())
    return path


def kinds(imported: Imported) -> list[str]:
    return [imported.workload.ops[i].kind for i in imported.workload.compute_ops]


def run(model: bytes, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, {value.name: a for value, a in zip(session.get_inputs(), arrays, strict=True)})


def assert_same_function(path: Path, imported: Imported) -> None:
    """The file and the workload that was read from it give the same outputs."""
    arrays = [RNG.uniform(-1, 1, imported.workload.shapes[i][0]).astype(np.float32) for i in imported.workload.inputs]
    theirs = run(path.read_bytes(), arrays)
    ours = run(build_onnx(imported.workload, imported.weights), arrays)
    for a, b in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def floats(*shape: int) -> np.ndarray:
    return RNG.uniform(-1, 1, shape).astype(np.float32)


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


def conv(x: str, y: str, weight: str = "w", bias: str = "", **attrs: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", [x, weight, *([bias] if bias else [])], [y], **attrs)


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
        ["split"],
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
    "clip to other bounds": (
        [helper.make_node("Clip", ["x", "a", "b"], ["m"])],
        {"a": np.float32(-1), "b": np.float32(1)},
        r"\[-1.0, 1.0\]",
    ),
    "steeper hard sigmoid": ([helper.make_node("HardSigmoid", ["x"], ["m"])], {}, "slope 0.2"),
    "erf": ([helper.make_node("Erf", ["x"], ["m"])], {}, "no operator of a workload"),
    "scalar operand": ([helper.make_node("Add", ["x", "a"], ["m"])], {"a": np.float32(3)}, "constant that is not zero"),
    "dilated pooling": (
        [helper.make_node("MaxPool", ["x"], ["m"], kernel_shape=[2, 2], dilations=[2, 2], pads=[1, 1, 1, 1])],
        {},
        "dilated",
    ),
    "rounding up": (
        [helper.make_node("AveragePool", ["x"], ["m"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)],
        {},
        "rounds",
    ),
    "padding that takes part in the maximum": (
        [
            helper.make_node("Pad", ["x", "p"], ["q"]),
            helper.make_node("MaxPool", ["q"], ["m"], kernel_shape=[3, 3]),
        ],
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        "takes part",
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
    path = save(tmp_path, [helper.make_node("Erf", ["x"], ["m"]), helper.make_node("Tan", ["m"], ["y"])])
    with pytest.raises(
        UnsupportedOperator, match=r"model.onnx: none of its operators can be read \(Erf, Tan\)"
    ) as caught:
        read_onnx(path)
    assert caught.value.operators == ("Erf", "Tan")


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
    assert "make_dynamic_shape_fixed" in str(caught.value)


def test_missing_external_weights_are_named(tmp_path: Path) -> None:
    path = relu_model(tmp_path)
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ConfigError, match=r"model\.onnx: .*external data"):
        read_onnx(path)


def test_a_node_that_reads_what_nothing_makes_is_damage(tmp_path: Path) -> None:
    path = save(tmp_path, [helper.make_node("Relu", ["nowhere"], ["y"])])
    with pytest.raises(ConfigError, match="damaged: node 'y' reads 'nowhere'"):
        read_onnx(path)
