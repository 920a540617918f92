"""Kernels at other sizes, and the sampler that covers a range of them."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.sampling.shapes import Dims, ShapeSampler, dims_of, resized
from predictors.sampling.typical import typical_blocks
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import Kernel, cut, kernels_of

WHERE = ("onnxruntime", "fp32")


def kernels() -> dict[str, Kernel]:
    b = WorkloadBuilder()
    x = b.input((1, 16, 12, 12))
    y = b.relu(b.add(b.batch_norm(b.conv2d(b.relu6(x), 16, 3)), x))
    z = b.mul(y, b.sigmoid(b.conv2d(b.global_avg_pool(y), 16, bias=True)))
    z = b.conv2d(z, 16, 5, stride=2, groups=16)
    left, right = b.split(z, (8, 8))
    z = b.conv2d(b.concat(b.relu(left), right), 32, 3, groups=4)
    return {k.kind: k for k in cut(b.build(b.linear(b.flatten(b.global_avg_pool(z)), 10)), *WHERE)}


def test_sizes_are_read_off() -> None:
    found = {kind: dims_of(kernel) for kind, kernel in kernels().items()}
    assert found["conv2d 3x3+add+relu"] == Dims(16, 16, 12)
    assert found["depthwise 5x5"] == Dims(16, 0, 12)
    assert found["linear"] == Dims(32, 10, 0)
    assert found["mul"] == Dims(16, 0, 12)


@pytest.mark.parametrize("kind", sorted(kernels()))
def test_every_kernel_can_be_rebuilt_at_its_own_sizes(kind: str) -> None:
    kernel = kernels()[kind]
    dims = dims_of(kernel)
    assert dims is not None
    again = resized(kernel, dims, *WHERE)
    assert again is not None
    assert again.key == kernel.key


def test_a_residual_follows_the_convolution_that_it_is_added_to() -> None:
    wide = resized(kernels()["conv2d 3x3+add+relu"], Dims(24, 40, 7), *WHERE)
    assert wide is not None
    assert wide.kind == "conv2d 3x3+add+relu"
    shapes = [wide.workload.shapes[i][0] for i in wide.workload.inputs]
    assert shapes == [(1, 24, 7, 7), (1, 40, 7, 7)]


def test_what_has_weights_by_channel_and_what_joins_keep_their_form() -> None:
    deep = resized(kernels()["depthwise 5x5"], Dims(20, 0, 9), *WHERE)
    assert deep is not None
    assert deep.workload.ops[-1].int("groups") == 20
    gate = resized(kernels()["mul"], Dims(30, 0, 5), *WHERE)
    assert gate is not None
    assert [gate.workload.shapes[i][0] for i in gate.workload.inputs] == [(1, 30, 5, 5), (1, 30, 1, 1)]
    parts = resized(kernels()["split"], Dims(22, 0, 5), *WHERE)
    assert parts is not None
    assert sum(shape[1] for shape in parts.workload.shapes[-1]) == 22
    groups = resized(kernels()["grouped conv2d 3x3"], Dims(24, 48, 5), *WHERE)
    assert groups is not None
    assert groups.workload.ops[-1].int("groups") == 6  # the width of a group stays four


def test_sizes_that_cannot_be_are_none() -> None:
    b = WorkloadBuilder()
    kernel = cut(b.build(b.max_pool(b.input((1, 8, 16, 16)), 3)), *WHERE)[0]
    assert resized(kernel, Dims(8, 0, 2), *WHERE) is None
    assert resized(kernel, Dims(8, 0, 4), *WHERE) is not None


@pytest.mark.parametrize("where", [("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("litert", "int8")])
def test_common_networks_are_covered(where: tuple[str, str]) -> None:
    kernels = kernels_of(typical_blocks(), *where)  # type: ignore[arg-type]
    sampler = ShapeSampler(kernels, *where)  # type: ignore[arg-type]
    assert set(sampler.kinds) == {kernel.kind for kernel in kernels}
    rng = np.random.default_rng(0)
    for kind, references in sampler.kinds.items():
        drawn = sampler.draw(kind, 8, rng)
        assert drawn or len(references) == 1, kind
        assert {kernel.kind for kernel in drawn} <= {kind}
        assert len({kernel.key for kernel in drawn}) == len(drawn)
        most = max(kernel.workload.macs for kernel in references)
        assert all(kernel.workload.macs <= most for kernel in drawn)


def test_a_seed_draws_the_same_and_the_range_is_spread_over() -> None:
    sampler = ShapeSampler(kernels_of(typical_blocks(), *WHERE), *WHERE)
    kind = "conv2d 1x1+relu"
    first = [kernel.key for kernel in sampler.draw(kind, 40, np.random.default_rng(3))]
    assert first == [kernel.key for kernel in sampler.draw(kind, 40, np.random.default_rng(3))]
    drawn = sampler.draw(kind, 40, np.random.default_rng(4))
    assert [kernel.key for kernel in drawn] != first
    found = [dims for kernel in drawn if (dims := dims_of(kernel)) is not None]
    references = [dims for kernel in sampler.kinds[kind] if (dims := dims_of(kernel)) is not None]
    for axis in ("c_in", "size"):
        covered = np.ptp(np.log([getattr(d, axis) for d in found]))
        assert covered > 0.6 * np.ptp(np.log([getattr(d, axis) for d in references]))
    assert any(dims.c_in % 8 for dims in found)
    assert any(dims.c_in % 8 == 0 for dims in found)


def test_outputs_meet_so_that_what_is_timed_beside_them_is_shared() -> None:
    sampler = ShapeSampler(kernels_of(typical_blocks(), *WHERE), *WHERE)
    rng = np.random.default_rng(0)
    drawn = [kernel for kind in sampler.kinds for kernel in sampler.draw(kind, 10, rng)]
    images = [
        shape for k in drawn for shape in [k.workload.shape(k.workload.outputs[0])] if shape[2:] not in ((), (1, 1))
    ]
    assert len(set(images)) < 0.6 * len(images)
