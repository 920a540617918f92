import numpy as np
import pytest

from profiler.measure import stats


def ar1(rng: np.random.Generator, n: int, rho: float) -> np.ndarray:
    noise = rng.normal(size=n)
    values = np.empty(n)
    values[0] = noise[0]
    for i in range(1, n):
        values[i] = rho * values[i - 1] + np.sqrt(1 - rho**2) * noise[i]
    return values


def test_interval_of_the_median_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        low, high = stats.median_interval(rng.lognormal(0.0, 0.5, 41))
        inside += low <= 1.0 <= high
    assert 0.91 <= inside / 400 <= 1.0


def test_autocorrelated_samples_widen_the_interval():
    rng = np.random.default_rng(2)
    naive = honest = 0
    for _ in range(300):
        values = ar1(rng, 200, 0.8)
        low, high = stats.median_interval(values, n_effective=200)
        naive += low <= 0 <= high
        low, high = stats.median_interval(values)
        honest += low <= 0 <= high
    assert naive / 300 < 0.75, "the comparison needs a case in which counting every sample is wrong"
    assert honest / 300 > 0.88


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_few_samples_give_their_range(n: int):
    values = [float(v) for v in range(10, 10 + n)]
    assert stats.median_interval(values, n) == (10.0, 9.0 + n)


def test_interval_equals_the_tabulated_order_statistics():
    # n = 20: ranks 6 and 15 [any table of distribution-free intervals of the median]
    assert stats.median_interval(np.arange(1.0, 21.0), 20) == (6.0, 15.0)
    # n = 25: ranks 8 and 18
    assert stats.median_interval(np.arange(1.0, 26.0), 25) == (8.0, 18.0)


def test_effective_n_of_independent_and_correlated_samples():
    rng = np.random.default_rng(3)
    independent = [stats.effective_n(rng.normal(size=500)) for _ in range(20)]
    assert np.median(independent) > 400
    # signs of an AR(1) process with rho are correlated by 2/pi asin(rho^k)
    rho = 0.9
    expected = 500 / (1 + 2 * sum(2 / np.pi * np.arcsin(rho**k) for k in range(1, 200)))
    correlated = [stats.effective_n(ar1(rng, 500, rho)) for _ in range(40)]
    assert np.median(correlated) == pytest.approx(expected, rel=0.4)


def test_effective_n_of_a_drift_is_small_and_of_a_constant_is_n():
    assert stats.effective_n(np.linspace(1, 2, 100)) < 10
    assert stats.effective_n([5.0] * 30) == 30
    assert stats.effective_n([5.0]) == 1


def test_standard_error_is_that_of_the_bootstrap():
    rng = np.random.default_rng(4)
    values = rng.gamma(3.0, size=61)
    resampled = np.median(rng.choice(values, (20_000, 61)), axis=1)
    assert stats.median_standard_error(values, 61) == pytest.approx(resampled.std(), rel=0.03)
    halved = np.median(rng.choice(values, (20_000, 15)), axis=1)
    assert stats.median_standard_error(values, 15) == pytest.approx(halved.std(), rel=0.06)


def test_standard_error_of_one_sample_is_unknown():
    assert np.isnan(stats.median_standard_error([3.0]))
    assert stats.median_standard_error([3.0, 3.0]) == 0.0


def test_robust_cv_ignores_an_outlier_and_labels_find_it():
    values = [100.0, 101.0, 99.0, 100.5, 99.5, 100.2, 99.8, 900.0]
    assert stats.robust_cv(values) < 0.01
    assert stats.outlier_labels(values).tolist() == [0] * 7 + [2]
    assert stats.outlier_labels([0.0, 1.0, 2.0, 3.0, 4.0, 8.0]).tolist() == [0, 0, 0, 0, 0, 1]
    assert stats.outlier_labels([7.0] * 9).tolist() == [0] * 9


def test_estimate_holds_every_figure():
    e = stats.estimate([10.0, 12.0, 11.0, 13.0, 50.0])
    assert (e.median, e.n, e.outliers) == (12.0, 5, 1)
    assert e.low <= e.median <= e.high
    assert e.standard_error > 0


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")], [[1.0, 2.0]], [float("inf")]])
def test_samples_that_are_none_are_refused(bad: list):
    with pytest.raises(ValueError, match="at least one sample"):
        stats.estimate(bad)


def test_slopes_lose_the_overhead_and_carry_both_errors():
    short = [stats.estimate([1000 + 4 * 50.0] * 5), stats.estimate([2000 + 4 * 50.0] * 5)]
    long = [stats.estimate([1000 + 8 * 50.0] * 5), stats.estimate([2000 + 8 * 50.0] * 5)]
    assert stats.round_slopes(short, long, 4) == ([50.0, 50.0], [0.0, 0.0])
    noisy = stats.estimate([90.0, 100.0, 110.0, 95.0, 105.0])
    _, (error,) = stats.round_slopes([noisy], [noisy], 2)
    assert error == pytest.approx(np.sqrt(2) * noisy.standard_error / 2)
    with pytest.raises(ValueError, match="at least one repetition"):
        stats.round_slopes([noisy], [noisy], 0)


def test_noise_floor_is_the_median_spread_of_what_is_known():
    assert stats.noise_floor([0.01, float("nan"), 0.03, 0.02]) == 0.02
    assert np.isnan(stats.noise_floor([float("nan")]))
    assert np.isnan(stats.relative_spread([1.0]))
