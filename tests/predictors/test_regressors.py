from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from predictors.features import EXTENSIVE, FEATURES, kernel_features
from predictors.regressors import (
    LINEAR,
    NonNegativeRidge,
    Roofline,
    WideRidge,
    nonnegative_fit,
    roofline_design,
    row_sums,
)
from profiler.workloads.fusion import single

MACS, READ = FEATURES.index("macs"), FEATURES.index("bytes_read")


def random_features(n: int, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.exp(rng.uniform(np.log(1e2), np.log(1e6), (n, len(FEATURES))))


def test_exact_data_give_exact_coefficients_whatever_the_units() -> None:
    rng = np.random.default_rng(0)
    design = rng.uniform(1.0, 2.0, (30, 3)) * np.array([1.0, 1e9, 1e-9])
    truth = np.array([0.5, 2e-9, 0.0])
    found = nonnegative_fit(design, design @ truth, np.ones(30))
    np.testing.assert_allclose(found, truth, atol=1e-9, rtol=1e-9)


def test_no_coefficient_is_negative_and_the_penalty_shrinks() -> None:
    rng = np.random.default_rng(0)
    design = rng.uniform(0.0, 1.0, (40, 2))
    found = nonnegative_fit(design, design @ np.array([1.0, -0.5]) + 1.0, np.ones(40))
    assert (found >= 0.0).all()
    target = design @ np.array([1.0, 1.0])
    assert (
        nonnegative_fit(design, target, np.ones(40), ridge=1.0).sum()
        < nonnegative_fit(design, target, np.ones(40)).sum()
    )


def test_a_row_sum_does_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(0)
    design, coefficients = rng.uniform(0, 1, (50, 8)), rng.uniform(0, 1, 8)
    whole = row_sums(design, coefficients)
    assert [float(v) for v in whole] == [float(row_sums(row[None], coefficients)[0]) for row in design]


def test_the_ridge_extrapolates_a_sum_of_features() -> None:
    features = random_features(40)
    latency = 0.01 + 1e-6 * features[:, MACS] + 3e-6 * features[:, READ]
    ridge = NonNegativeRidge(1e-8)
    ridge.fit(features, latency, 1.0 / latency)
    larger = features * 100.0
    expected = 0.01 + 1e-6 * larger[:, MACS] + 3e-6 * larger[:, READ]
    np.testing.assert_allclose(ridge.predict(larger), expected, rtol=0.02)


def test_the_roofline_is_recovered() -> None:
    features = random_features(60)
    moved = features[:, [FEATURES.index(n) for n in ("bytes_read", "bytes_written", "weight_bytes")]].sum(axis=1)
    latency = 0.004 + np.maximum(features[:, MACS] * 2e-6, moved * 1e-6)
    roofline = Roofline()
    roofline.fit(features, latency, 1.0 / latency)
    assert roofline.ms_per_mac == pytest.approx(2e-6, rel=0.08)
    assert roofline.ms_per_byte == pytest.approx(1e-6, rel=0.08)
    assert roofline.dispatch_ms == pytest.approx(0.004, rel=0.3)
    np.testing.assert_allclose(roofline.predict(features), latency, rtol=0.1)


def test_bytes_that_never_limit_have_no_price() -> None:
    features = random_features(60)
    roofline = Roofline()
    roofline.fit(features, 0.004 + features[:, MACS] * 2e-6, np.ones(60))
    assert roofline.ms_per_byte == 0.0
    assert roofline.ms_per_mac == pytest.approx(2e-6)


def test_the_roofline_of_a_group_is_the_sum_over_its_kernels() -> None:
    groups = [random_features(n, seed=n) for n in (2, 3, 5, 8)]
    design = roofline_design(groups)
    assert design[:, -1].tolist() == [2.0, 3.0, 5.0, 8.0]
    latency = np.array([1.0, 2.0, 3.0, 4.0])
    roofline = Roofline()
    roofline.fit_design(design, latency, 1.0 / latency)
    np.testing.assert_allclose(roofline.predict_design(design), [roofline.predict(g).sum() for g in groups])


@pytest.mark.parametrize("name", sorted(LINEAR))
def test_the_plain_form_predicts_the_same(name: str) -> None:
    features = random_features(25)
    latency = 0.01 + 1e-6 * features[:, MACS]
    first = LINEAR[name]()
    first.fit(features, latency, 1.0 / latency)
    second = LINEAR[name]()
    second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    unseen = random_features(10, seed=1)
    np.testing.assert_array_equal(second.predict(unseen), first.predict(unseen))
    assert (first.predict(unseen) >= 0.0).all()


@pytest.mark.parametrize("name", ["ridge", "wide ridge"])
def test_weights_decide_between_rows_that_disagree(name: str) -> None:
    features = np.repeat(random_features(1), 20, axis=0)
    latency = np.array([1.0, 3.0] * 10)
    for believed, weights in ((1.0, [1.0, 1e-3]), (3.0, [1e-3, 1.0])):
        regressor = LINEAR[name]()
        regressor.fit(features, latency, np.array(weights * 10))
        assert regressor.predict(features[:1])[0] == pytest.approx(believed, rel=0.02)


def test_a_ridge_of_other_features_is_refused() -> None:
    with pytest.raises(ValueError, match=str(1 + len(EXTENSIVE))):
        NonNegativeRidge().restore({"coefficients": [1.0, 2.0]})


def test_a_wide_ridge_knows_lanes_and_caches() -> None:
    features = random_features(120)
    columns = {name: features[:, FEATURES.index(name)] for name in FEATURES}
    columns["spilled_512k"][:] = np.maximum(columns["touched_bytes"] - 2.0**19, 0.0)
    latency = 0.01 + 1e-6 * columns["padded_macs_16"] + 4e-6 * columns["spilled_512k"]
    half = np.arange(120) % 2 == 0
    errors = {}
    for name, ridge in (("plain", NonNegativeRidge(1e-6)), ("wide", WideRidge(1e-6))):
        ridge.fit(features[half], latency[half], 1.0 / latency[half])
        errors[name] = float(np.abs(ridge.predict(features[~half]) / latency[~half] - 1.0).mean())
    assert errors["wide"] < 0.03 < errors["plain"]


def test_roofs_of_a_wide_ridge_are_a_roofline() -> None:
    features = random_features(80)
    moved = features[:, [FEATURES.index(n) for n in ("bytes_read", "bytes_written", "weight_bytes")]].sum(axis=1)
    work = features[:, [FEATURES.index(n) for n in ("work", "out_padded_macs_8")]].max(axis=1)
    latency = 0.004 + np.maximum(work * 2e-6, moved * 1e-6)
    ridge = WideRidge(1e-6)
    ridge.fit(features[:60], latency[:60], 1.0 / latency[:60])
    np.testing.assert_allclose(ridge.predict(features[60:]), latency[60:], rtol=0.03)


def test_a_cache_left_by_a_little_says_nothing_about_its_cost() -> None:
    def linear(width: int) -> list[float]:
        op = single("linear", ((1, width),), {"out_features": width, "bias": True})
        return [kernel_features(op)[name] for name in FEATURES]

    # the last one's weights, 2.1 MB, are beyond 2 MiB by little, and it is twice as slow as its size says
    widths = (128, 160, 192, 256, 320, 725)
    features = np.array([linear(width) for width in widths])
    latency = np.array([1e-8 * width**2 for width in widths])
    latency[-1] *= 2.0
    ridge = WideRidge(1e-4)
    ridge.fit(features, latency, 1.0 / latency)
    (larger,) = ridge.predict(np.array([linear(4096)]))
    assert larger < 4.0 * latency[-1] * (4096 / 725) ** 2


def test_one_small_row_does_not_decide_what_a_large_kernel_costs() -> None:
    def depthwise(channels: int, pixels: int) -> list[float]:
        attrs = {"out_channels": channels, "kernel": (3, 3), "stride": (1, 1), "padding": (1, 1, 1, 1),
                 "dilation": (1, 1), "groups": channels, "bias": False}  # fmt: skip
        kernel = single("conv2d", ((1, channels, pixels, pixels),), attrs)
        return [kernel_features(kernel)[name] for name in FEATURES]

    # of channels that are no multiple of four there is one, tiny and dearer than others of much more work
    sizes = [(8, 16), (16, 16), (32, 16), (16, 32), (32, 32), (64, 8), (3, 2)]
    features = np.array([depthwise(*size) for size in sizes])
    latency = np.array([1e-6 * channels * pixels**2 for channels, pixels in sizes])
    latency[-1] = 5e-3
    ridge = WideRidge(1e-4)
    ridge.fit(features, latency, 1.0 / latency)
    (odd,) = ridge.predict(np.array([depthwise(31, 64)]))
    assert odd < 20.0 * 1e-6 * 31 * 64**2
    again = WideRidge()
    again.restore(json.loads(json.dumps(ridge.state())))
    assert again.predict(features).tolist() == ridge.predict(features).tolist()
