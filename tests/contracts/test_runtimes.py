"""The contract held against every runtime that comes with the project, and against a plug-in."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from profiler.fleet.plugins import runtime_spec
from tests.contracts.runtime import RuntimeContract
from tests.plugins.numpy_runtime import SPEC


class OnnxContract(RuntimeContract):
    spec = runtime_spec("onnxruntime")

    def unsupported(self, folder: Path) -> tuple[Path, list[list[int]]]:
        from onnx import TensorProto, helper

        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy")
        graph = helper.make_graph([helper.make_node("Wonder", ["x"], ["y"], domain="own")], "g", [x], [y])
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        path = folder / "m.onnx"
        path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
        return path, [[1, 4]]


class TestOnnxruntime(OnnxContract):
    most_error = 1e-5


class TestOnnxruntimeInt8(OnnxContract):
    precision = "int8"


class LiteRtContract(RuntimeContract):
    spec = runtime_spec("litert")

    def unsupported(self, folder: Path) -> tuple[Path, list[list[int]]]:
        return custom_tflite(folder, b"Wonder"), [[1, 2, 4, 4]]


class TestLiteRt(LiteRtContract):
    most_error = 1e-5


class TestLiteRtInt8(LiteRtContract):
    precision = "int8"


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # known: it is what boards load
class TestTorch(RuntimeContract):
    spec = runtime_spec("torch")
    knows_shapes = False
    most_error = 1e-5

    def unsupported(self, folder: Path) -> tuple[Path, list[list[int]]]:
        """Made while torch knows the operator, and read when it does not any more."""
        import torch

        library = torch.library.Library("edgecost_own", "DEF")  # type: ignore[no-untyped-call]
        library.define("wonder(Tensor x) -> Tensor")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = type("Wonderful", (torch.jit.ScriptModule,), {})()
            module.define("def forward(self, x: Tensor) -> Tensor:\n    return torch.ops.edgecost_own.wonder(x)\n")
            module.save(str(folder / "m.pt"))
        library._destroy()  # type: ignore[no-untyped-call]
        return folder / "m.pt", [[1, 4]]


class PluginContract(RuntimeContract):
    spec = SPEC

    def unsupported(self, folder: Path) -> tuple[Path, list[list[int]]]:
        path = folder / "m.npz"
        ops = [
            {"kind": "input", "attrs": {"position": 0}, "inputs": []},
            {"kind": "wonder", "attrs": {}, "inputs": [0]},
        ]
        graph = f'{{"ops": {ops}, "inputs": [[1, 4]], "outputs": [1], "scales": {{}}}}'.replace("'", '"')
        with path.open("wb") as file:
            np.savez(file, graph=np.frombuffer(graph.encode(), np.uint8))
        return path, [[1, 4]]


class TestPlugin(PluginContract):
    most_error = 1e-5


class TestPluginInt8(PluginContract):
    precision = "int8"


class TestPluginOnItsAccelerator(PluginContract):
    accelerator = "beads"


def custom_tflite(folder: Path, name: bytes) -> Path:
    """A .tflite file whose only operator is a custom one of that name, on one input of (1, 2, 4, 4)."""
    from tflite_files import with_custom_operator

    path: Any = folder / "m.tflite"
    path.write_bytes(with_custom_operator(name))
    return Path(path)
