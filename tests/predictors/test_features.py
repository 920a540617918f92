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


def kernel_of(c_in: int, c_out: int, groups: int = 1, size: int = 8) -> Kernel:
    b = WorkloadBuilder()
    return cut(b.build(b.conv2d(b.input((1, c_in, size, size)), c_out, 3, groups=groups)), "litert", "fp32")[0]


def test_lanes_are_counted_on_both_sides() -> None:
    found = kernel_features(kernel_of(10, 12))
    macs = 64 * 9 * 10 * 12
    assert found["out_padded_macs_8"] == pytest.approx(macs * 16 / 12)
    assert found["padded_macs_8"] == pytest.approx(macs * 16 / 12 * 16 / 10)
    assert found["padded_macs_16"] == pytest.approx(macs * 16 / 12 * 16 / 10)
    assert found["out_padded_macs_4"] == macs
    assert (found["odd_macs_4"], found["odd_macs_8"]) == (macs, macs)  # 10 is no multiple of four
    assert (found["in_fill_8"], found["out_fill_16"]) == (10 / 16, 12 / 16)
    even = kernel_features(kernel_of(16, 32))
    assert even["padded_macs_16"] == even["macs"]
    assert even["odd_macs_16"] == 0


def test_a_depthwise_convolution_fills_lanes_with_its_channels() -> None:
    found = kernel_features(kernel_of(12, 12, groups=12))
    assert found["padded_macs_8"] == found["out_padded_macs_8"] == pytest.approx(found["macs"] * 16 / 12)
    grouped = kernel_features(kernel_of(16, 16, groups=4))  # four channels a group
    assert grouped["padded_macs_8"] == pytest.approx(grouped["macs"] * 4)


def test_what_exceeds_a_cache() -> None:
    found = kernel_features(kernel_of(64, 64, size=32))
    touched = found["touched_bytes"]
    assert touched == found["bytes_read"] + found["bytes_written"] + found["weight_bytes"]
    assert 2**19 < touched < 2**20
    assert found["spilled_512k"] == touched - 2**19
    assert found["spilled_1024k"] == found["overflowed_1024k"] == 0
    assert found["overflowed_512k"] == pytest.approx(touched * (touched / 2**19 - 1))
    assert found["overflowed_32k"] == touched


def test_what_computes_more_than_a_comparison_a_value() -> None:
    assert kernel_features(kernels()["hswish"])["nonlinear_values"] == 6 * 4 * 4
    assert kernel_features(kernels()["conv2d 3x3+relu"])["nonlinear_values"] == 0
    assert kernel_features(kernels()["max_pool 2x2"])["work"] == 6 * 2 * 2 * 4


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
