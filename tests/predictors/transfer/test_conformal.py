import numpy as np
import pytest

from predictors.intervals import normal_quantile, t_quantile
from predictors.transfer.conformal import PRIOR_WEIGHT, interval_factor, rounding_half


def test_with_many_the_residuals_decide():
    rng = np.random.default_rng(0)
    seen = 3.0 * rng.standard_normal(100_000)
    assert interval_factor(seen, 0.9) == pytest.approx(3.0 * normal_quantile(0.9), rel=0.02)


def test_with_few_it_lies_between_what_is_seen_and_what_is_expected():
    n = int(PRIOR_WEIGHT)
    expected = t_quantile(0.9, n)
    assert interval_factor(np.full(n, 4.0 * expected), 0.9) == pytest.approx(2.0 * expected)
    assert 0.0 < interval_factor(np.zeros(n), 0.9) < expected


def test_fewer_samples_are_trusted_less():
    assert interval_factor(np.full(10, 1.6), 0.9) > interval_factor(np.full(40, 1.6), 0.9)


def test_errors_of_rounding_are_covered_as_often_as_asked():
    exact = np.random.default_rng(0).uniform(0.0, 10.0, 100_000)
    for level in (0.5, 0.9):
        held = np.abs(np.round(exact / 0.3) * 0.3 - exact) <= rounding_half(0.3, level)
        assert held.mean() == pytest.approx(level, abs=0.01)
