from __future__ import annotations

import math

import numpy as np
import pytest

from predictors.intervals import (
    Residuals,
    conformal_quantile,
    leave_one_out,
    normal_quantile,
    quadrature,
    t_quantile,
)
from predictors.regressors import nonnegative_fit


def test_quantiles_are_the_tabled_ones() -> None:
    assert normal_quantile(0.95) == pytest.approx(1.959964, abs=1e-6)
    assert t_quantile(0.95, 2) == pytest.approx(4.302653, abs=1e-6)
    assert t_quantile(0.9, 10**6) == pytest.approx(normal_quantile(0.9), rel=1e-4)
    assert t_quantile(0.9, 0) == math.inf


def test_few_residuals_give_a_t_interval_of_their_rms() -> None:
    half, how = Residuals((0.03, -0.04, 0.0, 0.05), n_params=1).half_width(0.9)
    rms = math.sqrt((0.03**2 + 0.04**2 + 0.05**2) / 4)
    assert half == pytest.approx(t_quantile(0.9, 3) * rms)
    assert "t-quantile" in how
    assert "4" in how


def test_many_residuals_give_their_own_quantile() -> None:
    residuals = Residuals((*((-1) ** i * i / 100 for i in range(1, 20)), 9.0), n_params=1)
    half, how = residuals.half_width(0.9)
    # ceil(21 x 0.9) = 19: the 19th smallest, so that the outlier does not widen it
    assert half == pytest.approx(0.19)
    assert "conformal" in how


def test_a_level_beyond_the_residuals_falls_back_to_t() -> None:
    residuals = Residuals(tuple(0.01 for _ in range(30)), n_params=1)
    assert "conformal" in residuals.half_width(0.9)[1]
    assert "t-quantile" in residuals.half_width(0.99)[1]


def test_no_degree_of_freedom_is_no_upper_bound() -> None:
    assert Residuals((0.0, 0.0), n_params=2).half_width(0.9)[0] == math.inf
    assert Residuals((), n_params=1).half_width(0.9)[0] == math.inf
    assert math.isnan(Residuals((), n_params=1).rms)


def test_conformal_intervals_cover_what_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        half, _ = Residuals(tuple(rng.standard_t(3, 30)), n_params=1).half_width(0.9)
        covered.append(abs(rng.standard_t(3)) <= half)
    assert 0.86 <= np.mean(covered) <= 0.96


def test_leave_one_out_does_not_see_the_row() -> None:
    design = np.column_stack([np.ones(6), np.arange(6.0)])
    target = 1.0 + 2.0 * np.arange(6.0)
    target[3] = 70.0

    def fit_predict(rows: np.ndarray, values: np.ndarray, weights: np.ndarray, held: np.ndarray) -> np.ndarray:
        return held @ nonnegative_fit(rows, values, weights)

    residuals = leave_one_out(fit_predict, design, target, 1.0 / target)
    # all others lie on one line, so the outlier is predicted by it
    assert residuals[3] == pytest.approx((7.0 - 70.0) / 70.0)


def test_independent_parts_add_in_quadrature() -> None:
    assert quadrature([3.0, 4.0]) == 5.0
    assert quadrature([]) == 0.0


def test_a_conformal_quantile_is_a_rank() -> None:
    errors = [0.01 * (i - 10) for i in range(21)]
    assert conformal_quantile(errors, 0.9) == pytest.approx(0.1)  # the 20th of 21
    assert conformal_quantile(errors, 0.5) == pytest.approx(0.05)  # the 11th: sizes 0, 1, 1, 2, 2, ...
    assert conformal_quantile([], 0.9) == math.inf
    few = [0.1, -0.1, 0.1]
    assert conformal_quantile(few, 0.9, 1) == pytest.approx(0.1 * t_quantile(0.9, 2))
    assert conformal_quantile(errors, 0.99) > 0.1  # no 22nd of 21: a t-quantile instead
