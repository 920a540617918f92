from __future__ import annotations

import json

import numpy as np
import pytest

from predictors.kernel import KernelRegressor, row_weights
from predictors.measured import KernelPoint
from profiler.workloads.fusion import Kernel, single


def conv(channels: int, size: int, kernel: int = 3, groups: int = 1) -> Kernel:
    pad = (kernel // 2,) * 4
    attrs = {
        "out_channels": channels,
        "kernel": (kernel, kernel),
        "stride": (1, 1),
        "padding": pad,
        "dilation": (1, 1),
        "groups": groups,
        "bias": True,
    }
    return single("conv2d", ((1, channels, size, size),), attrs)


def relu(channels: int, size: int) -> Kernel:
    return single("relu", ((1, channels, size, size),), {})


def point(kernel: Kernel, ms: float, sd: float = 0.0) -> KernelPoint:
    return KernelPoint(kernel.key, kernel.label, kernel, ms, sd, None)


def linear_ms(kernel: Kernel) -> float:
    return 0.01 + kernel.workload.macs / 1e7


SHAPES = [(c, s) for c in (4, 8, 16, 24) for s in (4, 8, 16)]


def test_a_kind_with_rows_enough_has_a_regressor_of_its_own() -> None:
    points = [point(conv(c, s), linear_ms(conv(c, s))) for c, s in SHAPES]
    points += [point(conv(c, 8, kernel=1), 50.0) for c in (4, 8, 16, 24)]
    fitted = KernelRegressor().fit(points)
    assert set(fitted.groups) == {"kind conv2d 3x3", "family conv", "all kernels"}
    unseen = conv(20, 12)
    (found,) = fitted.estimate([unseen])
    assert found is not None
    assert found.source == "kind conv2d 3x3"
    assert found.latency_ms == pytest.approx(linear_ms(unseen), rel=0.02)


def test_few_rows_fall_back_to_the_family_and_then_to_all() -> None:
    points = [point(conv(c, 8, kernel=k), 1.0 + k + c) for c in (4, 8) for k in (1, 3, 5)]
    points += [point(relu(c, 8), 0.1) for c in (4, 8)]
    fitted = KernelRegressor().fit(points)
    sources = [e.source if e else None for e in fitted.estimate([conv(6, 8), relu(6, 8), conv(8, 8, groups=8)])]
    assert sources == ["family conv", "all kernels", "all kernels"]


def test_nothing_measured_is_no_estimate() -> None:
    assert KernelRegressor().fit([]).estimate([relu(4, 8)]) == [None]
    two = [point(relu(4, 8), 0.1), point(relu(8, 8), 0.2)]
    assert KernelRegressor().fit(two).estimate([relu(16, 8)]) == [None]


def test_costs_below_resolution_alone_are_no_ground_to_estimate_from() -> None:
    points = [point(relu(c, s), 0.0, sd=0.001) for c, s in SHAPES]
    assert KernelRegressor().fit(points).estimate([relu(64, 32)]) == [None]


def test_the_error_grows_outside_the_range_and_with_the_misfit() -> None:
    rng = np.random.default_rng(0)
    noisy = [point(conv(c, s), linear_ms(conv(c, s)) * (1 + 0.1 * rng.standard_normal())) for c, s in SHAPES]
    fitted = KernelRegressor(candidates=("ridge",)).fit(noisy)
    inside, outside = fitted.estimate([conv(20, 12), conv(240, 12)])
    assert inside is not None
    assert outside is not None
    assert 0.02 < inside.sd_ms / inside.latency_ms < 0.4
    assert outside.sd_ms / outside.latency_ms > 2.0 * inside.sd_ms / inside.latency_ms
    exact = KernelRegressor(candidates=("ridge",)).fit([point(conv(c, s), linear_ms(conv(c, s))) for c, s in SHAPES])
    (sharp,) = exact.estimate([conv(20, 12)])
    assert sharp is not None
    assert sharp.sd_ms / sharp.latency_ms < 0.3 * inside.sd_ms / inside.latency_ms


def test_cross_validation_chooses_what_predicts_best() -> None:
    shapes = [(c, s) for c in (4, 8, 12, 16, 20, 24, 28, 32) for s in (4, 8, 12, 16)]
    line = KernelRegressor().fit([point(conv(c, s), linear_ms(conv(c, s))) for c, s in shapes])
    assert line.groups["kind conv2d 3x3"].chosen == "ridge"
    # a runtime that switches algorithm with the channels: dear below, cheap above, which no sum of features says
    steps = KernelRegressor().fit([point(conv(c, s), 9.0 if c < 17 else 1.0) for c, s in shapes])
    group = steps.groups["kind conv2d 3x3"]
    assert group.chosen in ("process", "forest", "boosting")
    assert group.cv_mape < 0.2
    (cheap, dear) = steps.estimate([conv(26, 10), conv(10, 10)])
    assert cheap is not None
    assert dear is not None
    assert cheap.latency_ms == pytest.approx(1.0, rel=0.3)
    assert dear.latency_ms == pytest.approx(9.0, rel=0.3)
    again = KernelRegressor().restore(json.loads(json.dumps(steps.to_dict(), allow_nan=False)))
    assert again.estimate([conv(26, 10), relu(4, 4)]) == steps.estimate([conv(26, 10), relu(4, 4)])


def test_few_rows_do_not_grow_trees() -> None:
    points = [point(conv(c, s), 9.0 if c < 10 else 1.0) for c, s in SHAPES]
    assert "ridge" in KernelRegressor().fit(points).groups["kind conv2d 3x3"].chosen


def test_one_unresolved_kernel_does_not_outweigh_all_others() -> None:
    weights = row_weights(np.array([2.0, 1.0, 1.0, 0.5, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 0.0, 0.0, 3.0]))
    np.testing.assert_allclose(weights, [0.5, 1.0, 1.0, 2.0, 1 / 0.075, 1 / 3.0])
    assert np.isfinite(row_weights(np.zeros(4), np.zeros(4))).all()
    assert row_weights(np.zeros(0), np.zeros(0)).shape == (0,)


def test_a_kind_measured_rarely_borrows_its_familys_regressor() -> None:
    def steps(c: int) -> float:
        return 9.0 if c < 17 else 1.0

    many = [(c, s) for c in (4, 8, 12, 16, 20, 24, 28, 32) for s in (4, 8, 12, 16)]
    points = [point(conv(c, s), steps(c)) for c, s in many]
    points += [point(conv(c, 10, kernel=5), steps(c)) for c in (6, 10, 14, 18, 22, 26)]
    fitted = KernelRegressor().fit(points)
    rare = fitted.groups["kind conv2d 5x5"]
    assert rare.of == "family conv"
    assert rare.n == 6
    assert len(rare.errors) == 6
    assert fitted.groups["kind conv2d 3x3"].of == ""
    again = KernelRegressor().restore(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    asked = [conv(12, 12, kernel=5), conv(28, 6, kernel=5), conv(12, 12)]
    assert again.estimate(asked) == fitted.estimate(asked)
    assert again.groups["kind conv2d 5x5"].regressor is again.groups["family conv"].regressor


def test_sizes_beyond_the_measured_ones_are_flagged_and_wider() -> None:
    rng = np.random.default_rng(0)
    shapes = [(c, s) for c in (4, 8, 12, 16, 24) for s in (4, 6, 8, 12, 16)]
    points = [point(conv(c, s), linear_ms(conv(c, s)) * (1 + 0.1 * rng.standard_normal())) for c, s in shapes]
    fitted = KernelRegressor().fit(points)
    inside, outside = fitted.estimate([conv(20, 10), conv(96, 32)])
    assert inside is not None
    assert outside is not None
    assert inside.beyond == 0.0
    assert outside.beyond > 1.0
    low, high = fitted.interval(inside, 0.9)
    far_low, far_high = fitted.interval(outside, 0.9)
    assert low < inside.latency_ms < high
    assert (far_high - far_low) / outside.latency_ms > 1.9 * (high - low) / inside.latency_ms
    wider_low, wider_high = fitted.interval(inside, 0.99)
    assert wider_low <= low < high <= wider_high


def test_intervals_hold_as_many_as_they_say() -> None:
    rng = np.random.default_rng(1)
    kernels = [conv(c, s) for c in range(4, 44, 2) for s in range(4, 24, 2)]
    noisy = [point(k, linear_ms(k) * float(np.exp(0.1 * rng.standard_normal()))) for k in kernels]
    order = rng.permutation(len(noisy))
    fitted = KernelRegressor(("ridge",)).fit([noisy[i] for i in order[:60]])
    unseen = [noisy[i] for i in order[60:]]
    held = 0
    for estimate, seen in zip(fitted.estimate([p.kernel for p in unseen]), unseen, strict=True):
        assert estimate is not None
        low, high = fitted.interval(estimate, 0.8)
        held += low <= seen.latency_ms <= high
    assert 0.7 < held / len(unseen) < 0.9


def test_every_kernel_is_predicted_without_itself() -> None:
    points = [point(conv(c, s), linear_ms(conv(c, s))) for c, s in SHAPES]
    odd = conv(10, 10)
    fitted = KernelRegressor(("ridge",)).fit([*points, point(odd, 3.0 * linear_ms(odd))])
    assert set(fitted.left_out) == {p.key for p in points} | {odd.key}
    assert fitted.left_out[odd.key] > 0.4
