"""What the truth is, and that a workload is cut as the rules say where nothing is hidden."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.fleet.virtual.simulated.hidden import with_changes
from profiler.fleet.virtual.simulated.presets import IDEAL, PRESETS
from profiler.fleet.virtual.simulated.truth import Truth, fused, true_groups
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import cut
from profiler.workloads.graph import Workload
from search.spaces.nasbench201 import NasBench201

from .conftest import conv_chain


def networks() -> list[Workload]:
    space, rng = NasBench201(), np.random.default_rng(5)
    return [space.workload(space.sample(rng)) for _ in range(6)]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_where_nothing_is_hidden_the_groups_are_those_of_the_rules(samples: ModuleType, precision: str) -> None:
    for workload in networks():
        ours = sorted(tuple(sorted(kernel.ops)) for kernel in cut(workload, "simulated", precision))
        theirs = sorted(tuple(sorted(group)) for group in true_groups(IDEAL, workload, precision))
        assert theirs == ours


def test_what_is_hidden_shows_in_the_groups_and_in_nothing_else() -> None:
    b = WorkloadBuilder()
    x = b.input((1, 8, 8, 8))
    workload = b.build(b.relu(b.add(b.conv2d(x, 8, 3), x)))
    apart = replace(IDEAL, fusion=with_changes(without={"conv2d": ("add",)}))
    assert [kernel.kinds for kernel in Truth(IDEAL, workload, "fp32").kernels] == [("conv2d", "add", "relu")]
    assert [kernel.kinds for kernel in Truth(apart, workload, "fp32").kernels] == [("conv2d",), ("add",), ("relu",)]
    assert Truth(apart, workload, "fp32").latency_ns > Truth(IDEAL, workload, "fp32").latency_ns
    assert fused(IDEAL, "fp32", "conv2d", "add", "relu")
    assert not fused(apart, "fp32", "conv2d", "add")
    assert fused(apart, "fp32", "conv2d", "relu")


def test_kernels_and_overhead_add_up_to_the_whole() -> None:
    for spec in PRESETS.values():
        truth = Truth(spec, networks()[0], "fp32")
        assert sum(kernel.latency_ns for kernel in truth.kernels) + truth.overhead_ns == pytest.approx(truth.latency_ns)
        assert truth.overhead_ns > 0


def test_the_slope_of_chains_is_the_kernel_in_place() -> None:
    """As long as all of it fits into the cache."""
    one, two = (Truth(IDEAL, conv_chain(m, 8, 8), "fp32") for m in (6, 12))
    assert (two.latency_ns - one.latency_ns) / 6 == pytest.approx(one.kernels[3].latency_ns)
    alone = Truth(IDEAL, conv_chain(1, 8, 8), "fp32").latency_ns
    assert alone > 1.4 * one.kernels[3].latency_ns


def test_weights_that_the_cache_does_not_hold_cost_more() -> None:
    small = replace(IDEAL, roofline=replace(IDEAL.roofline, cache_bytes=1 << 14, bytes_per_s=1e8))
    assert Truth(small, conv_chain(4), "fp32").latency_ns > 2 * Truth(IDEAL, conv_chain(4), "fp32").latency_ns
    truth = Truth(IDEAL, conv_chain(4), "fp32")
    assert truth.cold_latency_ns > truth.latency_ns


def test_clock_precision_and_threads_matter_as_they_should() -> None:
    workload = conv_chain(4, channels=32)
    full = Truth(IDEAL, workload, "fp32").latency_ns
    half = Truth(IDEAL, workload, "fp32", mhz=1000).latency_ns
    assert 1.8 * full < half <= 2 * full
    assert Truth(IDEAL, workload, "int8").latency_ns < 0.5 * full
    assert Truth(IDEAL, workload, "fp32", threads=2).latency_ns < 0.6 * full


def test_of_a_target_it_is_that_of_its_precision_threads_and_clock() -> None:
    workload = conv_chain(4, channels=32)
    for precision, threads, clock in (("fp32", 1, "unpinned"), ("int8", 2, "1500")):
        target = Target("ideal", "simulated", precision, threads, clock)
        mhz = None if clock == "unpinned" else int(clock)
        assert (
            Truth.of(IDEAL, workload, target).latency_ns == Truth(IDEAL, workload, precision, threads, mhz).latency_ns
        )
    with pytest.raises(ConfigError, match="no clock step of 1234 MHz"):
        Truth.of(IDEAL, workload, Target("ideal", "simulated", "fp32", 1, "1234"))


def test_energy_is_power_times_latency() -> None:
    truth = Truth(IDEAL, conv_chain(4), "fp32")
    assert truth.gross_mj - truth.net_mj == pytest.approx(IDEAL.power.idle_w * truth.latency_ns * 1e-6)
    most = IDEAL.power.static_w + IDEAL.power.dynamic_w
    assert 0.5 * most < truth.net_mj / (truth.latency_ns * 1e-6) <= most
    slow = Truth(IDEAL, conv_chain(4), "fp32", mhz=1000)
    assert slow.net_mj < truth.net_mj  # lower voltage


def test_the_mean_lies_above_the_median_by_the_noise() -> None:
    truth = Truth(PRESETS["rpi5"], conv_chain(4), "fp32")
    assert 1.0005 < truth.mean_latency_ns / truth.latency_ns < 1.01
    ideal = Truth(IDEAL, conv_chain(4), "fp32")
    assert ideal.mean_latency_ns == ideal.latency_ns
