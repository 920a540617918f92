"""The cut: what becomes of a workload's ops, and that onnxruntime's own optimised graph says the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sample_workloads

from profiler.errors import ConfigError
from profiler.fleet.targets import Precision, Runtime
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import FUSIONS, cut, kernels_of
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.transform import drop_noops

TARGETS = list(FUSIONS)


def kinds(workload: Workload, runtime: Runtime = "onnxruntime", precision: Precision = "fp32") -> list[str]:
    return [kernel.kind for kernel in cut(workload, runtime, precision)]


def networks(count: int, cells: int = 1, without_none: bool = False) -> list[Workload]:
    """NAS-Bench-201 networks of random architectures; edges without operator may leave parts constant or dead."""
    rng = np.random.default_rng(3)
    lowest = 1 if without_none else 0
    return [sample_workloads.nb201_net(rng.integers(lowest, 5, 6).tolist(), cells=cells) for _ in range(count)]


def mbconv(b: WorkloadBuilder, x: Ref, channels: int) -> Ref:
    y = b.relu6(b.batch_norm(b.conv2d(x, 3 * channels)))
    y = b.relu6(b.batch_norm(b.conv2d(y, 3 * channels, 3, groups=3 * channels)))
    return b.add(b.batch_norm(b.conv2d(y, channels)), x)


@pytest.mark.parametrize(("runtime", "precision"), TARGETS)
def test_every_op_that_runs_is_in_exactly_one_kernel(runtime: Runtime, precision: Precision) -> None:
    for workload in networks(20):
        ops = [op for kernel in cut(workload, runtime, precision) for op in kernel.ops]
        assert len(ops) == len(set(ops))
        lean, origin = drop_noops(workload)
        if not FUSIONS[runtime, precision].merges_equal and all(op.kind != "zero" for op in lean.ops):
            assert sorted(ops) == [origin[i] for i in lean.compute_ops]


@pytest.mark.parametrize(("runtime", "precision"), TARGETS)
def test_a_kernel_cut_again_is_itself(runtime: Runtime, precision: Precision) -> None:
    for kernel in kernels_of(networks(20), runtime, precision):
        (again,) = cut(kernel.workload, runtime, precision)
        assert (again.key, again.kind) == (kernel.key, kernel.kind)


def test_kernels_carry_the_networks_macs_and_parameters() -> None:
    for workload in networks(10, without_none=True):
        lean = drop_noops(workload)[0]
        for runtime, precision in TARGETS:
            assert sum(k.workload.macs for k in cut(workload, runtime, precision)) == lean.macs


def test_batch_norm_is_folded_and_names_do_not_matter() -> None:
    def network(prefix: str, norm: bool) -> Workload:
        b = WorkloadBuilder(prefix)
        x = b.conv2d(b.input((1, 4, 8, 8), prefix), 4, 3, bias=not norm, name=prefix + "conv")
        return b.build(b.relu(b.batch_norm(x) if norm else x))

    (folded,), (plain,) = (cut(network(n, norm), "torch", "fp32")[:1] for n, norm in (("a", True), ("b", False)))
    assert folded.key == plain.key
    assert folded.ops == (1, 2)
    assert plain.ops == (1,)
    assert folded.kind == "conv2d 3x3"


def test_norm_behind_a_conv_that_something_else_reads_stays() -> None:
    b = WorkloadBuilder()
    x = b.conv2d(b.input((1, 8, 8, 8)), 8)
    assert kinds(b.build(b.add(b.batch_norm(x), x)), "torch") == ["conv2d 1x1", "batch_norm", "add"]


def test_what_does_nothing_is_in_no_kernel() -> None:
    b = WorkloadBuilder()
    x = b.input((1, 8, 8, 8))
    b.conv2d(x, 8, 3)  # read by nobody
    y = b.add(b.identity(b.avg_pool(x, 3, 1, 1)), b.zero(x))
    assert kinds(b.build(b.relu(y)), "torch") == ["avg_pool 3x3", "relu"]


@pytest.mark.parametrize(
    ("runtime", "precision", "expected"),
    [
        ("onnxruntime", "fp32", ["conv2d 1x1+relu6", "depthwise 3x3+relu6", "conv2d 1x1+add"]),
        ("onnxruntime", "int8", ["conv2d 1x1+relu6", "depthwise 3x3+relu6", "conv2d 1x1", "add"]),
        ("litert", "fp32", ["conv2d 1x1+relu6", "depthwise 3x3+relu6", "conv2d 1x1", "add"]),
        ("torch", "fp32", ["conv2d 1x1", "relu6", "depthwise 3x3", "relu6", "conv2d 1x1", "add"]),
    ],
)
def test_an_mbconv_is_cut_as_the_runtime_runs_it(runtime: Runtime, precision: Precision, expected: list[str]) -> None:
    b = WorkloadBuilder()
    x = b.conv2d(b.input((1, 16, 8, 8)), 16)
    assert kinds(b.build(mbconv(b, x, 16)), runtime, precision) == ["conv2d 1x1", *expected]


def test_nothing_is_drawn_across_a_tensor_that_is_read_twice_or_leaves() -> None:
    b = WorkloadBuilder()
    x = b.conv2d(b.input((1, 16, 8, 8)), 16)
    r = b.relu(x)
    assert kinds(b.build(b.add(b.avg_pool(x, 3, 1, 1), r))) == ["conv2d 1x1", "relu", "avg_pool 3x3", "add"]
    assert kinds(b.build(r, x)) == ["conv2d 1x1", "relu"]


def test_of_two_convolutions_under_a_sum_the_first_takes_it() -> None:
    b = WorkloadBuilder()
    x = b.relu(b.conv2d(b.input((1, 16, 8, 8)), 16))
    workload = b.build(b.relu(b.add(b.conv2d(x, 16, 3), b.conv2d(x, 16))))
    assert kinds(workload) == ["conv2d 1x1+relu", "conv2d 1x1", "conv2d 3x3+add+relu"]


def test_equal_operators_are_merged_only_where_the_runtime_does() -> None:
    b = WorkloadBuilder()
    x = b.relu(b.conv2d(b.input((1, 16, 8, 8)), 16))
    pools = [b.avg_pool(x, 3, 1, 1) for _ in range(2)]
    workload = b.build(b.add(b.conv2d(pools[0], 16), b.conv2d(pools[1], 16)))
    counts = {target: Counter(kinds(workload, *target))["avg_pool 3x3"] for target in TARGETS}
    assert counts["onnxruntime", "fp32"] == counts["torch", "fp32"] == 1
    assert counts["onnxruntime", "int8"] == counts["litert", "fp32"] == 2


def test_what_depends_on_no_input_is_computed_at_load_time() -> None:
    b = WorkloadBuilder()
    x = b.input((1, 16, 8, 8))
    constant = b.batch_norm(b.conv2d(b.relu(b.zero(x)), 16, 3))
    workload = b.build(b.add(b.avg_pool(x, 3, 1, 1), constant))
    assert kinds(workload, "torch") == ["avg_pool 3x3", "add"]
    assert kinds(workload, "onnxruntime", "int8") == ["conv2d 3x3", "avg_pool 3x3", "add"]


def test_kinds_and_labels() -> None:
    b = WorkloadBuilder()
    x = b.conv2d(b.input((1, 8, 9, 9)), 8, 3, dilation=2, groups=2)
    (kernel,) = cut(b.build(b.relu(x)), "litert", "fp32")
    assert kernel.kind == "grouped conv2d 3x3 dilated 2x2+relu"
    assert kernel.label == "grouped conv2d 3x3 dilated 2x2+relu 8x9x9 -> 8x9x9"


def test_kernels_of_names_each_kernel_once() -> None:
    workloads = networks(30, cells=2)
    kernels = kernels_of(workloads, "onnxruntime", "fp32")
    assert len({k.key for k in kernels}) == len(kernels)
    assert {k.key for k in kernels} == {k.key for w in workloads for k in cut(w, "onnxruntime", "fp32")}


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(ConfigError, match="no fusion rules for torch int8"):
        cut(networks(1)[0], "torch", "int8")


# -------------------------------------------------------------------- against onnxruntime itself

FP32_NODES = {
    "AveragePool": "avg_pool",
    "MaxPool": "max_pool",
    "GlobalAveragePool": "global_avg_pool",
    "Add": "add",
    "Relu": "relu",
    "Clip": "relu6",
    "Flatten": "flatten",
    "Gemm": "linear",
}
INT8_NODES = {"QLinearAdd": "add", "QLinearAveragePool": "avg_pool", "QLinearConv": "conv2d", "QGemm": "linear"}


def optimised_nodes(model: bytes, folder: Path) -> list[tuple[str, int, str, tuple[int, ...]]]:
    """(operator, number of inputs, activation, kernel) of every node that onnxruntime executes."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    nodes = []
    for node in onnx.load(str(folder / "optimised.onnx")).graph.node:
        attrs = {attr.name: onnx.helper.get_attribute_value(attr) for attr in node.attribute}
        nodes.append(
            (node.op_type, len(node.input), attrs.get("activation", b"").decode(), tuple(attrs.get("kernel_shape", ())))
        )
    return nodes


def fp32_kinds(model: bytes, folder: Path) -> Counter[str]:
    """The optimised graph in the words of `Kernel.kind`, without kernel sizes."""
    found: Counter[str] = Counter()
    for op, inputs, activation, kernel in optimised_nodes(model, folder):
        if op in ("Conv", "FusedConv"):
            name = "conv2d" if kernel else "batch_norm"  # a lone norm is a convolution of another form
            name += "+add" * (inputs == 4)
            found[name + {"Relu": "+relu", "Clip": "+relu6", "": ""}[activation]] += 1
        elif op in FP32_NODES:
            found[FP32_NODES[op]] += 1
    return found


def cut_kinds(workload: Workload, precision: Precision) -> Counter[str]:
    names = (kernel.kind for kernel in cut(workload, "onnxruntime", precision))
    without_sizes = ("+".join(part.split(" ")[0] for part in name.split("+")) for name in names)
    return Counter(name.replace("depthwise", "conv2d") for name in without_sizes)


def test_fp32_cut_equals_the_optimised_graph(tmp_path: Path) -> None:
    from profiler.workloads.builders.onnx import build_onnx

    b = WorkloadBuilder("mbconv")
    x = b.relu6(b.batch_norm(b.conv2d(b.input((1, 3, 16, 16)), 16, 3, stride=2)))
    mobile = b.build(b.linear(b.flatten(b.global_avg_pool(mbconv(b, mbconv(b, x, 16), 16))), 10))
    for workload in (mobile, *networks(12, without_none=True)):
        assert fp32_kinds(build_onnx(workload), tmp_path) == cut_kinds(workload, "fp32"), workload.name


def test_int8_cut_equals_the_optimised_graph(tmp_path: Path) -> None:
    from profiler.workloads.builders.onnx_int8 import build_onnx_int8

    for workload in networks(3, without_none=True):
        nodes = Counter(
            INT8_NODES[op] for op, *_ in optimised_nodes(build_onnx_int8(workload), tmp_path) if op in INT8_NODES
        )
        heads = Counter(name.split("+")[0] for name in cut_kinds(workload, "int8").elements())
        assert nodes == {kind: heads[kind] for kind in nodes}, workload.name
        assert set(nodes) >= {"conv2d", "linear"}
