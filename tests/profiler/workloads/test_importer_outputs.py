"""What leaves an imported workload: nothing that costs something may count as dead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from profiler.errors import ConfigError
from profiler.workloads.importer import read_onnx


def save(folder: Path, nodes: Sequence[onnx.NodeProto], outputs: Sequence[str] = ("y",)) -> Path:
    weight = numpy_helper.from_array(np.ones((4, 4, 3, 3), np.float32), "w")
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 8, 8))
    graph = helper.make_graph(nodes, "g", [source], [helper.make_empty_tensor_value_info(o) for o in outputs], [weight])
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    return path


@pytest.mark.parametrize("last", [True, False])
def test_what_only_an_unsupported_node_reads_stays_alive(last: bool, tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Sin", ["c"], ["y" if last else "e"])]
    imported = read_onnx(save(tmp_path, nodes if last else [*nodes, helper.make_node("Relu", ["e"], ["y"])]))
    assert [node.op_type for node in imported.unsupported] == ["Sin"]
    assert "conv2d" in [op.kind for op in imported.workload.pruned().ops]
    assert imported.workload.macs == 6 * 6 * 4 * 4 * 9


def test_an_output_that_is_an_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.onnx: its output 'x' is also one of its inputs"):
        read_onnx(save(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], ("y", "x")))


def test_a_node_without_a_needed_attribute_is_listed(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("AveragePool", ["r"], ["y"])]
    (problem,) = read_onnx(save(tmp_path, nodes)).unsupported
    assert problem.op_type == "AveragePool"
    assert "kernel_shape" in problem.reason
