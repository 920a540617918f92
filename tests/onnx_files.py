"""Small ONNX files written by hand, and what runs them beside what was read from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.importer import Imported

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


def conv(x: str, y: str, weight: str = "w", bias: str = "", **attrs: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", [x, weight, *([bias] if bias else [])], [y], **attrs)
