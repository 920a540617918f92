"""The runtime's own graph, traced back to the operators of the workload, and our rules held against it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import sample_workloads

from profiler.errors import ArtefactError
from profiler.fleet.targets import Precision
from profiler.workloads import optimised_graph as module
from profiler.workloads.artefacts import lower
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import cut
from profiler.workloads.fusion_pairs import KINDS, in_context, pairs_of
from profiler.workloads.graph import Workload
from profiler.workloads.optimised_graph import OptimisedGraph, executed_nodes, optimised_cut, optimised_graph


def everything() -> Workload:
    """All that can happen to an operator: folded, drawn in, merged, written as two nodes, left alone."""
    b = WorkloadBuilder("everything")
    x = b.relu(b.conv2d(b.input((1, 16, 16, 16)), 16))
    pools = [b.avg_pool(x, 3, 1, 1) for _ in range(2)]
    y = b.relu(b.add(b.conv2d(pools[0], 16, 3), b.conv2d(pools[1], 16)))
    z = b.relu6(b.batch_norm(b.conv2d(y, 16, 3, groups=16)))
    gate = b.sigmoid(b.conv2d(z, 16, 3, groups=4))
    vector = b.flatten(b.global_avg_pool(b.hswish(b.mul(gate, z))))
    return b.build(b.softmax(b.relu(b.linear(vector, 10))))


def told(workload: Workload, graph: OptimisedGraph) -> dict[str, tuple[str, ...]]:
    """Kinds that run as one -> the runtime's names for it."""
    return {"+".join(workload.ops[i].kind for i in node.ops): node.op_types for node in graph.nodes}


def test_every_operator_is_found_in_the_node_that_runs_it() -> None:
    workload = everything()
    graph = optimised_graph(workload, "fp32")
    assert told(workload, graph) == {
        "conv2d+relu": ("Conv",),
        "avg_pool": ("AveragePool",),
        "conv2d": ("Conv",),
        "conv2d+add+relu": ("Conv",),
        "conv2d+batch_norm+relu6": ("Conv",),
        "conv2d+sigmoid": ("FusedConv",),
        "mul": ("Mul",),
        "hswish": ("HardSigmoid", "Mul"),
        "global_avg_pool": ("GlobalAveragePool",),
        "flatten": ("Flatten",),
        "linear+relu": ("FusedGemm",),
        "softmax": ("Softmax",),
    }
    assert len(graph.merged) == 1, "of two equal poolings one is run"
    (gone, kept) = next(iter(graph.merged.items()))
    assert {workload.ops[gone].kind, workload.ops[kept].kind} == {"avg_pool"}
    assert graph.conversions >= 2
    assert graph.version
    held = [i for node in graph.nodes for i in node.ops]
    assert sorted([*held, *graph.merged]) == list(workload.compute_ops)


def test_executed_nodes_are_those_of_the_graph_and_the_conversions_between_them() -> None:
    workload = everything()
    counted = executed_nodes(lower(workload, "onnxruntime", "fp32"))

    named = Counter(kind for node in optimised_graph(workload, "fp32").nodes for kind in node.op_types)
    assert named <= counted
    assert set(counted - named) <= {"ReorderInput", "ReorderOutput", "Transpose", "Cast", "Identity"}


def test_a_file_that_is_none_has_no_executed_nodes() -> None:
    with pytest.raises(ArtefactError, match="the file does not load"):
        executed_nodes(b"no model")


def test_int8_has_nodes_of_its_own_and_no_clamps() -> None:
    workload = everything()
    graph = optimised_graph(workload, "int8")
    found = told(workload, graph)
    assert found["conv2d+relu"] == ("QLinearConv",)
    assert found["add+relu"] == ("QLinearAdd",)
    assert found["linear+relu"] == ("QGemm",)
    assert not any(name == "relu" for name in found)
    assert not graph.merged


def test_a_clamp_in_int8_that_shares_its_input_is_a_change_of_scale() -> None:
    b = WorkloadBuilder()
    x = b.conv2d(b.input((1, 16, 8, 8)), 16)
    workload = b.build(b.add(b.avg_pool(x, 3, 1, 1), b.relu(x)))
    assert told(workload, optimised_graph(workload, "int8"))["relu"] == ("DequantizeLinear", "QuantizeLinear")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_networks_are_cut_as_the_graph_has_them(precision: Precision) -> None:
    rng = np.random.default_rng(3)
    for _ in range(8 if precision == "fp32" else 3):
        network = sample_workloads.nb201_net(rng.integers(1, 5, 6).tolist(), cells=1)
        ours, theirs = cut(network, "onnxruntime", precision), optimised_cut(network, precision)
        assert Counter(k.key for k in ours) == Counter(k.key for k in theirs)
        assert Counter(k.kind for k in ours) == Counter(k.kind for k in theirs)


def test_hswish_is_drawn_in_but_where_it_leaves_the_graph() -> None:
    b = WorkloadBuilder()
    x = b.hswish(b.conv2d(b.input((1, 16, 8, 8)), 16))
    workload = b.build(b.hswish(b.conv2d(x, 16)))
    assert told(workload, optimised_graph(workload, "fp32")) == {
        "conv2d+hswish": ("Conv",),
        "conv2d": ("Conv",),
        "hswish": ("HardSigmoid", "Mul"),
    }


def test_a_sum_with_a_constant_is_not_drawn_in_whatever_the_rules_say() -> None:
    """The one difference that is known: it leaves the blocked layout."""
    b = WorkloadBuilder()
    x = b.conv2d(b.input((1, 16, 8, 8)), 16)
    constant = b.conv2d(b.relu(b.zero(x)), 16, bias=True)
    workload = b.build(b.relu(b.add(b.conv2d(x, 16, 3), constant)))
    kinds = [kernel.kind for kernel in optimised_cut(workload, "fp32")]
    assert kinds == ["conv2d 1x1", "conv2d 3x3", "add", "relu"]
    assert "conv2d 3x3+add+relu" in [kernel.kind for kernel in cut(workload, "onnxruntime", "fp32")]


INT8_CLAMPS = {(a, b) for a in ("relu", "relu6", "max_pool") for b in ("relu", "relu6")}
"""Where the graph depends on what comes after: such a clamp may be part of a quantisation, or a change of scale."""


@pytest.mark.slow
@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_rules_say_of_every_pair_what_the_graph_says(precision: Precision, first: str) -> None:
    wrong = []
    for pair in pairs_of([first]):
        if precision == "int8" and pair in INT8_CLAMPS:
            continue
        context = in_context(pair)
        together = optimised_graph(context.workload, precision).together(context.first, context.second)
        kernels = cut(context.workload, "onnxruntime", precision)
        if together != any({context.first, context.second} <= set(kernel.ops) for kernel in kernels):
            wrong.append((pair, together))
    assert not wrong


def test_a_graph_whose_names_are_not_ours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnx import TensorProto, helper

    def value(name: str) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 4))

    nodes = [helper.make_node("Relu", ["input_0"], ["output_0"], "0_relu")]
    strange = helper.make_model(helper.make_graph(nodes, "g", [value("input_0")], [value("output_0")]))
    monkeypatch.setattr(module, "_optimised", lambda data, what: (strange, "9.9"))
    b = WorkloadBuilder("net")
    workload = b.build(b.linear(b.sigmoid(b.input((1, 4))), 4))
    with pytest.raises(ArtefactError, match="net cannot be traced back"):
        optimised_graph(workload, "fp32")
