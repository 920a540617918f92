from __future__ import annotations

import math

import numpy as np
import pytest

from predictors.memory import COUNTED, MemoryModel
from profiler.fleet.targets import Target
from profiler.tables.table import CostTable
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

FP32, INT8 = Target("b", "onnxruntime", "fp32"), Target("b", "onnxruntime", "int8")


def model(target: Target = FP32) -> MemoryModel:
    return MemoryModel().fit(CostTable((), {}, (target,)), target.id)


def straight() -> Workload:
    """3x8x8 -> 16x8x8 -> 4x8x8, an activation behind each convolution."""
    b = WorkloadBuilder("straight")
    x = b.relu(b.batch_norm(b.conv2d(b.input((1, 3, 8, 8)), 16, 3)))
    return b.build(b.relu(b.conv2d(x, 4, 1, bias=True)))


def test_the_peak_is_counted_by_hand() -> None:
    found = model().estimate(straight())
    # norms and activations are part of the convolutions, and a folded norm leaves a bias
    weights = 4 * (16 * 3 * 9 + 16 + 4 * 16 + 4)
    between, after, before = 4 * 16 * 64, 4 * 4 * 64, 4 * 3 * 64
    assert max(before + between, between + after) == between + after
    assert found.peak_bytes == weights + between + after
    assert {part.kind for part in found.by_op} == {"weights", "activation"}
    assert math.fsum(part.peak_bytes for part in found.by_op) == found.peak_bytes
    assert (found.low_bytes, found.high_bytes) == (found.peak_bytes, math.inf)
    assert (found.measured, found.interval) == (False, COUNTED)
    assert found.to_dict()["high_bytes"] is None


def test_int8_holds_bytes_and_biases_of_four() -> None:
    found = model(INT8).estimate(straight())
    assert found.peak_bytes == (16 * 3 * 9 + 4 * 16) + 4 * (16 + 4) + (16 + 4) * 64


def test_what_a_residual_needs_later_stays_in_memory() -> None:
    def network(residual: bool) -> Workload:
        b = WorkloadBuilder("n")
        x = b.relu(b.conv2d(b.input((1, 8, 8, 8)), 8, 1))
        y = b.relu(b.conv2d(x, 32, 1))
        y = b.relu(b.conv2d(y, 32, 1))
        y = b.conv2d(y, 8, 1)
        return b.build(b.add(y, x) if residual else y)

    kept = model().estimate(network(True)).peak_bytes - model().estimate(network(False)).peak_bytes
    assert kept == 4 * 8 * 64


def test_views_and_dead_operators_take_nothing() -> None:
    def network(views: bool) -> Workload:
        b = WorkloadBuilder("n")
        x = b.conv2d(b.input((1, 8, 8, 8)), 8, 1)
        if views:
            b.conv2d(x, 64, 1)  # nothing reads it
            x = b.identity(x)
        return b.build(b.linear(b.flatten(b.global_avg_pool(x)), 10))

    assert model().estimate(network(True)).peak_bytes == model().estimate(network(False)).peak_bytes


def test_measured_peaks_teach_what_a_runtime_takes_besides() -> None:
    networks = [_scaled(width) for width in (8, 16, 24, 32, 48, 64)]
    counted = model().predict(networks)
    learned = MemoryModel().fit(networks, 5e6 + 1.25 * counted, base=FP32)
    assert (learned.constant_bytes_, learned.scale_) == (pytest.approx(5e6), pytest.approx(1.25))
    other = _scaled(40)
    found = learned.estimate(other)
    assert found.measured
    assert found.peak_bytes == pytest.approx(5e6 + 1.25 * model().predict([other])[0])
    assert math.isfinite(found.high_bytes)
    assert math.fsum(part.peak_bytes for part in found.by_op) == pytest.approx(found.peak_bytes)
    noisy = 5e6 + 1.25 * counted * np.array([1.1, 0.9, 1.05, 0.95, 1.1, 0.9])
    assert MemoryModel().fit(networks, noisy, base=FP32).estimate(other).high_bytes > found.high_bytes


def _scaled(width: int) -> Workload:
    b = WorkloadBuilder(f"width {width}")
    x = b.relu(b.conv2d(b.input((1, 3, 16, 16)), width, 3))
    return b.build(b.linear(b.flatten(b.global_avg_pool(b.relu(b.conv2d(x, 2 * width, 3)))), 10))
