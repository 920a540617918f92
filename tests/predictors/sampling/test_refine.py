"""What adaptive sampling measures next."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.measured import KernelPoint
from predictors.sampling.refine import COVER, first_batch, next_batch
from predictors.sampling.shapes import ShapeSampler, dims_of
from predictors.sampling.typical import typical_blocks
from profiler.workloads.fusion import Kernel, kernels_of

WHERE = ("onnxruntime", "fp32")
HARD = "conv2d 3x3+relu"


@pytest.fixture(scope="module")
def sampler() -> ShapeSampler:
    return ShapeSampler(kernels_of(typical_blocks(), *WHERE), *WHERE)


def easy_ms(kernel: Kernel) -> float:
    return 0.01 + kernel.workload.macs / 1e7 + kernel.workload.bytes_written / 1e7


def hard_ms(kernel: Kernel) -> float:
    """One kind is dear where pictures are small, by no rule that a feature says."""
    dims = dims_of(kernel)
    assert dims is not None
    jagged = kernel.kind == HARD and dims.size < 40
    return easy_ms(kernel) * (1.0 + (8.0 * ((dims.c_in * 7919) % 13) / 13.0 if jagged else 0.0))


def points(kernels: list[Kernel], sd: float = 0.0) -> list[KernelPoint]:
    return [KernelPoint(k.key, k.label, k, hard_ms(k), sd * hard_ms(k), None) for k in kernels]


def covered(sampler: ShapeSampler, each: int) -> list[Kernel]:
    rng = np.random.default_rng(1)
    return [kernel for kind in sampler.kinds for kernel in sampler.draw(kind, each, rng)]


def test_the_first_batch_takes_a_kernel_of_as_many_kinds_as_it_can(sampler: ShapeSampler) -> None:
    kinds = len(sampler.kinds)
    batch = first_batch(sampler, kinds, np.random.default_rng(0))
    assert set(batch.kinds.values()) == {1}
    assert len(batch.kernels) == kinds
    few = first_batch(sampler, 5, np.random.default_rng(0))
    assert len(few.kernels) == 5
    most = sorted((len(of) for of in sampler.kinds.values()), reverse=True)[:5]
    assert sorted((len(sampler.kinds[kind]) for kind in few.kinds), reverse=True) == most
    again = first_batch(sampler, 5, np.random.default_rng(0))
    assert [k.key for k in again.kernels] == [k.key for k in few.kernels]


def test_kinds_are_covered_before_any_is_refined(sampler: ShapeSampler) -> None:
    known = points([k for k in covered(sampler, COVER) if k.kind == HARD])
    batch, _ = next_batch(sampler, known, 40, np.random.default_rng(0))
    assert HARD not in batch.kinds


def test_more_is_measured_where_predictions_are_worst(sampler: ShapeSampler) -> None:
    known = points(covered(sampler, 12))
    batch, knowledge = next_batch(sampler, known, 40, np.random.default_rng(0))
    assert knowledge.worst == HARD
    assert knowledge.rms[HARD] > 0.1
    assert max(batch.kinds, key=lambda kind: batch.kinds[kind]) == HARD
    assert batch.kinds[HARD] > 3 * 40 / len(sampler.kinds)
    assert not {kernel.key for kernel in batch.kernels} & {point.key for point in known}


def test_noise_is_no_reason_to_measure_more(sampler: ShapeSampler) -> None:
    """Kernels below what can be resolved are off by their own uncertainty, and others like them would be too."""
    rng = np.random.default_rng(2)
    known = []
    for kernel in covered(sampler, 12):
        noisy = kernel.kind == "global_avg_pool"
        ms = easy_ms(kernel) * (float(np.exp(0.6 * rng.standard_normal())) if noisy else 1.0)
        known.append(KernelPoint(kernel.key, kernel.label, kernel, ms, 0.8 * ms if noisy else 0.001 * ms, None))
    _, knowledge = next_batch(sampler, known, 20, np.random.default_rng(0))
    assert knowledge.rms["global_avg_pool"] < 0.25
    assert knowledge.worst != "global_avg_pool"


def test_nothing_is_chosen_twice(sampler: ShapeSampler) -> None:
    known = points(covered(sampler, 6))
    first, _ = next_batch(sampler, known, 20, np.random.default_rng(0))
    taken = {kernel.key for kernel in first.kernels}
    second, _ = next_batch(sampler, known, 20, np.random.default_rng(0), avoid=taken)
    assert not taken & {kernel.key for kernel in second.kernels}
