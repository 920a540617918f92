"""Stretches of m and 2m differ by m kernels and their companions, for the cut and for onnxruntime itself."""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from profiler.fleet.targets import Precision, Runtime
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import FUSIONS, Kernel, cut, kernels_of, single
from profiler.workloads.isolation import Isolation, KernelPlan, block_jobs, isolate, kernel_jobs

TARGETS = list(FUSIONS)
NETWORK_PARAMS = 40_000

POOL = {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1, 1, 1), "count_include_pad": False}
CONV = {
    "out_channels": 16,
    "kernel": (3, 3),
    "stride": (2, 2),
    "padding": (1, 1, 1, 1),
    "dilation": (1, 1),
    "groups": 1,
    "bias": True,
}


@pytest.fixture(scope="module")
def kernels(samples: ModuleType) -> dict[tuple[Runtime, Precision], tuple[Kernel, ...]]:
    """By target, the kernels of every operator, block and whole network that tests share."""
    workloads = [*samples.operators().values(), *samples.blocks().values(), *samples.networks().values()]
    return {target: kernels_of(workloads, *target) for target in TARGETS}


def contents(isolation: Isolation, m: int, runtime: Runtime, precision: Precision) -> Counter[str]:
    return Counter(kernel.key for kernel in cut(isolation.workload(m), runtime, precision))


@pytest.mark.parametrize(("runtime", "precision"), TARGETS)
def test_twice_the_stretch_holds_m_more_kernels_and_companions_and_nothing_else(
    kernels: dict[tuple[Runtime, Precision], tuple[Kernel, ...]], runtime: Runtime, precision: Precision
) -> None:
    assert len(kernels[runtime, precision]) > 30
    for kernel in kernels[runtime, precision]:
        isolation = isolate(kernel, runtime, precision)
        m = isolation.repeats
        more = contents(isolation, 2 * m, runtime, precision)
        more.subtract(contents(isolation, m, runtime, precision))
        expected = Counter({kernel.key: m})
        for companion in isolation.companions:
            expected[companion.key] += m
        assert {key: n for key, n in more.items() if n} == dict(expected), kernel.label
        assert 2 <= m <= 64


def test_companions_have_plans_of_their_own_before_those_that_need_them(
    kernels: dict[tuple[Runtime, Precision], tuple[Kernel, ...]],
) -> None:
    for (runtime, precision), found in kernels.items():
        plans = kernel_jobs(found, runtime, precision)
        seen: set[str] = set()
        for plan in plans:
            assert plan.key not in seen
            assert set(plan.companion_keys) <= seen, plan.kernel.label
            seen.add(plan.key)
            m = plan.isolation.repeats
            assert [n for n, _ in plan.jobs] == [1, m, 2 * m]
            assert plan.jobs[0][1].key == plan.key
        assert {kernel.key for kernel in found} <= seen


def test_a_kernel_that_keeps_its_shape_is_chained() -> None:
    kernel = single("avg_pool", ((1, 16, 8, 8),), POOL)
    isolation = isolate(kernel, "torch", "fp32")
    assert (isolation.mode, isolation.companions) == ("chain", ())
    work = isolation.workload(3)
    assert [op.kind for op in work.ops] == ["input", "conv2d", "avg_pool", "avg_pool", "avg_pool"]


def test_a_kernel_that_changes_its_shape_is_fanned_out_with_weights_of_its_own() -> None:
    b = WorkloadBuilder()
    (kernel,) = cut(b.build(b.conv2d(b.input((1, 8, 8, 8)), 16, 3, stride=2, bias=True)), "litert", "fp32")
    isolation = isolate(kernel, "litert", "fp32")
    assert isolation.mode == "fan"
    assert [companion.kind for companion in isolation.companions] == ["add"]
    work = isolation.workload(3)
    assert Counter(op.kind for op in work.ops) == {"input": 1, "conv2d": 4, "add": 2}


def test_branches_without_weights_are_kept_apart_by_mixers() -> None:
    kernel = single("global_avg_pool", ((1, 16, 8, 8),), {})
    isolation = isolate(kernel, "onnxruntime", "fp32")
    assert sorted(companion.kind for companion in isolation.companions) == ["add", "conv2d 1x1"]


def test_an_addition_that_the_runtime_would_fuse_is_made_twice() -> None:
    kernel = single("conv2d", ((1, 8, 8, 8),), CONV)
    assert [c.kind for c in isolate(kernel, "onnxruntime", "fp32").companions] == ["add", "add"]
    assert [c.kind for c in isolate(kernel, "torch", "fp32").companions] == ["add"]


def test_a_kernel_that_adds_by_itself_accumulates_without_companions() -> None:
    b = WorkloadBuilder()
    x, y = b.input((1, 8, 8, 8)), b.input((1, 16, 4, 4))
    (kernel,) = cut(b.build(b.add(b.conv2d(x, 16, 3, stride=2, bias=True), y)), "onnxruntime", "fp32")
    isolation = isolate(kernel, "onnxruntime", "fp32")
    assert (isolation.mode, isolation.companions) == ("fan", ())


def test_clamps_are_read_beside_their_input_so_that_nothing_merges_them() -> None:
    kernel = single("relu", ((1, 16, 8, 8),), {})
    for target in TARGETS:
        isolation = isolate(kernel, *target)
        assert isolation.mode == "chain"
        assert sorted(companion.kind for companion in isolation.companions) == ["add", "conv2d 1x1"]


def test_heavy_kernels_are_repeated_less() -> None:
    light, heavy = (single("add", ((1, c, s, s),) * 2, {}) for c, s in ((8, 4), (512, 64)))
    assert isolate(heavy, "torch", "fp32").repeats < isolate(light, "torch", "fp32").repeats


def test_a_stretch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        isolate(single("relu", ((1, 4, 4, 4),), {}), "torch", "fp32").workload(0)


def test_stretches_stay_finite(kernels: dict[tuple[Runtime, Precision], tuple[Kernel, ...]]) -> None:
    """Values that overflow or sink into denormals would change the cost."""
    import onnxruntime

    from profiler.workloads.builders.onnx import build_onnx
    from profiler.workloads.weights import seeded_inputs

    for kernel in kernels["litert", "fp32"]:
        if kernel.workload.macs:
            continue  # fresh weights at every step keep the size
        isolation = isolate(kernel, "litert", "fp32")
        work = isolation.workload(2 * isolation.repeats)
        session = onnxruntime.InferenceSession(build_onnx(work), providers=["CPUExecutionProvider"])
        feed = {value.name: array for value, array in zip(session.get_inputs(), seeded_inputs(work), strict=True)}
        for output in session.run(None, feed):
            size = float(np.sqrt(np.mean(np.square(output, dtype=np.float64))))
            assert np.isfinite(output).all()
            assert 1e-12 < size < 1e30, kernel.label


# -------------------------------------------------------------------- blocks


@pytest.fixture(scope="module")
def blocks(samples: ModuleType) -> dict[tuple[Runtime, Precision], dict[str, KernelPlan]]:
    """By target, the plans of parts of networks by name, without those of their companions."""
    parts = samples.network_parts()
    return {
        target: {
            name: plan
            for plan in block_jobs(parts.values(), *target, network_params=NETWORK_PARAMS)
            for name, work in parts.items()
            if plan.is_block and plan.key == work.key
        }
        for target in TARGETS
    }


@pytest.mark.parametrize(("runtime", "precision"), TARGETS)
def test_twice_the_stretch_of_a_block_holds_its_kernels_m_times_more(
    blocks: dict[tuple[Runtime, Precision], dict[str, KernelPlan]],
    samples: ModuleType,
    runtime: Runtime,
    precision: Precision,
) -> None:
    """Nothing of a block is fused with what is put beside it, merged or split up by its repetition."""
    found = blocks[runtime, precision]
    assert found.keys() == samples.network_parts().keys()
    for name, plan in found.items():
        m = plan.isolation.repeats
        more = contents(plan.isolation, 2 * m, runtime, precision)
        more.subtract(contents(plan.isolation, m, runtime, precision))
        expected: Counter[str] = Counter()
        for kernel in (*cut(plan.kernel.workload, runtime, precision), *plan.isolation.companions):
            expected[kernel.key] += m
        assert {key: n for key, n in more.items() if n} == dict(expected), name
        assert 2 <= m <= 64


def test_blocks_that_keep_their_shape_are_chained_and_all_others_fanned_out(
    blocks: dict[tuple[Runtime, Precision], dict[str, KernelPlan]],
) -> None:
    chained = {"mixconv residual", "mixconv uneven", "mixconv se hswish", "mbconv hswish"}
    for found in blocks.values():
        assert {name for name, plan in found.items() if plan.isolation.mode == "chain"} == chained
        assert all(not found[name].isolation.companions for name in chained)
        assert {c.kind for plan in found.values() for c in plan.isolation.companions} == {"add"}


def test_the_kernel_that_ends_a_block_says_how_often_its_output_is_added(
    blocks: dict[tuple[Runtime, Precision], dict[str, KernelPlan]],
) -> None:
    """A lone addition behind a convolution would become part of it; behind a ReLU or a linear layer it would not."""
    found = blocks["onnxruntime", "fp32"]
    assert {name: len(plan.isolation.companions) for name, plan in found.items() if plan.isolation.mode == "fan"} == {
        "mixconv stride 2": 2,
        "mixconv uneven stride 2": 2,
        "mixconv wide kernel": 2,
        "mbconv stride 2 se": 2,
        "stem": 1,
        "head": 1,
    }
    assert len(blocks["torch", "fp32"]["mixconv stride 2"].isolation.companions) == 1


def test_a_block_is_planned_once_behind_its_companions_and_named_as_it_was_written(samples: ModuleType) -> None:
    parts = list(samples.network_parts().values())
    plans = block_jobs([*parts, *parts], "onnxruntime", "fp32", NETWORK_PARAMS)
    assert len({plan.key for plan in plans}) == len(plans)
    assert [plan.label for plan in plans if plan.is_block] == [part.name for part in parts]
    seen: set[str] = set()
    for plan in plans:
        assert set(plan.companion_keys) <= seen, plan.label
        seen.update([] if plan.is_block else [plan.key])
        m = plan.isolation.repeats
        assert [n for n, _ in plan.jobs] == [1, m, 2 * m]
        assert plan.jobs[0][1].key == plan.key


@pytest.mark.parametrize(("runtime", "precision"), TARGETS)
def test_a_stretch_reads_once_as_many_bytes_as_a_network_has_weights(
    blocks: dict[tuple[Runtime, Precision], dict[str, KernelPlan]], runtime: Runtime, precision: Precision
) -> None:
    weight = 4 if precision == "fp32" else 1
    moved = 5 if (runtime, precision) == ("onnxruntime", "int8") else weight
    for name, plan in blocks[runtime, precision].items():
        alone, *stretches = (work for _, work in plan.jobs)
        assert len(alone.inputs) == 1
        for work in stretches:
            _, ballast = (work.shapes[index][0] for index in work.inputs)
            assert prod(ballast) * moved == pytest.approx(NETWORK_PARAMS * weight, rel=0.1), name
            assert sum(op.kind == "global_avg_pool" and ballast in work.input_shapes_of(i)
                       for i, op in enumerate(work.ops)) == 1  # fmt: skip


def test_ballast_has_a_bound_and_may_be_left_out(samples: ModuleType) -> None:
    def inputs(network_params: int) -> list[int]:
        (plan,) = (p for p in block_jobs([samples.mixconv_block()], "torch", "fp32", network_params) if p.is_block)
        work = plan.isolation.workload(2)
        return [prod(work.shapes[index][0]) for index in work.inputs]

    assert len(inputs(0)) == 1
    assert inputs(10**9)[1] == inputs(10**8)[1] < 3e6


# -------------------------------------------------------------------- what onnxruntime executes


def executed(model: bytes, folder: Path) -> Counter[tuple[str, ...]]:
    """What onnxruntime executes: operator, activation, number of inputs."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found: Counter[tuple[str, ...]] = Counter()
    for node in onnx.load(str(folder / "optimised.onnx")).graph.node:
        activation = next((a.s.decode() for a in node.attribute if a.name == "activation"), "")
        found[node.op_type, activation, str(len(node.input))] += 1
    return found


def test_onnxruntime_executes_every_further_repetition_in_the_same_way(
    kernels: dict[tuple[Runtime, Precision], tuple[Kernel, ...]], tmp_path: Path
) -> None:
    """Between m and 2m, and between 2m and 4m: the nodes that it adds are the same, m times."""
    from profiler.workloads.builders.onnx import build_onnx

    for kernel in kernels["onnxruntime", "fp32"]:
        isolation = isolate(kernel, "onnxruntime", "fp32")
        short, middle, long = (executed(build_onnx(isolation.workload(m)), tmp_path) for m in (2, 4, 6))
        assert middle - short == long - middle, kernel.label
        nodes = sum((middle - short).values())
        assert nodes >= 2 * (1 + len(isolation.companions)), kernel.label
        assert all(count % 2 == 0 for count in (middle - short).values()), kernel.label


def test_onnxruntime_executes_every_further_block_in_the_same_way(
    blocks: dict[tuple[Runtime, Precision], dict[str, KernelPlan]], tmp_path: Path
) -> None:
    from profiler.workloads.builders.onnx import build_onnx

    for name, plan in blocks["onnxruntime", "fp32"].items():
        short, middle, long = (executed(build_onnx(plan.isolation.workload(m)), tmp_path) for m in (2, 4, 6))
        assert middle - short == long - middle, name
        assert all(count % 2 == 0 for count in (middle - short).values()), name
