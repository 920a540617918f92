from __future__ import annotations

import pytest

from predictors.features import FEATURES, family, feature_matrix, kernel_features, workload_features
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import Kernel, cut


def kernels() -> dict[str, Kernel]:
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    x = b.relu(b.conv2d(x, 6, 3, stride=2, bias=True))
    x = b.conv2d(x, 6, 5, groups=6)
    x = b.mul(x, b.hswish(x))
    x = b.max_pool(x, 2)
    return {k.kind: k for k in cut(b.build(b.linear(b.flatten(x), 3)), "onnxruntime", "fp32")}


def test_a_fused_convolution_is_counted_by_hand() -> None:
    found = kernel_features(kernels()["conv2d 3x3+relu"])
    assert found["macs"] == 6 * 4 * 4 * 4 * 9
    assert found["bytes_read"] == 4 * 4 * 8 * 8
    assert found["bytes_written"] == 4 * 6 * 4 * 4
    assert found["weight_bytes"] == 4 * (6 * 4 * 9 + 6)
    assert found["out_pixels"] == 16
    assert found["window_values"] == 16 * 9 * 4
    assert (found["in_channels"], found["out_channels"], found["in_pixels"]) == (4, 6, 64)
    assert (found["kernel_area"], found["stride"], found["groups"], found["ops"]) == (9, 2, 1, 2)
    moved = found["bytes_read"] + found["bytes_written"] + found["weight_bytes"]
    assert found["macs_per_byte"] == pytest.approx(found["macs"] / moved)


def test_two_inputs_are_both_read() -> None:
    found = kernel_features(kernels()["mul"])
    assert found["bytes_read"] == 2 * 4 * 6 * 4 * 4
    assert found["macs"] == found["weight_bytes"] == 0


def test_families() -> None:
    found = {kind: family(kernel) for kind, kernel in kernels().items()}
    assert found == {
        "conv2d 3x3+relu": "conv",
        "depthwise 5x5": "depthwise",
        "hswish": "elementwise",
        "mul": "elementwise",
        "max_pool 2x2": "pool",
        "flatten": "elementwise",
        "linear": "linear",
    }


def test_the_matrix_has_a_column_a_feature() -> None:
    some = list(kernels().values())
    matrix = feature_matrix(some)
    assert matrix.shape == (len(some), len(FEATURES))
    assert dict(zip(FEATURES, matrix[0], strict=True)) == kernel_features(some[0])
    assert feature_matrix([]).shape == (0, len(FEATURES))


def test_dead_operators_are_no_work() -> None:
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    y = b.conv2d(x, 4, 1)
    lean = workload_features(b.build(y))
    b.conv2d(y, 64, 3)
    assert workload_features(b.build(y)) == lean
    assert lean["macs"] == 4 * 4 * 64
    assert lean["params"] == 16
    assert lean["ops"] == 1
