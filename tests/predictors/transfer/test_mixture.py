import numpy as np
import pytest

from predictors.transfer.grid import weighings
from predictors.transfer.mixture import posterior

AMOUNTS = {"a": (0.0, 1.0), "b": (0.0, 2.0)}


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((9, 2)), rng.standard_normal((9, 3))
    return np.stack([a @ a.T, b @ b.T]), rng.standard_normal(9), rng.uniform(0.3, 1.0, 9)


def test_weighings_are_distinct_and_their_prior_sums_to_one():
    grid = weighings(("a", "b"), AMOUNTS, (0.1, 1.0))
    assert grid.shares.tolist() == [[0.0, 1.0], [pytest.approx(1 / 3), pytest.approx(2 / 3)], [1.0, 0.0]]
    assert np.exp(grid.log_prior).sum() == pytest.approx(1.0)


def test_the_odds_of_using_sources_are_even():
    amounts = {"shared": (0.0, 1.0, 4.0), "devices": (0.0, 0.5, 2.0), "a": (0.0, 1.0), "b": (0.0, 2.0)}
    grid = weighings(tuple(amounts), amounts, (0.1, 1.0))
    bare = grid.shares[:, :2].sum(axis=1) == 0.0
    assert bare.sum() == 3
    assert np.exp(grid.log_prior[bare]).sum() == pytest.approx(0.5)
    assert np.exp(grid.log_prior).sum() == pytest.approx(1.0)
    always = weighings(("shared", "a"), {"shared": (1.0,), "a": (0.0, 1.0)}, (0.1,))  # none without
    assert np.exp(always.log_prior).sum() == pytest.approx(1.0)


def test_left_out_residuals_are_those_of_refits(problem):
    kernels, values, precision = problem
    grid = weighings(("a", "b"), AMOUNTS, (0.1, 1.0))
    found = posterior(grid, kernels, values, precision)
    for left in (0, 4):
        rest = np.arange(9) != left
        fewer = posterior(grid, kernels[:, rest][:, :, rest], values[rest], precision[rest])
        across = np.tensordot(grid.shares, kernels[:, left, rest], axes=1)
        expected = fewer.mean + np.einsum("sn,sln->sl", across, fewer.alpha)
        assert found.left_out[:, :, left] == pytest.approx(values[left] - expected)


def test_left_out_scores_are_those_of_mixtures_refitted_without_the_value(problem):
    kernels, values, precision = problem
    values = values.copy()
    values[4] += 4.0  # a value that moves the weights
    grid = weighings(("a", "b"), AMOUNTS, (0.1, 1.0))
    found = posterior(grid, kernels, values, precision)
    scores = found.left_out_scores()
    for left in (0, 4):
        rest = np.arange(9) != left
        fewer = posterior(grid, kernels[:, rest][:, :, rest], values[rest], precision[rest])
        across = np.tensordot(grid.shares, kernels[:, left, rest], axes=1)
        each = fewer.mean + np.einsum("sn,sln->sl", across, fewer.alpha)
        mean = (fewer.weights * each).sum()
        within = found.left_out_variance[:, :, left] * fewer.variance
        variance = (fewer.weights * (within + np.square(each - mean))).sum()
        assert scores[left] == pytest.approx((values[left] - mean) / np.sqrt(variance), rel=1e-6)


def test_evidence_is_that_of_the_marginal_student_t(problem):

    kernels, values, precision = problem
    grid = weighings(("a", "b"), AMOUNTS, (0.1, 1.0))
    found = posterior(grid, kernels, values, precision)
    # flat mean and scale: the density of the n - 1 contrasts, whatever the basis, a multivariate Cauchy-like law in
    # which only ratios between weighings count
    basis = np.linalg.svd(np.ones((1, 9)))[2][1:]
    logs = np.empty_like(grid.log_prior)
    for s, shares in enumerate(grid.shares):
        for k, noise in enumerate(grid.noises):
            covariance = basis @ (np.tensordot(shares, kernels, 1) + noise * np.diag(1 / precision)) @ basis.T
            seen = basis @ values
            quadratic = seen @ np.linalg.solve(covariance, seen)
            logs[s, k] = -0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * 8 * np.log(quadratic)
    weights = np.exp(logs - logs.max() + grid.log_prior)
    assert found.weights == pytest.approx(weights / weights.sum(), rel=1e-6)


def test_root_inverse(problem):
    kernels, values, precision = problem
    grid = weighings(("a", "b"), AMOUNTS, (0.1, 1.0))
    found = posterior(grid, kernels, values, precision)
    covariance = np.tensordot(grid.shares[1], kernels, 1) + np.diag(0.1 / precision)
    root = found.root_inverse(1, 0.1)
    assert root @ root.T == pytest.approx(np.linalg.inv(covariance))
