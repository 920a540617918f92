"""The ways of cutting a network, and networks as sequences of blocks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import sample_workloads

from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.cuts import cut_as, cuts_of, into_blocks, kernels_of_cuts
from profiler.workloads.fusion import single
from profiler.workloads.graph import Workload
from profiler.workloads.isolation import isolate, isolate_in_pairs, kernel_jobs


def network() -> Workload:
    b = WorkloadBuilder("net")
    x = b.relu(b.batch_norm(b.conv2d(b.input((1, 3, 16, 16)), 16, 3)))
    x = b.add(x, b.conv2d(b.relu6(b.conv2d(x, 32)), 16))
    return b.build(b.linear(b.flatten(b.global_avg_pool(x)), 10))


def test_each_cut_has_kernels_of_its_own() -> None:
    found = {how: [k.kind for k in cut_as(network(), how, "onnxruntime", "fp32")] for how in cuts_of("onnxruntime")}
    end = ["global_avg_pool", "flatten", "linear"]
    assert found["exported"] == ["conv2d 3x3", "relu", "conv2d 1x1", "relu6", "conv2d 1x1", "add", *end]
    assert found["fused"] == ["conv2d 3x3+relu", "conv2d 1x1+relu6", "conv2d 1x1+add", *end]
    assert Counter(found["optimised"]) == Counter(found["fused"])
    assert cuts_of("litert") == cuts_of("onnxruntime", "cuda") == ("exported", "fused")
    with pytest.raises(ValueError, match="into_blocks"):
        cut_as(network(), "blocks", "litert", "fp32")


def test_what_all_cuts_need_is_named_once() -> None:
    kernels = kernels_of_cuts([network(), network()], "onnxruntime", "fp32")
    assert len({k.key for k in kernels}) == len(kernels)
    assert {k.kind for k in kernels} >= {"conv2d 3x3", "relu", "conv2d 3x3+relu", "conv2d 1x1+add", "add"}


def test_a_network_is_the_sequence_of_its_blocks() -> None:
    from search.spaces.mixconv import MixConv

    space = MixConv()
    blocks = {w.key: w for w in space.block_workloads()}
    rng = np.random.default_rng(1)
    for _ in range(3):
        arch = space.sample(rng)
        found = into_blocks(space.workload(arch), blocks)
        wanted = [space.choice_workload(i, c).key for i, c in enumerate(arch.choices) if space.kernels_of(arch)[i]]
        stem, head = (w.key for w in space.fixed_workloads())
        assert found == (stem, *wanted, head)
    missing = {key: w for key, w in blocks.items() if key != head}
    assert into_blocks(space.workload(arch), missing) is None


def test_what_is_no_sequence_of_blocks_is_none() -> None:
    work = network()
    assert into_blocks(work, {work.key: work}) == (work.key,)
    assert into_blocks(sample_workloads.nb201_net([1, 2, 3, 1, 2, 3], cells=1), {work.key: work}) is None
    b = WorkloadBuilder()
    x = b.input((1, 4))
    assert into_blocks(b.build(b.relu(x), b.sigmoid(x)), {}) is None


def conv(channels: int, to: int, stride: int = 1) -> Workload:
    b = WorkloadBuilder()
    return b.build(b.relu(b.conv2d(b.input((1, channels, 8, 8)), to, 3, stride, bias=True)))


def test_what_changes_channels_is_chained_with_a_partner_that_brings_them_back() -> None:
    (kernel,) = cut_as(conv(8, 24), "fused", "litert", "fp32")
    isolation = isolate_in_pairs(kernel, "litert", "fp32")
    assert isolation is not None
    assert isolate(kernel, "litert", "fp32").mode == "fan"
    kinds = Counter(k.label for k in cut_as(isolation.workload(5), "fused", "litert", "fp32"))
    partner = isolation.companions[0]
    assert kinds == {"conv2d 1x1 8x8x8 -> 8x8x8": 1, kernel.label: 5, partner.label: 5}
    assert partner.label == "conv2d 1x1 24x8x8 -> 8x8x8"


def test_what_keeps_its_shape_or_loses_pixels_is_in_no_pair() -> None:
    for work in (conv(8, 8), conv(8, 24, stride=2)):
        (kernel,) = cut_as(work, "fused", "litert", "fp32")
        assert isolate_in_pairs(kernel, "litert", "fp32") is None
    pool = single("global_avg_pool", ((1, 8, 4, 4),), {})
    assert isolate_in_pairs(pool, "litert", "fp32") is None


def test_pairs_plan_their_partners_and_nothing_else() -> None:
    kernels = [k for w in (conv(8, 24), conv(8, 8), conv(24, 8)) for k in cut_as(w, "fused", "litert", "fp32")]
    plans = {p.label: p.isolation for p in kernel_jobs(kernels, "litert", "fp32", paired=True)}
    assert plans.keys() >= {"conv2d 3x3+relu 8x8x8 -> 24x8x8", "conv2d 1x1 24x8x8 -> 8x8x8"}
    assert "conv2d 3x3+relu 8x8x8 -> 8x8x8" not in plans
    paired = [label for label, isolation in plans.items() if isolation.surroundings.back]
    assert paired == ["conv2d 3x3+relu 8x8x8 -> 24x8x8", "conv2d 3x3+relu 24x8x8 -> 8x8x8"]
